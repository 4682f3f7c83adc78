--!df flags=allow-undeclared-keys
-- Shared by all transitions: it stands before each of them. The line above is for Dragonfly, a comment elsewhere.
-- No "#!lua" line: Redis 6.2 rejects it. Lua does not roll back, so every transition keeps this order:
-- removals (never refused for lack of memory), the record, the outbox, counters, the message. Every field read has a
-- default, so that hashes of the seed's era (payload and status only) pass through everything.
-- ARGV of every script: 1 prefix of all keys and channels, 2 now in ms ("" = the server's clock; tests give one).
local C = redis.call
local P = ARGV[1]
local LEASE = 15000                    -- ms; for tasks that name none
local PROCESSING, LEASES = P .. 'task:processing', P .. 'task:processing:time'
local DELAYED, PARKED = P .. 'task:delayed', P .. 'task:parked'
local CANCEL_KINDS = {cancelled = true, deadline = true, queue_deadline = true}

local function num(value, default) return tonumber(value or default) or default end
local function I(n) return string.format('%.0f', n) end     -- Lua would print 1.7e+12
local function task(id) return P .. 'task:' .. id end

local function clock()
  if ARGV[2] ~= '' then return tonumber(ARGV[2]) end
  local t = C('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A counter may never fail a transition.
local function stat(field, n)
  if n ~= 0 then redis.pcall('HINCRBY', P .. 'task:stats', field, n or 1) end
end

-- Fields of a task; an empty table where the key is not a hash at all.
local function fields(id, ...)
  local h = redis.pcall('HMGET', task(id), ...)
  if h.err then return {} end
  return h
end

-- A hash that names no status but has a payload is waiting.
local function status_of(status, payload)
  return status or (payload and 'pending') or nil
end

local function list_of(queue, kind)
  local base = P .. 'task:queue'
  if queue ~= 'default' then base = base .. ':' .. queue end
  if kind == 'normal' then return base end
  return base .. ':' .. kind
end

-- Sums that a scaler reads. A sum at zero leaves no field behind.
local function bump(key, field, by)
  if by == 0 then return end
  local sum = redis.pcall('HINCRBY', P .. key, field, I(by))
  if type(sum) == 'number' and sum <= 0 then C('HDEL', P .. key, field) end
end

-- Moves a task between the two sums: 'work' (in a ready list), 'inflight' (in processing), '' (neither). The hash
-- remembers where it is counted, so counting twice is impossible.
local function count(id, where)
  local h = fields(id, 'counted', 'queue', 'model', 'audio_ms')
  local was, queue = h[1] or '', h[2] or 'default'
  if was == where then return end
  local field, audio = queue .. '/' .. (h[3] or ''), num(h[4], 0)
  if was == 'work' then bump('task:work', field, -audio) elseif was == 'inflight' then bump('task:inflight', queue, -1) end
  if where == 'work' then bump('task:work', field, audio) elseif where == 'inflight' then bump('task:inflight', queue, 1) end
  if where == '' then C('HDEL', task(id), 'counted') else C('HSET', task(id), 'counted', where) end
end

-- Every message about a task carries the task's own rising number. A message is a hint: losing it loses nothing.
local function emit(channel, id, more)
  local seq = C('HINCRBY', task(id), 'seq', 1)
  redis.pcall('PUBLISH', P .. channel, '{"id":' .. cjson.encode(id) .. ',"seq":' .. I(seq) .. ',' .. more .. '}')
end

-- The one way into a ready list: side 'LPUSH' = back of the line, 'RPUSH' = front. Parked tasks wait in their set
-- instead; tasks that have taken a worker down go to the list of those that run alone.
local function make_ready(id, side, now)
  local h = fields(id, 'queue', 'priority', 'crashes', 'parked')
  C('HDEL', task(id), 'due')
  if h[4] then
    C('SADD', PARKED, id)
    count(id, '')
    return
  end
  local kind = num(h[3], 0) > 0 and 'alone' or h[2] or 'normal'
  C(side, list_of(h[1] or 'default', kind), id)
  C('HSET', task(id), 'ready_at', I(now))
  count(id, 'work')
end

-- The one way into the waiting room.
local function make_due(id, due)
  if C('HEXISTS', task(id), 'parked') == 1 then
    C('SADD', PARKED, id)
  else
    C('HSET', task(id), 'due', I(due))
    C('ZADD', DELAYED, I(due), id)
  end
  count(id, '')
end

-- Takes a waiting id out of wherever it waits, also out of processing if a bare RPOPLPUSH brought it there.
local function unqueue(id)
  C('ZREM', DELAYED, id)
  C('SREM', PARKED, id)
  local queue = fields(id, 'queue')[1] or 'default'
  for _, kind in ipairs({'normal', 'high', 'low', 'alone'}) do C('LREM', list_of(queue, kind), 0, id) end
  C('LREM', PROCESSING, 0, id)
  C('ZREM', LEASES, id)
end

-- The one way into a final state. Callers have taken the id out of its lists before. Dead letters keep their hash until
-- they are replayed, purged or forgotten; everything else keeps it for ttl ms.
local function finish(id, now, status, kind, body, ttl)
  local k = task(id)
  C('HSET', k, 'status', status, 'finished_at', I(now), 'updated_at', I(now), 'error_kind', kind,
    status == 'completed' and 'result' or 'error', body)
  C('HDEL', k, 'worker_id', 'worker_slots', 'hard_until', 'cancel', 'cancel_body', 'due', 'parked', 'ready_at', 'alone')
  count(id, '')
  local number = C('INCR', P .. 'task:seq')
  if number == 1 then                  -- a wiped Redis never hands out old numbers again
    number = now * 1000
    C('SET', P .. 'task:seq', I(number))
  end
  local h = fields(id, 'attempt', 'life')
  C('LPUSH', P .. 'task:results', I(number) .. '\n' .. cjson.encode({id = id, status = status, kind = kind, body = body,
    attempt = h[1] or '0', life = h[2] or '1', at = I(now)}))
  if status == 'failed' and not CANCEL_KINDS[kind] then
    C('PERSIST', k)
    C('LPUSH', P .. 'task:failed', id)
  else
    C('PEXPIRE', k, ttl)
  end
  stat(status == 'completed' and 'completed' or ('failed_' .. kind))
  emit(status == 'completed' and 'task:completed' or 'task:failed', id,
    '"status":"' .. status .. '","kind":' .. cjson.encode(kind) .. ',"attempt":' .. (h[1] or '0'))
end

-- Ends a task as its owner asked, in the owner's words.
local function finish_cancelled(id, now, ttl)
  local h = fields(id, 'cancel', 'cancel_body')
  local kind = CANCEL_KINDS[h[1]] and h[1] or 'cancelled'
  finish(id, now, 'failed', kind, h[2] or cjson.encode({code = kind, kind = kind, message = h[1] or ''}), ttl)
end

-- Due tasks join the back of their line.
local function promote(now, most)
  local n = 0
  for _, id in ipairs(C('ZRANGEBYSCORE', DELAYED, '-inf', I(now), 'LIMIT', 0, most)) do
    C('ZREM', DELAYED, id)
    local h = fields(id, 'status', 'payload')
    if status_of(h[1], h[2]) == 'pending' then
      make_ready(id, 'LPUSH', now)
      emit('task:new', id, '"status":"pending"')
      n = n + 1
    end
  end
  return n
end

local function next_due(now)
  local head = C('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
  return head[2] and I(math.max(0, tonumber(head[2]) - now)) or '-1'
end

-- Whether this caller may still speak for the cluster. '' = a parent or the worker itself: always.
local function epoch_accepted(epoch)
  if epoch == '' then return true end
  local key = P .. 'task:epoch'
  C('PERSIST', key)                    -- first write: not refused at maxmemory
  local known = num(C('GET', key), 0)
  if tonumber(epoch) < known then return false end
  if tonumber(epoch) > known then C('SET', key, epoch) end
  return true
end
