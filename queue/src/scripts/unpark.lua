-- Resume: a parked task goes to the front of its queue.
-- KEYS  1 task:{id}  2 task:parked
-- ARGV  3 id
-- Returns 1 waits in its queue | 2 noted, it runs | 0 already final | -1 unknown
local id = ARGV[3]
local h = fields(id, 'status', 'payload')
local status = status_of(h[1], h[2])
if not status then return -1 end
if status ~= 'pending' and status ~= 'processing' then return 0 end
C('HDEL', KEYS[1], 'parked')
local was_parked = C('SREM', KEYS[2], id) == 1
if status == 'processing' then return 2 end
if was_parked then
  local now = clock()
  C('HSET', KEYS[1], 'updated_at', I(now))
  make_ready(id, 'RPUSH', now)
  emit('task:new', id, '"status":"pending"')
end
return 1
