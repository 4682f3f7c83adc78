-- A worker is known to be dead: ends its leases now, then reaps. Score 0 is what the amnesty never renews.
-- KEYS  1 task:processing  2 task:processing:time  3 worker:{wid}  4 worker:index
-- ARGV  3 worker id  4 epoch ('' = a parent or the worker itself)  5 batch  6 adopt grace ms  7 max crashes
--       8 crash backoff ms  9 ttl of final hashes  10 ttl of dead letters
-- Returns as reap.lua; {} = the epoch is stale, nothing done
if not epoch_accepted(ARGV[4]) then return {} end
C('DEL', KEYS[3])
C('ZREM', KEYS[4], ARGV[3])
for _, id in ipairs(C('LRANGE', KEYS[1], 0, -1)) do
  local h = fields(id, 'status', 'worker_id')
  if h[1] == 'processing' and h[2] == ARGV[3] then C('ZADD', KEYS[2], 0, id) end
end
return reap(clock(), options(5))
