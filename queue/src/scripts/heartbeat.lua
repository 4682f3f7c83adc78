-- A worker lives: renews the leases that it still owns and learns what it should stop.
-- KEYS  1 worker:{wid}  2 worker:index  3 task:processing:time  4 task:drain
-- ARGV  3 worker id  4 ttl ms  5 state  6 pod  7 pod uid  8 pool  9 models  10 slots  11.. id, token pairs
-- Returns {draining 0|1, code...} 1 kept, 2 kept but cancel was asked, 3 running limit passed, 0 lost
local now, wid = clock(), ARGV[3]
C('PEXPIRE', KEYS[1], ARGV[4])         -- first write: a full Redis must not cost every lease of the fleet
C('HSET', KEYS[1], 'heartbeat', I(now), 'state', ARGV[5], 'pod', ARGV[6], 'pod_uid', ARGV[7], 'pool', ARGV[8],
  'models', ARGV[9], 'slots', ARGV[10], 'inflight', I((#ARGV - 10) / 2))
C('PEXPIRE', KEYS[1], ARGV[4])
C('ZADD', KEYS[2], I(now), wid)
local drain = C('SISMEMBER', KEYS[4], wid)
if drain == 0 and ARGV[7] ~= '' then drain = C('SISMEMBER', KEYS[4], 'pod:' .. ARGV[7]) end
local out = {drain}
for i = 11, #ARGV, 2 do
  local id = ARGV[i]
  local h = fields(id, 'status', 'token', 'lease_ms', 'hard_until', 'cancel')
  if h[1] ~= 'processing' or h[2] ~= ARGV[i + 1] then out[#out + 1] = 0
  elseif now >= num(h[4], now + 1) then out[#out + 1] = 3  -- not renewed: what is left of the lease is the time to FAIL it
  else
    C('ZADD', KEYS[3], I(now + num(h[3], LEASE)), id)
    out[#out + 1] = h[5] and 2 or 1
  end
end
return out
