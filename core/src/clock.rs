//! Time: one clock for everything in a process, which tests can hold still.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(u64);

impl Time {
    /// The moment `ms` milliseconds after the Unix epoch.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// `ms` milliseconds later.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This moment and a duration later.
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_ms(duration.as_millis() as u64)
    }

    /// How long ago `earlier` was; zero where it is later than this.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Keeps a time of its own, as a store does that must not follow every step of the system's clock.
pub trait Timekeeper: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Time;
}

/// The clock of a process: the system's, one that somebody keeps, or one that a test moves by hand.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Kept(Arc<dyn Timekeeper>),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that somebody keeps.
    pub fn kept_by(keeper: Arc<dyn Timekeeper>) -> Self {
        Self(Source::Kept(keeper))
    }

    /// A clock that stands at `start` until [`Clock::set`] moves it.
    pub fn manual(start: Time) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.unix_ms()))))
    }

    /// Whether it is the system's.
    pub fn is_system(&self) -> bool {
        matches!(self.0, Source::System)
    }

    /// The time now.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System => system_time(),
            Source::Kept(keeper) => keeper.now(),
            Source::Manual(ms) => Time(ms.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock, forward or back; others are left alone.
    pub fn set(&self, now: Time) {
        if let Source::Manual(ms) = &self.0 {
            ms.store(now.unix_ms(), Ordering::Relaxed);
        }
    }
}

fn system_time() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(since_epoch.as_millis() as u64)
}
