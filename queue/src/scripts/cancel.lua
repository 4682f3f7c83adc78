-- pending -> failed with the given kind; processing: asks the worker, who learns it at its next heartbeat at the latest.
-- KEYS  1 task:{id}
-- ARGV  3 id  4 kind (cancelled | deadline | queue_deadline)  5 error JSON  6 ttl ms
-- Returns 1 cancelled | 2 asked | 0 already final | -1 unknown
local id = ARGV[3]
local h = fields(id, 'status', 'payload', 'cancel')
local status = status_of(h[1], h[2])
if not status then return -1 end
if status == 'pending' then
  unqueue(id)                          -- its first write is ZREM: not refused at maxmemory
  finish(id, clock(), 'failed', ARGV[4], ARGV[5], ARGV[6])
  return 1
end
if status ~= 'processing' then return 0 end
if not h[3] then                       -- the first to ask names the kind
  C('PERSIST', KEYS[1])                -- first write: not refused at maxmemory
  C('HSET', KEYS[1], 'cancel', ARGV[4], 'cancel_body', ARGV[5])
end
emit('task:progress:' .. id, id, '"status":"processing","cancel":1')
return 2
