-- final -> none, because the owner deleted it. Its outbox entry stays until it is acknowledged.
-- KEYS  1 task:{id}  2 task:failed
-- ARGV  3 id
-- Returns 1 nothing is left | 0 not final
local h = fields(ARGV[3], 'status', 'payload', 'idem')
local status = status_of(h[1], h[2])
if status and status ~= 'completed' and status ~= 'failed' then return 0 end
C('LREM', KEYS[2], 0, ARGV[3])
C('DEL', KEYS[1])
if h[3] and C('GET', h[3]) == ARGV[3] then C('DEL', h[3]) end
return 1
