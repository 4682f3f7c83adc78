-- Takes out of the outbox what the database has committed.
-- KEYS  1 task:results
-- ARGV  3 highest committed number  4 most entries
-- Returns how many were removed
local n, top = 0, tonumber(ARGV[3])
while n < tonumber(ARGV[4]) do
  local entry = C('LINDEX', KEYS[1], -1)
  if not entry then break end
  local number = tonumber(string.match(entry, '^(%d+)\n') or '')
  if number and number > top then break end
  C('RPOP', KEYS[1])
  if number then n = n + 1 else stat('alien_results') end   -- not ours, and it would block all that follow
end
return n
