--!df flags=allow-undeclared-keys
-- Shared by all transitions: it stands before each of them. The line above is for Dragonfly, a comment elsewhere.
-- Each run of a script makes all functions in its text anew (0.1 us each), so what only some need lies in other files:
-- records.lua (reading a task of any era), ending.lua (into a final state), places.lua (where a task waits), epochs.lua.
-- No "#!lua" line: Redis 6.2 rejects it. Lua does not roll back, so every transition keeps this order:
-- removals (never refused for lack of memory), the record, the outbox, counters, the message. Every field read has a
-- default, so that hashes of the seed's era (payload and status only) pass through everything; a field at its default is
-- not stored, for each costs time at every write.
-- ARGV of every script: 1 prefix of all keys and channels, 2 now in ms ("" = the server's clock; tests give one).
local C = redis.call
local P = ARGV[1]
local LEASE = 15000                    -- ms; for tasks that name none

local function num(value, default) return tonumber(value or default) or default end
local function I(n) return string.format('%d', n) end       -- Lua would print 1.7e+15, and Redis would print it as a float: slow

local function clock()
  if ARGV[2] ~= '' then return tonumber(ARGV[2]) end
  local t = C('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A counter may never fail a transition.
local function stat(field, n)
  if n ~= 0 then redis.pcall('HINCRBY', P .. 'task:stats', field, n or '1') end
end

-- Sums that a scaler reads; `by` is a text. A sum at zero leaves no field behind.
local function bump(key, field, by)
  if by == '0' then return end
  local sum = redis.pcall('HINCRBY', P .. key, field, by)
  if type(sum) == 'number' and sum <= 0 then C('HDEL', P .. key, field) end
end

-- Every message about a task carries the task's own rising number. A message is a hint: losing it loses nothing.
-- `name` is the id as JSON.
local function announce(channel, name, seq, more)
  redis.pcall('PUBLISH', P .. channel, '{"id":' .. name .. ',"seq":' .. seq .. ',' .. more .. '}')
end
