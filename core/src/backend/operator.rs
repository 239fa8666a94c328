//! What operators ask of a store as a whole.

use async_trait::async_trait;

use crate::admin::{Cluster, OutboxCounts, PendingEvent};
use crate::clock::Time;
use crate::error::Result;
use crate::id::EventId;

/// The store as its operators see it. Nothing here changes anything.
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// The processes that share the store, ascending by node number, and which of them takes up which part of the event log. Live ones, and those
    /// that vanished without giving their node number back, for [`limits::PROCESS_SHOWN`](crate::limits::PROCESS_SHOWN). A store of one
    /// process answers that one, which holds everything.
    async fn cluster(&self) -> Result<Cluster>;

    /// How many events have not ended. More pending events than [`limits::OUTBOX_COUNTED`](crate::limits::OUTBOX_COUNTED) need not be looked at one by
    /// one: the counts then say that they are lower bounds.
    async fn outbox_counts(&self) -> Result<OutboxCounts>;

    /// Pending events behind `after`, ascending. An event of a newer format is left out.
    async fn outbox_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<PendingEvent>>;

    /// Begins a copy of all rows as they are at one instant: everything that was acknowledged before the call is in it, and of a mutation under
    /// way either all or nothing. Writers go on meanwhile; rows of then stay on the disk until the copy is dropped.
    ///
    /// BACKUP_UNSUPPORTED where the rows are not this process's alone, or are nowhere but in its memory. OVERLOADED while
    /// [`limits::BACKUPS`](crate::limits::BACKUPS) are under way.
    async fn back_up(&self) -> Result<Box<dyn Backup>>;
}

/// A copy of a store under way: a file, piece by piece. It ends when it is dropped.
#[async_trait]
pub trait Backup: Send {
    /// The instant: what was acknowledged before is in it.
    fn taken_at(&self) -> Time;

    /// About how many rows it will hold, to show progress by.
    fn estimated_rows(&self) -> u64;

    /// The next piece; `None` behind the last. An error is the end, too: what was read then is of no use.
    async fn next(&mut self) -> Result<Option<BackupPiece>>;
}

/// A piece of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPiece {
    /// The next bytes of the file, about [`limits::BACKUP_PIECE_BYTES`](crate::limits::BACKUP_PIECE_BYTES) of them.
    pub data: Vec<u8>,
    /// Rows that end in it.
    pub rows: u64,
    /// Whether the file is whole with it.
    pub last: bool,
}
