-- Into a final state; it stands after lib.lua where it is needed.

-- A task that was ended as somebody asked is no dead letter.
local function asked_for(kind)
  return kind == 'cancelled' or kind == 'deadline' or kind == 'queue_deadline'
end

-- What an ending has to know of the task at this key, in one look.
local function record(k)
  local h = redis.pcall('HMGET', k, 'status', 'token', 'counted', 'queue', 'model', 'audio_ms', 'attempt', 'life', 'seq',
    'cancel', 'parked', 'due')
  if h.err then return {} end
  return h
end

-- The one way into a final state. Callers have taken the id out of its lists before. Dead letters keep their hash until
-- they are replayed, purged or forgotten; everything else keeps it for ttl ms. What the last attempt wrote stays readable:
-- the status says that it is over. `h` is the task's record, where the caller has it.
local function finish(id, now, status, kind, body, ttl, h)
  local k, at, name = P .. 'task:' .. id, I(now), cjson.encode(id)
  h = h or record(k)
  local counted, queue, attempt, seq = h[3], h[4] or 'default', h[7] or '0', I(num(h[9], 0) + 1)
  local done = status == 'completed'
  C('HSET', k, 'status', status, 'finished_at', at, 'error_kind', kind, done and 'result' or 'error', body, 'seq', seq, 'counted', '')
  if h[10] or h[11] or h[12] then C('HDEL', k, 'cancel', 'cancel_body', 'parked', 'due') end
  if counted == 'inflight' then bump('task:inflight', queue, '-1')
  elseif counted == 'work' then bump('task:work', queue .. '/' .. (h[5] or ''), I(-num(h[6], 0))) end
  local number = C('INCR', P .. 'task:seq')
  if number < now * 1000 then          -- a Redis that lost its last second, or everything, never hands out old numbers again
    number = now * 1000
    C('SET', P .. 'task:seq', I(number))
  end
  local said = done and '"ok"' or cjson.encode(kind)
  C('LPUSH', P .. 'task:results', I(number) .. '\n{"id":' .. name .. ',"status":"' .. status .. '","kind":' .. said ..
    ',"body":' .. cjson.encode(body) .. ',"attempt":"' .. attempt .. '","life":"' .. (h[8] or '1') .. '","at":"' .. at .. '"}')
  if done or asked_for(kind) then
    C('PEXPIRE', k, ttl)
  else
    C('PERSIST', k)
    C('LPUSH', P .. 'task:failed', id)
  end
  stat(done and 'completed' or ('failed_' .. kind))
  announce(done and 'task:completed' or 'task:failed', name, seq, '"status":"' .. status .. '","kind":' .. said ..
    ',"attempt":' .. attempt)
end
