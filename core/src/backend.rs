//! What a backend must be able to do, and what may be relied on: the contracts of every store.
//!
//! [`Store`] is truth: what it acknowledged survives the loss of the process and of power. [`Timelines`],
//! [`Counters`] and [`Signals`] are derived: losing them costs latency, never data.

mod derived;
mod operator;
mod store;

use std::sync::Arc;

pub use derived::{
    Append, Budgets, Channel, Counters, Filled, Listener, Position, Signals, Since, Taken, TimelineSlice, Timelines,
    Wake, WakeKind,
};
pub use operator::{Backup, BackupPiece, OperatorStore};
pub use store::{
    AccountStore, ArchiveStore, CommentStore, EventStore, ExportStart, Exported, GraphStore, Horizon, ImportStore,
    LikeStore, PostStore, RowCount, StorageStats, Store, TableStats,
};

use crate::clock::Clock;
use crate::timeline::ReadAhead;

/// The parts of a backend, opened together.
#[derive(Clone)]
pub struct Backend {
    /// Truth.
    pub store: Arc<dyn Store>,
    /// Home timelines, ready to read.
    pub timelines: Arc<dyn Timelines>,
    /// Counts.
    pub counters: Arc<dyn Counters>,
    /// Hand-out of work, and wake-ups of open streams.
    pub signals: Arc<dyn Signals>,
    /// What is asked for before it is known to be needed, where a question costs a journey.
    pub read_ahead: ReadAhead,
    /// The clock that the backend mints ids by.
    pub clock: Clock,
}
