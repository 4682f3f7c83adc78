-- Suspend. A waiting task leaves its list for the set of parked ones; a running one is only marked, and parks when it
-- would return to a list.
-- KEYS  1 task:{id}  2 task:parked
-- ARGV  3 id
-- Returns 1 parked | 2 noted, it runs | 0 already final | -1 unknown
local id = ARGV[3]
local h = fields(id, 'status', 'payload')
local status = status_of(h[1], h[2])
if not status then return -1 end
if status == 'pending' then
  unqueue(id)                          -- its first write is ZREM: not refused at maxmemory
  C('HSET', KEYS[1], 'parked', '1', 'updated_at', I(clock()))
  C('HDEL', KEYS[1], 'due', 'ready_at')
  C('SADD', KEYS[2], id)
  count(id, '')
  return 1
end
if status ~= 'processing' then return 0 end
C('PERSIST', KEYS[1])
C('HSET', KEYS[1], 'parked', '1')
return 2
