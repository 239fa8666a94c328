//! How many edges leave a user, so that nobody passes the bounds, without a count for each new edge.
//!
//! Changes of a user's edges run at the same time, each under a shared permit; a count waits until none is under way. Within a process the
//! bound is exact; what other processes did is seen when the count is old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use social_core::{Result, UserId};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::rows::Kind;

/// Counts remembered.
const KEPT: usize = 50_000;
/// How old a count may be.
const OLD: Duration = Duration::from_secs(5);
/// How old a count may be that refuses an edge.
const OLD_WHEN_FULL: Duration = Duration::from_secs(1);

/// The counts that this process knows.
pub(super) struct Bounds {
    tallies: Cache<(Kind, UserId), Arc<Tally>>,
}

#[derive(Default)]
struct Tally {
    gate: Arc<RwLock<()>>,
    count: Mutex<Option<Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    edges: u64,
    at: Instant,
}

/// Whether there is room for one more.
enum Room {
    Taken,
    Full,
    Unknown,
}

/// A change of a user's edges that is under way. Dropped before its outcome is known, it has the edges counted anew.
pub(super) struct Change {
    tally: Arc<Tally>,
    is_known: bool,
    _permit: OwnedRwLockReadGuard<()>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        Self {
            tallies: Cache::new(KEPT),
        }
    }

    /// Begins a change that takes an edge away, or none.
    pub(super) async fn change(&self, kind: Kind, from: UserId) -> Change {
        Tally::enter(&self.tally(kind, from)).await
    }

    /// Begins a change that makes an edge; none where that would be one too many.
    pub(super) async fn add<F>(
        &self,
        kind: Kind,
        from: UserId,
        limit: u64,
        count: impl Fn() -> F,
    ) -> Result<Option<Change>>
    where
        F: Future<Output = Result<u64>>,
    {
        let tally = self.tally(kind, from);
        loop {
            let change = Tally::enter(&tally).await;
            match tally.take(limit) {
                Room::Taken => return Ok(Some(change)),
                Room::Full => {
                    change.leave(0);
                    return Ok(None);
                }
                Room::Unknown => change.leave(0),
            }
            let _alone = tally.gate.write().await;
            if !tally.is_decided(limit) {
                let edges = count().await?;
                let at = Instant::now();
                *tally.count.lock() = Some(Count { edges, at });
            }
        }
    }

    /// Has a user's edges counted anew.
    pub(super) fn forget(&self, kind: Kind, from: UserId) {
        if let Some(tally) = self.tallies.get(&(kind, from)) {
            *tally.count.lock() = None;
        }
    }

    fn tally(&self, kind: Kind, from: UserId) -> Arc<Tally> {
        let made: std::result::Result<_, std::convert::Infallible> =
            self.tallies.get_or_insert_with(&(kind, from), || Ok(Arc::default()));
        match made {
            Ok(tally) => tally,
            Err(never) => match never {},
        }
    }
}

impl Tally {
    async fn enter(tally: &Arc<Self>) -> Change {
        Change {
            _permit: Arc::clone(&tally.gate).read_owned().await,
            tally: Arc::clone(tally),
            is_known: false,
        }
    }

    fn take(&self, limit: u64) -> Room {
        let mut count = self.count.lock();
        match count.as_mut() {
            Some(count) if count.has_room(limit) => {
                count.edges += 1;
                Room::Taken
            }
            Some(count) if count.is_full(limit) => Room::Full,
            _ => Room::Unknown,
        }
    }

    fn is_decided(&self, limit: u64) -> bool {
        let count = *self.count.lock();
        count.is_some_and(|count| count.has_room(limit) || count.is_full(limit))
    }
}

impl Count {
    fn has_room(&self, limit: u64) -> bool {
        self.edges < limit && self.at.elapsed() < OLD
    }

    fn is_full(&self, limit: u64) -> bool {
        self.edges >= limit && self.at.elapsed() < OLD_WHEN_FULL
    }
}

impl Change {
    /// Ends the change: it took so many edges away.
    pub(super) fn leave(mut self, removed: u64) {
        self.is_known = true;
        if let Some(count) = self.tally.count.lock().as_mut() {
            count.edges = count.edges.saturating_sub(removed);
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.is_known {
            *self.tally.count.lock() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const FAN: UserId = UserId(7);

    #[tokio::test]
    async fn no_more_than_the_bound_and_one_count_for_many() {
        let (bounds, counted, made) = (Bounds::new(), AtomicU64::new(0), AtomicU64::new(0));
        let add = || async {
            let count = || async {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(made.load(Ordering::Relaxed))
            };
            let Some(change) = bounds.add(Kind::Mute, FAN, 10, count).await.unwrap() else {
                return false;
            };
            tokio::task::yield_now().await;
            made.fetch_add(1, Ordering::Relaxed);
            change.leave(0);
            true
        };
        let added = futures::future::join_all((0..50).map(|_| add())).await;
        assert_eq!(added.into_iter().filter(|added| *added).count(), 10);
        assert_eq!((made.load(Ordering::Relaxed), counted.load(Ordering::Relaxed)), (10, 1));
        bounds.change(Kind::Mute, FAN).await.leave(1);
        made.fetch_sub(1, Ordering::Relaxed);
        assert!(add().await && !add().await);
    }

    #[tokio::test]
    async fn an_unknown_outcome_has_the_edges_counted_anew() {
        let (bounds, counted) = (Bounds::new(), AtomicU64::new(0));
        let count = || async {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(0)
        };
        for rounds in 1..4 {
            drop(bounds.add(Kind::Follow, FAN, 10, count).await.unwrap().unwrap());
            assert_eq!(counted.load(Ordering::Relaxed), rounds);
        }
    }
}
