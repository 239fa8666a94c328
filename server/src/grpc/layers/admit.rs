//! How much may be in hand at once, in this process and for one caller.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use social_core::error::Result;
use social_core::{Error, Reason, limits};
use social_observability::event;

use crate::ratelimit::Principal;

/// When an overloaded server is worth asking again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Open streams of one address without a token: several people may be behind it.
const STREAMS_PER_ADDRESS: u32 = 5 * limits::STREAMS_PER_USER as u32;

/// The counts of what is in hand.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: Arc<Counter>,
    streams: Arc<Counter>,
    streams_of: Arc<Mutex<HashMap<Principal, u32>>>,
}

impl Admission {
    /// Counts with these bounds on requests and on streams.
    pub(crate) fn new(requests: usize, streams: usize) -> Self {
        Self {
            requests: Counter::new(requests),
            streams: Counter::new(streams),
            streams_of: Arc::default(),
        }
    }

    /// A place for a request, at once or not at all: a queue would only make everybody late. OVERLOADED.
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
    pub(crate) fn stream(&self, principal: Principal) -> Result<StreamPlace> {
        let place = self.streams.take().ok_or_else(|| {
            event::overloaded();
            Error::new(Reason::Overloaded, "the server has as many open streams as it may have")
                .retry_after(RETRY_AFTER)
        })?;
        let limit = match principal {
            Principal::User(_) => limits::STREAMS_PER_USER as u32,
            Principal::Address(_) => STREAMS_PER_ADDRESS,
        };
        let mut streams_of = self.streams_of.lock();
        let open = streams_of.entry(principal).or_default();
        if *open >= limit {
            let message = format!("you have {limit} open streams already; close one first");
            return Err(
                Error::new(Reason::TooManyStreams, message).quota(principal.subject(), format!("{limit} open streams"))
            );
        }
        *open += 1;
        drop(streams_of);
        Ok(StreamPlace {
            principal,
            streams_of: Arc::clone(&self.streams_of),
            _place: place,
        })
    }
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

/// A stream's place, in the process and among its caller's.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    principal: Principal,
    streams_of: Arc<Mutex<HashMap<Principal, u32>>>,
    _place: Place,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams_of = self.streams_of.lock();
        if let Some(open) = streams_of.get_mut(&self.principal) {
            *open -= 1;
            if *open == 0 {
                streams_of.remove(&self.principal);
            }
        }
    }
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
        let mut open: Vec<_> = (0..limits::STREAMS_PER_USER)
            .map(|_| admission.stream(one).unwrap())
            .collect();
        assert_eq!(admission.stream(one).unwrap_err().reason, Reason::TooManyStreams);
        let _others = admission.stream(other).unwrap();
        open.pop();
        drop(admission.stream(one).unwrap());
        open.clear();
        assert_eq!(admission.streams_of.lock().len(), 1);
    }
}
