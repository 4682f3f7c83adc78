-- Into a final state; it stands after lib.lua where it is needed.

-- A task that was ended as somebody asked is no dead letter.
local function asked_for(kind)
  return kind == 'cancelled' or kind == 'deadline' or kind == 'queue_deadline'
end

-- What an ending has to know of a task, in one look.
local function record(id)
  return fields(id, 'status', 'token', 'counted', 'queue', 'model', 'audio_ms', 'attempt', 'life', 'seq')
end

-- The one way into a final state. Callers have taken the id out of its lists before. Dead letters keep their hash until
-- they are replayed, purged or forgotten; everything else keeps it for ttl ms. `h` is its record, where the caller has it.
local function finish(id, now, status, kind, body, ttl, h)
  h = h or record(id)
  local k, at, seq, counted, queue, attempt = task(id), I(now), num(h[9], 0) + 1, h[3], h[4] or 'default', h[7] or '0'
  C('HSET', k, 'status', status, 'finished_at', at, 'updated_at', at, 'error_kind', kind,
    status == 'completed' and 'result' or 'error', body, 'seq', I(seq))
  C('HDEL', k, 'worker_id', 'worker_slots', 'hard_until', 'cancel', 'cancel_body', 'due', 'parked', 'ready_at', 'alone', 'counted')
  if counted == 'inflight' then bump('task:inflight', queue, -1)
  elseif counted == 'work' then bump('task:work', queue .. '/' .. (h[5] or ''), -num(h[6], 0)) end
  local number = C('INCR', P .. 'task:seq')
  if number == 1 then                  -- a wiped Redis never hands out old numbers again
    number = now * 1000
    C('SET', P .. 'task:seq', I(number))
  end
  C('LPUSH', P .. 'task:results', I(number) .. '\n{"id":' .. cjson.encode(id) .. ',"status":"' .. status .. '","kind":' ..
    cjson.encode(kind) .. ',"body":' .. cjson.encode(body) .. ',"attempt":' .. cjson.encode(attempt) .. ',"life":' ..
    cjson.encode(h[8] or '1') .. ',"at":"' .. at .. '"}')
  if status == 'failed' and not asked_for(kind) then
    C('PERSIST', k)
    C('LPUSH', P .. 'task:failed', id)
  else
    C('PEXPIRE', k, ttl)
  end
  stat(status == 'completed' and 'completed' or ('failed_' .. kind))
  announce(status == 'completed' and 'task:completed' or 'task:failed', id, seq,
    '"status":"' .. status .. '","kind":' .. cjson.encode(kind) .. ',"attempt":' .. attempt)
end
