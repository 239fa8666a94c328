//! Archives: a platform sent as records, and brought in from them.

use std::collections::VecDeque;

use prost::Message as _;
use social_core::archive::{self, Batch, Export, ExportPage, Header, Progress, Restored};
use social_core::{Backend, Error, Result, limits};
use social_observability::event;
use social_proto::v1;
use tonic::{Status, Streaming};

use super::upload::{self, Upload};
use crate::grpc::Drain;
use crate::grpc::convert::{self, Fields};
use crate::grpc::reply::Source;

/// An export as messages. It holds the messages of one page at the most.
pub(super) struct Outgoing {
    export: Export,
    ready: VecDeque<v1::StreamArchiveResponse>,
}

impl Outgoing {
    /// Begins an export, or goes on where `position` says.
    pub(super) async fn open(backend: Backend, position: &[u8]) -> Result<Self> {
        let export = if position.is_empty() {
            Export::begin(backend).await?
        } else {
            Export::resume(backend, position)?
        };
        let header = convert::archive::header(export.header());
        event::archive_export_begun(!position.is_empty());
        let first = v1::StreamArchiveResponse {
            header: Some(header),
            last: export.is_over(),
            ..Default::default()
        };
        Ok(Self {
            export,
            ready: VecDeque::from([first]),
        })
    }
}

impl Source for Outgoing {
    type Message = v1::StreamArchiveResponse;

    async fn next(&mut self) -> Option<Result<Self::Message>> {
        while self.ready.is_empty() {
            match self.export.next().await {
                Ok(Some(page)) => self.ready.extend(messages(page)),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// A page as messages of bounded size. What comes before the last of them cannot be resumed behind.
fn messages(page: ExportPage) -> Vec<v1::StreamArchiveResponse> {
    let mut stretches = vec![v1::ArchiveStretch {
        offset: convert::count(page.offset),
        ..Default::default()
    }];
    let mut bytes = 0;
    for (record, offset) in page.records.into_iter().zip(page.offset..) {
        let record = convert::archive::record(record);
        bytes += record.encoded_len();
        if bytes > limits::ARCHIVE_MESSAGE_BYTES && stretches.last().is_some_and(|last| !last.records.is_empty()) {
            bytes = record.encoded_len();
            stretches.push(v1::ArchiveStretch {
                offset: convert::count(offset),
                ..Default::default()
            });
        }
        if let Some(stretch) = stretches.last_mut() {
            stretch.records.push(record);
        }
    }
    if let Some(stretch) = stretches.last_mut() {
        stretch.position = page.position;
    }
    let mut messages: Vec<_> = stretches
        .into_iter()
        .map(|stretch| v1::StreamArchiveResponse {
            stretch: Some(stretch),
            ..Default::default()
        })
        .collect();
    if let Some(message) = messages.last_mut() {
        message.last = page.last;
    }
    messages
}

/// Runs a stream of messages to its end: how far the archive is stored, and how many records of this stream were before.
pub(super) async fn import(
    backend: &Backend,
    drain: &Drain,
    messages: Streaming<v1::ImportArchiveRequest>,
) -> Result<v1::ImportArchiveResponse, Status> {
    let run = Run {
        backend: backend.clone(),
        stored: None,
        skipped: 0,
    };
    upload::run(run, drain, messages).await
}

/// One stream of an import.
struct Run {
    backend: Backend,
    stored: Option<Progress>,
    skipped: u64,
}

impl Upload<v1::ImportArchiveRequest> for Run {
    type Answer = v1::ImportArchiveResponse;

    async fn take(&mut self, message: v1::ImportArchiveRequest) -> Result<()> {
        let batch = read(message)?;
        let records = batch.records.len() as u64;
        let Restored { progress, skipped } = archive::restore(&self.backend, batch).await?;
        event::archive_stored(records - skipped, progress.next_offset, progress.complete);
        self.stored = Some(progress);
        self.skipped += skipped;
        Ok(())
    }

    async fn finish(self) -> Result<Self::Answer> {
        let progress = self
            .stored
            .ok_or_else(|| Error::field("import_id", "is required: the stream held no message"))?;
        archive::finish(&self.backend).await?;
        Ok(v1::ImportArchiveResponse {
            progress: Some(convert::archive::progress(&progress)),
            skipped: convert::count(self.skipped),
        })
    }
}

fn read(message: v1::ImportArchiveRequest) -> Result<Batch> {
    let mut fields = Fields::new();
    let import = fields.uuid("import_id", &message.import_id, "the archive_id of the header");
    let offset = fields.natural("offset", message.offset);
    let header: Header = convert::archive::read_header(&mut fields, message.header);
    // Counted first, so that no more is read than a message may hold.
    if message.records.len() > limits::IMPORT_BATCH {
        let hint = format!("must hold at most {} records a message", limits::IMPORT_BATCH);
        return Err(Error::field("records", hint));
    }
    let records = convert::archive::read_records(&mut fields, message.records);
    fields.check()?;
    if header.archive != import {
        return Err(Error::field("import_id", "must be the archive_id of the header"));
    }
    Ok(Batch {
        header,
        offset,
        records,
        last: message.last,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use social_core::archive::Record;
    use social_core::posts::{PostDraft, Visibility};
    use social_core::{PostId, Time, UserId};

    use super::*;

    fn post(id: u64, bytes: usize) -> Record {
        let draft = PostDraft {
            author: UserId(1),
            title: None,
            content: "x".repeat(bytes),
            visibility: Visibility::Public,
            in_reply_to: None,
            facets: Vec::new(),
        };
        Record::Post(Arc::new(draft.into_post(PostId(id), Time::from_unix_ms(1))))
    }

    fn page(records: Vec<Record>) -> ExportPage {
        ExportPage {
            offset: 70,
            records,
            position: vec![7],
            last: true,
        }
    }

    #[test]
    fn a_page_becomes_messages_of_bounded_size_with_its_position_in_the_last() {
        let messages = messages(page((0..100).map(|id| post(id, 40_000)).collect()));
        assert!(messages.len() > 4);
        let mut offset = 70;
        for (number, message) in messages.iter().enumerate() {
            let stretch = message.stretch.as_ref().unwrap();
            assert!(message.encoded_len() <= limits::MESSAGE_BYTES);
            assert_eq!(stretch.offset, offset);
            offset += stretch.records.len() as i64;
            let is_last = number + 1 == messages.len();
            assert_eq!((message.last, stretch.position.is_empty()), (is_last, !is_last));
        }
        assert_eq!(offset, 170);
    }

    #[test]
    fn an_empty_page_is_a_message_too() {
        let messages = messages(page(Vec::new()));
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].stretch.as_ref().unwrap().position, [7]);
    }
}
