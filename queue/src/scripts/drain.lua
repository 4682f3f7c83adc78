-- Sets or clears the flag that keeps new tasks from a worker or a pod.
-- KEYS  1 task:drain
-- ARGV  3 worker id or pod:{uid}  4 'drain' | 'undrain'  5 epoch ('' = always accepted)
-- Returns 1 | 0 the epoch is stale, nothing done
C('PERSIST', KEYS[1])                  -- first write: not refused at maxmemory
if not epoch_accepted(ARGV[5]) then return 0 end
C(ARGV[4] == 'drain' and 'SADD' or 'SREM', KEYS[1], ARGV[3])
return 1
