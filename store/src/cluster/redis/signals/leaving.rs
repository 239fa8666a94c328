//! Gives work back at the end of a process.
//!
//! Entries that were handed to it would wait until others take them for left behind. So each is added anew, and then ended: another process is handed it
//! at once, and a crash in between only hands it out twice.

use std::collections::HashSet;

use fred::interfaces::StreamsInterface;
use fred::types::Value;
use social_core::EventId;

use super::super::link::{Failure, Link};
use super::STREAM_LENGTH;
use super::reader::Entries;
use super::streams::{FIELD, GROUP, Streams};

/// Entries that are given back at a time.
const SOME: u64 = 256;

/// What giving back needs.
pub(super) struct Leaving<'a> {
    pub(super) link: &'a Link,
    pub(super) streams: &'a Streams,
}

impl Leaving<'_> {
    /// Gives back what Redis holds to be this process's work, and these events; how many there were. Nothing reads work here any more.
    pub(super) async fn give_back(&self, unfinished: &[EventId]) -> Result<usize, Failure> {
        let mut given: HashSet<EventId> = HashSet::new();
        for event in unfinished {
            self.add(*event).await?;
            given.insert(*event);
        }
        for stream in self.streams.all() {
            self.give_back_of(stream, &mut given).await?;
        }
        Ok(given.len())
    }

    async fn give_back_of(&self, stream: usize, given: &mut HashSet<EventId>) -> Result<(), Failure> {
        loop {
            let entries = self.own(stream).await?;
            let ended = entries.events.iter().map(|(_, entry)| entry).chain(&entries.empty);
            let ids: Vec<String> = ended.map(|entry| entry.id.to_string()).collect();
            if ids.is_empty() {
                return Ok(());
            }
            for (event, _) in &entries.events {
                if given.insert(*event) {
                    self.add(*event).await?;
                }
            }
            let (key, client) = (self.streams.key(stream), self.link.client());
            self.link
                .call(client.xack::<i64, _, _, _>(key, GROUP, ids.clone()))
                .await?;
            self.link.call(client.xdel::<i64, _, _>(key, ids)).await?;
        }
    }

    /// Entries of a stream that were handed to this process and not ended.
    async fn own(&self, stream: usize) -> Result<Entries, Failure> {
        let (key, consumer) = (self.streams.key(stream), self.streams.consumer());
        let client = self.link.client();
        let reading = client.xreadgroup(GROUP, consumer, Some(SOME), None, false, key, "0");
        let answer: Vec<(String, Vec<Value>)> = self.link.call(reading).await?;
        let mut entries = Entries::default();
        for entry in answer.into_iter().flat_map(|(_, read)| read) {
            entries.push(stream, entry);
        }
        Ok(entries)
    }

    async fn add(&self, event: EventId) -> Result<(), Failure> {
        let key = self.streams.key(self.streams.of(event));
        let (cap, fields) = (("MAXLEN", "~", STREAM_LENGTH), vec![(FIELD, event.0.to_string())]);
        let client = self.link.client();
        self.link
            .call(client.xadd::<String, _, _, _, _>(key, false, cap, "*", fields))
            .await
            .map(drop)
    }
}
