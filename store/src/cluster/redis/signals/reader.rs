//! Reads work from streams.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::Value;
use fred::types::config::Options;
use social_core::EventId;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::link::{Failure, Link};
use super::held::{Entry, EntryId, Held};
use super::streams::{FIELD, GROUP, Streams};
use crate::signals::Hints;

/// How long a read waits for an entry. A Redis 6 tells of a lost group only at the end of a read.
const BLOCK: Duration = Duration::from_secs(1);
/// How much longer until the server counts as frozen.
const GRACE: Duration = Duration::from_secs(1);
/// Entries of a read, from each stream.
const EACH: u64 = 8;
/// Time between tries.
const AGAIN: Duration = Duration::from_millis(100);

/// Where work goes that was read.
pub(super) struct Handout {
    /// Events that wait for a worker.
    pub(super) hints: Hints,
    /// Entries of events that are not finished.
    pub(super) held: Held,
    /// Hints were lost.
    pub(super) lost: Notify,
}

impl Handout {
    /// Hands out what is new, oldest first, as soon as there is room.
    pub(super) async fn hand(&self, mut read: Vec<(EventId, Entry)>) {
        read.sort_unstable_by_key(|(event, _)| *event);
        for (event, entry) in read {
            if self.held.add(event, entry) {
                self.hints.offer_in_turn(event).await;
            }
        }
    }
}

/// Entries of a read, by what is left of them.
#[derive(Default)]
pub(super) struct Entries {
    /// Those that name an event.
    pub(super) events: Vec<(EventId, Entry)>,
    /// Those that were trimmed: nothing is known of their events.
    pub(super) empty: Vec<Entry>,
}

impl Entries {
    /// Reads `[id, [field, value, ..]]`. An entry that is of no use, as one without its fields, must be ended, since it would be
    /// handed out for ever.
    pub(super) fn push(&mut self, stream: usize, entry: Value) -> Option<()> {
        let (id, fields): (String, Option<Vec<String>>) = entry.convert().ok()?;
        let entry = Entry {
            stream,
            id: EntryId::parse(&id)?,
        };
        match fields.as_deref().and_then(event_of) {
            Some(event) => self.events.push((event, entry)),
            None => self.empty.push(entry),
        }
        Some(())
    }
}

fn event_of(fields: &[String]) -> Option<EventId> {
    let (fields, _) = fields.as_chunks();
    let [_, event] = fields.iter().find(|[field, _]| field == FIELD)?;
    event.parse().ok().map(EventId)
}

/// Reads some streams.
pub(super) struct Reader {
    pub(super) link: Arc<Link>,
    pub(super) streams: Arc<Streams>,
    pub(super) handout: Arc<Handout>,
    /// Which streams.
    pub(super) lane: Range<usize>,
    /// Ends reading.
    pub(super) stopped: CancellationToken,
}

impl Reader {
    /// Reads until it is to end, and then to the end of the read that is under way.
    pub(super) async fn read(self, client: Client) {
        while self.stopped.run_until_cancelled(self.link.wait_up()).await.is_some() {
            if let Err(error) = self.read_on(&client).await {
                tracing::debug!(%error, "reading work begins anew");
                self.stopped.run_until_cancelled(sleep(AGAIN)).await;
            }
        }
    }

    /// Makes what is missing, takes what was sent to this process and got lost on the way, then what is new.
    async fn read_on(&self, client: &Client) -> Result<(), Error> {
        self.make_groups(client).await?;
        self.take_own(client).await?;
        let lane: Vec<_> = self.lane.clone().map(|stream| (stream, ">".to_owned())).collect();
        while !self.stopped.is_cancelled() {
            let entries = self.entries(client, &lane, Some(BLOCK)).await?;
            // Nobody may take them any more; whoever leaves gives them back.
            let taken = self.stopped.run_until_cancelled(self.take(client, entries)).await;
            taken.transpose()?;
        }
        Ok(())
    }

    /// From the beginning of the streams, so that what was offered before any worker ran is handed out.
    async fn make_groups(&self, client: &Client) -> Result<(), Error> {
        let client = client.with_options(&options());
        let mut made = false;
        for stream in self.lane.clone() {
            let key = self.streams.key(stream);
            match client.xgroup_create::<(), _, _, _>(key, GROUP, "0", true).await {
                Ok(()) => made = true,
                Err(error) if error.details().starts_with("BUSYGROUP") => {}
                Err(error) => return Err(error),
            }
        }
        if made {
            self.handout.lost.notify_one();
        }
        Ok(())
    }

    /// What Redis holds to be this process's work already.
    async fn take_own(&self, client: &Client) -> Result<(), Error> {
        let mut lane: Vec<_> = self.lane.clone().map(|stream| (stream, "0".to_owned())).collect();
        while !lane.is_empty() {
            let entries = self.entries(client, &lane, None).await?;
            // On from the last one of each stream; a stream without any has no more.
            let read = entries.events.iter().map(|(_, entry)| entry).chain(&entries.empty);
            let read: Vec<_> = read.copied().collect();
            lane.retain_mut(|(stream, from)| {
                let last = read.iter().rfind(|entry| entry.stream == *stream);
                last.map(|entry| *from = entry.id.to_string()).is_some()
            });
            self.take(client, entries).await?;
        }
        Ok(())
    }

    async fn take(&self, client: &Client, entries: Entries) -> Result<(), Error> {
        for entry in entries.empty {
            self.handout.lost.notify_one();
            let key = self.streams.key(entry.stream);
            let client = client.with_options(&options());
            client.xack::<(), _, _, _>(key, GROUP, entry.id.to_string()).await?;
        }
        self.handout.hand(entries.events).await;
        Ok(())
    }

    async fn entries(
        &self,
        client: &Client,
        lane: &[(usize, String)],
        block: Option<Duration>,
    ) -> Result<Entries, Error> {
        let keys: Vec<_> = lane.iter().map(|(stream, _)| self.streams.key(*stream)).collect();
        let ids: Vec<_> = lane.iter().map(|(_, from)| from.as_str()).collect();
        let block_ms = block.map(|block| block.as_millis() as u64);
        let consumer = self.streams.consumer();
        let options = options();
        let reading = client.with_options(&options);
        let answer = reading
            .xreadgroup(GROUP, consumer, Some(EACH), block_ms, false, keys, ids)
            .await;
        if answer
            .as_ref()
            .is_err_and(|error: &Error| *error.kind() == fred::error::ErrorKind::Timeout)
        {
            // fred takes a connection that blocks for a healthy one.
            let _ = client.force_reconnection().await;
        }
        Ok(self.parse(answer?))
    }

    /// Reads `[[key, [entry, ..]], ..]`, or nothing.
    fn parse(&self, answer: Value) -> Entries {
        let mut entries = Entries::default();
        let streams: Vec<(String, Vec<Value>)> = answer.convert().unwrap_or_default();
        for (key, read) in streams {
            let Some(stream) = self.streams.number(&key) else {
                continue;
            };
            for entry in read {
                entries.push(stream, entry);
            }
        }
        entries
    }
}

/// Not sent again when the connection is lost: what an answer that got lost handed out is found by [`Reader::take_own`].
fn options() -> Options {
    Options {
        max_attempts: Some(1),
        timeout: Some(BLOCK + GRACE),
        ..Options::default()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away => Self::new(fred::error::ErrorKind::Timeout, "Redis is away"),
            Failure::Refused(error) => error,
        }
    }
}
