//! When a call is tried again, and how long is waited before.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{Error, Reason};

/// What an attempt must have until the deadline: with less it could hardly be answered, and that error would hide the one
/// before, which says what is wrong.
const ROOM: Duration = Duration::from_millis(50);

/// How calls are repeated that failed without a fault of theirs.
///
/// A call is tried until its timeout ([`ClientBuilder::timeout`](crate::ClientBuilder::timeout), 10 s unless told
/// otherwise): a server that restarts meanwhile is waited for. Waits grow exponentially with full jitter: a random time
/// between 0 and the backoff. Where the server says when to come back, that is waited out first, and at least half of the
/// backoff on top, so that those who were all told the same do not come back together. The backoff after a refusal for the
/// rate limit does not grow: the server gives each its turn.
///
/// All retries of a client come out of one budget, so that a server in trouble does not get the load several times over: a
/// call that finds it empty goes on waiting. A retry that succeeds is paid back, so that all who wait get through once the
/// server is well again. A refusal for the rate limit costs nothing: that server is well, and says itself when to come.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often a call is tried at most within its timeout, the first time included; 1 turns retries off, and so does 0.
    /// Default `u32::MAX`: the timeout alone ends it.
    pub max_attempts: u32,
    /// Backoff before the second attempt; it doubles with each. Default 100 ms.
    pub base_backoff: Duration,
    /// The longest backoff. Default 2 s.
    pub max_backoff: Duration,
    /// Retries that each call pays in for. Default 0.1: in the long run one retry for ten calls.
    pub budget_ratio: f64,
    /// Retries that a client can make out of hand, and the most that it can save up. Default 20.
    pub budget_reserve: u32,
    /// Retries a second that are paid in without calls, so that a client keeps trying at a slow pace. Default 1. With 0, a call
    /// that finds the budget empty fails at once.
    pub budget_per_second: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: u32::MAX,
            base_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
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

    /// How long to wait after `attempt` (from 1) failed with `error`, when there is `left` until the deadline. None when the
    /// error is final, or no attempt would fit in any more: waiting for that only delays the bad news.
    pub(crate) fn pause(&self, error: &Error, attempt: u32, left: Duration) -> Option<Duration> {
        if attempt >= self.max_attempts || !may_repeat(error) {
            return None;
        }
        self.wait_within(error, attempt, left)
    }

    /// The wait before the attempt after `attempt` (from 1), when there is `left` until the deadline. None when that attempt
    /// would not fit in.
    pub(crate) fn wait_within(&self, error: &Error, attempt: u32, left: Duration) -> Option<Duration> {
        let wait = self.wait(error, attempt);
        if wait + ROOM < left {
            return Some(wait);
        }
        // The backoff would pass the deadline, but what the server asks for does not: one more attempt before it.
        let asked = error.retry_delay().unwrap_or_default();
        let spare = left.checked_sub(asked + ROOM)?;
        (spare > self.base_backoff).then(|| asked + spare / 2)
    }

    /// The wait before the attempt after `attempt` (from 1).
    pub(crate) fn wait(&self, error: &Error, attempt: u32) -> Duration {
        // Whose turn it was gets no later the longer they wait, or the newest call would always be the first.
        let doublings = match error.reason() {
            Reason::RateLimited => 0,
            _ => attempt.saturating_sub(1).min(20),
        };
        let backoff = self.base_backoff.saturating_mul(1 << doublings).min(self.max_backoff);
        let random = rand::random::<f64>();
        match error.retry_delay() {
            // "Come back in 0 s" is no leave to come back at once, and with all the others.
            Some(asked) => asked + backoff.mul_f64(0.5 + random / 2.0),
            None => backoff.mul_f64(random),
        }
    }
}

/// Every method of the contract may be repeated: it reads, carries a request_id, or is a login, of which one too many is only
/// a session that nobody uses.
fn may_repeat(error: &Error) -> bool {
    // Repeating a throttled login by itself would hammer the door that the server just closed.
    error.is_retryable() && error.reason() != Reason::LoginThrottled
}

/// What a retry costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// One of the budget.
    Paid,
    /// Nothing.
    Free,
    /// More than there is.
    Refused,
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
        self.pay_in(self.ratio);
    }

    /// A retry that helped is paid back.
    pub(crate) fn refund(&self) {
        self.pay_in(1.0);
    }

    fn pay_in(&self, retries: f64) {
        let mut level = self.level.lock();
        level.0 = (level.0 + retries).min(self.reserve);
    }

    /// A retry after this error is taken out.
    pub(crate) fn withdraw(&self, error: &Error) -> Charge {
        if error.reason() == Reason::RateLimited {
            return Charge::Free;
        }
        let mut level = self.level.lock();
        let now = Instant::now();
        let refilled = level.0 + now.duration_since(level.1).as_secs_f64() * self.per_second;
        *level = (refilled.min(self.reserve), now);
        if level.0 < 1.0 {
            return Charge::Refused;
        }
        level.0 -= 1.0;
        Charge::Paid
    }

    /// Whether an empty budget fills up by waiting.
    pub(crate) fn refills(&self) -> bool {
        self.per_second > 0.0 && self.reserve >= 1.0
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
            (server(Code::Unavailable, "STORE_UNAVAILABLE", None), true),
            (server(Code::ResourceExhausted, "OVERLOADED", second), true),
            (server(Code::ResourceExhausted, "RATE_LIMITED", None), true),
            (server(Code::ResourceExhausted, "TOO_MANY_STREAMS", None), false),
            (server(Code::ResourceExhausted, "LOGIN_THROTTLED", second), false),
            (server(Code::Aborted, "ETAG_MISMATCH", None), false),
            (server(Code::Internal, "INTERNAL", None), false),
            (server(Code::InvalidArgument, "INVALID_FIELD", None), false),
            (Error::deadline(Duration::ZERO), true),
        ];
        for (error, expected) in cases {
            assert_eq!(may_repeat(&error), expected, "{error:?}");
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
            assert!(wait >= Duration::from_millis(3050) && wait <= Duration::from_millis(3100));
            assert!(policy.wait(&asked, 60) <= Duration::from_millis(3100));
        }
    }

    #[test]
    fn nobody_comes_back_at_once_or_together_who_was_told_to_wait_for_nothing() {
        let policy = RetryPolicy::default();
        let asked = server(Code::ResourceExhausted, "RATE_LIMITED", Some(Duration::ZERO));
        let waits: Vec<Duration> = (0..200).map(|_| policy.wait(&asked, 1)).collect();
        let least = policy.base_backoff / 2;
        assert!(waits.iter().all(|wait| *wait >= least), "{waits:?}");
        let (first, last) = (waits.iter().min(), waits.iter().max());
        assert!(
            first.zip(last).is_some_and(|(first, last)| *last - *first > least / 2),
            "{waits:?}"
        );
    }

    #[test]
    fn only_the_deadline_ends_the_attempts() {
        let policy = RetryPolicy::default();
        let plain = server(Code::Unavailable, "STORE_UNAVAILABLE", None);
        let asked = server(Code::ResourceExhausted, "RATE_LIMITED", Some(Duration::from_secs(3)));
        let (little, second) = (Duration::from_millis(50), Duration::from_secs(1));
        for attempt in [1, 5, 100, 100_000] {
            for _ in 0..50 {
                // Also when the backoff alone would pass the deadline.
                assert!(
                    policy
                        .pause(&plain, attempt, second)
                        .is_some_and(|pause| pause < second)
                );
                let pause = policy.pause(&asked, attempt, Duration::from_secs(4));
                assert!(pause.is_some_and(|pause| pause >= Duration::from_secs(3) && pause < Duration::from_secs(4)));
            }
            assert_eq!(policy.pause(&asked, attempt, Duration::from_secs(3)), None);
            assert_eq!(policy.pause(&asked, attempt, second), None);
        }
        assert_eq!(policy.pause(&plain, 100, Duration::ZERO), None);
        assert!(policy.pause(&plain, 1, little).is_none_or(|pause| pause < little));
        assert_eq!(policy.max_attempts(3).pause(&plain, 3, second), None);
        assert_eq!(RetryPolicy::none().pause(&plain, 1, second), None);
    }

    #[test]
    fn the_budget_pays_for_a_tenth() {
        let budget = Budget::new(&RetryPolicy::default().budget(0.1, 5, 0.0));
        let sick = server(Code::Unavailable, "STORE_UNAVAILABLE", None);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.deposit();
            retries += u32::from(budget.withdraw(&sick) == Charge::Paid);
        }
        assert!((100..=105).contains(&retries), "{retries}");
        budget.refund();
        assert_eq!(budget.withdraw(&sick), Charge::Paid, "what helped is paid back");
        assert_eq!(budget.withdraw(&sick), Charge::Refused);
        let limited = server(Code::ResourceExhausted, "RATE_LIMITED", None);
        assert_eq!(budget.withdraw(&limited), Charge::Free);
    }
}
