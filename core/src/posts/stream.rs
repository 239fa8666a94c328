//! One post, live.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::read::visible_one;
use super::view::PostView;
use super::{Post, PostCounts};
use crate::auth;
use crate::backend::{Backend, Channel, Listener, WakeKind};
use crate::clock::Time;
use crate::comments::{self, CommentView};
use crate::error::{Error, Reason, Result};
use crate::id::{CommentId, PostId};
use crate::limits;
use crate::request::Caller;

/// What happens to a post.
#[derive(Debug, Clone)]
pub enum PostEvent {
    /// The post as it is now. First on every stream.
    Snapshot(Box<PostView>),
    /// Its counts changed; several changes may come as one.
    Counts(PostCounts),
    /// A comment was written.
    CommentCreated(Box<CommentView>),
    /// A comment was edited.
    CommentUpdated(Box<CommentView>),
    /// A comment was deleted.
    CommentDeleted {
        /// Which.
        id: CommentId,
        /// When.
        deleted_at: Time,
        /// Whether it stays in lists for the sake of its answers.
        tombstone: bool,
    },
    /// The post was edited.
    Edited(Box<PostView>),
    /// The post was deleted, when; it may come back.
    Deleted(Time),
    /// The post is back.
    Undeleted(Box<PostView>),
    /// Nothing happened; the stream lives.
    Heartbeat {
        /// The server's time.
        time: Time,
        /// Within which the next message comes.
        interval: Duration,
    },
    /// The subscriber was too slow and missed at least one event. The stream ends with this.
    Gap,
}

/// An open stream of one post: call [`next`](PostSubscription::next) until it ends.
pub struct PostSubscription {
    backend: Backend,
    caller: Caller,
    post: PostId,
    seen: Seen,
    listener: Box<dyn Listener>,
    heartbeat: Duration,
    beat: Interval,
    counts_due: Option<Instant>,
    outbox: VecDeque<PostEvent>,
    ended: bool,
}

/// What the subscriber knows of the post.
struct Seen {
    version: u64,
    deleted: bool,
    counts: PostCounts,
}

/// Opens a stream of one post. POST_NOT_FOUND.
pub async fn subscribe(
    backend: &Backend,
    caller: &Caller,
    post: PostId,
    heartbeat: Duration,
) -> Result<PostSubscription> {
    let mut listener = backend.signals.listen();
    listener.watch(Channel::Post(post));
    if let Some(user) = caller.viewer.user() {
        listener.watch(Channel::Sessions(user));
        listener.watch(Channel::Home(user));
    }
    // A session revoked before the stream listened would wake nobody.
    auth::require_live_session(backend, caller.viewer).await?;
    let view = visible_one(backend, caller.viewer, post).await?;
    let mut beat = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(PostSubscription {
        backend: backend.clone(),
        caller: *caller,
        post,
        seen: Seen {
            version: view.post.version,
            deleted: false,
            counts: view.counts,
        },
        listener,
        heartbeat,
        beat,
        counts_due: None,
        outbox: VecDeque::from([PostEvent::Snapshot(Box::new(view))]),
        ended: false,
    })
}

/// Why a stream wakes.
enum Turn {
    Wake(WakeKind),
    CountsDue,
    Beat,
}

impl PostSubscription {
    /// The next event; `None` after a gap. POST_NOT_FOUND once the viewer may not see the post for another reason than its deletion,
    /// SESSION_REVOKED. Cancel-safe between events.
    pub async fn next(&mut self) -> Option<Result<PostEvent>> {
        loop {
            if let Some(event) = self.outbox.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            let turn = self.wait().await;
            if let Err(error) = self.take(turn).await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    async fn wait(&mut self) -> Turn {
        let counts_due = self.counts_due.unwrap_or_else(|| Instant::now() + self.heartbeat);
        tokio::select! {
            wake = self.listener.next() => Turn::Wake(wake.kind),
            _ = self.beat.tick() => Turn::Beat,
            () = tokio::time::sleep_until(counts_due) => Turn::CountsDue,
        }
    }

    async fn take(&mut self, turn: Turn) -> Result<()> {
        match turn {
            Turn::Wake(WakeKind::CommentCreated(id)) => self.comment(id, PostEvent::CommentCreated).await,
            Turn::Wake(WakeKind::CommentEdited(id)) => self.comment(id, PostEvent::CommentUpdated).await,
            Turn::Wake(WakeKind::CommentDeleted(id)) => self.comment_deleted(id).await,
            Turn::Wake(WakeKind::Counts(_)) => {
                self.counts_due
                    .get_or_insert_with(|| Instant::now() + limits::COUNTS_INTERVAL);
                Ok(())
            }
            Turn::CountsDue => self.counts().await,
            Turn::Wake(WakeKind::Missed) => {
                self.outbox.push_back(PostEvent::Gap);
                self.ended = true;
                Ok(())
            }
            Turn::Wake(WakeKind::Arrived(_)) => Ok(()),
            Turn::Wake(WakeKind::SessionRevoked) => auth::require_live_session(&self.backend, self.caller.viewer).await,
            Turn::Wake(WakeKind::PostChanged(_) | WakeKind::GraphChanged) => self.post().await,
            Turn::Beat => self.beat().await,
        }
    }

    /// Looks at everything, in case a wake was lost, and says that the stream lives.
    async fn beat(&mut self) -> Result<()> {
        auth::require_live_session(&self.backend, self.caller.viewer).await?;
        self.post().await?;
        self.counts().await?;
        let time = self.backend.clock.now();
        self.outbox.push_back(PostEvent::Heartbeat {
            time,
            interval: self.heartbeat,
        });
        Ok(())
    }

    async fn post(&mut self) -> Result<()> {
        let view = match visible_one(&self.backend, self.caller.viewer, self.post).await {
            Ok(view) => view,
            Err(error) if error.reason == Reason::PostNotFound => return self.gone().await,
            Err(error) => return Err(error),
        };
        let was_deleted = std::mem::take(&mut self.seen.deleted);
        let version = std::mem::replace(&mut self.seen.version, view.post.version);
        if was_deleted {
            self.outbox.push_back(PostEvent::Undeleted(Box::new(view)));
        } else if version != view.post.version {
            self.outbox.push_back(PostEvent::Edited(Box::new(view)));
        }
        Ok(())
    }

    async fn gone(&mut self) -> Result<()> {
        let row = self.backend.store.posts(&[self.post]).await?.pop().flatten();
        let deleted_at = row
            .and_then(|post: std::sync::Arc<Post>| post.deleted_at)
            .ok_or_else(Error::post_not_found)?;
        if !std::mem::replace(&mut self.seen.deleted, true) {
            self.outbox.push_back(PostEvent::Deleted(deleted_at));
        }
        Ok(())
    }

    async fn counts(&mut self) -> Result<()> {
        self.counts_due = None;
        let counts = self
            .backend
            .counters
            .posts(&[self.post])
            .await?
            .pop()
            .unwrap_or_default();
        if std::mem::replace(&mut self.seen.counts, counts) != counts {
            self.outbox.push_back(PostEvent::Counts(counts));
        }
        Ok(())
    }

    async fn comment(&mut self, id: CommentId, event: fn(Box<CommentView>) -> PostEvent) -> Result<()> {
        if let Some(view) = comments::find(&self.backend, self.caller.viewer, id).await? {
            self.outbox.push_back(event(Box::new(view)));
        }
        Ok(())
    }

    async fn comment_deleted(&mut self, id: CommentId) -> Result<()> {
        if let Some(comment) = self.backend.store.comments(&[id]).await?.pop().flatten()
            && let Some(deleted_at) = comment.deleted_at
        {
            self.outbox.push_back(PostEvent::CommentDeleted {
                id,
                deleted_at,
                tombstone: comment.replies > 0,
            });
        }
        Ok(())
    }
}
