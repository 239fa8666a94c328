//! What operators do: the fan-out policy, rebuilds and recounts, the event log and its dead letters, the processes, figures.

mod cluster;
mod outbox;

use std::time::{Duration, Instant};

use crate::backend::{Backend, Channel, StorageStats, WakeKind};
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::{Error, Reason, Result};
use crate::fanout::{Event, Policy, Strategy};
use crate::id::{EventId, PostId, UserId};
use crate::page::{Range, next_after};
use crate::posts::PostCounts;
use crate::request::{Viewer, check_id};
use crate::timeline;
use crate::users;

pub use cluster::{Cluster, Lease, Process, Shard, cluster};
pub use outbox::{OutboxCounts, OutboxPage, PendingEvent, is_stalled, list_outbox};

/// How often a change of the strategy is tried again while others change the policy.
const POLICY_ATTEMPTS: usize = 5;

/// The fan-out policy.
pub async fn policy(backend: &Backend) -> Result<Policy> {
    backend.store.policy().await
}

/// Changes the fan-out policy for posts created from now on; what is under way keeps its mode. Without a threshold the present one stays.
/// Repeating it answers today's policy.
///
/// INVALID_FIELD `celebrity_threshold`, ETAG_MISMATCH.
pub async fn set_policy(
    backend: &Backend,
    strategy: Strategy,
    celebrity_threshold: Option<u64>,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<Policy> {
    check_id(request_id)?;
    let Some(celebrity_threshold) = celebrity_threshold else {
        return set_strategy(backend, strategy, expected_version).await;
    };
    if celebrity_threshold == 0 {
        return Err(Error::field("celebrity_threshold", "must be 1 or more followers"));
    }
    let policy = Policy {
        strategy,
        celebrity_threshold,
        ..Policy::default()
    };
    set_or_repeat(backend, policy, expected_version).await
}

/// Changes the strategy alone. Bound to the version that the threshold was read from, so that a concurrent change of it is not undone;
/// where the caller bound it to none, it is tried again on what is there then.
async fn set_strategy(backend: &Backend, strategy: Strategy, expected_version: Option<u64>) -> Result<Policy> {
    for _ in 0..POLICY_ATTEMPTS {
        let now = backend.store.policy().await?;
        let policy = Policy { strategy, ..now };
        match set_or_repeat(backend, policy, expected_version.or(Some(now.version))).await {
            Err(error) if error.reason == Reason::EtagMismatch && expected_version.is_none() => {}
            set => return set,
        }
    }
    Err(Error::etag_mismatch())
}

/// Sets a policy; one that a repeated call finds in force already is answered.
async fn set_or_repeat(backend: &Backend, policy: Policy, expected_version: Option<u64>) -> Result<Policy> {
    match backend.store.set_policy(policy, expected_version).await {
        Err(error) if error.reason == Reason::EtagMismatch => {
            let now = backend.store.policy().await?;
            let is_repeated = (now.strategy, now.celebrity_threshold) == (policy.strategy, policy.celebrity_threshold);
            if is_repeated && expected_version.map(|version| version + 1) == Some(now.version) {
                Ok(now)
            } else {
                Err(error)
            }
        }
        set => set,
    }
}

/// Drops a user's home timeline and makes it anew from truth: how many entries it has, and how long that took. USER_NOT_FOUND.
pub async fn rebuild_timeline(backend: &Backend, user: UserId, request_id: &str) -> Result<(usize, Duration)> {
    check_id(request_id)?;
    users::require(backend, user).await?;
    let started = Instant::now();
    let entries = timeline::rebuild(backend, user).await?;
    Ok((entries, started.elapsed()))
}

/// Counts a post's likes, comments and replies anew from truth: before and after. POST_NOT_FOUND.
pub async fn recount_post(backend: &Backend, post: PostId, request_id: &str) -> Result<(PostCounts, PostCounts)> {
    check_id(request_id)?;
    if backend.store.posts(&[post]).await?.pop().flatten().is_none() {
        return Err(Error::post_not_found());
    }
    let (before, after) = backend.counters.recount_post(post).await?;
    backend.signals.wake(Channel::Post(post), WakeKind::Counts(post));
    Ok((before, after))
}

/// Events that failed for good, oldest first.
pub async fn list_dead_letters(backend: &Backend, page: PageRequest<'_>) -> Result<Listed<Event>> {
    let binding = Binding::new("dead letters", Viewer::Anonymous, &[]);
    let (size, after) = (page.size()?, page.after(&binding)?);
    let events = backend.store.dead_letters(Range::oldest(after, size)).await?;
    let next = next_after(&events, size, |event| event.id.0);
    Ok(Listed::new(events, next, &binding))
}

/// Sends a dead letter to the workers again. One that was sent already is answered as it is now. DEAD_LETTER_NOT_FOUND.
pub async fn replay_dead_letter(backend: &Backend, id: EventId, request_id: &str) -> Result<Event> {
    check_id(request_id)?;
    let event = match backend.store.replay_dead_letter(id).await {
        Err(error) if error.reason == Reason::DeadLetterNotFound => {
            return backend.store.event(id).await?.filter(was_replayed).ok_or(error);
        }
        replayed => replayed?,
    };
    backend.signals.offer(event.id);
    Ok(event)
}

/// A replay takes back the attempts, and leaves what the last of them failed with.
fn was_replayed(event: &Event) -> bool {
    event.attempts == 0 && event.last_error.is_some()
}

/// What the backend holds.
#[derive(Debug, Clone)]
pub struct Stats {
    /// The store.
    pub storage: StorageStats,
    /// Home timelines that are ready.
    pub timelines: u64,
    /// Entries in them.
    pub timeline_entries: u64,
    /// How long the oldest pending event waits; zero where none does.
    pub oldest_pending: Duration,
}

/// What the backend holds now.
pub async fn stats(backend: &Backend) -> Result<Stats> {
    let storage = backend.store.stats().await?;
    let (timelines, timeline_entries) = backend.timelines.stats().await?;
    let oldest_pending = storage
        .oldest_pending
        .map_or(Duration::ZERO, |filed_at| backend.clock.now().since(filed_at));
    Ok(Stats {
        storage,
        timelines,
        timeline_entries,
        oldest_pending,
    })
}
