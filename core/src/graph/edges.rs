//! Following, blocking and muting, and the lists of them.

use std::sync::Arc;

use super::{Direction, Edge, EdgeKind, Relation};
use crate::backend::{Backend, Channel, WakeKind};
use crate::clock::Time;
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::{Error, Reason, Result};
use crate::id::{UserId, minted_at};
use crate::limits;
use crate::page::{Range, next_after};
use crate::request::{Caller, Viewer, check_id};
use crate::users::{self, User};

/// Sets whether the caller follows, blocks or mutes a user; answers how they stand then. Repeating it answers today's state.
///
/// USER_NOT_FOUND, SELF_REFERENCE, BLOCKED (a follow across a block), LIMIT_REACHED.
pub async fn set(
    backend: &Backend,
    caller: &Caller,
    kind: EdgeKind,
    other: UserId,
    active: bool,
    request_id: &str,
) -> Result<Relation> {
    let me = caller.user()?;
    apply(backend, caller, kind, (me, other), other, active, request_id).await
}

/// Ends a user's follow of the caller. USER_NOT_FOUND, SELF_REFERENCE.
pub async fn remove_follower(
    backend: &Backend,
    caller: &Caller,
    follower: UserId,
    request_id: &str,
) -> Result<Relation> {
    let me = caller.user()?;
    apply(
        backend,
        caller,
        EdgeKind::Follow,
        (follower, me),
        follower,
        false,
        request_id,
    )
    .await
}

async fn apply(
    backend: &Backend,
    caller: &Caller,
    kind: EdgeKind,
    (from, to): (UserId, UserId),
    other: UserId,
    active: bool,
    request_id: &str,
) -> Result<Relation> {
    check_id(request_id)?;
    if from == to {
        return Err(Error::new(Reason::SelfReference, "you cannot do this to yourself")
            .violation("user_id", "must be another user"));
    }
    users::require(backend, other).await?;
    let change = backend.store.set_edge(kind, from, to, active, caller.trace).await?;
    if let Some(event) = change.event {
        backend.signals.offer(event);
    }
    if change.changed {
        for user in [from, to] {
            backend.signals.wake(Channel::Home(user), WakeKind::GraphChanged);
        }
    }
    let me = caller.user()?;
    Ok(backend.store.relations(me, &[other]).await?.pop().unwrap_or_default())
}

/// A user at the other end of an edge, and since when.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// The user.
    pub user: Arc<User>,
    /// Since when.
    pub since: Time,
}

/// A user's followers, latest first. USER_NOT_FOUND.
pub async fn list_followers(
    backend: &Backend,
    viewer: Viewer,
    user: UserId,
    page: PageRequest<'_>,
) -> Result<Listed<Neighbour>> {
    users::require(backend, user).await?;
    list(backend, viewer, EdgeKind::Follow, Direction::Incoming, user, page).await
}

/// Whom a user follows, latest first. USER_NOT_FOUND.
pub async fn list_following(
    backend: &Backend,
    viewer: Viewer,
    user: UserId,
    page: PageRequest<'_>,
) -> Result<Listed<Neighbour>> {
    users::require(backend, user).await?;
    list(backend, viewer, EdgeKind::Follow, Direction::Outgoing, user, page).await
}

/// Whom the caller blocks or mutes, latest first.
pub async fn list_own(
    backend: &Backend,
    caller: &Caller,
    kind: EdgeKind,
    page: PageRequest<'_>,
) -> Result<Listed<Neighbour>> {
    list(backend, caller.viewer, kind, Direction::Outgoing, caller.user()?, page).await
}

async fn list(
    backend: &Backend,
    viewer: Viewer,
    kind: EdgeKind,
    direction: Direction,
    user: UserId,
    page: PageRequest<'_>,
) -> Result<Listed<Neighbour>> {
    let binding = Binding::new("edges", viewer, &[kind as u64, direction as u64, user.0]);
    let (size, after) = (page.user_size()?, page.after(&binding)?);
    let edges = backend
        .store
        .edges(kind, direction, user, Range::newest(after, size))
        .await?;
    let next = next_after(&edges, size, |edge| edge.since);
    Ok(Listed::new(neighbours(backend, &edges).await?, next, &binding))
}

/// A chunk of an export of followers.
#[derive(Debug, Clone)]
pub struct FollowerChunk {
    /// At most [`limits::STREAM_CHUNK`] followers, latest first.
    pub followers: Vec<Neighbour>,
    /// Where to resume behind this chunk.
    pub resume_cursor: String,
    /// Whether this was the last one.
    pub last: bool,
}

/// The next chunk of a user's followers behind a cursor (empty: from the start). USER_NOT_FOUND, CURSOR_INVALID.
pub async fn export_followers(
    backend: &Backend,
    viewer: Viewer,
    user: UserId,
    resume_cursor: &str,
) -> Result<FollowerChunk> {
    users::require(backend, user).await?;
    let binding = Binding::new("follower export", viewer, &[user.0]);
    let after = PageRequest {
        size: 0,
        token: resume_cursor,
    }
    .after(&binding)
    .map_err(|_| {
        Error::new(Reason::CursorInvalid, "the cursor is not one of this export").violation(
            "resume_cursor",
            "must be a resume_cursor of the same user's export, unchanged",
        )
    })?;
    let edges = backend
        .store
        .edges(
            EdgeKind::Follow,
            Direction::Incoming,
            user,
            Range::newest(after, limits::STREAM_CHUNK),
        )
        .await?;
    let behind = edges.last().map(|edge| edge.since).or(after);
    let followers = neighbours(backend, &edges).await?;
    let resume_cursor = Listed::<()>::new(Vec::new(), behind, &binding).next_page_token;
    Ok(FollowerChunk {
        followers,
        resume_cursor,
        last: edges.len() < limits::STREAM_CHUNK,
    })
}

async fn neighbours(backend: &Backend, edges: &[Edge]) -> Result<Vec<Neighbour>> {
    let users: Vec<UserId> = edges.iter().map(|edge| edge.user).collect();
    let found = backend.store.users(&users).await?;
    Ok(edges
        .iter()
        .zip(found)
        .filter_map(|(edge, user)| {
            Some(Neighbour {
                user: user?,
                since: minted_at(edge.since),
            })
        })
        .collect())
}
