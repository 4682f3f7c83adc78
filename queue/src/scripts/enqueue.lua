-- none -> pending. The first write is HSET, so a full Redis refuses the whole script with nothing done.
-- KEYS  1 task:{id}  2 idem:{key} (task:{id} again where there is none)  3 the list that it joins  4.. the queue's other lists
--       (only with a max_depth)
-- ARGV  3 id  4 queue  5 model  6 audio_ms  7 delay_ms  8 max_depth (0 = no limit)  9 ttl of the idempotency key (0 = none)
--       10.. fields and values of the task's hash: the payload, and what differs from its default
-- Returns 1 new | {0, id} this id or this idempotency key is known | {-1, depth} full
local id, queue = ARGV[3], ARGV[4]
if ARGV[9] ~= '0' then
  local owner = C('GET', KEYS[2])
  if owner then return {0, owner} end
end
if C('EXISTS', KEYS[1]) == 1 then return {0, id} end
if ARGV[8] ~= '0' then
  local depth = 0
  for i = 3, #KEYS do depth = depth + C('LLEN', KEYS[i]) end
  if depth >= tonumber(ARGV[8]) then return {-1, I(depth)} end
end
local now = clock()
local at = I(now)
-- A new task has no history: it is nowhere yet, neither parked nor crashed.
if ARGV[7] ~= '0' then
  local due = I(now + tonumber(ARGV[7]))
  C('HSET', KEYS[1], 'status', 'pending', 'created_at', at, 'due', due, unpack(ARGV, 10))
  C('ZADD', P .. 'task:delayed', due, id)
else
  C('HSET', KEYS[1], 'status', 'pending', 'created_at', at, 'counted', 'work', unpack(ARGV, 10))
  C('LPUSH', KEYS[3], id)
  bump('task:work', queue .. '/' .. ARGV[5], ARGV[6])
end
if queue ~= 'default' then C('SADD', P .. 'task:queues', queue) end
if ARGV[9] ~= '0' then
  C('SET', KEYS[2], id, 'PX', ARGV[9])
  C('HSET', KEYS[1], 'idem', KEYS[2])
end
stat('enqueued')
announce('task:new', '"' .. id .. '"', '0', '"status":"pending"')
return 1
