//! When a call is tried again, and how long is waited before.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{Error, Reason};

/// How calls are repeated that failed without a fault of theirs.
///
/// Waits grow exponentially with full jitter: a random time between 0 and the backoff, on top of the delay that the server
/// asks for. All retries of a client come out of one budget, so that a server in trouble does not get the load several
/// times over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often a call is tried at most, the first time included; 1 turns retries off, and so does 0. Default 5.
    pub max_attempts: u32,
    /// Backoff before the second attempt; it doubles with each. Default 100 ms.
    pub base_backoff: Duration,
    /// The longest backoff. Default 5 s.
    pub max_backoff: Duration,
    /// Retries that each call pays in for. Default 0.1: in the long run one retry for ten calls.
    pub budget_ratio: f64,
    /// Retries that a client can make out of hand, and the most that it can save up. Default 20.
    pub budget_reserve: u32,
    /// Retries a second that are paid in without calls, so that a quiet client gets going again. Default 1.
    pub budget_per_second: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            base_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            budget_ratio: 0.1,
            budget_reserve: 20,
            budget_per_second: 1.0,
        }
    }
}

impl RetryPolicy {
    /// No retries at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            max_attempts: 1,
            ..Self::default()
        }
    }

    /// Sets [`RetryPolicy::max_attempts`].
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets [`RetryPolicy::base_backoff`] and [`RetryPolicy::max_backoff`].
    #[must_use]
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        self.base_backoff = base;
        self.max_backoff = max;
        self
    }

    /// Sets [`RetryPolicy::budget_ratio`], [`RetryPolicy::budget_reserve`] and [`RetryPolicy::budget_per_second`].
    #[must_use]
    pub fn budget(mut self, ratio: f64, reserve: u32, per_second: f64) -> Self {
        self.budget_ratio = ratio;
        self.budget_reserve = reserve;
        self.budget_per_second = per_second;
        self
    }

    /// How long to wait after `attempt` (from 1) failed with `error`, or None when it is final.
    pub(crate) fn pause(&self, error: &Error, repeatable: bool, attempt: u32) -> Option<Duration> {
        if attempt >= self.max_attempts || !may_repeat(error, repeatable) {
            return None;
        }
        Some(self.wait(error, attempt))
    }

    /// The wait before the attempt after `attempt` (from 1).
    pub(crate) fn wait(&self, error: &Error, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let backoff = self.base_backoff.saturating_mul(1 << doublings).min(self.max_backoff);
        error.retry_delay().unwrap_or_default() + backoff.mul_f64(rand::random::<f64>())
    }
}

fn may_repeat(error: &Error, repeatable: bool) -> bool {
    // Repeating a throttled login by itself would hammer the door that the server just closed.
    error.is_retryable() && error.reason() != Reason::LoginThrottled && (repeatable || error.is_unsent())
}

/// Token bucket that all retries of a client are taken from.
#[derive(Debug)]
pub(crate) struct Budget {
    ratio: f64,
    reserve: f64,
    per_second: f64,
    level: Mutex<(f64, Instant)>,
}

impl Budget {
    pub(crate) fn new(policy: &RetryPolicy) -> Self {
        let reserve = f64::from(policy.budget_reserve);
        Self {
            ratio: policy.budget_ratio,
            reserve,
            per_second: policy.budget_per_second,
            level: Mutex::new((reserve, Instant::now())),
        }
    }

    /// A call pays in.
    pub(crate) fn deposit(&self) {
        let mut level = self.level.lock();
        level.0 = (level.0 + self.ratio).min(self.reserve);
    }

    /// A retry is taken out; false when there is none left.
    pub(crate) fn withdraw(&self) -> bool {
        let mut level = self.level.lock();
        let now = Instant::now();
        let refilled = level.0 + now.duration_since(level.1).as_secs_f64() * self.per_second;
        *level = (refilled.min(self.reserve), now);
        let granted = level.0 >= 1.0;
        if granted {
            level.0 -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    fn server(code: Code, reason: &str, delay: Option<Duration>) -> Error {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, social_proto::ERROR_DOMAIN, []);
        if delay.is_some() {
            details.set_retry_info(delay);
        }
        Error::from_status(Status::with_error_details(code, "", details), Duration::ZERO)
    }

    #[test]
    fn only_what_can_help_is_repeated() {
        let second = Some(Duration::from_secs(1));
        let cases = [
            (server(Code::Unavailable, "STORE_UNAVAILABLE", None), true, true),
            (server(Code::Unavailable, "STORE_UNAVAILABLE", None), false, false),
            (server(Code::ResourceExhausted, "OVERLOADED", second), true, true),
            (server(Code::ResourceExhausted, "OVERLOADED", second), false, true),
            (server(Code::ResourceExhausted, "TOO_MANY_STREAMS", None), true, false),
            (server(Code::ResourceExhausted, "LOGIN_THROTTLED", second), false, false),
            (server(Code::Aborted, "ETAG_MISMATCH", None), true, false),
            (server(Code::Internal, "INTERNAL", None), true, false),
            (server(Code::InvalidArgument, "INVALID_FIELD", None), true, false),
            (Error::deadline(Duration::ZERO), true, true),
            (Error::deadline(Duration::ZERO), false, false),
        ];
        for (error, repeatable, expected) in cases {
            assert_eq!(
                may_repeat(&error, repeatable),
                expected,
                "{error:?}, repeatable: {repeatable}"
            );
        }
    }

    #[test]
    fn waits_grow_within_bounds_and_honour_the_server() {
        let policy = RetryPolicy::default().backoff(Duration::from_millis(100), Duration::from_secs(1));
        let plain = server(Code::Unavailable, "STORE_UNAVAILABLE", None);
        let asked = server(Code::ResourceExhausted, "RATE_LIMITED", Some(Duration::from_secs(3)));
        for _ in 0..200 {
            assert!(policy.wait(&plain, 1) <= Duration::from_millis(100));
            assert!(policy.wait(&plain, 2) <= Duration::from_millis(200));
            assert!(policy.wait(&plain, 60) <= Duration::from_secs(1));
            let wait = policy.wait(&asked, 1);
            assert!(wait >= Duration::from_secs(3) && wait <= Duration::from_millis(3100));
        }
        assert_eq!(policy.pause(&plain, true, policy.max_attempts), None);
    }

    #[test]
    fn the_budget_pays_for_a_tenth() {
        let budget = Budget::new(&RetryPolicy::default().budget(0.1, 5, 0.0));
        let mut retries = 0;
        for _ in 0..1000 {
            budget.deposit();
            retries += u32::from(budget.withdraw());
        }
        assert!((100..=105).contains(&retries), "{retries}");
    }
}
