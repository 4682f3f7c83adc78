-- processing -> completed, by the holder of the token. A result beats a cancel that came too late.
-- KEYS  1 task:{id}  2 task:processing  3 task:processing:time  4 task:rtf
-- ARGV  3 id  4 token  5 result JSON  6 ttl ms  7 busy_ms (0 = not measured)
-- Returns 1 done | 2 done before by this token | 0 fenced | -1 unknown
local RTF_DECAY = 0.95                 -- per completion: the last twenty or so decide
local id, h = ARGV[3], record(KEYS[1])
if not h[1] then return -1 end
if h[2] ~= ARGV[4] or h[1] ~= 'processing' then
  if h[2] == ARGV[4] and h[1] == 'completed' then return 2 end
  stat('fenced')
  return 0
end
C('LREM', KEYS[2], 0, id)              -- first write: finishing work succeeds at maxmemory
C('ZREM', KEYS[3], id)
finish(id, clock(), 'completed', 'ok', ARGV[5], ARGV[6], h)
local audio, busy = num(h[6], 0), tonumber(ARGV[7])
if audio > 0 and busy > 0 then
  local field = (h[4] or 'default') .. '/' .. (h[5] or '')
  local a, b, n = string.match(C('HGET', KEYS[4], field) or '', '^(%S+) (%S+) (%S+)$')
  C('HSET', KEYS[4], field, string.format('%d %d %d', num(a, 0) * RTF_DECAY + audio + 0.5, num(b, 0) * RTF_DECAY + busy + 0.5,
    num(n, 0) + 1))
end
return 1
