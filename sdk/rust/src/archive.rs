//! Archives: a whole platform as records, taken from one server and brought into another.

mod file;

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use social_proto::v1;

pub use file::{ArchiveError, ArchiveReader, ArchiveWriter};

use crate::Error;
use crate::bulk::{Packer, Sender};
use crate::core::Core;
use crate::live::{self, Feed, Next, Reconnect};

/// An export that gives nothing for this long is taken for broken: its stream has no heartbeat.
const PATIENCE: Duration = Duration::from_secs(24);
/// Messages in one segment, which is kept in memory until it is durable.
const SEGMENT_MESSAGES: usize = 4;

/// An export of the whole platform that is about to begin, or to go on.
#[derive(Debug)]
#[must_use = "an export begins with `messages`"]
pub struct ExportArchive {
    core: Arc<Core>,
    position: Vec<u8>,
}

impl ExportArchive {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            core: core.clone(),
            position: Vec::new(),
        }
    }

    /// Goes on behind the stretch that this `position` came with, in an earlier run.
    pub fn resume_from(mut self, position: impl Into<Vec<u8>>) -> Self {
        self.position = position.into();
        self
    }

    /// The header, then stretches of records. Store the `position` of a stretch when everything up to it is handled: stretches without one
    /// come only together with the next that has one. Ends behind the message with `last`; an error is the end too, and leaves the export
    /// incomplete. A connection that breaks is made again for as long as a call may take.
    #[must_use = "streams do nothing unless polled"]
    pub fn messages(self) -> BoxStream<'static, Result<v1::StreamArchiveResponse, Error>> {
        let attempts = self.core.transport.policy.max_attempts;
        let feed = ExportFeed {
            position: self.position,
            told: false,
            held: Vec::new(),
            advanced: false,
        };
        live::run(&self.core, Ok(feed), Some(attempts.saturating_sub(1)))
    }
}

struct ExportFeed {
    /// Where to resume.
    position: Vec<u8>,
    /// What the archive is was told.
    told: bool,
    /// Stretches that cannot be resumed behind: where the connection breaks they come again.
    held: Vec<v1::StreamArchiveResponse>,
    /// Over this connection something came that can be resumed behind.
    advanced: bool,
}

impl Feed for ExportFeed {
    type Request = v1::StreamArchiveRequest;
    type Event = v1::StreamArchiveResponse;

    /// Every stretch with a position is a step ahead.
    const SETTLED: Duration = Duration::ZERO;

    const HURRIED: bool = true;

    fn request(&self) -> Self::Request {
        v1::StreamArchiveRequest {
            position: self.position.clone(),
        }
    }

    fn take(&mut self, mut message: v1::StreamArchiveResponse, events: &mut VecDeque<Self::Event>) -> Next {
        if std::mem::replace(&mut self.told, true) {
            // Told again behind each resumption.
            message.header = None;
        }
        let position = message.stretch.as_ref().map(|stretch| stretch.position.clone());
        let last = message.last;
        if message.header.is_some() || message.stretch.is_some() {
            self.held.push(message);
        }
        if let Some(position) = position.filter(|position| !position.is_empty()) {
            self.position = position;
            self.advanced = true;
            events.extend(self.held.drain(..));
        }
        if last { Next::End } else { Next::Within(PATIENCE) }
    }

    fn connected(&mut self, _: bool, _: &mut VecDeque<Self::Event>) {}

    /// The header alone, which opens every connection, is no step ahead.
    fn has_advanced(&self) -> bool {
        self.advanced
    }

    fn reconnecting(&mut self, reconnect: Reconnect, _: &mut VecDeque<Self::Event>) {
        self.held.clear();
        self.advanced = false;
        // Before anything could be resumed behind, another archive begins.
        self.told = !self.position.is_empty() && self.told;
        tracing::debug!(?reconnect, "an export resumes");
    }
}

/// An import of an archive that is about to run, or to go on.
#[must_use = "an import begins with `run`"]
pub struct ImportArchive {
    header: v1::ArchiveHeader,
    sender: Sender<v1::ArchiveImport>,
}

impl ImportArchive {
    pub(crate) fn new(core: &Arc<Core>, header: v1::ArchiveHeader) -> Self {
        Self {
            header,
            sender: Sender::new(core),
        }
    }

    /// Is told how far the import has come, about every 4,000 records.
    pub fn on_progress(mut self, told: impl FnMut(&v1::ArchiveImport) + Send + 'static) -> Self {
        self.sender.on_progress = Some(Box::new(told));
        self
    }

    /// Bounds each segment of about 4,000 records, its retries included. Default 2 minutes.
    pub fn segment_timeout(mut self, timeout: Duration) -> Self {
        self.sender.timeout = timeout;
        self
    }

    /// Where the import stands: None when it has not begun. `next_offset` is how many records are durable.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn progress(&self) -> impl Future<Output = Result<Option<v1::ArchiveImport>, Error>> + Send + use<> {
        let request = v1::GetArchiveImportRequest {
            import_id: self.header.archive_id.clone(),
        };
        self.sender.progress(request, |answer| answer.progress)
    }

    /// Brings the records in. They must be all records of the archive, from the first, in its order: those that are durable already are skipped.
    /// Gives where the import stands in the end.
    ///
    /// # Errors
    /// When a record cannot be had, the server refuses the archive, or cannot be reached for longer than a segment may take. What was durable
    /// stays, and the import is not complete; run it again to go on.
    pub async fn run<E: From<Error>>(
        mut self,
        records: impl Stream<Item = Result<v1::ArchiveRecord, E>> + Send,
    ) -> Result<v1::ArchiveImport, E> {
        let begun = self.progress().await?.unwrap_or_default();
        let mut records = pin!(records);
        for _ in 0..begun.next_offset {
            let record = records.next().await.transpose()?;
            record.ok_or_else(|| Error::protocol("the archive has fewer records than were brought in"))?;
        }
        let mut packer = packer(self.header.clone(), begun.next_offset);
        while let Some(record) = records.next().await {
            packer.push(record?);
            // One message more than a segment has: the last one of all is marked.
            if packer.messages.len() > SEGMENT_MESSAGES {
                let rest = packer.messages.split_off(SEGMENT_MESSAGES);
                self.send(std::mem::replace(&mut packer.messages, rest)).await?;
            }
        }
        // Also where it was complete before: the server then finishes what it may have been kept from.
        Ok(self.send(ending(packer)).await?)
    }

    async fn send(&mut self, segment: Vec<v1::ImportArchiveRequest>) -> Result<v1::ArchiveImport, Error> {
        self.sender.send(segment, |answer| answer.progress).await
    }
}

impl fmt::Debug for ImportArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportArchive")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Packs the records from `offset` on.
fn packer(header: v1::ArchiveHeader, offset: i64) -> Packer<v1::ArchiveRecord, v1::ImportArchiveRequest> {
    Packer::new(offset, move |offset, records| v1::ImportArchiveRequest {
        import_id: header.archive_id.clone(),
        offset,
        records,
        header: Some(header.clone()),
        last: false,
    })
}

/// The messages that are left; the last one says so, and holds no record where none is left.
fn ending(mut packer: Packer<v1::ArchiveRecord, v1::ImportArchiveRequest>) -> Vec<v1::ImportArchiveRequest> {
    if packer.is_empty() {
        packer.seal();
    }
    let mut messages = packer.finish();
    if let Some(message) = messages.last_mut() {
        message.last = true;
    }
    messages
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::bulk::MESSAGE_ITEMS;

    fn like(content: &str) -> v1::ArchiveRecord {
        let record = v1::archive_record::Record::Post(v1::ArchivePost {
            content: content.to_owned(),
            ..Default::default()
        });
        v1::ArchiveRecord { record: Some(record) }
    }

    #[test]
    fn messages_are_bounded_and_the_last_one_says_so() {
        let mut packer = packer(v1::ArchiveHeader::default(), 7);
        for number in 0..2_500_u32 {
            packer.push(like(&"x".repeat(if number < 1_500 { 1 } else { 40_000 })));
        }
        let messages = ending(packer);
        let mut offset = 7;
        for (number, message) in messages.iter().enumerate() {
            assert_eq!(message.offset, offset);
            assert!(message.records.len() <= MESSAGE_ITEMS && message.encoded_len() <= 1 << 20);
            assert_eq!(message.last, number + 1 == messages.len());
            offset += i64::try_from(message.records.len()).expect("fits");
        }
        assert_eq!(offset, 2_507);
    }

    #[test]
    fn an_archive_that_is_in_already_still_gets_its_end() {
        let messages = ending(packer(v1::ArchiveHeader::default(), 70));
        assert_eq!((messages.len(), messages[0].offset, messages[0].last), (1, 70, true));
    }

    fn stretch(offset: i64, position: &[u8]) -> v1::StreamArchiveResponse {
        v1::StreamArchiveResponse {
            stretch: Some(v1::ArchiveStretch {
                offset,
                position: position.to_vec(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn header(id: &str) -> v1::StreamArchiveResponse {
        let header = v1::ArchiveHeader {
            archive_id: id.to_owned(),
            ..Default::default()
        };
        v1::StreamArchiveResponse {
            header: Some(header),
            ..Default::default()
        }
    }

    #[test]
    fn what_cannot_be_resumed_behind_is_held_back_and_comes_once() {
        let mut feed = ExportFeed {
            position: Vec::new(),
            told: false,
            held: Vec::new(),
            advanced: false,
        };
        let mut events = VecDeque::new();
        feed.take(header("a"), &mut events);
        feed.take(stretch(0, &[]), &mut events);
        assert!(events.is_empty());
        feed.take(stretch(1, &[9]), &mut events);
        assert_eq!(events.len(), 3);
        feed.take(stretch(2, &[]), &mut events);
        let reconnect = Reconnect {
            attempt: 1,
            delay: Duration::ZERO,
            cause: Error::stream_ended(),
        };
        assert!(feed.has_advanced());
        feed.reconnecting(reconnect, &mut events);
        assert_eq!(feed.request().position, [9]);
        feed.take(header("a"), &mut events);
        feed.take(stretch(2, &[]), &mut events);
        assert!(!feed.has_advanced(), "nothing that can be resumed behind");
        feed.take(stretch(3, &[10]), &mut events);
        let offsets: Vec<_> = events
            .iter()
            .filter_map(|event| event.stretch.as_ref())
            .map(|s| s.offset)
            .collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
        assert_eq!(events.iter().filter(|event| event.header.is_some()).count(), 1);
    }
}
