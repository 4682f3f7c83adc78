-- Takes entries out of the outbox that nobody can read, each by its bytes: they lie at the old end.
-- KEYS  1 task:results
-- ARGV  3.. the entries
-- Returns how many were removed
local n = 0
for at = 3, #ARGV do n = n + C('LREM', KEYS[1], -1, ARGV[at]) end
stat('unreadable_results', n)
return n
