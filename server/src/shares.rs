//! How much of something each caller has in hand, and the bound on it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ratelimit::Principal;

/// Counts by caller. Only callers that have something in hand are remembered.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<HashMap<Principal, usize>>);

impl Shares {
    /// Counts with nothing in hand.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One more for this caller; none where it has `limit` already.
    pub(crate) fn take(self: &Arc<Self>, principal: Principal, limit: usize) -> Option<Share> {
        let mut taken = self.0.lock();
        let of_caller = taken.entry(principal).or_default();
        // With a limit of 0 the entry would stay for ever.
        if *of_caller >= limit.max(1) {
            return None;
        }
        *of_caller += 1;
        Some(Share {
            principal,
            of: Arc::clone(self),
        })
    }
}

/// One of what is counted; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    principal: Principal,
    of: Arc<Shares>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock();
        if let Some(of_caller) = taken.get_mut(&self.principal) {
            *of_caller -= 1;
            if *of_caller == 0 {
                taken.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use social_core::UserId;

    use super::*;

    #[test]
    fn each_caller_has_a_bound_of_its_own_and_nothing_is_remembered_of_who_left() {
        let shares = Shares::new();
        let (one, other) = (Principal::User(UserId(1)), Principal::of_address(None));
        let held: Vec<_> = (0..3).map_while(|_| shares.take(one, 3)).collect();
        assert_eq!(held.len(), 3);
        assert!(shares.take(one, 3).is_none());
        let others = shares.take(other, 1).unwrap();
        drop(held);
        shares.take(one, 1).unwrap();
        assert_eq!(shares.0.lock().len(), 1);
        drop(others);
        assert!(shares.0.lock().is_empty());
    }
}
