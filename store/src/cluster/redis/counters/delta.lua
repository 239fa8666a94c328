-- Moves counts of one shard, and has them counted anew. One that is not here will be counted when it is read.
-- KEYS: dirty, hashes. ARGV: milliseconds until a count at the soonest; for each hash its member of dirty, then field and step thrice.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #KEYS do
  local a = 2 + (i - 2) * 7
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('HINCRBY', KEYS[i], 'version', 1)
    local known = redis.call('HMGET', KEYS[i], ARGV[a + 1], 'next')
    if known[1] then
      for field = a + 1, a + 5, 2 do
        if ARGV[field + 1] ~= '0' then
          redis.call('HINCRBY', KEYS[i], ARGV[field], ARGV[field + 1])
        end
      end
      local due = math.max(now + ARGV[1], tonumber(known[2] or 0))
      redis.call('HSET', KEYS[i], 'exact', 0, 'due', string.format('%.0f', due))
      redis.call('ZADD', KEYS[1], 'NX', due, ARGV[a])
    end
  end
end
return #KEYS - 1
