//! Writing of entries: in batches of rows whose first replica is the same, which halve this process's work (9 µs of CPU time a row instead of 19, by
//! `social-bench ratio cluster-fanout`). Where there are no more nodes than copies, a batch goes to a node that holds all of it. A batch is no unit
//! otherwise: where one fails, some of its rows may have been written.
//!
//! **Large fan-outs take turns.** Nobody waits for all of their rows, but the rows of a post with few followers, as everything else that is asked of the
//! store, wait behind those under way. So a process has a bounded number of their batches under way, and few of them while others wait for rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use social_core::{Error, Result};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::entries::{Arrival, stored};
use crate::cluster::db::{Db, statements};
use crate::cluster::ids::Ids;

/// Rows of a batch: from eleven partitions on Cassandra warns of each, by default.
const BATCH: usize = 10;
/// Batches of one call being written at once.
const BATCHES_AT_ONCE: usize = 32;
/// Batches of all large fan-outs of this process being written at once: as many as one node has use for.
const LARGE_AT_ONCE: u32 = 32;
/// The same while others wait for rows: as few as leave them alone.
const LARGE_AMONG_OTHERS: u32 = 4;
/// Others wait for rows where there are more small calls than this in a [`SPAN`] and the one before it. An author's own row is such a call, too.
const FEW: u32 = 8;
const SPAN: Duration = Duration::from_secs(1);
/// How often rows are written anew because their write took too long.
const ATTEMPTS: usize = 3;

statements!(Statements {
    put: TimelineWrite "INSERT INTO home_timeline (viewer, generation, post, arrived) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
});

/// A post in a generation of a viewer's timeline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) viewer: u64,
    pub(super) generation: u64,
    pub(super) post: u64,
}

/// Whether a call's rows are written at once, or by turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// A small fan-out's, and a fill's: somebody waits for them.
    AtOnce,
    /// A large fan-out's.
    ByTurns,
}

/// The columns of a row, and its timestamp.
type Values = (i64, i64, i64, i64, i64);

/// Writes rows.
pub(super) struct Rows {
    db: Arc<Db>,
    ids: Arc<Ids>,
    statements: Statements,
    turns: Semaphore,
    /// Calls that were not by turns.
    small: Mutex<Lately>,
}

impl Rows {
    pub(super) async fn prepare(db: Arc<Db>, ids: Arc<Ids>) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(&db).await?,
            turns: Semaphore::new(LARGE_AT_ONCE as usize),
            small: Mutex::new(Lately::new(Instant::now())),
            db,
            ids,
        })
    }

    /// Writes rows. Where it fails some may have been written.
    pub(super) async fn put(&self, rows: &[Row], arrival: Arrival, pace: Pace) -> Result<()> {
        if pace == Pace::AtOnce && !rows.is_empty() {
            self.small.lock().note(Instant::now());
        }
        stream::iter(self.batches(rows))
            .map(|batch| async move {
                let _turn = self.turn(pace).await;
                self.put_batch(&batch, arrival).await
            })
            .buffer_unordered(BATCHES_AT_ONCE)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await
    }

    /// Waits for a turn, which is a larger part of all while others wait.
    async fn turn(&self, pace: Pace) -> Option<SemaphorePermit<'_>> {
        if pace == Pace::AtOnce {
            return None;
        }
        let among_others = self.small.lock().count(Instant::now()) > FEW;
        let part = if among_others {
            LARGE_AT_ONCE / LARGE_AMONG_OTHERS
        } else {
            1
        };
        self.turns.acquire_many(part).await.ok()
    }

    /// Rows whose first replica is the same, as many as a batch holds.
    fn batches(&self, rows: &[Row]) -> Vec<Vec<Row>> {
        let replicas = self.db.replicas(&self.statements.put);
        let mut together: HashMap<_, Vec<Row>> = HashMap::new();
        for row in rows {
            together
                .entry(replicas.first(&values(row, 0, 0)))
                .or_default()
                .push(*row);
        }
        let batches = together.values().flat_map(|rows| rows.chunks(BATCH));
        batches.map(<[Row]>::to_vec).collect()
    }

    async fn put_batch(&self, rows: &[Row], arrival: Arrival) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let stamps: Vec<i64> = rows.iter().map(|_| self.ids.stamp()).collect();
            let stamped = rows.iter().zip(&stamps);
            let all: Vec<Values> = stamped
                .map(|(row, stamp)| values(row, arrival.arrived(*stamp), arrival.timestamp(*stamp)))
                .collect();
            self.db.run_together(&self.statements.put, &all).await?;
            let now_us = self.ids.now().unix_ms() as i64 * 1_000;
            if stamps.iter().all(|stamp| arrival.is_in_time(*stamp, now_us)) {
                return Ok(());
            }
        }
        Err(Error::unavailable())
    }
}

fn values(row: &Row, arrived: i64, timestamp: i64) -> Values {
    (
        row.viewer as i64,
        row.generation as i64,
        stored(row.post),
        arrived,
        timestamp,
    )
}

/// How often something happened lately: within a span that is not over yet, and the one before.
struct Lately {
    since: Instant,
    now: u32,
    before: u32,
}

impl Lately {
    fn new(since: Instant) -> Self {
        Self {
            since,
            now: 0,
            before: 0,
        }
    }

    fn note(&mut self, at: Instant) {
        self.count(at);
        self.now += 1;
    }

    fn count(&mut self, at: Instant) -> u32 {
        let passed = at.saturating_duration_since(self.since);
        if passed >= SPAN {
            self.before = if passed < 2 * SPAN { self.now } else { 0 };
            (self.since, self.now) = (at, 0);
        }
        self.before + self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_lately_is_forgotten_soon() {
        let start = Instant::now();
        let mut lately = Lately::new(start);
        assert_eq!(lately.count(start), 0);
        for number in 0..10 {
            lately.note(start + SPAN / 20 * number);
        }
        assert_eq!(lately.count(start + SPAN / 2), 10);
        lately.note(start + SPAN);
        assert_eq!(lately.count(start + SPAN), 11);
        assert_eq!(lately.count(start + 2 * SPAN), 1);
        lately.note(start + 2 * SPAN);
        assert_eq!(lately.count(start + 5 * SPAN), 0);
    }
}
