-- pending -> processing for one worker: RPOPLPUSH, lease and token in one step.
-- KEYS  1 task:processing  2 task:processing:time  3 task:paused  4 worker:{wid}  5 task:drain  6 task:delayed
--       7.. of each queue asked for, in order: alone, high, normal, low, ticket (task:alone:next)
-- ARGV  3 worker id  4 nonce  5 tasks held  6 slots  7 ttl of final hashes  8 most dead entries to skip  9.. queue names
-- Returns {'claimed', id, token, attempt, life, queue, model, payload, audio_ms, lease_ms, ms to the running limit, retries,
--          crashes, alone 0|1, replayed 0|1} | {'nothing', ms to the next due task or -1} | {'paused'} | {'draining'}
--         | {'again'} only dead entries were met, or this nonce was used for a claim that has ended: ask again with a new one
local WORKER_TTL, PROMOTIONS = 30000, 20
local now, wid, nonce, held = clock(), ARGV[3], ARGV[4], tonumber(ARGV[5]) or 0

-- What a claim has to know of the task at this key, in one look.
local function look(k)
  local h = redis.pcall('HMGET', k, 'status', 'payload', 'cancel', 'parked', 'lease_ms', 'audio_ms', 'attempt', 'crashes',
    'queue', 'model', 'counted', 'life', 'seq', 'progress', 'due', 'retries', 'created_at')
  if h.err then return {} end
  return h
end
local function claimed(id, h, token, attempt, limit, alone, replayed)
  return {'claimed', id, token, attempt, h[12] or '1', h[9] or 'default', h[10] or '', h[2] or '', h[6] or '0',
    h[5] or '15000', limit > 0 and limit or 0, h[16] or '0', h[8] or '0', alone, replayed}
end

-- The worker's last claim; a token ends with the nonce of the call that made it.
local worker = C('HMGET', KEYS[4], 'claim_id', 'claim_token', 'alone_token', 'pod_uid')
local last, last_token = worker[1], worker[2]
local last_alone = last_token and worker[3] == last_token
local function last_lives()
  if not last_token then return false end
  local h = fields(last, 'status', 'token')
  return h[1] == 'processing' and h[2] == last_token
end
-- The reply to an earlier call with this nonce was lost: the same claim again. If that has ended meanwhile, none: a call that
-- comes late must not bring a second task to a worker that no longer listens.
if last_token and string.sub(last_token, -#nonce) == nonce then
  if not last_lives() then return {'again'} end
  local h = look(task(last))
  local limit = num(fields(last, 'hard_until')[1], now) - now
  return claimed(last, h, last_token, h[7], limit, last_alone and '1' or '0', '1')
end
-- One look for all that is rare: a pause, drains, due tasks, and lists that go first. Without them most of this script is idle.
local rare = {KEYS[3], KEYS[5], KEYS[6]}
for first = 7, #KEYS, 5 do
  rare[#rare + 1], rare[#rare + 2], rare[#rare + 3] = KEYS[first], KEYS[first + 1], KEYS[first + 4]
end
local calm = C('EXISTS', unpack(rare)) == 0
if not calm then
  if C('EXISTS', KEYS[3]) == 1 then return {'paused'} end
  if C('SISMEMBER', KEYS[5], wid) == 1
    or (worker[4] and worker[4] ~= '' and C('SISMEMBER', KEYS[5], 'pod:' .. worker[4]) == 1) then return {'draining'} end
end
local function nothing() return {'nothing', calm and '-1' or places().next_due(now)} end

if not calm then places().promote(now, PROMOTIONS) end                      -- so a due task does not wait for the reaper
if last_alone and last_lives() then return nothing() end                    -- runs alone
if not calm and held == 0 and last_lives() then held = 1 end                -- it was given one that it does not count

local skips, most = 0, tonumber(ARGV[8]) or 64
local function take(list, alone)       -- the claim of one id of a list, or nil when it is empty or the budget is spent
  while skips < most do
    local id = redis.pcall('RPOPLPUSH', list, KEYS[1])
    if type(id) == 'table' then        -- refused at maxmemory, where nothing would ever drain; not so after a write that never is
      C('PERSIST', KEYS[3])
      id = C('RPOPLPUSH', list, KEYS[1])
    end
    if not id then return nil end
    local k = task(id)
    local h = look(k)
    local status = status_of(h[1], h[2])
    if not h[17] and not string.find(id, '^[%w-]+$') then status = nil end    -- ours were checked before they came in
    local astray = not alone and h[8] and num(h[8], 0) > 0   -- a copy outside the list of those that run alone
    if status == 'pending' and not h[3] and not h[4] and not astray then
      local attempt = h[7] and I(num(h[7], 0) + 1) or '1'
      local seq = h[13] and I(num(h[13], 0) + 1) or '1'
      local token = attempt .. '-' .. nonce
      local audio = tonumber(h[6] or '')
      local limit = audio and math.max(600000, 20 * audio) or 3600000
      C('HSET', k, 'status', 'processing', 'token', token, 'attempt', attempt, 'worker_id', wid, 'started_at', I(now),
        'hard_until', I(now + limit), 'counted', 'inflight', 'seq', seq)
      if ARGV[6] ~= '1' then C('HSET', k, 'worker_slots', ARGV[6]) end
      if h[14] or h[15] then C('HDEL', k, 'progress', 'due') end
      if not h[17] then C('PERSIST', k) end                  -- the seed let waiting hashes expire
      C('ZADD', KEYS[2], I(now + num(h[5], LEASE)), id)
      C('HSET', KEYS[4], 'claim_id', id, 'claim_token', token)
      if alone then
        C('HSET', k, 'alone', '1')
        C('HSET', KEYS[4], 'alone_token', token)
      end
      if not worker[4] then C('PEXPIRE', KEYS[4], WORKER_TTL) end             -- else it has the time to live of its heartbeat
      local queue = h[9] or 'default'
      if h[11] == 'work' then bump('task:work', queue .. '/' .. (h[10] or ''), I(-(audio or 0))) end
      if h[11] ~= 'inflight' then bump('task:inflight', queue, '1') end
      stat('claimed')
      announce('task:claimed', '"' .. id .. '"', seq, '"status":"processing","attempt":' .. attempt .. ',"worker":"' .. wid .. '"')
      return claimed(id, h, token, attempt, limit, alone and '1' or '0', '0')
    end
    C('LREM', KEYS[1], 1, id)          -- the copy just moved; an older one may be a running attempt
    skips = skips + 1
    if status ~= 'pending' then stat(status and 'dup_dropped' or 'ghost_dropped')
    elseif h[3] then places().finish_cancelled(id, now, ARGV[7])
    else places().make_ready(id, 'RPUSH', now) end           -- parked, or astray: to where it belongs
  end
end

-- Tasks that took a worker down run on an empty worker, before everything else. While some wait, one busy worker is
-- told to run empty for them: it holds the ticket, and gets nothing until then.
for first = calm and #KEYS + 1 or 7, #KEYS, 5 do
  local list, ticket = KEYS[first], KEYS[first + 4]
  if held == 0 then
    local claim = take(list, true)
    if C('GET', ticket) == wid then C('DEL', ticket) end
    if claim then return claim end
  elseif C('LLEN', list) > 0 then
    local owner = C('GET', ticket)
    if not owner or owner == wid then
      C('PERSIST', KEYS[3])            -- first write: not refused at maxmemory
      C('SET', ticket, wid, 'PX', LEASE)
      return nothing()
    end
  end
end
for first = 7, #KEYS, 5 do
  for list = first + (calm and 2 or 1), first + 3 do         -- high, normal, low
    local claim = take(KEYS[list], false)
    if claim then return claim end
  end
end
if skips >= most then return {'again'} end
return nothing()
