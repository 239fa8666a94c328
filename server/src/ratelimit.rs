//! How often methods may be called: a token bucket for each user, address and class of method.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use social_core::access::Class;
use social_core::{Error, Reason, UserId};
use social_observability::event;

use crate::config::{Rate, RateLimits};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    /// A user, wherever they call from.
    User(UserId),
    /// An address: of IPv4 the whole, of IPv6 its /64, which is what one household gets.
    Address(u128),
}

impl Principal {
    /// The one of an address; callers without one (in tests) are one principal.
    pub(crate) fn of_address(address: Option<IpAddr>) -> Self {
        let bits = match address.map(|address| address.to_canonical()) {
            None => 0,
            Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().to_bits(),
            Some(IpAddr::V6(v6)) => v6.to_bits() & !u128::from(u64::MAX),
        };
        Self::Address(bits)
    }

    /// How errors name it.
    pub(crate) fn subject(self) -> String {
        match self {
            Self::User(user) => format!("user:{user}"),
            Self::Address(bits) => match Ipv6Addr::from_bits(bits).to_canonical() {
                IpAddr::V4(v4) => format!("address:{v4}"),
                IpAddr::V6(v6) => format!("address:{v6}/64"),
            },
        }
    }

    fn scope(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Address(_) => "address",
        }
    }
}

/// What is left of a bucket, for the headers of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    limit: u32,
    remaining: u32,
    reset_s: u64,
}

impl Budget {
    /// The one of two that runs out first.
    pub(crate) fn tighter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if one.remaining <= other.remaining { one } else { other }),
            (one, other) => one.or(other),
        }
    }

    /// Tells the caller.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset_s));
    }
}

/// A call that is not let in, with what the headers say.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Why. Boxed, since nearly every call has none.
    pub(crate) error: Box<Error>,
    /// What is left of the tightest bucket that the call was taken from.
    pub(crate) budget: Option<Budget>,
}

impl Refused {
    pub(crate) fn new(error: Error, budget: Option<Budget>) -> Self {
        Self {
            error: Box::new(error),
            budget,
        }
    }
}

/// All buckets.
pub(crate) struct Limits {
    read: Buckets,
    write: Buckets,
    auth: Buckets,
    stream: Buckets,
}

/// The buckets of a class.
struct Buckets {
    class: &'static str,
    user: Option<Limiter>,
    address: Option<Limiter>,
}

type Keyed = RateLimiter<Principal, DefaultKeyedStateStore<Principal>, DefaultClock, StateInformationMiddleware>;

struct Limiter {
    buckets: Keyed,
    clock: DefaultClock,
    per_second: u32,
    burst: u32,
}

impl Limits {
    pub(crate) fn new(config: &RateLimits) -> Self {
        Self {
            read: Buckets::new("read", config.read),
            write: Buckets::new("write", config.write),
            auth: Buckets::new("auth", config.auth),
            stream: Buckets::new("stream", config.stream),
        }
    }

    /// Takes one call from the caller's bucket of a class; none where that is not bounded.
    pub(crate) fn take(&self, class: Class, principal: Principal) -> Result<Option<Budget>, Refused> {
        let buckets = match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Auth => &self.auth,
            Class::Stream => &self.stream,
            // Operators are few, and known.
            Class::Admin => return Ok(None),
        };
        let limiter = match principal {
            Principal::User(_) => buckets.user.as_ref(),
            Principal::Address(_) => buckets.address.as_ref(),
        };
        limiter
            .map(|limiter| limiter.take(principal, buckets.class))
            .transpose()
    }

    /// Forgets full buckets, which say no more than no bucket. To be called now and then, so that they do not pile up.
    pub(crate) fn forget_idle(&self) {
        for buckets in [&self.read, &self.write, &self.auth, &self.stream] {
            for limiter in [&buckets.user, &buckets.address].into_iter().flatten() {
                limiter.buckets.retain_recent();
            }
        }
    }
}

impl Buckets {
    fn new(class: &'static str, rate: Rate) -> Self {
        Self {
            class,
            user: Limiter::new(rate.user_per_second, rate.user_burst),
            address: Limiter::new(rate.address_per_second, rate.address_burst),
        }
    }
}

impl Limiter {
    /// None for a rate of 0: not bounded.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(per_second)?).allow_burst(NonZeroU32::new(burst)?);
        let buckets = RateLimiter::keyed(quota).with_middleware();
        Some(Self {
            buckets,
            clock: DefaultClock::default(),
            per_second,
            burst,
        })
    }

    fn take(&self, principal: Principal, class: &'static str) -> Result<Budget, Refused> {
        match self.buckets.check_key(&principal) {
            Ok(state) => Ok(self.budget(state.remaining_burst_capacity())),
            Err(not_until) => {
                event::rate_limited(principal.scope(), class);
                Err(self.refused(principal, class, not_until.wait_time_from(self.clock.now())))
            }
        }
    }

    fn budget(&self, remaining: u32) -> Budget {
        let missing = self.burst.saturating_sub(remaining);
        Budget {
            limit: self.burst,
            remaining,
            reset_s: missing.div_ceil(self.per_second).into(),
        }
    }

    fn refused(&self, principal: Principal, class: &str, wait: Duration) -> Refused {
        let quota = format!("{} {class} calls a second, {} at once", self.per_second, self.burst);
        let error = Error::new(
            Reason::RateLimited,
            format!("too many {class} calls; wait before the next one"),
        )
        .retry_after(wait)
        .quota(principal.subject(), quota);
        let budget = Budget {
            limit: self.burst,
            remaining: 0,
            reset_s: wait.as_secs() + 1,
        };
        Refused::new(error, Some(budget))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_second: u32, burst: u32) -> Limits {
        let rate = Rate {
            user_per_second: per_second,
            user_burst: burst,
            address_per_second: 0,
            address_burst: 0,
        };
        Limits::new(&RateLimits {
            read: rate,
            write: rate,
            auth: rate,
            stream: rate,
        })
    }

    #[test]
    fn a_burst_passes_and_the_next_call_is_refused() {
        let limits = limits(1, 3);
        let user = Principal::User(UserId(1));
        let left: Vec<u32> = (0..3)
            .map(|_| limits.take(Class::Read, user).unwrap().unwrap().remaining)
            .collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = limits.take(Class::Read, user).unwrap_err();
        assert_eq!(refused.error.reason, Reason::RateLimited);
        assert!(refused.error.retry_after.unwrap() <= Duration::from_secs(1));
        assert!(refused.error.quota.unwrap().subject.starts_with("user:"));
        // Another class and another user have buckets of their own.
        assert!(limits.take(Class::Write, user).is_ok());
        assert!(limits.take(Class::Read, Principal::User(UserId(2))).is_ok());
    }

    #[test]
    fn a_rate_of_zero_is_no_bound_and_operators_have_none() {
        let limits = limits(1, 1);
        for _ in 0..10 {
            assert_eq!(limits.take(Class::Read, Principal::of_address(None)).unwrap(), None);
            assert_eq!(limits.take(Class::Admin, Principal::User(UserId(1))).unwrap(), None);
        }
    }

    #[test]
    fn addresses_of_one_network_are_one_caller() {
        let principal = |text: &str| Principal::of_address(Some(text.parse().unwrap()));
        assert_eq!(principal("2001:db8::1"), principal("2001:db8::ffff:1"));
        assert_ne!(principal("2001:db8::1"), principal("2001:db8:0:1::1"));
        assert_eq!(principal("::ffff:192.0.2.7"), principal("192.0.2.7"));
        assert_eq!(principal("192.0.2.7").subject(), "address:192.0.2.7");
        assert_eq!(principal("2001:db8::1").subject(), "address:2001:db8::/64");
    }

    #[test]
    fn the_tighter_budget_is_told() {
        let budget = |remaining| {
            Some(Budget {
                limit: 9,
                remaining,
                reset_s: 1,
            })
        };
        assert_eq!(Budget::tighter(budget(3), budget(2)), budget(2));
        assert_eq!(Budget::tighter(None, budget(2)), budget(2));
        let mut headers = HeaderMap::new();
        budget(4).unwrap().write(&mut headers);
        assert_eq!(headers["ratelimit-remaining"], "4");
        assert_eq!(headers["ratelimit-limit"], "9");
    }

    #[test]
    fn idle_buckets_are_forgotten() {
        let limits = limits(1_000_000, 1);
        limits.take(Class::Read, Principal::User(UserId(1))).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        limits.forget_idle();
        assert_eq!(limits.read.user.unwrap().buckets.len(), 0);
    }
}
