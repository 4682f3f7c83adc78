-- Takes out of the outbox what the database has committed.
-- KEYS  1 task:results
-- ARGV  3 highest committed number  4 most entries
-- Returns how many were removed
local n, gone, top, most = 0, 0, tonumber(ARGV[3]), math.min(math.max(num(ARGV[4], 0), 0), 1000)
local entries = most > 0 and C('LRANGE', KEYS[1], I(-most), -1) or {}
for i = #entries, 1, -1 do
  local number = tonumber(string.match(entries[i], '^(%d+)\n') or '')
  if number and number > top then break end
  gone = gone + 1
  if number then n = n + 1 end
end
if gone > 0 then C('LTRIM', KEYS[1], 0, I(-gone - 1)) end
stat('alien_results', gone - n)        -- not ours, and they would block all that follow
return n
