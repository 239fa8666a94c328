-- Takes counts that are due to be counted anew, oldest first. Whoever takes one and dies leaves it to others after the lease.
-- KEYS: dirty. ARGV: how many at most, milliseconds of the lease.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], member)
end
return due
