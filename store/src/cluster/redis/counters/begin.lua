-- What is known of a count, before it is counted from truth. The version tells the installer what changed since.
-- KEYS: hash. ARGV: nonce, seconds that an empty hash lives, the three fields.
if redis.call('HSETNX', KEYS[1], 'version', ARGV[1]) == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'version', ARGV[3], ARGV[4], ARGV[5], 'exact')
