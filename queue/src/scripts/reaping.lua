-- The body of REAP, shared by reap.lua and expire_worker.lua (it stands between lib.lua and them).
local ADOPT_LOOK, CRASH_BACKOFF_CAP, WORKER_GONE = 5000, 30000, 60000

-- One lost lease. Whoever held it is fenced from this instant: the token is gone.
local function expire(id, now, o, r)
  C('ZREM', LEASES, id)
  C('LREM', PROCESSING, 0, id)
  local h = fields(id, 'status', 'payload', 'cancel', 'hard_until', 'retries', 'max_retries', 'crashes', 'solo_crashes',
    'alone', 'worker_slots', 'worker_id', 'token')
  local status = status_of(h[1], h[2])
  -- A waiting id is here because a bare RPOPLPUSH moved it, unless it also waits where it should.
  local stray = status == 'pending' and (C('ZSCORE', DELAYED, id) or C('SISMEMBER', PARKED, id) == 1)
  if stray or (status ~= 'processing' and status ~= 'pending') then
    r.ghosts = r.ghosts + 1
    if stray then count(id, '') end
    return
  end
  r.expired = r.expired + 1
  if h[3] then finish_cancelled(id, now, o.ttl); return end
  local crashes, solo, retries = num(h[7], 0) + 1, num(h[8], 0), num(h[5], 0)
  local late = h[4] and now >= num(h[4], now + 1)           -- the running limit, not a crash, ended it
  if late then retries = retries + 1
  elseif h[9] == '1' or (h[12] and (h[10] or '1') == '1') then solo = solo + 1 end    -- nothing else ran beside it
  C('HSET', task(id), 'crashes', I(crashes), 'solo_crashes', I(solo), 'retries', I(retries), 'updated_at', I(now))
  if late and retries > num(h[6], 2) then
    finish(id, now, 'failed', 'timeout', cjson.encode({code = 'timeout', kind = 'timeout',
      message = 'ran longer than its limit in each of ' .. I(retries) .. ' runs'}), o.ttl)
  elseif not late and solo >= o.max_crashes then
    r.poisoned = r.poisoned + 1
    finish(id, now, 'failed', 'poison', cjson.encode({code = 'poison', kind = 'poison',
      message = 'its worker died ' .. I(solo) .. ' times while running nothing else; last on ' .. (h[11] or '?')}), o.ttl)
  else
    C('HSET', task(id), 'status', 'pending')
    C('HDEL', task(id), 'token', 'worker_id', 'worker_slots', 'hard_until', 'progress', 'alone')
    if o.backoff > 0 then make_due(id, now + math.min(CRASH_BACKOFF_CAP, o.backoff * 2 ^ math.min(crashes - 1, 10)))
    else make_ready(id, 'RPUSH', now) end
    emit('task:new', id, '"status":"pending","lease_lost":' .. I(crashes))
  end
end

-- Nobody reaped for longer than a lease: Redis or everybody was away, and the workers could not renew either. They get one
-- more lease each, but for those that are known to be dead (score 0).
local function amnesty(now)
  for _, id in ipairs(C('ZRANGEBYSCORE', LEASES, '(0', '(' .. I(now + LEASE))) do
    local lease_end = now + num(fields(id, 'lease_ms')[1], LEASE)
    if lease_end > tonumber(C('ZSCORE', LEASES, id)) then C('ZADD', LEASES, I(lease_end), id) end
  end
end

-- Ids that a client of the seed's era moved without a lease get a short one, and then expire as all others.
local function adopt(now, grace)
  local n = 0
  for _, id in ipairs(C('LRANGE', PROCESSING, 0, ADOPT_LOOK - 1)) do
    if not C('ZSCORE', LEASES, id) then
      C('ZADD', LEASES, I(now + grace), id)
      local h = fields(id, 'status', 'payload')
      local status = status_of(h[1], h[2])
      if status == 'pending' or status == 'processing' then count(id, 'inflight') end
      n = n + 1
    end
  end
  return n
end

-- Old dead letters: id and hash together.
local function purge(now, ttl, most)
  local n = 0
  while n < most do
    local id = C('LINDEX', P .. 'task:failed', -1)
    if not id then break end
    local h = fields(id, 'status', 'finished_at')
    if h[1] == 'failed' then
      if not h[2] then C('HSET', task(id), 'finished_at', I(now)); break end   -- of the seed's era: its clock starts now
      if now - num(h[2], now) <= ttl then break end
      C('DEL', task(id))
    end
    C('RPOP', P .. 'task:failed')
    n = n + 1
  end
  return n
end

-- o: batch, grace, max_crashes, backoff, ttl, dead_ttl.  Returns {expired, poisoned, adopted, promoted, ghosts, purged, amnesty, due}
local function reap(now, o)
  local r = {expired = 0, poisoned = 0, ghosts = 0}
  local batch = math.min(math.max(o.batch, 1), 1000)
  C('ZREMRANGEBYSCORE', P .. 'worker:index', '-inf', I(now - WORKER_GONE))
  local last = num(C('GET', P .. 'task:reap:last'), 0)
  local spared = last > 0 and now - last > LEASE
  C('SET', P .. 'task:reap:last', I(now))
  if spared then amnesty(now); stat('amnesties') end
  for _, id in ipairs(C('ZRANGEBYSCORE', LEASES, '-inf', I(now), 'LIMIT', 0, batch)) do expire(id, now, o, r) end
  local adopted, promoted, purged = adopt(now, o.grace), promote(now, batch), purge(now, o.dead_ttl, math.min(batch, 100))
  stat('lease_lost', r.expired); stat('adopted', adopted); stat('ghost_reaped', r.ghosts); stat('purged', purged)
  return {r.expired, r.poisoned, adopted, promoted, r.ghosts, purged, spared and 1 or 0, next_due(now)}
end

local function options(from)           -- ARGV from.. : batch, grace, max_crashes, backoff, ttl, dead_ttl
  return {batch = num(ARGV[from], 100), grace = num(ARGV[from + 1], 10000), max_crashes = num(ARGV[from + 2], 3),
    backoff = num(ARGV[from + 3], 0), ttl = ARGV[from + 4], dead_ttl = num(ARGV[from + 5], 604800000)}
end
