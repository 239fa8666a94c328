//! Token buckets, one a principal. Each is a moment: when it is full again if nothing further is taken.
//!
//! Who is refused is told a turn of their own: were all told the next call that is regained, they would meet there, and who has bad luck would starve.
//!
//! Where processes share budgets, a bucket also knows what others took, and may then be in debt: what they took together before they heard of each
//! other is waited out.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Principal;

/// Nobody waits longer for what was taken too much, whatever is told.
const MOST_DEBT: Duration = Duration::from_secs(3_600);
/// Turns are told so far ahead, and then from the next one on again: who is told too much may have given up.
const FURTHEST_TURN: Duration = Duration::from_secs(5);
/// Parts of the map, each with a lock of its own.
const SHARDS: usize = 16;

/// The buckets of a class and kind of principal.
pub(super) struct Buckets {
    /// The time in which a bucket regains one call.
    cost: Duration,
    /// What a full bucket holds, as time.
    depth: Duration,
    burst: u32,
    hash: RandomState,
    shards: [Mutex<HashMap<Principal, Bucket>>; SHARDS],
}

struct Bucket {
    full_at: Instant,
    /// The last turn that somebody who was refused was told.
    turn: Instant,
    /// Calls that other processes were not told of.
    untold: u32,
}

/// What a call that was let in left behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Calls that the bucket holds now.
    pub(super) remaining: u32,
    /// Whether this is the first call that others were not told of.
    pub(super) is_news: bool,
}

impl Buckets {
    /// Buckets that regain `per_second` calls a second and hold `burst` of them; none where either is 0.
    pub(super) fn new(per_second: u32, burst: u32) -> Option<Self> {
        let cost = Duration::from_secs(1).checked_div(per_second)?;
        (burst > 0).then(|| Self {
            cost,
            depth: cost * burst,
            burst,
            hash: RandomState::new(),
            shards: Default::default(),
        })
    }

    /// The time in which a bucket regains one call.
    pub(super) fn cost(&self) -> Duration {
        self.cost
    }

    /// Takes a call, or says how long to wait for a turn.
    pub(super) fn take(&self, principal: Principal, now: Instant) -> Result<Left, Duration> {
        let mut shard = self.shard(principal).lock();
        let bucket = shard.entry(principal).or_insert(Bucket {
            full_at: now,
            turn: now,
            untold: 0,
        });
        let taken = bucket.full_at.max(now).duration_since(now) + self.cost;
        if taken > self.depth {
            let next = now + (taken - self.depth);
            return Err(bucket.turn_after(next, self.cost, now).duration_since(now));
        }
        bucket.full_at = now + taken;
        bucket.untold = bucket.untold.saturating_add(1);
        let remaining = (self.depth - taken).as_nanos() / self.cost.as_nanos().max(1);
        Ok(Left {
            remaining: u32::try_from(remaining).unwrap_or(self.burst),
            is_news: bucket.untold == 1,
        })
    }

    /// The calls that others were not told of, who are told now.
    pub(super) fn tell(&self, principal: Principal) -> u32 {
        let mut shard = self.shard(principal).lock();
        shard
            .get_mut(&principal)
            .map_or(0, |bucket| std::mem::take(&mut bucket.untold))
    }

    /// Others could not be told. Nobody owes more than a full bucket.
    pub(super) fn untell(&self, principal: Principal, calls: u32) {
        if let Some(bucket) = self.shard(principal).lock().get_mut(&principal) {
            bucket.untold = bucket.untold.saturating_add(calls).min(self.burst);
        }
    }

    /// Takes note that at `asked` it took so long until the bucket was full again, by what all processes had told.
    pub(super) fn learn(&self, principal: Principal, asked: Instant, until_full: Duration) {
        let mut shard = self.shard(principal).lock();
        if let Some(bucket) = shard.get_mut(&principal) {
            let full_at = asked + until_full.min(MOST_DEBT) + self.cost * bucket.untold;
            bucket.full_at = bucket.full_at.max(full_at);
        }
    }

    /// Forgets full buckets, which say no more than no bucket.
    pub(super) fn forget_full(&self, now: Instant) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|_, bucket| bucket.full_at > now);
            shard.shrink_to_fit();
        }
    }

    fn shard(&self, principal: Principal) -> &Mutex<HashMap<Principal, Bucket>> {
        &self.shards[self.hash.hash_one(principal) as usize % SHARDS]
    }
}

impl Bucket {
    /// The turn of who is refused now, when a call is regained at `next` and each `cost` after it.
    fn turn_after(&mut self, next: Instant, cost: Duration, now: Instant) -> Instant {
        let behind = self.turn + cost;
        self.turn = if behind > now + FURTHEST_TURN {
            next
        } else {
            behind.max(next)
        };
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use social_core::UserId;

    use super::*;

    const USER: Principal = Principal::User(UserId(1));

    #[test]
    fn a_bucket_regains_its_calls_one_by_one() {
        let (buckets, start) = (Buckets::new(10, 3).unwrap(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        let left = |ms| buckets.take(USER, after(ms)).map(|left| left.remaining);
        assert_eq!([left(0), left(0), left(0)], [Ok(2), Ok(1), Ok(0)]);
        assert_eq!(left(40), Err(Duration::from_millis(60)));
        assert_eq!(left(100), Ok(0));
        assert_eq!(left(1_000), Ok(2));
        assert!(Buckets::new(0, 1).is_none() && Buckets::new(1, 0).is_none());
    }

    #[test]
    fn each_who_is_refused_has_a_turn_of_their_own() {
        let (buckets, start) = (Buckets::new(10, 1).unwrap(), Instant::now());
        let refused = |ms| {
            buckets
                .take(USER, start + Duration::from_millis(ms))
                .unwrap_err()
                .as_millis()
        };
        buckets.take(USER, start).unwrap();
        assert_eq!([refused(0), refused(0), refused(50)], [100, 200, 250]);
        for _ in 0..1_000 {
            assert!((1..=5_000).contains(&refused(60)));
        }
        // Turns that nobody came for are not waited for.
        let later = start + Duration::from_secs(20);
        buckets.take(USER, later).unwrap();
        assert_eq!(buckets.take(USER, later), Err(Duration::from_millis(100)));
    }

    #[test]
    fn what_others_took_is_waited_out() {
        let (buckets, start) = (Buckets::new(10, 3).unwrap(), Instant::now());
        assert!(buckets.take(USER, start).unwrap().is_news);
        assert!(!buckets.take(USER, start).unwrap().is_news);
        assert_eq!((buckets.tell(USER), buckets.tell(USER)), (2, 0));
        // Others took three, too: five in all, two more than there were.
        buckets.learn(USER, start, Duration::from_millis(500));
        assert_eq!(buckets.take(USER, start), Err(Duration::from_millis(300)));
        let later = start + Duration::from_millis(300);
        assert_eq!(buckets.take(USER, later).map(|left| left.remaining), Ok(0));
        // Who knows less than this process changes nothing.
        buckets.learn(USER, later, Duration::ZERO);
        assert!(buckets.take(USER, later).is_err());
        buckets.untell(USER, 1_000);
        assert_eq!(buckets.tell(USER), 3);
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (buckets, start) = (Buckets::new(10, 3).unwrap(), Instant::now());
        buckets.take(USER, start).unwrap();
        let kept = || buckets.shards.iter().map(|shard| shard.lock().len()).sum::<usize>();
        buckets.forget_full(start);
        assert_eq!(kept(), 1);
        buckets.forget_full(start + Duration::from_secs(1));
        assert_eq!(kept(), 0);
    }
}
