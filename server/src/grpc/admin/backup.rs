//! A backup, handed out as it is read.

use std::time::Instant;

use social_core::backend::Backup;
use social_core::{Backend, Result};
use social_observability::event;
use social_proto::v1;

use crate::grpc::convert::{count, timestamp};
use crate::grpc::reply::Source;

/// A backup under way. It reads no faster than its client takes the pieces, and holds one of them at the most.
pub(super) struct Pieces {
    backup: Box<dyn Backup>,
    bytes: u64,
    rows: u64,
    began: Instant,
}

impl Pieces {
    /// Begins a backup.
    pub(super) async fn begin(backend: &Backend) -> Result<Self> {
        Ok(Self {
            backup: backend.store.back_up().await?,
            bytes: 0,
            rows: 0,
            began: Instant::now(),
        })
    }
}

impl Source for Pieces {
    type Message = v1::StreamBackupResponse;

    async fn next(&mut self) -> Option<Result<Self::Message>> {
        let piece = match self.backup.next().await.transpose()? {
            Ok(piece) => piece,
            Err(error) => return Some(Err(error)),
        };
        self.bytes += piece.data.len() as u64;
        self.rows += piece.rows;
        if piece.last {
            event::backup_taken(self.rows, self.bytes, self.began.elapsed());
        }
        Some(Ok(v1::StreamBackupResponse {
            data: piece.data,
            bytes_sent: count(self.bytes),
            rows_sent: count(self.rows),
            estimated_rows: count(self.backup.estimated_rows()),
            create_time: Some(timestamp(self.backup.taken_at())),
            last: piece.last,
        }))
    }
}
