//! The state of each viewer's timeline, and the epoch that all of them belong to. Both are changed by compare-and-set only.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use social_core::Result;

use super::entries::{Range, stored};
use crate::cluster::db::{Db, statements};

/// How long a timeline lives at most. Entries live longer (the two times stand in the schema), and no change of a state prolongs its life, so
/// that no state ever claims to cover entries that have expired.
const LIFE: Duration = Duration::from_secs(1_209_600);
/// After this long a filler that has not ended is taken to have been cut off.
const FILL_WITHIN: Duration = Duration::from_secs(10);
/// The epoch of forgotten timelines, below all others.
const FORGOTTEN: i64 = -1;
/// Viewers whose states are asked for in one statement.
const STATES_A_READ: usize = 100;
/// Such statements under way at once.
const READS_AT_ONCE: usize = 4;
/// How old the known epoch may be.
const EPOCH_KNOWN_FOR: Duration = Duration::from_secs(1);

statements!(Statements {
    get: Read "SELECT generation, ready, covers_from, dropped, begun_at, epoch FROM timeline_states WHERE viewer = ?",
    get_serial: Serial "SELECT generation, ready, covers_from, dropped, begun_at, epoch FROM timeline_states WHERE viewer = ?",
    get_many: Read "SELECT viewer, generation, ready, covers_from, dropped, begun_at, epoch FROM timeline_states WHERE viewer IN ?",
    all: Read "SELECT viewer, generation, ready, covers_from, dropped, begun_at, epoch FROM timeline_states",
    insert: Conditional "INSERT INTO timeline_states (viewer, generation, ready, covers_from, dropped, begun_at, epoch) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?",
    replace: Conditional "UPDATE timeline_states USING TTL ? SET generation = ?, ready = ?, covers_from = ?, dropped = ?, begun_at = ?, epoch = ? WHERE viewer = ? IF generation = ? AND ready = ? AND covers_from = ?",
    forget: Conditional "UPDATE timeline_states USING TTL ? SET generation = ?, ready = false, covers_from = 0, dropped = 0, begun_at = ?, epoch = ? WHERE viewer = ? IF generation = ?",
    epoch: Read "SELECT epoch FROM timeline_epoch WHERE part = 0",
    epoch_serial: Serial "SELECT epoch FROM timeline_epoch WHERE part = 0",
    first_epoch: Conditional "INSERT INTO timeline_epoch (part, epoch) VALUES (0, ?) IF NOT EXISTS",
    next_epoch: Conditional "UPDATE timeline_epoch SET epoch = ? WHERE part = 0 IF epoch = ?",
});

/// The state of one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) generation: u64,
    pub(super) ready: bool,
    pub(super) range: Range,
    /// When it was begun, by the system's clock, which lives are counted by.
    begun_at: i64,
    epoch: i64,
}

/// The columns of a state. Any of them may have expired a moment before the others.
type Row = (
    Option<i64>,
    Option<bool>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

impl State {
    fn from_row((generation, ready, covers_from, dropped, begun_at, epoch): Row) -> Option<Self> {
        Some(Self {
            generation: generation? as u64,
            ready: ready?,
            range: Range {
                covers_from: covers_from? as u64,
                dropped: dropped? as u64,
            },
            begun_at: begun_at?,
            epoch: epoch?,
        })
    }

    /// A timeline that begins now.
    pub(super) fn begun(generation: u64, epoch: i64) -> Self {
        Self {
            generation,
            ready: false,
            range: Range::default(),
            begun_at: wall_ms(),
            epoch,
        }
    }

    /// Whether nothing is left of it but this row, which keeps the beginning of an earlier timeline from being stored late.
    pub(super) fn is_forgotten(&self) -> bool {
        self.epoch == FORGOTTEN
    }

    /// Whether it collects entries. A state of a newer epoch than the known one does: it is the known one that is old.
    pub(super) fn is_live(&self, epoch: i64) -> bool {
        self.epoch >= epoch && wall_ms() < self.begun_at + LIFE.as_millis() as i64
    }

    /// Whether its filler was cut off.
    pub(super) fn is_given_up(&self) -> bool {
        !self.ready && self.begun_at + FILL_WITHIN.as_millis() as i64 <= wall_ms()
    }

    /// What is left of its life, in seconds.
    fn time_to_live(&self) -> i32 {
        let left = self.begun_at / 1_000 + LIFE.as_secs() as i64 - wall_ms() / 1_000;
        left.clamp(1, LIFE.as_secs() as i64) as i32
    }
}

/// The states of all timelines.
pub(super) struct States {
    statements: Statements,
    epoch: Mutex<Option<(i64, Instant)>>,
}

impl States {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            epoch: Mutex::default(),
        })
    }

    pub(super) async fn get(&self, db: &Db, viewer: u64) -> Result<Option<State>> {
        let row: Option<Row> = db.row(&self.statements.get, (viewer as i64,)).await?;
        Ok(row.and_then(State::from_row))
    }

    /// The state as the last compare-and-set left it, also where its outcome was unknown.
    pub(super) async fn get_decided(&self, db: &Db, viewer: u64) -> Result<Option<State>> {
        let row: Option<Row> = db.row(&self.statements.get_serial, (viewer as i64,)).await?;
        Ok(row.and_then(State::from_row))
    }

    /// The states of those viewers who have one.
    pub(super) async fn get_many(&self, db: &Db, viewers: &[u64]) -> Result<Vec<(u64, State)>> {
        let chunks = viewers.chunks(STATES_A_READ);
        let chunks: Vec<Vec<i64>> = chunks
            .map(|chunk| chunk.iter().map(|viewer| *viewer as i64).collect())
            .collect();
        stream::iter(chunks)
            .map(|viewers| async move { db.rows(&self.statements.get_many, (viewers,)).await })
            .buffer_unordered(READS_AT_ONCE)
            .map_ok(with_viewers)
            .try_concat()
            .await
    }

    /// Every state. Scans the table.
    pub(super) async fn all(&self, db: &Db) -> Result<Vec<(u64, State)>> {
        Ok(with_viewers(db.all_rows(&self.statements.all, ()).await?))
    }

    /// Stores a state where there is none.
    pub(super) async fn insert(&self, db: &Db, viewer: u64, state: &State) -> Result<bool> {
        let values = (
            viewer as i64,
            state.generation as i64,
            state.ready,
            stored(state.range.covers_from),
            stored(state.range.dropped),
            state.begun_at,
            state.epoch,
            state.time_to_live(),
        );
        db.compare_and_set(&self.statements.insert, values).await
    }

    /// Replaces a state as it was read. Writes every column, so that all of them end together.
    pub(super) async fn replace(&self, db: &Db, viewer: u64, before: &State, state: &State) -> Result<bool> {
        let values = (
            state.time_to_live(),
            state.generation as i64,
            state.ready,
            stored(state.range.covers_from),
            stored(state.range.dropped),
            state.begun_at,
            state.epoch,
            viewer as i64,
            before.generation as i64,
            before.ready,
            stored(before.range.covers_from),
        );
        db.compare_and_set(&self.statements.replace, values).await
    }

    /// Puts a generation that is never begun in the place of a state's. Where it has gone already, that is as good.
    pub(super) async fn forget(&self, db: &Db, viewer: u64, before: &State) -> Result<()> {
        let values = (
            before.time_to_live(),
            new_generation() as i64,
            before.begun_at,
            FORGOTTEN,
            viewer as i64,
            before.generation as i64,
        );
        if let Err(error) = db.compare_and_set(&self.statements.forget, values).await {
            let decided = self.get_decided(db, viewer).await?;
            if decided.is_some_and(|decided| decided.generation == before.generation) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The epoch as it was at most [`EPOCH_KNOWN_FOR`] ago: so long another process may go on reading what `forget_all` dropped here.
    pub(super) async fn epoch(&self, db: &Db) -> Result<i64> {
        let known = *self.epoch.lock();
        match known {
            Some((epoch, at)) if at.elapsed() < EPOCH_KNOWN_FOR => Ok(epoch),
            _ => self.epoch_now(db).await,
        }
    }

    /// The epoch as it is.
    pub(super) async fn epoch_now(&self, db: &Db) -> Result<i64> {
        let asked = Instant::now();
        let row: Option<(i64,)> = db.row(&self.statements.epoch, ()).await?;
        Ok(self.learn(row.map_or(0, |(epoch,)| epoch), asked))
    }

    /// Moves to a new epoch. Losing to another means that it has moved since this call began, which is as good.
    pub(super) async fn next_epoch(&self, db: &Db) -> Result<()> {
        let asked = Instant::now();
        let row: Option<(i64,)> = db.row(&self.statements.epoch_serial, ()).await?;
        let before = row.map_or(0, |(epoch,)| epoch);
        let moved = match row {
            None => db.compare_and_set(&self.statements.first_epoch, (before + 1,)).await,
            Some(_) => {
                db.compare_and_set(&self.statements.next_epoch, (before + 1, before))
                    .await
            }
        };
        if let Err(error) = moved {
            let row: Option<(i64,)> = db.row(&self.statements.epoch_serial, ()).await?;
            if row.is_none_or(|(epoch,)| epoch <= before) {
                return Err(error);
            }
        }
        self.learn(before + 1, asked);
        Ok(())
    }

    /// Takes note of an epoch that was asked for at `asked`. Epochs only rise, so what is newest is known as of the latest question.
    fn learn(&self, epoch: i64, asked: Instant) -> i64 {
        let mut known = self.epoch.lock();
        let (newest, at) = known.map_or((epoch, asked), |(known, at)| (known.max(epoch), at.max(asked)));
        *known = Some((newest, at));
        newest
    }
}

type WithViewer = (
    i64,
    Option<i64>,
    Option<bool>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

fn with_viewers(rows: Vec<WithViewer>) -> Vec<(u64, State)> {
    let states = rows.into_iter().map(|row| {
        let state = State::from_row((row.1, row.2, row.3, row.4, row.5, row.6))?;
        Some((row.0 as u64, state))
    });
    states.flatten().collect()
}

/// Lives of states are counted on the clock that the store's own expiry goes by, whatever clock ids are minted on.
fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as i64
}

/// A generation that no other timeline has, and never 0, which stands for none.
pub(super) fn new_generation() -> u64 {
    rand::random_range(1..=u64::MAX)
}
