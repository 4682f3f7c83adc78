-- Expired leases, strays, due tasks, old dead letters. Anyone may run it at any rate: it is atomic and idempotent.
-- KEYS  1 task:reap:lock
-- ARGV  3 lock ms (0 = none; it only saves work)  4 batch  5 adopt grace ms  6 max crashes  7 crash backoff ms
--       8 ttl of final hashes  9 ttl of dead letters
-- Returns {expired, poisoned, adopted, promoted, ghosts, purged, amnesty 0|1, ms to the next due task or -1}
local now = clock()
C('ZREMRANGEBYSCORE', P .. 'worker:index', '-inf', I(now - WORKER_GONE))    -- first write: not refused at maxmemory
if num(ARGV[3], 0) > 0 and not C('SET', KEYS[1], '1', 'NX', 'PX', ARGV[3]) then return {0, 0, 0, 0, 0, 0, 0, next_due(now)} end
return reap(now, options(4))
