-- none -> pending. The first write is HSET, so a full Redis refuses the whole script with nothing done.
-- KEYS  1 task:{id}  2 idem:{key} (task:{id} again where there is none)  3.. the queue's lists: alone high normal low
-- ARGV  3 id  4 payload  5 queue  6 priority  7 model  8 audio_ms  9 life  10 delay_ms  11 max_retries  12 lease_ms
--       13 max_depth (0 = no limit)  14 ttl of the idempotency key (0 = none)
-- Returns {1, id} new | {0, id} this id or this idempotency key is known | {-1, depth} full
local id, idem_ttl, delay = ARGV[3], num(ARGV[14], 0), num(ARGV[10], 0)
if idem_ttl > 0 then
  local owner = C('GET', KEYS[2])
  if owner then return {0, owner} end
end
if C('EXISTS', KEYS[1]) == 1 then return {0, id} end
local most = num(ARGV[13], 0)
if most > 0 then
  local depth = 0
  for i = 3, #KEYS do depth = depth + C('LLEN', KEYS[i]) end
  if depth >= most then return {-1, I(depth)} end
end
local now = clock()
local at, waits, audio = I(now), delay <= 0, num(ARGV[8], 0)
-- A new task has no history: it is nowhere yet, neither parked nor crashed.
C('HSET', KEYS[1], 'id', id, 'payload', ARGV[4], 'status', 'pending', 'queue', ARGV[5], 'priority', ARGV[6],
  'model', ARGV[7], 'audio_ms', ARGV[8], 'life', ARGV[9], 'max_retries', ARGV[11], 'lease_ms', ARGV[12],
  'created_at', at, 'updated_at', at, 'attempt', '0', 'retries', '0', 'crashes', '0', 'solo_crashes', '0', 'releases', '0', 'seq', '1',
  waits and 'ready_at' or 'due', waits and at or I(now + delay),
  'counted', waits and 'work' or '')
C('SADD', P .. 'task:queues', ARGV[5])
if waits then
  C('LPUSH', KEYS[ARGV[6] == 'high' and 4 or ARGV[6] == 'low' and 6 or 5], id)
  bump('task:work', ARGV[5] .. '/' .. ARGV[7], audio)
else
  C('ZADD', DELAYED, I(now + delay), id)
end
if idem_ttl > 0 then
  C('SET', KEYS[2], id, 'PX', ARGV[14])
  C('HSET', KEYS[1], 'idem', KEYS[2])
end
stat('enqueued')
announce('task:new', id, 1, '"status":"pending"')
return {1, id}
