//! Counts in Redis, moved at once and counted anew from truth.
//!
//! A hash holds the counts of one post or user, whether they are exact, and a version. A change in truth is followed by a delta, which
//! moves the counts, raises the version and files the key as dirty; a recount reads the version, counts truth, and installs what
//! it counted as exact where the version is the same. A version begins at random, so that a recount notices a Redis that forgot
//! everything meanwhile.
//!
//! What is not in Redis is counted when it is read. While Redis is away every read is counted from truth.

mod flights;
mod pending;
mod recount;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use social_core::backend::Counters;
use social_core::posts::PostCounts;
use social_core::users::UserCounts;
use social_core::{PostId, Result, UserId};
use tokio_util::sync::CancellationToken;

use super::Redis;
use flights::Flights;
use pending::Pending;
use recount::Recount;
use rows::{Key, Row, Rows, Tally};

/// Counts that are made from truth at once for one call.
const COUNTING: usize = 16;
/// How often an explicit recount begins anew because something moved meanwhile.
const TRIES: usize = 3;

/// Counts things as they are. Asked when Redis does not know.
#[async_trait]
pub trait Truth: Send + Sync {
    /// Counts a post's likes, comments and replies: zero for one that does not exist.
    async fn count_post(&self, id: PostId) -> Result<PostCounts>;

    /// Counts a user's posts, followers and followees: zero for one who does not exist.
    async fn count_user(&self, id: UserId) -> Result<UserCounts>;
}

/// By how much a post's counts moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PostDelta {
    /// Likes more, or fewer.
    pub likes: i64,
    /// Comments more, or fewer.
    pub comments: i64,
    /// Replies more, or fewer.
    pub replies: i64,
}

/// By how much a user's counts moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserDelta {
    /// Posts more, or fewer.
    pub posts: i64,
    /// Followers more, or fewer.
    pub followers: i64,
    /// Followees more, or fewer.
    pub following: i64,
}

/// [`Counters`] in Redis over [`Truth`].
pub struct RedisCounters {
    recount: Arc<Recount>,
    pending: Arc<Pending>,
    flights: Arc<Flights>,
}

impl RedisCounters {
    /// Counters that move and read over a connection of their own.
    pub async fn new(redis: &Redis, truth: Arc<dyn Truth>) -> Self {
        let rows = Arc::new(Rows::new(redis).await);
        let pending = Arc::new(Pending::default());
        let recount = Arc::new(Recount {
            rows: Arc::clone(&rows),
            truth,
        });
        redis.run(pending::send(Arc::clone(&pending), rows));
        Self {
            flights: Arc::new(Flights::new(Arc::clone(&recount))),
            recount,
            pending,
        }
    }

    /// A post's counts moved in truth. Costs the caller no waiting. A delta of nothing has the post counted anew, as is right where a
    /// change may have been counted or not.
    pub fn moved_post(&self, id: PostId, by: PostDelta) {
        self.moved(Key::post(id), [by.likes, by.comments, by.replies]);
    }

    /// A user's counts moved in truth. As [`moved_post`](Self::moved_post).
    pub fn moved_user(&self, id: UserId, by: UserDelta) {
        self.moved(Key::user(id), [by.posts, by.followers, by.following]);
    }

    /// Counts anew what moved, oldest first, until cancelled. Any number of processes may do this.
    pub async fn recount_dirty(&self, cancel: CancellationToken) {
        cancel.run_until_cancelled(self.recount.dirty()).await;
    }

    /// Waits until what moved so far has been sent, or is known to be counted later; not longer than `patience`.
    pub async fn drain(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.pending.acked()).await;
    }

    /// Changes that could not be sent yet and will be counted anew, for operators.
    pub fn unsent(&self) -> usize {
        self.pending.len()
    }

    fn moved(&self, key: Key, by: [i64; 3]) {
        self.pending.add(key, by);
        // Who reads from now on must not be given a count that was begun before.
        self.flights.leave(key);
    }

    async fn read(&self, keys: &[Key]) -> Result<Vec<Tally>> {
        self.pending.sent(keys, self.recount.rows.patience()).await;
        let rows = self.recount.rows.read(keys).await;
        stream::iter(keys.iter().copied().zip(rows))
            .map(|(key, row)| self.tally(key, row))
            .buffered(COUNTING)
            .try_collect()
            .await
    }

    async fn tally(&self, key: Key, row: Option<Row>) -> Result<Tally> {
        let Some(row) = row else {
            return self.flights.join(key).await;
        };
        let Some(values) = row.values() else {
            return self.recounted(key, row).await;
        };
        if row.is_overdue() {
            self.pending.add(key, [0; 3]);
        }
        let exact = row.exact && !self.pending.holds(key);
        Ok(Tally { values, exact })
    }

    /// A count below zero: deltas came twice, or in another order.
    async fn recounted(&self, key: Key, row: Row) -> Result<Tally> {
        match self.flights.join(key).await {
            Err(error) => {
                tracing::warn!(%key, %error, "a count below zero cannot be counted anew yet");
                Ok(row.clamped())
            }
            counted => counted,
        }
    }
}

#[async_trait]
impl Counters for RedisCounters {
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<PostCounts>> {
        let keys: Vec<_> = ids.iter().copied().map(Key::post).collect();
        Ok(self.read(&keys).await?.into_iter().map(PostCounts::from).collect())
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<UserCounts>> {
        let keys: Vec<_> = ids.iter().copied().map(Key::user).collect();
        Ok(self.read(&keys).await?.into_iter().map(UserCounts::from).collect())
    }

    async fn recount_post(&self, id: PostId) -> Result<(PostCounts, PostCounts)> {
        let key = Key::post(id);
        self.pending.sent(&[key], self.recount.rows.patience()).await;
        let (before, mut after) = self.recount.once(key).await?;
        for _ in 1..TRIES {
            if after.exact {
                break;
            }
            after = self.recount.once(key).await?.1;
        }
        after.exact &= !self.pending.holds(key);
        Ok((before.unwrap_or(after).into(), after.into()))
    }
}
