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
C('HSET', KEYS[1], 'id', id, 'payload', ARGV[4], 'status', 'pending', 'queue', ARGV[5], 'priority', ARGV[6],
  'model', ARGV[7], 'audio_ms', ARGV[8], 'life', ARGV[9], 'max_retries', ARGV[11], 'lease_ms', ARGV[12],
  'created_at', I(now), 'updated_at', I(now), 'attempt', 0, 'retries', 0, 'crashes', 0, 'solo_crashes', 0,
  'releases', 0, 'seq', 0)
C('SADD', P .. 'task:queues', ARGV[5])
if delay > 0 then make_due(id, now + delay) else make_ready(id, 'LPUSH', now) end
if idem_ttl > 0 then
  C('SET', KEYS[2], id, 'PX', ARGV[14])
  C('HSET', KEYS[1], 'idem', KEYS[2])
end
stat('enqueued')
emit('task:new', id, '"status":"pending"')
return {1, id}
