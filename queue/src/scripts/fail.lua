-- processing -> pending after a pause, or failed. Errors count in `retries`; crashes and hand-backs do not.
-- KEYS  1 task:{id}  2 task:processing  3 task:processing:time
-- ARGV  3 id  4 token  5 error JSON  6 kind  7 retryable 0|1  8 pause ms  9 ttl ms
-- Returns 1 will be retried | 2 final (failed, or cancelled as asked) | 3 recorded before for this token | 0 fenced | -1 unknown
local now, id = clock(), ARGV[3]
local h = fields(id, 'status', 'token', 'retries', 'max_retries', 'cancel', 'last_failed_token')
if not h[1] then return -1 end
if h[6] == ARGV[4] then return 3 end
if h[2] ~= ARGV[4] or h[1] ~= 'processing' then stat('fenced'); return 0 end
C('LREM', KEYS[2], 0, id)              -- first write: not refused at maxmemory
C('ZREM', KEYS[3], id)
local n = num(h[3], 0) + 1
C('HSET', KEYS[1], 'retries', I(n), 'last_failed_token', ARGV[4])
if h[5] then
  finish_cancelled(id, now, ARGV[9])
  return 2
end
if ARGV[7] == '1' and n <= num(h[4], 2) then
  local due = now + num(ARGV[8], 0)
  C('HSET', KEYS[1], 'status', 'pending', 'error', ARGV[5], 'error_kind', ARGV[6], 'updated_at', I(now))
  C('HDEL', KEYS[1], 'token', 'worker_id', 'worker_slots', 'hard_until', 'progress', 'alone')
  make_due(id, due)
  stat('retried')
  emit('task:progress:' .. id, id, '"status":"pending","retry":' .. I(n) .. ',"due":' .. I(due))
  return 1
end
finish(id, now, 'failed', ARGV[6], ARGV[5], ARGV[9])
return 2
