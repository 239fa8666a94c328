//! Backups: a file of everything that a server stores, piece by piece.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use social_proto::v1;

use crate::Error;
use crate::core::Core;
use crate::live::{self, Feed, Next, Reconnect};

/// A backup that gives nothing for this long is taken for broken: its stream has no heartbeat.
const PATIENCE: Duration = Duration::from_secs(24);

/// The pieces of a backup, in the order of the file. Ends behind the one with `last`; an error is the end too, and what came before it is of
/// no use then: a backup that broke cannot be gone on with, since the server keeps nothing of it.
pub(crate) fn pieces(core: &Arc<Core>) -> BoxStream<'static, Result<v1::StreamBackupResponse, Error>> {
    let pieces = live::run(core, Ok(Pieces), Some(0));
    let mut bytes = 0;
    pieces
        .map(move |piece| {
            let piece = piece?;
            bytes += i64::try_from(piece.data.len()).unwrap_or(i64::MAX);
            if bytes == piece.bytes_sent {
                Ok(piece)
            } else {
                Err(Error::protocol("bytes of the backup are missing"))
            }
        })
        .boxed()
}

struct Pieces;

impl Feed for Pieces {
    type Request = v1::StreamBackupRequest;
    type Event = v1::StreamBackupResponse;

    fn request(&self) -> Self::Request {
        v1::StreamBackupRequest {}
    }

    fn take(&mut self, piece: v1::StreamBackupResponse, events: &mut VecDeque<Self::Event>) -> Next {
        let last = piece.last;
        events.push_back(piece);
        if last { Next::End } else { Next::Within(PATIENCE) }
    }

    fn connected(&mut self, _: bool, _: &mut VecDeque<Self::Event>) {}

    fn reconnecting(&mut self, reconnect: Reconnect, _: &mut VecDeque<Self::Event>) {
        tracing::debug!(?reconnect, "a backup is asked for again");
    }
}
