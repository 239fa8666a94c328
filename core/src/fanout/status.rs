//! How far a post has got on its way to the followers.

use std::time::Duration;

use super::{Event, Mode, Payload, State};
use crate::backend::Backend;
use crate::error::{Error, Reason, Result};
use crate::id::{EventId, PostId, UserId};
use crate::request::Caller;

/// A fan-out, as its author may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The event.
    pub event: Event,
    /// The post that is fanned out.
    pub post: PostId,
    /// How it reaches followers.
    pub mode: Mode,
    /// Followers still to come, by the count of followers now.
    pub pending: u64,
    /// From the event's filing to its end, or to now.
    pub lag: Duration,
}

/// The status of a fan-out of one of the caller's posts. FANOUT_NOT_FOUND, also for somebody else's.
pub async fn status(backend: &Backend, caller: &Caller, id: EventId) -> Result<Status> {
    let user = caller.user()?;
    let event = backend.store.event(id).await?.ok_or_else(not_found)?;
    let (post, mode) = fanned_out(&event, user).ok_or_else(not_found)?;
    let pending = if event.state == State::Pending && mode == Mode::Push {
        still_to_come(backend, user, &event).await?
    } else {
        0
    };
    let lag = event
        .finished_at
        .unwrap_or_else(|| backend.clock.now())
        .since(event.filed_at);
    Ok(Status {
        event,
        post,
        mode,
        pending,
        lag,
    })
}

fn fanned_out(event: &Event, user: UserId) -> Option<(PostId, Mode)> {
    match event.payload {
        Payload::Post { post, author, mode } if author == user => Some((post, mode)),
        Payload::Restore { post, author } if author == user => Some((post, Mode::Push)),
        _ => None,
    }
}

async fn still_to_come(backend: &Backend, author: UserId, event: &Event) -> Result<u64> {
    let counts = backend.counters.users(&[author]).await?.pop().unwrap_or_default();
    Ok(counts
        .followers
        .saturating_sub(event.progress.delivered + event.progress.skipped))
}

fn not_found() -> Error {
    Error::new(
        Reason::FanoutNotFound,
        "no such fan-out of yours; one that ended is kept for 7 days",
    )
}
