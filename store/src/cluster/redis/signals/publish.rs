//! Sends wakes to other processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use fred::interfaces::LuaInterface;
use fred::types::Value;

use super::super::Redis;
use super::super::link::Link;
use super::message::{Message, Note, SHARDS, Wire, home_shard, shard};
use super::queue::Batches;

const PUBLISH: &str = include_str!("publish.lua");
/// Hash tags that message channels are spread over.
pub(super) const TAGS: usize = 16;
/// Notes of one trip: what waits longer becomes fewer messages.
const BATCH: usize = 64;

/// The names of message channels.
pub(super) fn channels(redis: &Redis) -> Vec<String> {
    let name = |shard| redis.key(format_args!("s{}", shard % TAGS), format_args!("wake:{shard}"));
    (0..SHARDS).map(name).collect()
}

/// Sends wakes.
pub(super) struct Publishing {
    link: Arc<Link>,
    channels: Vec<String>,
    sharded: bool,
    origin: u64,
}

impl Publishing {
    pub(super) fn new(redis: &Redis, link: Arc<Link>, origin: u64) -> Self {
        Self {
            link,
            channels: channels(redis),
            sharded: redis.is_clustered(),
            origin,
        }
    }

    /// Sends for ever. What cannot be sent is dropped: processes look by themselves once Redis is back.
    pub(super) async fn send(self, mut notes: Batches<Note>) {
        loop {
            let batch = notes.next(BATCH).await;
            let count = batch.len();
            if self.link.is_up() {
                self.publish(batch).await;
            }
            notes.done(count);
        }
    }

    async fn publish(&self, notes: Vec<Note>) {
        let command = if self.sharded { "SPUBLISH" } else { "PUBLISH" };
        let mut together: BTreeMap<usize, (Vec<&str>, Vec<Value>)> = BTreeMap::new();
        for (shard, wakes) in by_shard(notes) {
            let Some(message) = Message::encode(self.origin, wakes) else {
                continue;
            };
            let tag = if self.sharded { shard % TAGS } else { 0 };
            let (channels, arguments) = together
                .entry(tag)
                .or_insert_with(|| (Vec::new(), vec![command.into()]));
            channels.push(self.channels[shard].as_str());
            arguments.push(Value::Bytes(message.into()));
        }
        let commands = together.into_values().map(|(channels, arguments)| {
            let client = self.link.client();
            client.eval::<i64, _, _, _>(PUBLISH, channels, arguments)
        });
        let answers = self.link.all(commands).await.unwrap_or_default();
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            tracing::error!(%error, "Redis refuses a wake");
        }
    }
}

/// One message a channel, each with its wakes in order.
fn by_shard(notes: Vec<Note>) -> BTreeMap<usize, Vec<Wire>> {
    let mut shards: BTreeMap<usize, Vec<Wire>> = BTreeMap::new();
    for note in notes {
        match note {
            Note::Wake(channel, kind) => {
                let wakes = shards.entry(shard(channel)).or_default();
                wakes.push(Wire::new(channel, &kind));
            }
            Note::Homes(viewers, post) => {
                let mut homes: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
                for viewer in viewers {
                    homes.entry(home_shard(viewer)).or_default().push(viewer.0);
                }
                for (shard, viewers) in homes {
                    let wakes = shards.entry(shard).or_default();
                    wakes.push(Wire::Homes { post: post.0, viewers });
                }
            }
        }
    }
    shards
}
