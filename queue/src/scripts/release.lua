-- processing -> pending at the front: a worker that must go hands back what it has not finished. Costs no retry.
-- KEYS  1 task:{id}  2 task:processing  3 task:processing:time
-- ARGV  3 id  4 token  5 ttl ms
-- Returns 1 back in its queue (or parked) | 2 was cancelled, final now | 3 released before by this token | 0 fenced | -1 unknown
local now, id = clock(), ARGV[3]
local h = fields(id, 'status', 'token', 'cancel', 'last_released_token', 'releases', 'error_kind')
if not h[1] then return -1 end
if h[4] == ARGV[4] then return 3 end
if h[2] == ARGV[4] and h[1] == 'failed' and asked_for(h[6]) then return 2 end   -- repeated
if h[2] ~= ARGV[4] or h[1] ~= 'processing' then stat('fenced'); return 0 end
C('LREM', KEYS[2], 0, id)              -- first write: not refused at maxmemory
C('ZREM', KEYS[3], id)
if h[3] then
  finish_cancelled(id, now, ARGV[5])
  return 2
end
C('HSET', KEYS[1], 'status', 'pending', 'last_released_token', ARGV[4], 'releases', I(num(h[5], 0) + 1), 'updated_at', I(now))
C('HDEL', KEYS[1], 'token', 'worker_id', 'worker_slots', 'hard_until', 'progress', 'alone')
make_ready(id, 'RPUSH', now)
stat('released')
emit('task:new', id, '"status":"pending","released":1')
return 1
