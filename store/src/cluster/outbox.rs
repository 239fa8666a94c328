//! The event log: every mutation of more than one row is filed here first, and everything else follows from it.
//!
//! An event lies in the partition of its shard and of the minute in which it was filed. A partition is named in `outbox_minutes` before
//! its first event, so that a scan finds the ones that hold something. Rows are never deleted: their end is a column.

use futures::future::try_join_all;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use social_core::fanout::{Event, Payload, Progress, State};
use social_core::id::minted_at;
use social_core::request::{RequestKey, TraceContext};
use social_core::{Error, EventId, Result, Time};

use super::change::Change;
use super::db::{Db, statements};
use super::lists::spread;
use crate::rows::{Unreadable, decode_as, encode_as};

/// Shards of the log. Each is swept by one worker at a time.
pub(super) const SHARDS: u64 = 16;
/// Minutes behind that of its id in which an event may have been filed.
const LATE_MINUTES: i64 = 1;
/// Minutes known to be named already.
const NAMED: usize = 1_024;
/// The format of the stored body.
const FORMAT: u8 = 1;

/// What is filed: a change of truth, and the asynchronous work that follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Filing {
    /// What truth becomes.
    pub(super) change: Change,
    /// The write timestamp of every plain row of it.
    pub(super) stamp: i64,
    /// The work for the fan-out workers, if any.
    pub(super) payload: Option<Payload>,
    /// The request that it answers.
    pub(super) request: Option<RequestKey>,
    /// The caller's trace.
    pub(super) trace: Option<TraceContext>,
    /// When it was filed.
    pub(super) filed_at: Time,
}

/// How far an event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Stage {
    /// Filed. Its rows may or may not be written.
    Filed = 0,
    /// Its rows are written; its asynchronous work is pending.
    Applied = 1,
    /// Everything is done.
    Done = 2,
    /// It lost to another change and did nothing.
    Rejected = 3,
    /// Its work failed too often.
    Dead = 4,
}

impl Stage {
    fn of(number: Option<i8>) -> Self {
        match number {
            Some(1) => Self::Applied,
            Some(2) => Self::Done,
            Some(3) => Self::Rejected,
            Some(4) => Self::Dead,
            _ => Self::Filed,
        }
    }

    /// Whether something is left to be done.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Filed | Self::Applied)
    }
}

/// Where an event lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) shard: i32,
    pub(super) minute: i64,
}

/// An event as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Filed {
    pub(super) id: u64,
    pub(super) slot: Slot,
    pub(super) filing: Filing,
    pub(super) stage: Stage,
    pub(super) progress: Progress,
    pub(super) attempts: u32,
    pub(super) last_error: Option<String>,
    pub(super) finished_at: Option<Time>,
    /// The write timestamp of its stage; 0 before it had any.
    pub(super) marked_at: i64,
    /// When it was filed, marked, brought further or failed last.
    pub(super) moved_at: Time,
}

impl Filed {
    /// The event as the workers see it; none where it asks nothing of them or was rejected.
    pub(super) fn event(&self) -> Option<Event> {
        let payload = self.filing.payload?;
        let state = match self.stage {
            Stage::Filed | Stage::Applied => State::Pending,
            Stage::Done => State::Done,
            Stage::Dead => State::DeadLettered,
            Stage::Rejected => return None,
        };
        Some(Event {
            id: EventId(self.id),
            payload,
            filed_at: self.filing.filed_at,
            trace: self.filing.trace,
            state,
            progress: self.progress.clone(),
            attempts: self.attempts,
            last_error: self.last_error.clone(),
            finished_at: self.finished_at,
        })
    }
}

statements!(Statements {
    name_minute: Write "INSERT INTO outbox_minutes (shard, minute) VALUES (?, ?)",
    minutes: Read "SELECT minute FROM outbox_minutes WHERE shard = ? AND minute >= ?",
    file: Write "INSERT INTO outbox (shard, minute, event, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
    find: Read "SELECT event, body, stage, progress, attempts, last_error, finished_at, WRITETIME(stage), WRITETIME(progress), WRITETIME(attempts) FROM outbox WHERE shard = ? AND minute = ? AND event = ?",
    stages: Read "SELECT event, stage FROM outbox WHERE shard = ? AND minute = ? AND event > ?",
    set_stage: Write "UPDATE outbox USING TIMESTAMP ? SET stage = ?, finished_at = ? WHERE shard = ? AND minute = ? AND event = ?",
    set_progress: Write "UPDATE outbox USING TIMESTAMP ? SET progress = ? WHERE shard = ? AND minute = ? AND event = ?",
    set_failure: Write "UPDATE outbox USING TIMESTAMP ? SET attempts = ?, last_error = ? WHERE shard = ? AND minute = ? AND event = ?",
    watermarks: Read "SELECT shard, settled, applied FROM outbox_watermarks WHERE part = 0",
    set_settled: Write "UPDATE outbox_watermarks USING TIMESTAMP ? SET settled = ? WHERE part = 0 AND shard = ?",
    set_applied: Write "UPDATE outbox_watermarks USING TIMESTAMP ? SET applied = ? WHERE part = 0 AND shard = ?",
});

type Row = (
    i64,
    Option<Vec<u8>>,
    Option<i8>,
    Option<Vec<u8>>,
    Option<i32>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

/// The event log.
pub(super) struct Outbox {
    statements: Statements,
    named: Cache<Slot, ()>,
}

impl Outbox {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            named: Cache::new(NAMED),
        })
    }

    /// Files an event durably.
    pub(super) async fn file(&self, db: &Db, id: u64, filing: &Filing, now: Time) -> Result<Slot> {
        let slot = Slot {
            shard: shard_of(id),
            minute: minute_of(now.max(minted_at(id))),
        };
        self.file_at(db, id, slot, filing).await?;
        Ok(slot)
    }

    /// Files an event where it lies, instead of what was filed there.
    pub(super) async fn file_at(&self, db: &Db, id: u64, slot: Slot, filing: &Filing) -> Result<()> {
        let body = encode_as(FORMAT, filing)?;
        self.name(db, slot).await?;
        let values = (slot.shard, slot.minute, id as i64, body, filing.stamp);
        db.run(&self.statements.file, values).await
    }

    async fn name(&self, db: &Db, slot: Slot) -> Result<()> {
        if self.named.get(&slot).is_none() {
            db.run(&self.statements.name_minute, (slot.shard, slot.minute)).await?;
            self.named.insert(slot, ());
        }
        Ok(())
    }

    /// An event by its id. STORE_UNAVAILABLE where a newer program wrote it.
    pub(super) async fn find(&self, db: &Db, id: u64) -> Result<Option<Filed>> {
        match self.look_up(db, id).await? {
            Ok(filed) => Ok(filed),
            // It stays open for the process that wrote it, or for this one once it is newer.
            Err(Unreadable::Newer) => Err(Error::unavailable()),
            Err(error) => Err(error.report("outbox")),
        }
    }

    /// An event by its id; none where a newer program wrote it.
    pub(super) async fn find_readable(&self, db: &Db, id: u64) -> Result<Option<Filed>> {
        match self.look_up(db, id).await? {
            Ok(filed) => Ok(filed),
            Err(Unreadable::Newer) => Ok(None),
            Err(error) => Err(error.report("outbox")),
        }
    }

    async fn look_up(&self, db: &Db, id: u64) -> Result<Result<Option<Filed>, Unreadable>> {
        let minute = minute_of(minted_at(id));
        let shard = shard_of(id);
        let looks = (minute..=minute + LATE_MINUTES).map(|minute| async move {
            let slot = Slot { shard, minute };
            let row: Option<Row> = db.row(&self.statements.find, (shard, minute, id as i64)).await?;
            Ok::<_, Error>(row.map(|row| (slot, row)))
        });
        let found = try_join_all(looks).await?.into_iter().flatten();
        let filed: Result<Vec<Filed>, Unreadable> =
            found.filter_map(|(slot, row)| read(slot, row).transpose()).collect();
        Ok(filed.map(|filed| filed.into_iter().max_by_key(|filed| filed.stage as i8)))
    }

    /// The minutes of a shard that hold events.
    pub(super) async fn minutes(&self, db: &Db, shard: i32, from: i64) -> Result<Vec<i64>> {
        let minutes: Vec<(i64,)> = db.all_rows(&self.statements.minutes, (shard, from)).await?;
        Ok(minutes.into_iter().map(|(minute,)| minute).collect())
    }

    /// The ids and stages of a slot's events behind an id, ascending.
    pub(super) async fn stages(&self, db: &Db, slot: Slot, after: u64) -> Result<Vec<(u64, Stage)>> {
        let values = (slot.shard, slot.minute, after as i64);
        let rows: Vec<(i64, Option<i8>)> = db.all_rows(&self.statements.stages, values).await?;
        Ok(rows
            .into_iter()
            .map(|(id, stage)| (id as u64, Stage::of(stage)))
            .collect())
    }

    pub(super) async fn set_stage(
        &self,
        db: &Db,
        (id, slot): (u64, Slot),
        stage: Stage,
        finished_at: Option<Time>,
        stamp: i64,
    ) -> Result<()> {
        let finished_at = finished_at.map(|at| at.unix_ms() as i64);
        let values = (stamp, stage as i8, finished_at, slot.shard, slot.minute, id as i64);
        db.run(&self.statements.set_stage, values).await
    }

    pub(super) async fn set_progress(
        &self,
        db: &Db,
        (id, slot): (u64, Slot),
        progress: &Progress,
        stamp: i64,
    ) -> Result<()> {
        let body = encode_as(FORMAT, progress)?;
        let values = (stamp, body, slot.shard, slot.minute, id as i64);
        db.run(&self.statements.set_progress, values).await
    }

    pub(super) async fn set_failure(
        &self,
        db: &Db,
        (id, slot): (u64, Slot),
        attempts: u32,
        class: Option<&str>,
        stamp: i64,
    ) -> Result<()> {
        let values = (stamp, attempts as i32, class, slot.shard, slot.minute, id as i64);
        db.run(&self.statements.set_failure, values).await
    }

    /// How far each shard has come.
    pub(super) async fn watermarks(&self, db: &Db) -> Result<[Watermark; SHARDS as usize]> {
        let rows: Vec<(i32, Option<i64>, Option<i64>)> = db.rows(&self.statements.watermarks, ()).await?;
        let mut watermarks = [Watermark::default(); SHARDS as usize];
        for (shard, settled, applied) in rows {
            if let Some(watermark) = watermarks.get_mut(shard as usize) {
                *watermark = Watermark {
                    settled: settled.unwrap_or(0) as u64,
                    applied: applied.unwrap_or(0) as u64,
                };
            }
        }
        Ok(watermarks)
    }

    /// Raises a shard's watermark, durably. It never goes back: the write timestamp is the id's time, and of equal ones the larger value
    /// wins.
    pub(super) async fn raise(&self, db: &Db, shard: i32, to: Watermark) -> Result<()> {
        let (settled, applied) = (to.settled as i64, to.applied as i64);
        db.run(&self.statements.set_settled, (micros(to.settled), settled, shard))
            .await?;
        db.run(&self.statements.set_applied, (micros(to.applied), applied, shard))
            .await
    }
}

/// How far a shard has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Watermark {
    /// Every event below this id has ended.
    pub(super) settled: u64,
    /// The rows of every event below this id are written.
    pub(super) applied: u64,
}

fn read(slot: Slot, row: Row) -> Result<Option<Filed>, Unreadable> {
    let (id, body, stage, progress, attempts, last_error, finished_at, marked_at, progress_at, failed_at) = row;
    // What is left of a row whose first columns have ended.
    let Some(body) = body else { return Ok(None) };
    let filing: Filing = decode_as(FORMAT, &body)?;
    let progress = progress.map(|bytes| decode_as(FORMAT, &bytes)).transpose()?;
    let moved_at = [marked_at, progress_at, failed_at].into_iter().flatten().max();
    let moved_at = moved_at.unwrap_or(0).max(filing.stamp) / 1_000;
    Ok(Some(Filed {
        moved_at: Time::from_unix_ms(moved_at as u64),
        id: id as u64,
        slot,
        filing,
        stage: Stage::of(stage),
        progress: progress.unwrap_or_default(),
        attempts: attempts.unwrap_or(0) as u32,
        last_error,
        marked_at: marked_at.unwrap_or(0),
        finished_at: finished_at.map(|ms| Time::from_unix_ms(ms as u64)),
    }))
}

/// When an id was minted, as a write timestamp.
fn micros(id: u64) -> i64 {
    minted_at(id).unix_ms() as i64 * 1_000
}

/// The shard of an event.
pub(super) fn shard_of(id: u64) -> i32 {
    (spread(id) % SHARDS) as i32
}

/// The minute of a moment.
pub(super) fn minute_of(time: Time) -> i64 {
    (time.unix_ms() / 60_000) as i64
}
