-- fsck found a suspect: looks again, atomically, and puts it right.
-- KEYS  1 task:{id}
-- ARGV  3 id  4 adopt grace ms  5.. names of all queues
-- Returns 'ok' | 'lost' was waiting nowhere, waits again | 'ghost' had no hash, dropped | 'unleased' adopted
local id, now = ARGV[3], clock()
local h = fields(id, 'status', 'payload')
local status = status_of(h[1], h[2])
local function in_processing() return C('LPOS', PROCESSING, id) end
if not status then
  local n = C('ZREM', DELAYED, id) + C('SREM', PARKED, id)
  for i = 5, #ARGV do
    for _, kind in ipairs({'normal', 'high', 'low', 'alone'}) do n = n + C('LREM', list_of(ARGV[i], kind), 0, id) end
  end
  n = n + C('LREM', PROCESSING, 0, id) + C('ZREM', LEASES, id) + C('LREM', P .. 'task:failed', 0, id)
  if n > 0 then stat('fsck_ghost'); return 'ghost' end
elseif status == 'pending' then
  if C('ZSCORE', DELAYED, id) or C('SISMEMBER', PARKED, id) == 1 or in_processing() then return 'ok' end
  for i = 5, #ARGV do
    for _, kind in ipairs({'normal', 'high', 'low', 'alone'}) do
      if C('LPOS', list_of(ARGV[i], kind), id) then return 'ok' end
    end
  end
  make_ready(id, 'LPUSH', now)
  emit('task:new', id, '"status":"pending"')
  stat('fsck_lost')
  return 'lost'
elseif status == 'processing' then
  local listed, leased = in_processing(), C('ZSCORE', LEASES, id)
  if listed and leased then return 'ok' end
  if not leased then C('ZADD', LEASES, I(now + num(ARGV[4], 10000)), id) end
  if not listed then C('LPUSH', PROCESSING, id) end
  count(id, 'inflight')
  stat('fsck_unleased')
  return 'unleased'
end
return 'ok'
