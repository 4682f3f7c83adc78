-- The word of a leader; it stands where one is heard.

-- Whether this caller may still speak for the cluster. '' = a parent or the worker itself: always.
local function epoch_accepted(epoch)
  if epoch == '' then return true end
  local key = P .. 'task:epoch'
  C('PERSIST', key)                    -- first write: not refused at maxmemory
  local known = num(C('GET', key), 0)
  if tonumber(epoch) < known then return false end
  if tonumber(epoch) > known then C('SET', key, epoch) end
  return true
end
