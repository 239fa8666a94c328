//! What can be lost and is made anew: home timelines, counts, signals.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::{CommentId, EventId, PostId, UserId};
use crate::posts::PostCounts;
use crate::users::UserCounts;

/// A place in the history of one ready timeline: entries that arrive later have a larger sequence. Positions of another
/// generation (the timeline was dropped and filled anew, or the process restarted) cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which filling of the timeline this is about. Never used twice, not by another process either.
    pub generation: u64,
    /// Larger with each arrival.
    pub sequence: u64,
}

/// A stretch of a ready timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineSlice {
    /// Posts, newest (largest id) first.
    pub posts: Vec<PostId>,
    /// The smallest id that the timeline speaks for: it holds every entry from there up. Below it, ask truth. 0 where it holds everything there is.
    pub covers_from: PostId,
    /// The timeline's position at the moment of reading.
    pub head: Position,
}

/// What arrived in a timeline after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// These posts, newest (largest id) first.
    Arrived(TimelineSlice),
    /// Some of what arrived after the position has been dropped again for want of room.
    Dropped {
        /// The timeline's position now.
        head: Position,
    },
    /// The position is of another generation.
    OtherGeneration,
}

/// What an append came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Append {
    /// Timelines that hold the post now.
    pub delivered: u64,
    /// Viewers without a ready timeline.
    pub skipped: u64,
}

/// Whether the caller is to fill a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It was absent and is live from now on: appends are collected. Read truth, then call [`Timelines::fill`] with this generation.
    Begun(u64),
    /// Another caller is filling it.
    UnderWay,
    /// It is there.
    Ready,
}

/// Home timelines that are ready to read: which posts, in which order they arrived. Bounded by
/// [`limits::TIMELINE_ENTRIES`](crate::limits::TIMELINE_ENTRIES) a viewer and [`limits::TIMELINES_LIVE`](crate::limits::TIMELINES_LIVE) viewers.
///
/// **The race** of a fill with a fan-out: `begin` makes the timeline live before the filler reads truth, and a fan-out reads who is live
/// after its post is in truth, so one of the two brings each post. Appending a post that is there changes nothing, and is no arrival;
/// [`renew`](Timelines::renew) makes it one.
#[async_trait]
pub trait Timelines: Send + Sync {
    /// Adds a post to the timelines of those viewers who have one, ready or being filled.
    async fn append(&self, viewers: &[UserId], post: PostId) -> Result<Append>;

    /// Adds posts to one viewer's timeline, if there is one; whether there is. Posts below its range are left out.
    async fn insert(&self, viewer: UserId, posts: &[PostId]) -> Result<bool>;

    /// Like `append`, and an entry that is there arrives anew: the post was gone from readers and is back.
    async fn renew(&self, viewers: &[UserId], post: PostId) -> Result<Append>;

    /// The newest `limit` entries below `before`; `None` where there is no ready timeline.
    async fn read(&self, viewer: UserId, before: Option<PostId>, limit: usize) -> Result<Option<TimelineSlice>>;

    /// What arrived after a position; `None` where there is no ready timeline.
    async fn since(&self, viewer: UserId, position: Position) -> Result<Option<Since>>;

    /// Makes an absent timeline live. A filler that was dropped half-way must not block the viewer for good: some seconds later another
    /// caller may begin anew.
    async fn begin(&self, viewer: UserId) -> Result<Filled>;

    /// Fills what [`begin`](Timelines::begin) began: `posts` are the newest of truth, from `covers_from` up. Ignored where the
    /// generation is another by now.
    async fn fill(&self, viewer: UserId, generation: u64, posts: &[PostId], covers_from: PostId) -> Result<()>;

    /// Drops a viewer's timeline, also one being filled.
    async fn forget(&self, viewer: UserId) -> Result<()>;

    /// Drops every timeline.
    async fn forget_all(&self) -> Result<()>;

    /// Ready timelines and the entries in them, for operators.
    async fn stats(&self) -> Result<(u64, u64)>;
}

/// Counts. The store's mutations move them; a count that may be off says so by `exact`.
#[async_trait]
pub trait Counters: Send + Sync {
    /// Counts of posts, zero for one that does not exist.
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<PostCounts>>;

    /// Counts of users, zero for one that does not exist.
    async fn users(&self, ids: &[UserId]) -> Result<Vec<UserCounts>>;

    /// Counts a post's likes, comments and replies anew from truth: what the count was, and what it is.
    async fn recount_post(&self, id: PostId) -> Result<(PostCounts, PostCounts)>;
}

/// What one process took from a bucket that all processes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The bucket's name, the same in every process.
    pub bucket: String,
    /// The time in which a bucket regains one call.
    pub cost: Duration,
    /// How many calls were taken.
    pub calls: u32,
}

/// Budgets that processes share: a bucket is a moment, when it is full again if nothing further is taken. Losing them is a caller's gain, and
/// passes.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// Takes calls that were let in already; for each bucket how long it takes until it is full again, everybody's calls included. It may be in debt.
    /// STORE_UNAVAILABLE, soon, where that cannot be told.
    async fn take(&self, taken: &[Taken]) -> Result<Vec<Duration>>;
}

/// What an open stream can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A viewer's home timeline: entries arrived, or its relations changed.
    Home(UserId),
    /// An author whose posts are pulled wrote or changed one.
    Author(UserId),
    /// A post: its counts, comments, content or existence changed.
    Post(PostId),
    /// A user's sessions changed.
    Sessions(UserId),
}

/// What woke a listener: a hint, never the only way to learn of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WakeKind {
    /// An entry arrived.
    Arrived(PostId),
    /// The viewer's follows, mutes or blocks changed.
    GraphChanged,
    /// A post's counts moved.
    Counts(PostId),
    /// A post was edited, deleted or undeleted.
    PostChanged(PostId),
    /// A comment was written.
    CommentCreated(CommentId),
    /// A comment was edited.
    CommentEdited(CommentId),
    /// A comment was deleted.
    CommentDeleted(CommentId),
    /// A session was revoked.
    SessionRevoked,
    /// The listener was too slow and missed wakes.
    Missed,
}

/// A wake on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// The channel.
    pub channel: Channel,
    /// What happened.
    pub kind: WakeKind,
}

/// Waits for wakes on some channels. Bounded: one that is too slow misses wakes, and learns that by [`WakeKind::Missed`].
#[async_trait]
pub trait Listener: Send {
    /// Also waits for a channel from now on.
    fn watch(&mut self, channel: Channel);

    /// No longer waits for a channel.
    fn unwatch(&mut self, channel: Channel);

    /// The next wake. Cancel-safe.
    async fn next(&mut self) -> Wake;
}

/// Hands events to workers and wakes open streams. Best effort: a lost signal only delays.
#[async_trait]
pub trait Signals: Send + Sync {
    /// Offers an event to the workers.
    fn offer(&self, event: EventId);

    /// The next event offered to this worker. Cancel-safe.
    async fn next_work(&self) -> EventId;

    /// Waits until offers were lost: pending events are to be looked for at once. Once for any number of losses, for one waiter. Never where
    /// none are lost. Cancel-safe.
    async fn lost(&self) {
        std::future::pending::<()>().await;
    }

    /// Takes no more work, and gives back what was handed out here and is not done, and `unfinished`: others are handed it at once. Where
    /// nobody else works there is nothing to be done. Takes some seconds at the most.
    async fn leave(&self, _unfinished: &[EventId]) {}

    /// Wakes whoever waits on the channel; costs next to nothing where nobody does.
    fn wake(&self, channel: Channel, kind: WakeKind);

    /// Wakes those of the viewers who wait, for one arrival.
    fn wake_homes(&self, viewers: &[UserId], post: PostId);

    /// A listener on no channel yet.
    fn listen(&self) -> Box<dyn Listener>;
}
