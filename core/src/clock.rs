//! Time: one concrete clock, which tests can hold still.

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

/// The clock of a process: the system's, or one that a test moves by hand.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    manual_ms: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `start` until [`Clock::set`] moves it.
    pub fn manual(start: Time) -> Self {
        Self {
            manual_ms: Some(Arc::new(AtomicU64::new(start.unix_ms()))),
        }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        match &self.manual_ms {
            Some(ms) => Time(ms.load(Ordering::Relaxed)),
            None => Time(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_millis() as u64,
            ),
        }
    }

    /// Moves a manual clock, forward or back; the system's clock is left alone.
    pub fn set(&self, now: Time) {
        if let Some(ms) = &self.manual_ms {
            ms.store(now.unix_ms(), Ordering::Relaxed);
        }
    }
}
