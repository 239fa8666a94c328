//! One bounded step of an event's work.

use std::sync::Arc;

use super::{Event, Mode, Payload, Progress};
use crate::backend::{Append, Backend, Channel, WakeKind};
use crate::error::Result;
use crate::id::{PostId, UserId};
use crate::limits;
use crate::page::Range;
use crate::posts::{Post, Visibility};

/// Where a step leaves its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is more to do: take it up again, behind others that wait.
    More(Progress),
    /// All is done.
    Done(Progress),
}

/// How a post enters timelines.
#[derive(Clone, Copy)]
enum Entry {
    New,
    Renewed,
}

/// Takes an event one step further: at most [`limits::FANOUT_STEP`] followers. Idempotent, so a step whose progress was lost may be
/// taken again.
pub async fn step(backend: &Backend, event: &Event, progress: Progress) -> Result<Step> {
    match event.payload {
        Payload::Post { mode: Mode::Pull, .. } => Ok(Step::Done(progress)),
        Payload::Post {
            post,
            author,
            mode: Mode::Push,
        } => push(backend, post, author, Entry::New, progress).await,
        Payload::Restore { post, author } => push(backend, post, author, Entry::Renewed, progress).await,
        Payload::Follow { follower, followee } => backfill(backend, follower, followee, progress).await,
    }
}

async fn push(backend: &Backend, post: PostId, author: UserId, entry: Entry, progress: Progress) -> Result<Step> {
    let first_step = progress.steps == 0;
    if first_step {
        deliver(backend, &[author], post, entry).await?;
    }
    if !reaches_followers(backend, post).await? {
        return Ok(Step::Done(progress));
    }
    let followers = backend
        .store
        .fanout_followers(author, progress.after, limits::FANOUT_STEP)
        .await?;
    let Append { delivered, skipped } = deliver(backend, &followers, post, entry).await?;
    let progress = Progress {
        after: followers.last().copied().or(progress.after),
        delivered: progress.delivered + delivered,
        skipped: progress.skipped + skipped,
        steps: progress.steps + 1,
    };
    let is_last = followers.len() < limits::FANOUT_STEP;
    Ok(if is_last {
        Step::Done(progress)
    } else {
        Step::More(progress)
    })
}

async fn reaches_followers(backend: &Backend, post: PostId) -> Result<bool> {
    let found: Option<Arc<Post>> = backend.store.posts(&[post]).await?.pop().flatten();
    Ok(found.is_some_and(|post| !post.is_deleted() && post.visibility != Visibility::Private))
}

async fn deliver(backend: &Backend, viewers: &[UserId], post: PostId, entry: Entry) -> Result<Append> {
    let appended = match entry {
        Entry::New => backend.timelines.append(viewers, post).await?,
        Entry::Renewed => backend.timelines.renew(viewers, post).await?,
    };
    backend.signals.wake_homes(viewers, post);
    Ok(appended)
}

/// Brings a new followee's recent posts into the follower's timeline. A post written meanwhile finds the follow in truth and is
/// pushed; one written before is in the truth that is read here.
async fn backfill(backend: &Backend, follower: UserId, followee: UserId, mut progress: Progress) -> Result<Step> {
    progress.steps += 1;
    if !backend
        .store
        .following(follower)
        .await?
        .followees
        .contains_key(&followee)
    {
        return Ok(Step::Done(progress));
    }
    let posts = backend
        .store
        .user_posts(followee, Range::newest(None, limits::BACKFILL_POSTS))
        .await?;
    if backend.timelines.insert(follower, &posts).await? {
        progress.delivered += posts.len() as u64;
        backend.signals.wake(Channel::Home(follower), WakeKind::GraphChanged);
    } else {
        progress.skipped += 1;
    }
    Ok(Step::Done(progress))
}
