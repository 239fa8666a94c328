//! What a process remembers of the graph.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use social_core::graph::Following;
use social_core::{Result, UserId};

use crate::cluster::lists::BUCKET_ENTRIES;

/// Memory for whom viewers follow.
const FOLLOWING_BYTES: u64 = 64 << 20;
/// What a viewer costs who follows some users.
const USUAL_BYTES: u64 = 4_096;
/// Authors whose followers are known.
const AUTHORS: usize = 100_000;
/// Followers below which a count is cheap, and not worth more than a glance: one bucket.
const FEW: i64 = BUCKET_ENTRIES;
/// How long a small count is gone by. Other processes may have changed it.
const FEW_KNOWN_FOR: Duration = Duration::from_secs(1);
/// How long a large one is.
const MANY_KNOWN_FOR: Duration = Duration::from_secs(5);

/// Whom viewers follow, each as of a version: what is known of a version holds for ever.
pub(super) struct KnownFollowing {
    viewers: Cache<(UserId, i64), Arc<Following>, Weigh>,
}

#[derive(Clone, Copy)]
struct Weigh;

impl Weighter<(UserId, i64), Arc<Following>> for Weigh {
    fn weight(&self, _: &(UserId, i64), following: &Arc<Following>) -> u64 {
        let (followees, muted) = (following.followees.capacity(), following.muted.capacity());
        200 + 20 * followees as u64 + 12 * muted as u64
    }
}

impl KnownFollowing {
    pub(super) fn new() -> Self {
        Self {
            viewers: Cache::with_weighter((FOLLOWING_BYTES / USUAL_BYTES) as usize, FOLLOWING_BYTES, Weigh),
        }
    }

    /// Whom a viewer follows as of a version that was read just now. One call loads what is missing, others wait for it.
    pub(super) async fn get(
        &self,
        viewer: UserId,
        version: i64,
        load: impl Future<Output = Result<Following>>,
    ) -> Result<Arc<Following>> {
        let load = async { load.await.map(Arc::new) };
        self.viewers.get_or_insert_async(&(viewer, version), load).await
    }
}

/// How many followers authors have, or had a moment ago.
pub(super) struct KnownCounts {
    authors: Cache<UserId, Arc<Known>>,
}

struct Known {
    followers: AtomicI64,
    at: Instant,
}

impl Known {
    fn followers(&self) -> i64 {
        self.followers.load(Ordering::Relaxed)
    }

    fn is_old(&self) -> bool {
        let kept = if self.followers() < FEW {
            FEW_KNOWN_FOR
        } else {
            MANY_KNOWN_FOR
        };
        self.at.elapsed() >= kept
    }
}

impl KnownCounts {
    pub(super) fn new() -> Self {
        Self {
            authors: Cache::new(AUTHORS),
        }
    }

    /// An author's followers; counted by one call where that is missing or old.
    pub(super) async fn get(&self, author: UserId, count: impl Future<Output = Result<u64>>) -> Result<u64> {
        self.authors.remove_if(&author, |known| known.is_old());
        let load = async {
            let at = Instant::now();
            let followers = AtomicI64::new(count.await? as i64);
            Ok(Arc::new(Known { followers, at }))
        };
        let known = self.authors.get_or_insert_async(&author, load).await?;
        Ok(known.followers().max(0) as u64)
    }

    /// This process moved an author's followers. A small count is made anew; of a large one, a count that is under way is good enough.
    pub(super) fn moved(&self, author: UserId, by: i64) {
        match self.authors.get(&author) {
            Some(known) if known.followers() >= FEW => {
                known.followers.fetch_add(by, Ordering::Relaxed);
            }
            // Also what is being counted: it may have been read before.
            _ => drop(self.authors.remove(&author)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    const STAR: UserId = UserId(7);

    #[tokio::test]
    async fn a_count_that_was_read_before_a_change_does_not_outlive_it() {
        let counts = KnownCounts::new();
        let (go, gone) = oneshot::channel();
        let before = counts.get(STAR, async {
            gone.await.unwrap();
            Ok(3)
        });
        let change = async {
            counts.moved(STAR, 1);
            go.send(()).unwrap();
        };
        let (before, ()) = tokio::join!(before, change);
        assert_eq!(before.unwrap(), 3);
        assert_eq!(counts.get(STAR, async { Ok(4) }).await.unwrap(), 4);
        assert_eq!(counts.get(STAR, async { panic!("known") }).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_large_count_moves_without_being_made_anew() {
        let counts = KnownCounts::new();
        assert_eq!(
            counts.get(STAR, async { Ok(FEW as u64 + 5) }).await.unwrap(),
            FEW as u64 + 5
        );
        counts.moved(STAR, -1);
        counts.moved(STAR, 3);
        assert_eq!(
            counts.get(STAR, async { panic!("known") }).await.unwrap(),
            FEW as u64 + 7
        );
    }

    #[tokio::test]
    async fn each_version_is_loaded_once() {
        let known = KnownFollowing::new();
        let first = known.get(STAR, 1, async { Ok(Following::default()) }).await.unwrap();
        let same = known.get(STAR, 1, async { panic!("known") }).await.unwrap();
        assert!(Arc::ptr_eq(&first, &same));
        let of_two = Following {
            muted: [UserId(9)].into(),
            ..Following::default()
        };
        let next = known.get(STAR, 2, async { Ok(of_two.clone()) }).await.unwrap();
        assert_eq!(*next, of_two);
    }
}
