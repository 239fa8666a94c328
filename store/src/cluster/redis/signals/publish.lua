-- Publishes to many channels in one trip.
-- KEYS: channels. ARGV: the command, a message for each.
for i = 1, #KEYS do
  redis.call(ARGV[1], KEYS[i], ARGV[i + 1])
end
return #KEYS
