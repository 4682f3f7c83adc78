-- How far an attempt is: for people; decides nothing.
-- KEYS  1 task:{id}
-- ARGV  3 id  4 token  5 progress JSON
-- Returns 1 | 0 fenced
local id = ARGV[3]
local h = fields(id, 'status', 'token')
if h[1] ~= 'processing' or h[2] ~= ARGV[4] then return 0 end
C('PERSIST', KEYS[1])                  -- first write: not refused at maxmemory
C('HSET', KEYS[1], 'progress', ARGV[5], 'updated_at', I(clock()))
emit('task:progress:' .. id, id, '"status":"processing","progress":' .. ARGV[5])
return 1
