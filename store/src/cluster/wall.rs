//! The wall clock of a process, held against the store's.
//!
//! What processes compare goes by their wall clocks: ids, write timestamps, leases, watermarks, cursors. All of that is right as long as clocks are
//! no further apart than [`Timing`](super::events::Timing) allows for, which is more than twice what each may be from the store's. So a process goes by a clock that a step of the system's clock does not move: the one that counts suspension,
//! set to the system's time for as long as that agrees with the store's. While the two disagree the process does not write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use social_core::{Clock, Result, Time, Timekeeper};

use super::Error;
use super::db::{Db, statements};

/// How far the system's clock may be from the store's.
const SKEW: Duration = Duration::from_millis(500);
/// An answer that took longer says too little of the store's clock.
const PROMPT: Duration = Duration::from_millis(200);
/// Two clocks that are read within so many milliseconds are read at once.
const AT_ONCE_MS: u64 = 5;
/// How often that is tried.
const READS: usize = 10;
/// How often a start asks for a prompt answer, and how long it waits in between.
const LOOKS: usize = 40;
const LOOK_EVERY: Duration = Duration::from_millis(100);

statements!(Statements {
    time: Read "SELECT toUnixTimestamp(now()) FROM system.local",
});

/// The wall clock.
pub(super) struct Wall {
    db: Arc<Db>,
    statements: Statements,
    steady: Arc<Steady>,
    /// Whether the system's clock and the store's disagreed when they were compared last.
    differs: AtomicBool,
}

impl Wall {
    /// A clock that agrees with the store's. [`Error::Clock`] where the system's does not, [`Error::Slow`] where the store is too slow to tell.
    pub(super) async fn open(db: Arc<Db>) -> Result<Self, Error> {
        let statements = Statements::prepare(&db).await?;
        let reading = Reading::prompt(&db, &statements).await?;
        Ok(Self {
            db,
            statements,
            steady: Arc::new(Steady(AtomicI64::new(reading.offset_ms))),
            differs: AtomicBool::new(false),
        })
    }

    /// The clock, for whoever mints and stamps by it.
    pub(super) fn clock(&self) -> Clock {
        Clock::kept_by(Arc::clone(&self.steady) as Arc<dyn Timekeeper>)
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.steady.now_ms()
    }

    /// Whether the system's clock agrees with the store's, as far as is known: a step of it shows at once, before the next comparison.
    pub(super) fn is_right(&self) -> bool {
        let (system_ms, suspended_ms) = both_ms();
        let stepped_ms = (system_ms - suspended_ms - self.steady.offset_ms()).unsigned_abs();
        !self.differs.load(Ordering::Acquire) && stepped_ms <= SKEW.as_millis() as u64
    }

    /// Compares the system's clock with that of a node of the store, and follows it where they agree.
    pub(super) async fn compare(&self) {
        let Ok(reading) = Reading::take(&self.db, &self.statements).await else {
            return;
        };
        let differs = reading.differs();
        // A slow answer can tell for certain that they differ, and not that they agree.
        if !differs && reading.took > PROMPT {
            return;
        }
        if !differs {
            self.steady.0.store(reading.offset_ms, Ordering::Release);
        }
        if self.differs.swap(differs, Ordering::AcqRel) != differs {
            let apart_ms = reading.apart_ms();
            match differs {
                true => tracing::warn!(
                    apart_ms,
                    "the system's clock differs from the store's: nothing is written until it is right"
                ),
                false => tracing::info!(apart_ms, "the system's clock agrees with the store's again"),
            }
        }
    }
}

/// A clock that goes on evenly whatever becomes of the system's: what to add to the one that counts suspension, in milliseconds.
#[derive(Debug)]
struct Steady(AtomicI64);

impl Steady {
    fn now_ms(&self) -> i64 {
        suspended_ms() as i64 + self.offset_ms()
    }

    fn offset_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Timekeeper for Steady {
    fn now(&self) -> Time {
        Time::from_unix_ms(u64::try_from(self.now_ms()).unwrap_or_default())
    }
}

/// The system's clock, and what a node of the store answered to the question for its own.
struct Reading {
    /// The system's clock when the question went out.
    asked_ms: i64,
    /// What that is ahead of the clock that counts suspension.
    offset_ms: i64,
    store_ms: i64,
    took: Duration,
}

impl Reading {
    /// One that tells whether the clocks agree, or that they differ however long the answer took.
    async fn prompt(db: &Db, statements: &Statements) -> Result<Self, Error> {
        for _ in 0..LOOKS {
            let reading = Self::take(db, statements).await?;
            if reading.differs() {
                return Err(Error::Clock {
                    apart_ms: reading.apart_ms(),
                });
            }
            if reading.took <= PROMPT {
                return Ok(reading);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(Error::Slow)
    }

    async fn take(db: &Db, statements: &Statements) -> Result<Self> {
        let began = Instant::now();
        let (asked_ms, suspended_ms) = both_ms();
        let store: Option<(i64,)> = db.row(&statements.time, ()).await?;
        let (store_ms,) = store.ok_or_else(social_core::Error::unavailable)?;
        Ok(Self {
            asked_ms,
            offset_ms: asked_ms - suspended_ms,
            store_ms,
            took: began.elapsed(),
        })
    }

    /// By how much the system's clock is ahead. The answer was made at some time within the question.
    fn apart_ms(&self) -> i64 {
        self.asked_ms + self.took.as_millis() as i64 / 2 - self.store_ms
    }

    /// Whether the clocks are too far apart, at whatever time the answer was made.
    fn differs(&self) -> bool {
        let bound = SKEW + self.took / 2;
        u128::from(self.apart_ms().unsigned_abs()) > bound.as_millis()
    }
}

/// Milliseconds on a clock that goes on while the machine sleeps, and that nobody sets.
pub(super) fn suspended_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}

/// The system's clock, and at the same time the one that nobody sets.
fn both_ms() -> (i64, i64) {
    for _ in 0..READS {
        let before = suspended_ms();
        let system_ms = system_ms();
        if suspended_ms() - before <= AT_ONCE_MS {
            return (system_ms, before as i64);
        }
    }
    // A machine on which this thread is always put aside in between.
    let before = suspended_ms();
    (system_ms(), before as i64)
}

fn system_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::events::Timing;

    fn reading(apart_ms: i64, took_ms: u64) -> Reading {
        let asked_ms = 1_800_000_000_000;
        Reading {
            asked_ms,
            offset_ms: 0,
            store_ms: asked_ms + took_ms as i64 / 2 - apart_ms,
            took: Duration::from_millis(took_ms),
        }
    }

    #[test]
    fn clocks_differ_when_no_moment_of_the_question_would_explain_it() {
        for (apart_ms, took_ms, differs) in [
            (0, 0, false),
            (500, 0, false),
            (501, 0, true),
            (-501, 0, true),
            (600, 200, false),
            (-601, 200, true),
            (5_000, 10_000, false),
        ] {
            let reading = reading(apart_ms, took_ms);
            assert_eq!(reading.apart_ms(), apart_ms);
            assert_eq!(reading.differs(), differs, "{apart_ms} ms apart, after {took_ms} ms");
        }
    }

    #[test]
    fn two_clocks_that_agree_with_the_stores_are_no_further_apart_than_is_allowed_for() {
        let each = SKEW + PROMPT / 2;
        assert!(Timing::default().skew() > 2 * each);
    }

    #[test]
    fn a_steady_clock_is_set_once_and_goes_on_by_itself() {
        let steady = Steady(AtomicI64::new(system_ms() - suspended_ms() as i64));
        let apart = (steady.now_ms() - system_ms()).abs();
        assert!(apart <= 50, "{apart} ms");
        let before = steady.now();
        std::thread::sleep(Duration::from_millis(20));
        let passed = steady.now().since(before);
        assert!(passed >= Duration::from_millis(19), "{passed:?}");
    }
}
