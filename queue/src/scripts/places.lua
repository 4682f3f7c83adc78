-- Where a task waits, and its way there; it stands after ending.lua where it is needed.

local function list_of(queue, kind)
  local base = P .. 'task:queue'
  if queue ~= 'default' then base = base .. ':' .. queue end
  if kind == 'normal' then return base end
  return base .. ':' .. kind
end

-- Moves a task between the two sums: 'work' (in a ready list), 'inflight' (in processing), '' (neither). The hash
-- remembers where it is counted, so counting twice is impossible.
local function count(id, where)
  local h = fields(id, 'counted', 'queue', 'model', 'audio_ms')
  local was, queue = h[1] or '', h[2] or 'default'
  if was == where then return end
  local field, audio = queue .. '/' .. (h[3] or ''), num(h[4], 0)
  if was == 'work' then bump('task:work', field, I(-audio)) elseif was == 'inflight' then bump('task:inflight', queue, '-1') end
  if where == 'work' then bump('task:work', field, I(audio)) elseif where == 'inflight' then bump('task:inflight', queue, '1') end
  if where == '' then C('HDEL', task(id), 'counted') else C('HSET', task(id), 'counted', where) end
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

-- Ends a task as its owner asked, in the owner's words.
local function finish_cancelled(id, now, ttl)
  local h = fields(id, 'cancel', 'cancel_body')
  local kind = asked_for(h[1]) and h[1] or 'cancelled'
  finish(id, now, 'failed', kind, h[2] or cjson.encode({code = kind, kind = kind, message = h[1] or ''}), ttl)
end

-- Due tasks join the back of their line.
local function promote(now, most)
  local n = 0
  for _, id in ipairs(C('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, most)) do
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
