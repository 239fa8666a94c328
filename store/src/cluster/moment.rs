//! Moments on a clock that goes on while the machine sleeps.
//!
//! What a process promises to others within a time must be measured by it: to them a process that was suspended took as long as it took.

use std::time::Duration;

use super::wall::suspended_ms;

/// A moment of this machine since it was started, suspension counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    ms: u64,
}

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        Self { ms: suspended_ms() }
    }

    /// How long ago it is.
    pub(super) fn elapsed(self) -> Duration {
        Duration::from_millis(suspended_ms().saturating_sub(self.ms))
    }
}

#[cfg(test)]
mod tests {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    #[test]
    fn it_is_of_the_clock_that_counts_suspension() {
        let boot_s = || clock_gettime(ClockId::Boottime).tv_sec as u64;
        let (before, now, after) = (boot_s(), Moment::now().ms / 1_000, boot_s());
        assert!(before <= now && now <= after, "{before} {now} {after}");
        let earlier = Moment {
            ms: suspended_ms() - 7_000,
        };
        assert!((7.0..8.0).contains(&earlier.elapsed().as_secs_f64()));
        let to_come = Moment { ms: u64::MAX };
        assert_eq!(to_come.elapsed(), Duration::ZERO);
    }
}
