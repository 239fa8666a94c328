//! The names of streams, and who reads them.

use std::ops::Range;

use social_core::EventId;

use super::super::{Redis, spread};

/// The group of all worker processes.
pub(super) const GROUP: &str = "workers";
/// The field of an entry that holds the event's id.
pub(super) const FIELD: &str = "event";
/// Streams, as a power of two.
const BITS: u32 = 4;
/// Streams.
pub(super) const STREAMS: usize = 1 << BITS;
/// Hash tags that the streams are spread over: a blocking read takes streams of one tag.
const TAGS: usize = 4;

/// Names.
pub(super) struct Streams {
    keys: Vec<String>,
    consumer: String,
    clustered: bool,
}

impl Streams {
    pub(super) fn new(redis: &Redis, process: &str) -> Self {
        let key = |stream| {
            let tag = stream / (STREAMS / TAGS);
            redis.key(format_args!("w{tag}"), format_args!("work:{stream}"))
        };
        Self {
            keys: (0..STREAMS).map(key).collect(),
            consumer: process.to_owned(),
            clustered: redis.is_clustered(),
        }
    }

    /// The stream of an event.
    pub(super) fn of(&self, event: EventId) -> usize {
        spread(event.0, BITS)
    }

    /// The key of a stream.
    pub(super) fn key(&self, stream: usize) -> &str {
        &self.keys[stream]
    }

    /// Every stream.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.keys.len()
    }

    /// Which stream a key is.
    pub(super) fn number(&self, key: &str) -> Option<usize> {
        self.keys.iter().position(|known| known == key)
    }

    /// What this process is called within the group.
    pub(super) fn consumer(&self) -> &str {
        &self.consumer
    }

    /// Streams that are read together: all, or those of one hash tag where tags are on different servers.
    pub(super) fn lanes(&self) -> Vec<Range<usize>> {
        let width = if self.clustered { STREAMS / TAGS } else { STREAMS };
        (0..STREAMS / width)
            .map(|lane| lane * width..(lane + 1) * width)
            .collect()
    }

    /// A key of each hash tag.
    pub(super) fn probes(&self) -> Vec<String> {
        self.keys.iter().step_by(STREAMS / TAGS).cloned().collect()
    }
}
