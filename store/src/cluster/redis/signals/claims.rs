//! Keeps what this process works on, and takes over what others left behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::interfaces::StreamsInterface;
use fred::types::Value;
use rand::random_range;
use tokio::time::sleep;

use super::super::link::{Failure, Link};
use super::held::by_stream;
use super::reader::{Entries, Handout};
use super::streams::{GROUP, STREAMS, Streams};

/// Entries taken over at a look, from each stream.
const EACH: usize = 16;
/// Entries renewed by one command.
const RENEWED: usize = 256;
/// Time between looks for processes that will not come back.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// A process that read nothing for so long, and holds nothing, will not come back.
const GONE: Duration = Duration::from_secs(3_600);

/// How soon work is taken over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time between looks.
    pub(super) every: Duration,
    /// An entry that nobody renewed for so long is left behind.
    pub(super) left: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            left: Duration::from_secs(15),
        }
    }
}

/// What a look needs.
pub(super) struct Claims {
    pub(super) link: Arc<Link>,
    pub(super) streams: Arc<Streams>,
    pub(super) handout: Arc<Handout>,
    pub(super) pace: Pace,
}

impl Claims {
    /// Looks for ever.
    pub(super) async fn run(self) {
        let mut cursors = vec!["0-0".to_owned(); STREAMS];
        let mut tidied = Instant::now();
        loop {
            // Processes that started together look one after another.
            sleep(self.pace.every.mul_f64(random_range(0.8..1.2))).await;
            // A failure is one of the link, or of a stream that the reader makes anew.
            let _ = self.renew().await;
            for stream in self.streams.all() {
                let _ = self.take_over(stream, &mut cursors[stream]).await;
            }
            if tidied.elapsed() > TIDY_EVERY {
                tidied = Instant::now();
                let _ = self.tidy().await;
            }
        }
    }

    /// Says of what a worker took that it is still worked on.
    async fn renew(&self) -> Result<(), Failure> {
        for (stream, ids) in by_stream(&self.handout.held.taken()) {
            for ids in ids.chunks(RENEWED) {
                let (key, consumer) = (self.streams.key(stream), self.streams.consumer());
                let client = self.link.client();
                // Only the id, which does not count as one more delivery.
                let renewing = client.xclaim::<Value, _, _, _, _>(
                    key,
                    GROUP,
                    consumer,
                    0,
                    ids.to_vec(),
                    None,
                    None,
                    None,
                    false,
                    true,
                );
                self.link.call(renewing).await?;
            }
        }
        Ok(())
    }

    /// Takes entries that were left behind, where workers of this process have nothing else to do.
    async fn take_over(&self, stream: usize, cursor: &mut String) -> Result<(), Failure> {
        if !self.handout.hints.is_empty() {
            return Ok(());
        }
        let (key, consumer) = (self.streams.key(stream), self.streams.consumer());
        let left_ms = self.pace.left.as_millis() as u64;
        let client = self.link.client();
        let claiming = client.xautoclaim(key, GROUP, consumer, left_ms, cursor.as_str(), Some(EACH as u64), false);
        let answer: Vec<Value> = self.link.call(claiming).await?;
        let mut answer = answer.into_iter();
        *cursor = answer
            .next()
            .and_then(|next| next.into_string())
            .unwrap_or_else(|| "0-0".to_owned());
        let claimed = answer.next().map(Value::into_array).unwrap_or_default();
        // Redis 7 names those that were trimmed and forgets them; Redis 6 leaves a gap for each.
        let trimmed = answer.next().map(Value::into_array).unwrap_or_default();
        let gaps = claimed.iter().filter(|entry| entry.is_null()).count();
        let mut entries = Entries::default();
        for entry in claimed {
            entries.push(stream, entry);
        }
        if gaps + trimmed.len() + entries.empty.len() > 0 {
            self.handout.lost.notify_one();
        }
        self.handout.hand(entries.events).await;
        if gaps > 0 {
            self.end_trimmed(stream).await?;
        }
        Ok(())
    }

    /// Ends those of this process's entries that were trimmed: a Redis 6 would hand them out for ever.
    async fn end_trimmed(&self, stream: usize) -> Result<(), Failure> {
        let (key, consumer) = (self.streams.key(stream), self.streams.consumer());
        let client = self.link.client();
        let reading = client.xreadgroup(GROUP, consumer, Some(RENEWED as u64), None, false, key, "0");
        let answer: Vec<(String, Vec<Value>)> = self.link.call(reading).await?;
        let mut entries = Entries::default();
        for entry in answer.into_iter().flat_map(|(_, read)| read) {
            entries.push(stream, entry);
        }
        let ids: Vec<_> = entries.empty.iter().map(|entry| entry.id.to_string()).collect();
        if !ids.is_empty() {
            self.link.call(client.xack::<i64, _, _, _>(key, GROUP, ids)).await?;
        }
        Ok(())
    }

    /// Forgets processes that will not come back: each start may bring a new name.
    async fn tidy(&self) -> Result<(), Failure> {
        for stream in self.streams.all() {
            let (key, client) = (self.streams.key(stream), self.link.client());
            let known = self.link.call(client.xinfo_consumers(key, GROUP)).await?;
            let known: Vec<HashMap<String, Value>> = known;
            for consumer in known {
                let number = |field| consumer.get(field).and_then(Value::as_u64).unwrap_or_default();
                let is_gone = number("pending") == 0 && Duration::from_millis(number("idle")) > GONE;
                let name = consumer.get("name").and_then(Value::as_string);
                if let (true, Some(name)) = (is_gone, name) {
                    let forgetting = client.xgroup_delconsumer::<i64, _, _, _>(key, GROUP, name);
                    self.link.call(forgetting).await?;
                }
            }
        }
        Ok(())
    }
}
