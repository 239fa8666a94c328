-- Puts in counts from truth. They are exact where nothing moved since `begin`, and otherwise counted again.
-- KEYS: dirty, hash. ARGV: version, seconds to live, milliseconds until the next count at the soonest, member of dirty, nonce,
-- then field and value thrice. Returns whether exact.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local next = string.format('%.0f', now + ARGV[3])
local exact = redis.call('HGET', KEYS[2], 'version') == ARGV[1]
redis.call('HSETNX', KEYS[2], 'version', ARGV[5])
redis.call('HSET', KEYS[2], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11],
  'exact', exact and 1 or 0, 'next', next, 'due', next)
redis.call('EXPIRE', KEYS[2], ARGV[2])
if exact then
  redis.call('ZREM', KEYS[1], ARGV[4])
else
  redis.call('ZADD', KEYS[1], next, ARGV[4])
end
return exact and 1 or 0
