//! The counts of some posts, live.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::set::batch_get_counts;
use crate::auth;
use crate::backend::{Backend, Channel, Listener, WakeKind};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::id::PostId;
use crate::limits;
use crate::posts::PostCounts;
use crate::request::Caller;

/// What happens to the counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountsEvent {
    /// All of them as they are now. First on every stream.
    Snapshot {
        /// Counts of the posts that the viewer can see.
        counts: Vec<(PostId, PostCounts)>,
        /// The other posts asked for.
        not_found: Vec<PostId>,
    },
    /// Some of them changed.
    Changed {
        /// The counts that changed.
        counts: Vec<(PostId, PostCounts)>,
        /// Posts that the viewer can no longer see.
        removed: Vec<PostId>,
    },
    /// Nothing happened; the stream lives.
    Heartbeat {
        /// The server's time.
        time: Time,
        /// Within which the next message comes.
        interval: Duration,
    },
}

/// An open stream of counts: call [`next`](CountsSubscription::next) until it ends. Changes are coalesced, so a slow subscriber misses
/// nothing but the steps between.
pub struct CountsSubscription {
    backend: Backend,
    caller: Caller,
    posts: Vec<PostId>,
    seen: HashMap<PostId, PostCounts>,
    listener: Box<dyn Listener>,
    heartbeat: Duration,
    beat: Interval,
    due: Option<Instant>,
    outbox: VecDeque<CountsEvent>,
    ended: bool,
}

/// Opens a stream of the counts of 1 to [`limits::COUNT_SUBSCRIPTIONS`] posts. INVALID_FIELD `post_ids`.
pub async fn subscribe(
    backend: &Backend,
    caller: &Caller,
    posts: Vec<PostId>,
    heartbeat: Duration,
) -> Result<CountsSubscription> {
    if posts.is_empty() || posts.len() > limits::COUNT_SUBSCRIPTIONS {
        return Err(Error::field(
            "post_ids",
            format!("must hold 1 to {} ids", limits::COUNT_SUBSCRIPTIONS),
        ));
    }
    let mut asked = HashSet::new();
    let posts: Vec<PostId> = posts.into_iter().filter(|post| asked.insert(*post)).collect();
    let mut listener = backend.signals.listen();
    for post in &posts {
        listener.watch(Channel::Post(*post));
    }
    if let Some(user) = caller.viewer.user() {
        listener.watch(Channel::Sessions(user));
        listener.watch(Channel::Home(user));
    }
    // A session revoked before the stream listened would wake nobody.
    auth::require_live_session(backend, caller.viewer).await?;
    let mut beat = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut subscription = CountsSubscription {
        backend: backend.clone(),
        caller: *caller,
        posts,
        seen: HashMap::new(),
        listener,
        heartbeat,
        beat,
        due: None,
        outbox: VecDeque::new(),
        ended: false,
    };
    subscription.snapshot().await?;
    Ok(subscription)
}

impl CountsSubscription {
    /// The next event. SESSION_REVOKED ends the stream. Cancel-safe between events.
    pub async fn next(&mut self) -> Option<Result<CountsEvent>> {
        loop {
            if let Some(event) = self.outbox.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.turn().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    async fn turn(&mut self) -> Result<()> {
        let due = self.due.unwrap_or_else(|| Instant::now() + self.heartbeat);
        tokio::select! {
            wake = self.listener.next() => match wake.kind {
                WakeKind::SessionRevoked => auth::require_live_session(&self.backend, self.caller.viewer).await,
                WakeKind::Arrived(_)
                | WakeKind::CommentCreated(_)
                | WakeKind::CommentEdited(_)
                | WakeKind::CommentDeleted(_) => Ok(()),
                WakeKind::Missed => {
                    self.due.get_or_insert_with(|| Instant::now() + limits::COUNTS_INTERVAL);
                    auth::require_live_session(&self.backend, self.caller.viewer).await
                }
                WakeKind::Counts(_) | WakeKind::PostChanged(_) | WakeKind::GraphChanged => {
                    self.due.get_or_insert_with(|| Instant::now() + limits::COUNTS_INTERVAL);
                    Ok(())
                }
            },
            _ = self.beat.tick() => {
                auth::require_live_session(&self.backend, self.caller.viewer).await?;
                self.changes().await?;
                if self.outbox.is_empty() {
                    let time = self.backend.clock.now();
                    self.outbox.push_back(CountsEvent::Heartbeat { time, interval: self.heartbeat });
                }
                Ok(())
            }
            () = tokio::time::sleep_until(due) => self.changes().await,
        }
    }

    async fn snapshot(&mut self) -> Result<()> {
        let counts = self.read().await?;
        self.seen = counts.iter().copied().collect();
        let not_found = self
            .posts
            .iter()
            .copied()
            .filter(|post| !self.seen.contains_key(post))
            .collect();
        self.outbox.push_back(CountsEvent::Snapshot { counts, not_found });
        Ok(())
    }

    async fn changes(&mut self) -> Result<()> {
        self.due = None;
        let now = self.read().await?;
        let counts: Vec<_> = now
            .iter()
            .copied()
            .filter(|(post, counts)| self.seen.get(post) != Some(counts))
            .collect();
        let before = std::mem::replace(&mut self.seen, now.into_iter().collect());
        let gone = |post: &PostId| before.contains_key(post) && !self.seen.contains_key(post);
        let removed: Vec<_> = self.posts.iter().copied().filter(gone).collect();
        if !counts.is_empty() || !removed.is_empty() {
            self.outbox.push_back(CountsEvent::Changed { counts, removed });
        }
        Ok(())
    }

    /// The counts that the viewer can see now, in the order asked for.
    async fn read(&mut self) -> Result<Vec<(PostId, PostCounts)>> {
        let counts = batch_get_counts(&self.backend, self.caller.viewer, &self.posts).await?;
        Ok(self
            .posts
            .iter()
            .copied()
            .zip(counts)
            .filter_map(|(post, counts)| Some((post, counts?)))
            .collect())
    }
}
