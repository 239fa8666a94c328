//! The home timeline, live.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::home::binding;
use super::ready::{Arrivals, Reader, Stretch};
use crate::auth;
use crate::backend::{Backend, Channel, Listener, Wake, WakeKind};
use crate::clock::Time;
use crate::cursor::{Binding, Cursor};
use crate::error::Result;
use crate::id::{PostId, UserId};
use crate::limits;
use crate::posts::{PostCounts, PostView};
use crate::request::Caller;

/// Posts in one message.
const ADDED_MAX: usize = 100;

/// What happens in a home timeline.
#[derive(Debug, Clone)]
pub enum HomeEvent {
    /// Posts became visible; ascending by id.
    Added(Vec<AddedPost>),
    /// Posts that this stream sent lately are no longer visible.
    Removed(Vec<PostId>),
    /// Counts of posts that this stream sent lately.
    CountsUpdated(Vec<(PostId, PostCounts)>),
    /// A cursor that stands for all that was sent before it; also the sign of life.
    Checkpoint {
        /// The cursor.
        cursor: String,
        /// The server's time.
        time: Time,
        /// Within which the next message comes.
        interval: Duration,
    },
    /// The subscriber was too slow. The stream ends with this; subscribing with the cursor brings what was missed.
    Gap {
        /// Where to resume.
        resume_cursor: String,
    },
    /// The cursor given was too old to tell what is newer: start over.
    Reset,
}

/// A post that became visible.
#[derive(Debug, Clone)]
pub struct AddedPost {
    /// The post.
    pub view: PostView,
    /// Whether its id is below one that was sent earlier.
    pub late: bool,
}

/// Which home stream.
#[derive(Debug, Clone, Copy)]
pub struct HomeSubscribe<'a> {
    /// Where to resume; empty for what happens from now on.
    pub resume_cursor: &'a str,
    /// Leave out posts that reply to another.
    pub exclude_replies: bool,
    /// How often an idle stream says that it lives.
    pub heartbeat: Duration,
}

/// An open home stream: call [`next`](HomeSubscription::next) until it ends. Reads no faster than it is asked, so a slow
/// subscriber costs a bounded window and no queue.
pub struct HomeSubscription {
    backend: Backend,
    caller: Caller,
    viewer: UserId,
    exclude_replies: bool,
    binding: Binding,
    heartbeat: Duration,
    beat: tokio::time::Interval,
    listener: Box<dyn Listener>,
    pulled: HashSet<UserId>,
    muted: HashSet<UserId>,
    cursor: Cursor,
    window: Window,
    outbox: VecDeque<HomeEvent>,
    pending: Pending,
    ended: bool,
}

/// What is to be looked at before the stream sleeps again.
#[derive(Default)]
struct Pending {
    arrivals: bool,
    resuming: bool,
    recheck_all: bool,
    recheck: HashSet<PostId>,
    counts: HashSet<PostId>,
    counts_due: Option<Instant>,
    session: bool,
    beat: bool,
}

impl Pending {
    fn is_due(&self) -> bool {
        let counts = self.counts_due.is_some_and(|due| due <= Instant::now());
        self.arrivals || self.recheck_all || !self.recheck.is_empty() || counts || self.session || self.beat
    }
}

/// Opens a home stream. TOKEN_MISSING, CURSOR_INVALID.
pub async fn subscribe(backend: &Backend, caller: &Caller, request: HomeSubscribe<'_>) -> Result<HomeSubscription> {
    let viewer = caller.user()?;
    let binding = binding(caller.viewer, request.exclude_replies);
    let resume = Cursor::open(&binding, "resume_cursor", request.resume_cursor)?;
    let mut listener = backend.signals.listen();
    listener.watch(Channel::Home(viewer));
    listener.watch(Channel::Sessions(viewer));
    // A session revoked before the stream listened would wake nobody.
    auth::require_live_session(backend, caller.viewer).await?;
    let reader = Reader::open(backend, viewer, Stretch::HEAD).await?;
    let resuming = resume.is_some();
    let cursor = match resume {
        Some(cursor) => cursor,
        None => reader.cursor(),
    };
    let mut beat = tokio::time::interval_at(Instant::now() + request.heartbeat, request.heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut subscription = HomeSubscription {
        backend: backend.clone(),
        caller: *caller,
        viewer,
        exclude_replies: request.exclude_replies,
        binding,
        heartbeat: request.heartbeat,
        beat,
        listener,
        pulled: HashSet::new(),
        muted: reader.following.muted.clone(),
        cursor,
        window: Window::default(),
        outbox: VecDeque::new(),
        pending: Pending {
            arrivals: true,
            resuming,
            ..Pending::default()
        },
        ended: false,
    };
    subscription.checkpoint();
    Ok(subscription)
}

impl HomeSubscription {
    /// The next event; `None` after a gap. SESSION_REVOKED ends it. Cancel-safe between events.
    pub async fn next(&mut self) -> Option<Result<HomeEvent>> {
        loop {
            if let Some(event) = self.outbox.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if self.pending.is_due() {
                if let Err(error) = self.look().await {
                    self.ended = true;
                    return Some(Err(error));
                }
                continue;
            }
            self.sleep().await;
        }
    }

    async fn sleep(&mut self) {
        let counts_due = self
            .pending
            .counts_due
            .unwrap_or_else(|| Instant::now() + self.heartbeat);
        tokio::select! {
            wake = self.listener.next() => self.note(&wake),
            _ = self.beat.tick() => {
                self.pending.beat = true;
                self.pending.arrivals = true;
                self.pending.recheck_all = true;
                self.pending.session = true;
            }
            () = tokio::time::sleep_until(counts_due) => {}
        }
    }

    fn note(&mut self, wake: &Wake) {
        match wake.kind {
            WakeKind::Arrived(_) => self.pending.arrivals = true,
            WakeKind::GraphChanged | WakeKind::Missed => {
                self.pending.arrivals = true;
                self.pending.recheck_all = true;
                self.pending.session = true;
            }
            WakeKind::PostChanged(post) => {
                self.pending.recheck.insert(post);
            }
            WakeKind::Counts(post) => {
                self.pending.counts.insert(post);
                self.pending
                    .counts_due
                    .get_or_insert_with(|| Instant::now() + limits::COUNTS_INTERVAL);
            }
            WakeKind::SessionRevoked => self.pending.session = true,
            WakeKind::CommentCreated(_) | WakeKind::CommentEdited(_) | WakeKind::CommentDeleted(_) => {}
        }
    }

    async fn look(&mut self) -> Result<()> {
        let backend = self.backend.clone();
        let pending = std::mem::take(&mut self.pending);
        if pending.session {
            auth::require_live_session(&backend, self.caller.viewer).await?;
        }
        let reader = Reader::open(&backend, self.viewer, Stretch::HEAD).await?;
        self.follow_mutes(&reader);
        if self.watch_pulled(&reader) || pending.arrivals {
            self.send_arrivals(&reader, pending.resuming).await?;
        }
        if pending.recheck_all {
            let all = self.window.posts().collect();
            self.send_removed(&reader, all).await?;
        } else if !pending.recheck.is_empty() {
            let some = pending
                .recheck
                .into_iter()
                .filter(|post| self.window.holds(*post))
                .collect();
            self.send_removed(&reader, some).await?;
        }
        self.send_counts(pending.counts, pending.counts_due).await?;
        if pending.beat && self.outbox.is_empty() {
            self.checkpoint();
        }
        Ok(())
    }

    /// Listens to pulled followees; whether there are new ones, whose posts no wake has told of.
    fn watch_pulled(&mut self, reader: &Reader<'_>) -> bool {
        let now: HashSet<UserId> = reader.pulled.iter().map(|pulled| pulled.author).collect();
        let added: Vec<UserId> = now.difference(&self.pulled).copied().collect();
        for author in &added {
            self.listener.watch(Channel::Author(*author));
        }
        for author in self.pulled.difference(&now) {
            self.listener.unwatch(Channel::Author(*author));
        }
        self.pulled = now;
        !added.is_empty()
    }

    async fn send_arrivals(&mut self, reader: &Reader<'_>, resuming: bool) -> Result<()> {
        match reader.since(&self.cursor).await? {
            Arrivals::Reset => self.reset(reader),
            Arrivals::Posts(ids) if !resuming && ids.len() > limits::STREAM_BUFFER => {
                self.outbox.push_back(HomeEvent::Gap {
                    resume_cursor: self.cursor.seal(&self.binding),
                });
                self.ended = true;
            }
            Arrivals::Posts(ids) => {
                self.cursor = reader.cursor();
                self.add(reader, ids).await?;
            }
        }
        Ok(())
    }

    fn reset(&mut self, reader: &Reader<'_>) {
        for post in std::mem::take(&mut self.window).posts() {
            self.listener.unwatch(Channel::Post(post));
        }
        self.outbox.push_back(HomeEvent::Reset);
        self.cursor = reader.cursor();
        self.checkpoint();
    }

    /// A mute only takes away, which is told post by post; what an unmute gives back cannot be, so that resets.
    fn follow_mutes(&mut self, reader: &Reader<'_>) {
        let muted = &reader.following.muted;
        if self.muted.is_subset(muted) {
            self.cursor.muted = reader.following.muted_digest();
        }
        if self.muted != *muted {
            self.muted.clone_from(muted);
        }
    }

    async fn add(&mut self, reader: &Reader<'_>, mut ids: Vec<PostId>) -> Result<()> {
        ids.retain(|post| !self.window.holds(*post));
        ids.reverse();
        let posts = reader.readable(&ids, self.exclude_replies).await?;
        let views = reader.show(self.caller.viewer, posts).await?;
        if views.is_empty() {
            return Ok(());
        }
        let newest_before = self.window.newest();
        let added: Vec<AddedPost> = views
            .into_iter()
            .map(|view| AddedPost {
                late: Some(view.post.id) < newest_before,
                view,
            })
            .collect();
        for post in &added {
            self.listener.watch(Channel::Post(post.view.post.id));
            if let Some(oldest) = self.window.add(post.view.post.id) {
                self.listener.unwatch(Channel::Post(oldest));
            }
        }
        self.outbox
            .extend(added.chunks(ADDED_MAX).map(|chunk| HomeEvent::Added(chunk.to_vec())));
        self.checkpoint();
        Ok(())
    }

    async fn send_removed(&mut self, reader: &Reader<'_>, posts: Vec<PostId>) -> Result<()> {
        let still: HashSet<PostId> = reader
            .readable(&posts, self.exclude_replies)
            .await?
            .into_iter()
            .map(|post| post.id)
            .collect();
        let removed: Vec<PostId> = posts.into_iter().filter(|post| !still.contains(post)).collect();
        for post in &removed {
            self.window.remove(*post);
            self.listener.unwatch(Channel::Post(*post));
        }
        if !removed.is_empty() {
            self.outbox.push_back(HomeEvent::Removed(removed));
        }
        Ok(())
    }

    async fn send_counts(&mut self, posts: HashSet<PostId>, due: Option<Instant>) -> Result<()> {
        if due.is_some_and(|due| due > Instant::now()) {
            self.pending.counts.extend(posts);
            self.pending.counts_due = due;
            return Ok(());
        }
        let posts: Vec<PostId> = posts.into_iter().filter(|post| self.window.holds(*post)).collect();
        if !posts.is_empty() {
            let counts = self.backend.counters.posts(&posts).await?;
            self.outbox
                .push_back(HomeEvent::CountsUpdated(posts.into_iter().zip(counts).collect()));
        }
        Ok(())
    }

    fn checkpoint(&mut self) {
        let cursor = self.cursor.seal(&self.binding);
        self.outbox.push_back(HomeEvent::Checkpoint {
            cursor,
            time: self.backend.clock.now(),
            interval: self.heartbeat,
        });
    }
}

/// The posts that a stream sent last, by the order of sending: at most [`limits::STREAM_WINDOW`].
#[derive(Default)]
struct Window {
    sent: BTreeMap<u64, PostId>,
    at: std::collections::HashMap<PostId, u64>,
    next: u64,
    newest: Option<PostId>,
}

impl Window {
    fn holds(&self, post: PostId) -> bool {
        self.at.contains_key(&post)
    }

    fn posts(&self) -> impl Iterator<Item = PostId> {
        self.sent.values().copied()
    }

    /// The largest id that was ever sent.
    fn newest(&self) -> Option<PostId> {
        self.newest
    }

    /// Adds a post; answers the one that left to make room.
    fn add(&mut self, post: PostId) -> Option<PostId> {
        self.sent.insert(self.next, post);
        self.at.insert(post, self.next);
        self.next += 1;
        self.newest = self.newest.max(Some(post));
        if self.sent.len() <= limits::STREAM_WINDOW {
            return None;
        }
        let (_, oldest) = self.sent.pop_first()?;
        self.at.remove(&oldest);
        Some(oldest)
    }

    fn remove(&mut self, post: PostId) {
        if let Some(at) = self.at.remove(&post) {
            self.sent.remove(&at);
        }
    }
}
