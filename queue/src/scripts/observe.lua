-- One queue as a scaler sees it. Writes nothing.
-- KEYS  1 task:work  2 task:inflight  3 task:rtf  4 task:drain  5 task:paused  6 worker:index  7.. alone high normal low
-- ARGV  3 queue
-- Returns {now, paused, {depths}, delayed, parked, {model, ms, ..}, in flight, {{id, worker, model, audio_ms, age, alone}..},
--          {{wid, state, pod, pod_uid, pool, models, slots, held, heartbeat age}..}, {drain flags}, oldest wait or -1,
--          {model, 'audio busy samples', ..}}
local MOST, TAIL = 1000, 16
local now, queue = clock(), ARGV[3]
local depths, oldest = {}, -1
for i = 7, 10 do
  depths[i - 6] = C('LLEN', KEYS[i])
  for _, id in ipairs(C('LRANGE', KEYS[i], -TAIL, -1)) do  -- handed back tasks stand before older ones
    local h = fields(id, 'ready_at', 'created_at')
    local since = tonumber(h[1] or h[2] or '')
    if since then oldest = math.max(oldest, now - since) end
  end
end
local function of_this_queue(key)
  local out, all, mine = {}, C('HGETALL', key), queue .. '/'
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, #mine) == mine then
      out[#out + 1] = string.sub(all[i], #mine + 1)
      out[#out + 1] = all[i + 1]
    end
  end
  return out
end
local running = {}
for _, id in ipairs(C('LRANGE', PROCESSING, -MOST, -1)) do   -- the oldest claims are at the tail
  local h = fields(id, 'queue', 'worker_id', 'model', 'audio_ms', 'started_at', 'alone')
  if (h[1] or 'default') == queue then
    running[#running + 1] = {id, h[2] or '', h[3] or '', h[4] or '0', I(math.max(0, now - num(h[5], now))), h[6] or '0'}
  end
end
local workers = {}
for _, wid in ipairs(C('ZRANGE', KEYS[6], 0, MOST - 1)) do
  local h = C('HMGET', P .. 'worker:' .. wid, 'state', 'pod', 'pod_uid', 'pool', 'models', 'slots', 'inflight', 'heartbeat')
  if h[8] then
    workers[#workers + 1] = {wid, h[1] or '', h[2] or '', h[3] or '', h[4] or '', h[5] or '', h[6] or '1', h[7] or '0',
      I(math.max(0, now - num(h[8], now)))}
  end
end
return {I(now), C('EXISTS', KEYS[5]), depths, C('ZCARD', DELAYED), C('SCARD', PARKED), of_this_queue(KEYS[1]),
  C('HGET', KEYS[2], queue) or '0', running, workers, C('SMEMBERS', KEYS[4]), I(oldest), of_this_queue(KEYS[3])}
