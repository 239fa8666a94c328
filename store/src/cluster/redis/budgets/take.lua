-- Takes calls from buckets, and tells for each after how many microseconds it is full again.
-- KEYS: buckets. ARGV: what is taken from each, in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local full = math.max(now, tonumber(redis.call('GET', key) or now)) + ARGV[i]
  redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
  answers[i] = full - now
end
return answers
