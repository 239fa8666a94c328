//! One bounded step of an event's work.

use std::sync::Arc;

use super::{Event, Mode, Payload, Progress};
use crate::backend::{Append, Backend, Channel, WakeKind};
use crate::error::Result;
use crate::id::{PostId, UserId};
use crate::limits;
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
        Payload::Post {
            post,
            author,
            mode: Mode::Pull,
        } => show_author(backend, post, author, progress).await,
        Payload::Post {
            post,
            author,
            mode: Mode::Push,
        } => push(backend, post, author, Entry::New, progress).await,
        Payload::Restore { post, author } => push(backend, post, author, Entry::Renewed, progress).await,
        Payload::Follow { follower, .. } => backfill(backend, follower, progress).await,
    }
}

async fn push(backend: &Backend, post: PostId, author: UserId, entry: Entry, progress: Progress) -> Result<Step> {
    let own = async {
        match progress.steps {
            0 => deliver(backend, &[author], post, entry).await.map(drop),
            _ => Ok(()),
        }
    };
    let followers = backend
        .store
        .fanout_followers(author, progress.after, limits::FANOUT_STEP);
    // Together, since a step of a cluster is as long as what it waits for. In any order: whoever follows later gets the post by a fill, and a post that is
    // shown later has an event of its own.
    let ((), reaches, followers) = futures::try_join!(own, reaches_followers(backend, post), followers)?;
    if !reaches {
        return Ok(Step::Done(progress));
    }
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

/// A pulled post waits for its readers at its author's; only the author's own timeline gets it. The call that wrote it did this too, unless
/// it was cut off.
async fn show_author(backend: &Backend, post: PostId, author: UserId, progress: Progress) -> Result<Step> {
    deliver(backend, &[author], post, Entry::New).await?;
    backend.signals.wake(Channel::Author(author), WakeKind::Arrived(post));
    Ok(Step::Done(progress))
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

/// Brings a new followee's posts into the follower's timeline: it is dropped, and the next read, of an open stream or a page, makes it anew from
/// truth, where the follow is by now. Cursors owe the followee's posts by the follow's time.
async fn backfill(backend: &Backend, follower: UserId, mut progress: Progress) -> Result<Step> {
    progress.steps += 1;
    backend.timelines.forget(follower).await?;
    backend.signals.wake(Channel::Home(follower), WakeKind::GraphChanged);
    Ok(Step::Done(progress))
}
