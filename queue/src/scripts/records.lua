-- Reading a task of any era; it stands after lib.lua where it is needed.
local PROCESSING, LEASES = P .. 'task:processing', P .. 'task:processing:time'
local DELAYED, PARKED = P .. 'task:delayed', P .. 'task:parked'

local function task(id) return P .. 'task:' .. id end

-- Fields of a task; an empty table where the key is not a hash at all.
local function fields(id, ...)
  local h = redis.pcall('HMGET', task(id), ...)
  if h.err then return {} end
  return h
end

-- A hash that names no status but has a payload is waiting.
local function status_of(status, payload)
  return status or (payload and 'pending') or nil
end

local function emit(channel, id, more)
  announce(channel, cjson.encode(id), C('HINCRBY', task(id), 'seq', 1), more)
end
