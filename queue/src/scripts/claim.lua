-- pending -> processing for one worker: RPOPLPUSH, lease and token in one step.
-- KEYS  1 task:processing  2 task:processing:time  3 task:paused  4 worker:{wid}  5 task:drain
--       6.. of each queue asked for, in order: alone, high, normal, low, ticket (task:alone:next)
-- ARGV  3 worker id  4 nonce  5 tasks held  6 slots  7 ttl of final hashes  8 most dead entries to skip  9.. queue names
-- Returns {'claimed', id, token, attempt, life, queue, model, payload, audio_ms, lease_ms, ms to the running limit, retries,
--          crashes, alone 0|1, replayed 0|1} | {'nothing', ms to the next due task or -1} | {'paused'} | {'draining'}
--         | {'again'} only dead entries were met: ask again at once
local WORKER_TTL, PROMOTIONS = 30000, 20
local now, wid, nonce, held = clock(), ARGV[3], ARGV[4], num(ARGV[5], 0)
local queues = #ARGV - 8

local function live(id, token)
  if not id or not token then return false end
  local h = fields(id, 'status', 'token')
  return h[1] == 'processing' and h[2] == token
end
local function claimed(id, h, token, attempt, limit, crashes, alone, replayed)
  return {'claimed', id, token, attempt, h[12] or '1', h[9] or 'default', h[10] or '', h[2] or '', h[6] or '0',
    h[5] or I(LEASE), I(math.max(0, limit)), h[17] or '0', crashes or '0', alone, replayed}
end
local function look(id)
  return fields(id, 'status', 'payload', 'cancel', 'parked', 'lease_ms', 'audio_ms', 'attempt', 'crashes', 'queue', 'model',
    'counted', 'life', 'seq', 'progress', 'due', 'alone', 'retries', 'token', 'hard_until')
end

local worker = C('HMGET', KEYS[4], 'claim_nonce', 'claim_id', 'claim_token', 'pod_uid', 'alone_id', 'alone_token')
-- The reply to an earlier call with this nonce was lost: the same claim again.
if worker[1] == nonce and live(worker[2], worker[3]) then
  local h = look(worker[2])
  return claimed(worker[2], h, h[18], h[7], num(h[19], now) - now, h[8], h[16] or '0', '1')
end
-- One look for all that is rare: a pause, drains, due tasks, and lists that go first. Without them most of this script is idle.
local rare = {KEYS[3], KEYS[5], DELAYED}
for q = 0, queues - 1 do
  local first = 6 + q * 5
  rare[#rare + 1], rare[#rare + 2], rare[#rare + 3] = KEYS[first], KEYS[first + 1], KEYS[first + 4]
end
local calm = C('EXISTS', unpack(rare)) == 0
local function nothing() return {'nothing', calm and '-1' or places().next_due(now)} end
if not calm then
  if C('EXISTS', KEYS[3]) == 1 then return {'paused'} end
  if C('SISMEMBER', KEYS[5], wid) == 1
    or (worker[4] and worker[4] ~= '' and C('SISMEMBER', KEYS[5], 'pod:' .. worker[4]) == 1) then return {'draining'} end
end

C('PERSIST', KEYS[3])                  -- first write, of a key that is not there: not refused at maxmemory, or nothing would ever drain
if not calm then places().promote(now, PROMOTIONS) end                      -- so a due task does not wait for the reaper
if live(worker[5], worker[6]) then return nothing() end                     -- runs alone
if not calm and held == 0 and live(worker[2], worker[3]) then held = 1 end  -- it was given one that it does not count

local skips, most = 0, num(ARGV[8], 64)
local function take(list, alone)       -- the claim of one id of a list, or nil when it is empty or the budget is spent
  while skips < most do
    local id = C('RPOPLPUSH', list, KEYS[1])
    if not id then return nil end
    local h = look(id)
    local status = status_of(h[1], h[2])
    if not string.find(id, '^[%w-]+$') then status = nil end
    local astray = not alone and num(h[8], 0) > 0            -- a copy outside the list of those that run alone
    if status == 'pending' and not h[3] and not h[4] and not astray then
      local attempt, at, seq = I(num(h[7], 0) + 1), I(now), num(h[13], 0) + 1
      local token = attempt .. '-' .. nonce
      local audio = tonumber(h[6] or '')
      local limit = audio and math.max(600000, 20 * audio) or 3600000
      C('HSET', task(id), 'status', 'processing', 'token', token, 'attempt', attempt, 'worker_id', wid, 'worker_slots',
        ARGV[6], 'started_at', at, 'updated_at', at, 'hard_until', I(now + limit), 'alone', alone and '1' or '0',
        'counted', 'inflight', 'seq', I(seq))
      if h[14] or h[15] then C('HDEL', task(id), 'progress', 'due') end
      if not h[12] then C('PERSIST', task(id)) end           -- the seed let waiting hashes expire
      C('ZADD', KEYS[2], I(now + num(h[5], LEASE)), id)
      if alone then
        C('HSET', KEYS[4], 'claim_nonce', nonce, 'claim_id', id, 'claim_token', token, 'alone_id', id, 'alone_token', token)
      else
        C('HSET', KEYS[4], 'claim_nonce', nonce, 'claim_id', id, 'claim_token', token)
      end
      if not worker[4] then C('PEXPIRE', KEYS[4], WORKER_TTL) end             -- else it has the time to live of its heartbeat
      local queue = h[9] or 'default'
      if h[11] == 'work' then bump('task:work', queue .. '/' .. (h[10] or ''), -(audio or 0)) end
      if h[11] ~= 'inflight' then bump('task:inflight', queue, 1) end
      stat('claimed')
      announce('task:claimed', id, seq, '"status":"processing","attempt":' .. attempt .. ',"worker":"' .. wid .. '"')
      return claimed(id, h, token, attempt, limit, h[8], alone and '1' or '0', '0')
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
for q = 0, calm and -1 or queues - 1 do
  local list, ticket = KEYS[6 + q * 5], KEYS[10 + q * 5]
  if held == 0 then
    local claim = take(list, true)
    if C('GET', ticket) == wid then C('DEL', ticket) end
    if claim then return claim end
  elseif C('LLEN', list) > 0 then
    local owner = C('GET', ticket)
    if not owner or owner == wid then
      C('SET', ticket, wid, 'PX', LEASE)
      return nothing()
    end
  end
end
for q = 0, queues - 1 do
  for kind = 1, 3 do
    local claim = not (calm and kind == 1) and take(KEYS[6 + q * 5 + kind], false)
    if claim then return claim end
  end
end
if skips >= most then return {'again'} end
return nothing()
