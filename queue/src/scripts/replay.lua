-- failed -> pending: a new life with clean counters. `attempt` goes on rising, so old tokens stay worthless.
-- KEYS  1 task:{id}  2 task:failed
-- ARGV  3 id  4 life
-- Returns 1 queued | 2 this life began before (repeated call) | 0 not failed, or a later life runs | -1 unknown
local now, id, life = clock(), ARGV[3], num(ARGV[4], 1)
local h = fields(id, 'status', 'payload', 'life', 'replays')
local status, current = status_of(h[1], h[2]), num(h[3], 1)
if not status then return -1 end
if life > 1 and life == current then return 2 end
if status ~= 'failed' or life <= current then return 0 end
C('LREM', KEYS[2], 0, id)
C('PERSIST', KEYS[1])
C('HSET', KEYS[1], 'status', 'pending', 'life', I(life), 'retries', 0, 'crashes', 0, 'solo_crashes', 0, 'releases', 0,
  'replays', I(num(h[4], 0) + 1), 'updated_at', I(now))
C('HDEL', KEYS[1], 'error', 'error_kind', 'finished_at', 'started_at', 'progress', 'cancel', 'cancel_body', 'due', 'token',
  'parked', 'last_failed_token', 'last_released_token', 'worker_id', 'worker_slots', 'hard_until', 'alone')
make_ready(id, 'LPUSH', now)
stat('replayed')
emit('task:new', id, '"status":"pending","replay":1')
return 1
