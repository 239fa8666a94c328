//! How much may be in hand at once, in this process and for one caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use social_core::error::Result;
use social_core::{Error, Reason, limits};
use social_observability::event;

use crate::ratelimit::Principal;
use crate::shares::{Share, Shares};

/// When an overloaded server is worth asking again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Open streams of one address without a token: several people may be behind it.
const ANONYMOUS_STREAMS: usize = 5 * limits::STREAMS_PER_USER;

/// The counts of what is in hand.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: Arc<Counter>,
    streams: Arc<Counter>,
    calls_of: Arc<Shares>,
    streams_of: Arc<Shares>,
    streams_at: Arc<Shares>,
}

impl Admission {
    /// Counts with these bounds on requests and on streams of the process.
    pub(crate) fn new(requests: usize, streams: usize) -> Self {
        Self {
            requests: Counter::new(requests),
            streams: Counter::new(streams),
            calls_of: Shares::new(),
            streams_of: Shares::new(),
            streams_at: Shares::new(),
        }
    }

    /// A caller's share of the calls, also of those whose message has yet to come: it takes nothing from others. OVERLOADED.
    pub(crate) fn call(&self, caller: Principal) -> Result<Share> {
        let limit = limits::REQUESTS_PER_CALLER;
        self.calls_of.take(caller, limit).ok_or_else(|| {
            event::overloaded();
            Error::new(
                Reason::Overloaded,
                format!("you have {limit} calls in hand already; nothing was done"),
            )
            .retry_after(RETRY_AFTER)
            .quota(caller.subject(), format!("{limit} calls at once"))
        })
    }

    /// A place for a request that can be worked on, at once or not at all: a queue would only make everybody late. OVERLOADED.
    pub(crate) fn request(&self) -> Result<Place> {
        self.requests.take().ok_or_else(|| {
            event::overloaded();
            Error::new(
                Reason::Overloaded,
                "the server has more work than it may take; nothing was done",
            )
            .retry_after(RETRY_AFTER)
        })
    }

    /// A place for a stream, kept as long as it is open. OVERLOADED, TOO_MANY_STREAMS.
    pub(crate) fn stream(&self, caller: Principal, address: Principal) -> Result<StreamPlace> {
        let place = self.streams.take().ok_or_else(|| {
            event::overloaded();
            Error::new(Reason::Overloaded, "the server has as many open streams as it may have")
                .retry_after(RETRY_AFTER)
        })?;
        let of_caller = match caller {
            Principal::User(_) => limits::STREAMS_PER_USER,
            Principal::Address(_) => ANONYMOUS_STREAMS,
        };
        Ok(StreamPlace {
            _of_caller: share_of(&self.streams_of, caller, of_caller)?,
            _at_address: share_of(&self.streams_at, address, limits::STREAMS_PER_ADDRESS)?,
            _place: place,
        })
    }
}

fn share_of(streams: &Arc<Shares>, whose: Principal, limit: usize) -> Result<Share> {
    streams.take(whose, limit).ok_or_else(|| {
        let subject = whose.subject();
        let message = format!("{subject} has {limit} open streams already; close one first");
        Error::new(Reason::TooManyStreams, message).quota(subject, format!("{limit} open streams"))
    })
}

/// A bounded count.
#[derive(Debug)]
struct Counter {
    taken: AtomicUsize,
    limit: usize,
}

impl Counter {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            limit,
        })
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Place(Arc::clone(self)))
    }
}

/// One of what is counted; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place(Arc<Counter>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream's place, in the process, among its caller's and among its address's.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    _of_caller: Share,
    _at_address: Share,
    _place: Place,
}

#[cfg(test)]
mod tests {
    use social_core::UserId;

    use super::*;

    #[test]
    fn a_full_house_refuses_and_a_place_given_back_is_free() {
        let admission = Admission::new(2, 1);
        let first = admission.request().unwrap();
        let _second = admission.request().unwrap();
        assert_eq!(admission.request().unwrap_err().reason, Reason::Overloaded);
        drop(first);
        admission.request().unwrap();
    }

    #[test]
    fn one_caller_cannot_take_all_streams() {
        let admission = Admission::new(1, 1_000);
        let (one, other) = (Principal::User(UserId(1)), Principal::User(UserId(2)));
        let address = Principal::of_address(None);
        let mut open: Vec<_> = (0..limits::STREAMS_PER_USER)
            .map(|_| admission.stream(one, address).unwrap())
            .collect();
        let refused = admission.stream(one, address).unwrap_err();
        assert_eq!(refused.reason, Reason::TooManyStreams);
        let _others = admission.stream(other, address).unwrap();
        open.pop();
        drop(admission.stream(one, address).unwrap());
    }

    #[test]
    fn many_users_of_one_address_cannot_take_all_streams() {
        let admission = Admission::new(1, 10_000);
        let address = Principal::of_address(Some([192, 0, 2, 7].into()));
        let stream = |user| admission.stream(Principal::User(UserId(user)), address);
        let _open: Vec<_> = (0..limits::STREAMS_PER_ADDRESS as u64)
            .map(|user| stream(user).unwrap())
            .collect();
        let refused = stream(1_000_000).unwrap_err();
        assert_eq!(refused.reason, Reason::TooManyStreams);
        assert_eq!(refused.quota.unwrap().subject, "address:192.0.2.7");
        let elsewhere = Principal::of_address(None);
        admission.stream(Principal::User(UserId(1_000_001)), elsewhere).unwrap();
    }

    #[test]
    fn one_caller_cannot_take_all_calls() {
        let admission = Admission::new(1, 1);
        let (one, other) = (Principal::User(UserId(1)), Principal::of_address(None));
        let held: Vec<_> = (0..limits::REQUESTS_PER_CALLER)
            .map(|_| admission.call(one).unwrap())
            .collect();
        assert_eq!(admission.call(one).unwrap_err().reason, Reason::Overloaded);
        admission.call(other).unwrap();
        drop(held);
        admission.call(one).unwrap();
    }
}
