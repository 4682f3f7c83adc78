-- fsck: computes task:work and task:inflight anew from the lists, and puts them right.
-- KEYS  1 task:work  2 task:inflight
-- ARGV  3 most ids to look at  4.. names of all queues
-- Returns {drift of work in ms, drift of in flight} | {} too many ids for one script
local MOST = num(ARGV[3], 20000)
local total = C('LLEN', PROCESSING)
for i = 4, #ARGV do
  for _, kind in ipairs({'normal', 'high', 'low', 'alone'}) do total = total + C('LLEN', list_of(ARGV[i], kind)) end
end
if total > MOST then return {} end
local work, inflight, seen = {}, {}, {}
for _, id in ipairs(C('LRANGE', PROCESSING, 0, -1)) do
  local h = fields(id, 'status', 'queue', 'counted')
  -- A moved id that nobody has adopted yet is still counted where it was.
  if not seen[id] and h[1] and (h[1] == 'processing' or h[3] == 'inflight') then
    seen[id] = true
    local queue = h[2] or 'default'
    inflight[queue] = (inflight[queue] or 0) + 1
    if h[3] ~= 'inflight' then C('HSET', task(id), 'counted', 'inflight') end
  elseif not seen[id] and h[3] == 'work' then
    seen[id] = true
    local a = fields(id, 'model', 'audio_ms')
    local field = (h[2] or 'default') .. '/' .. (a[1] or '')
    work[field] = (work[field] or 0) + num(a[2], 0)
  end
end
for i = 4, #ARGV do
  for _, kind in ipairs({'normal', 'high', 'low', 'alone'}) do
    for _, id in ipairs(C('LRANGE', list_of(ARGV[i], kind), 0, -1)) do
      local h = fields(id, 'status', 'payload', 'queue', 'model', 'audio_ms', 'counted')
      if not seen[id] and status_of(h[1], h[2]) == 'pending' then
        seen[id] = true
        local field = (h[3] or 'default') .. '/' .. (h[4] or '')
        work[field] = (work[field] or 0) + num(h[5], 0)
        if h[6] ~= 'work' then C('HSET', task(id), 'counted', 'work') end
      end
    end
  end
end
local function settle(key, want)
  local drift, have = 0, C('HGETALL', key)
  for i = 1, #have, 2 do
    local field, value = have[i], num(have[i + 1], 0)
    local right = want[field] or 0
    drift = drift + math.abs(value - right)
    if value ~= right then
      if right == 0 then C('HDEL', key, field) else C('HSET', key, field, I(right)) end
    end
    want[field] = nil
  end
  for field, right in pairs(want) do
    if right ~= 0 then drift = drift + right; C('HSET', key, field, I(right)) end
  end
  return I(drift)
end
return {settle(KEYS[1], work), settle(KEYS[2], inflight)}
