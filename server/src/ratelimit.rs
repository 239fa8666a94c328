//! How often methods may be called: a token bucket for each user, address and class of method. In a cluster all processes share them.

mod buckets;
mod sharing;

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use social_core::access::Class;
use social_core::backend::Taken;
use social_core::{Error, Reason, UserId};
use social_observability::event;

pub(crate) use self::sharing::{Untold, share};

use self::buckets::{Buckets, Left};
use self::sharing::News;
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

    /// What processes call its bucket of a class.
    fn bucket(self, class: &str) -> String {
        match self {
            Self::User(user) => format!("{class}:user:{user}"),
            Self::Address(bits) => format!("{class}:address:{bits:032x}"),
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
    read: OfClass,
    write: OfClass,
    auth: OfClass,
    stream: OfClass,
    /// Where processes share budgets: what others are to be told of.
    untold: Option<sharing::Sender>,
}

/// The buckets of a class.
struct OfClass {
    class: &'static str,
    user: Option<Limiter>,
    address: Option<Limiter>,
}

struct Limiter {
    buckets: Buckets,
    per_second: u32,
    burst: u32,
}

impl Limits {
    /// Those of the only process.
    pub(crate) fn new(config: &RateLimits) -> Self {
        Self {
            read: OfClass::new("read", config.read),
            write: OfClass::new("write", config.write),
            auth: OfClass::new("auth", config.auth),
            stream: OfClass::new("stream", config.stream),
            untold: None,
        }
    }

    /// Those of one process of many, and what is to be [shared](share) with the others.
    pub(crate) fn shared(config: &RateLimits) -> (Self, Untold) {
        let (sender, untold) = sharing::queue();
        let limits = Self {
            untold: Some(sender),
            ..Self::new(config)
        };
        (limits, untold)
    }

    /// Takes one call from the caller's bucket of a class; none where that is not bounded.
    pub(crate) fn take(&self, class: Class, principal: Principal) -> Result<Option<Budget>, Refused> {
        let Some((name, limiter)) = self.limiter(class, principal) else {
            return Ok(None);
        };
        let left = limiter.take(principal, name)?;
        if left.is_news {
            self.announce(News { class, principal });
        }
        Ok(Some(limiter.budget(left.remaining)))
    }

    /// The buckets of a kind of principal, and the name of the class; none where that is not bounded.
    fn limiter(&self, class: Class, principal: Principal) -> Option<(&'static str, &Limiter)> {
        let of_class = match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Auth => &self.auth,
            Class::Stream => &self.stream,
            // Operators are few, and known.
            Class::Admin => return None,
        };
        let limiter = match principal {
            Principal::User(_) => of_class.user.as_ref(),
            Principal::Address(_) => of_class.address.as_ref(),
        };
        limiter.map(|limiter| (of_class.class, limiter))
    }

    /// Has others told of a bucket. Where too many wait for that, they hear of it with a later call.
    fn announce(&self, news: News) {
        let Some(untold) = &self.untold else {
            return;
        };
        if untold.try_send(news).is_err()
            && let Some((_, limiter)) = self.limiter(news.class, news.principal)
        {
            limiter.buckets.tell(news.principal);
        }
    }

    /// What others are to be told of a bucket now.
    fn tell(&self, News { class, principal }: News) -> Option<Taken> {
        let (name, limiter) = self.limiter(class, principal)?;
        let calls = limiter.buckets.tell(principal);
        (calls > 0).then(|| Taken {
            bucket: principal.bucket(name),
            cost: limiter.buckets.cost(),
            calls,
        })
    }

    /// They could not be told.
    fn untell(&self, news: News, calls: u32) {
        if let Some((_, limiter)) = self.limiter(news.class, news.principal) {
            limiter.buckets.untell(news.principal, calls);
            self.announce(news);
        }
    }

    /// What was learned from others about a bucket.
    fn learn(&self, News { class, principal }: News, asked: Instant, until_full: Duration) {
        if let Some((_, limiter)) = self.limiter(class, principal) {
            limiter.buckets.learn(principal, asked, until_full);
        }
    }

    /// Forgets full buckets, which say no more than no bucket. To be called now and then, so that they do not pile up.
    pub(crate) fn forget_idle(&self) {
        let now = Instant::now();
        for of_class in [&self.read, &self.write, &self.auth, &self.stream] {
            for limiter in [&of_class.user, &of_class.address].into_iter().flatten() {
                limiter.buckets.forget_full(now);
            }
        }
    }
}

impl OfClass {
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
        Some(Self {
            buckets: Buckets::new(per_second, burst)?,
            per_second,
            burst,
        })
    }

    fn take(&self, principal: Principal, class: &'static str) -> Result<Left, Refused> {
        self.buckets.take(principal, Instant::now()).map_err(|wait| {
            event::rate_limited(principal.scope(), class);
            self.refused(principal, class, wait)
        })
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
        Limits::new(&rates(per_second, burst))
    }

    fn rates(per_second: u32, burst: u32) -> RateLimits {
        let rate = Rate {
            user_per_second: per_second,
            user_burst: burst,
            address_per_second: 0,
            address_burst: 0,
        };
        RateLimits {
            read: rate,
            write: rate,
            auth: rate,
            stream: rate,
        }
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
    fn others_are_told_once_of_what_was_taken() {
        let (limits, untold) = Limits::shared(&rates(1, 10));
        let user = Principal::User(UserId(1));
        for _ in 0..3 {
            limits.take(Class::Read, user).unwrap();
        }
        assert_eq!(untold.len(), 1);
        let news = News {
            class: Class::Read,
            principal: user,
        };
        let taken = limits.tell(news).unwrap();
        assert_eq!((taken.calls, taken.cost), (3, Duration::from_secs(1)));
        assert_eq!(taken.bucket, format!("read:user:{}", UserId(1)));
        assert_eq!(limits.tell(news), None);
        // What others took is gone, too: seven and these three.
        limits.learn(news, Instant::now(), Duration::from_secs(10));
        let refused = limits.take(Class::Read, user).unwrap_err();
        assert_eq!(refused.error.reason, Reason::RateLimited);
        // Where they cannot be told, they are once more.
        limits.untell(news, taken.calls);
        assert_eq!(untold.len(), 2);
        assert_eq!(limits.tell(news).map(|taken| taken.calls), Some(3));
    }
}
