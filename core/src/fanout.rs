//! Fan-out: how a post reaches its followers' home timelines.

mod status;
mod step;

pub use status::{Status, status};
pub use step::{Step, step};

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::id::{EventId, PostId, UserId};
use crate::request::TraceContext;

/// How a post reaches home timelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// It is written to each follower's timeline.
    Push,
    /// Readers merge it from the author's posts.
    Pull,
}

impl Mode {
    /// Its name in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

/// Which mode new posts get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Strategy {
    /// Every post is pushed.
    Push,
    /// Every post is pulled.
    Pull,
    /// Posts of authors below the threshold are pushed, those of others pulled.
    Hybrid,
}

/// The platform's fan-out policy; can be changed while it runs, and holds for posts created from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which mode new posts get.
    pub strategy: Strategy,
    /// With HYBRID: authors with at least this many followers are pulled.
    pub celebrity_threshold: u64,
    /// Raised by every change; the etag is made of it.
    pub version: u64,
    /// When it was last changed; zero where never.
    pub updated_at: Time,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Hybrid,
            celebrity_threshold: 10_000,
            version: 1,
            updated_at: Time::default(),
        }
    }
}

impl Policy {
    /// The mode of a post written now by an author with this many followers.
    pub fn mode_for(&self, followers: u64) -> Mode {
        match self.strategy {
            Strategy::Push => Mode::Push,
            Strategy::Pull => Mode::Pull,
            Strategy::Hybrid if followers >= self.celebrity_threshold => Mode::Pull,
            Strategy::Hybrid => Mode::Push,
        }
    }
}

/// What an event asks the workers to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// A new post: push it, or nothing where its mode is PULL.
    Post {
        /// The post.
        post: PostId,
        /// Its author.
        author: UserId,
        /// The mode decided when it was created.
        mode: Mode,
    },
    /// A post that came back (undeleted, made visible to more people, dead letter replayed): push it, whatever
    /// its mode, since readers who merge by id would not find it new.
    Restore {
        /// The post.
        post: PostId,
        /// Its author.
        author: UserId,
    },
    /// A new follow: bring the followee's recent posts into the follower's home timeline.
    Follow {
        /// Who follows.
        follower: UserId,
        /// Whom.
        followee: UserId,
    },
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Filed; work is to be done, or under way.
    Pending,
    /// All of its work is done.
    Done,
    /// It failed [`EVENT_ATTEMPTS`](crate::limits::EVENT_ATTEMPTS) times in a way that would repeat; an operator must look.
    DeadLettered,
}

/// How far an event has come. Steps are idempotent, so losing the newest progress only repeats work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The last follower served, in the order of [`Store::fanout_followers`](crate::backend::GraphStore::fanout_followers).
    pub after: Option<UserId>,
    /// Timelines that the post was written to.
    pub delivered: u64,
    /// Followers without a ready timeline: theirs is rebuilt from truth when they return.
    pub skipped: u64,
    /// Steps taken.
    pub steps: u32,
}

/// An entry of the event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The event's id; a post's creation has the post's id.
    pub id: EventId,
    /// What is to be done.
    pub payload: Payload,
    /// When it was filed.
    pub filed_at: Time,
    /// The trace of the call that caused it.
    pub trace: Option<TraceContext>,
    /// Where it stands.
    pub state: State,
    /// How far it has come.
    pub progress: Progress,
    /// Deterministic failures so far.
    pub attempts: u32,
    /// The class of the last failure.
    pub last_error: Option<String>,
    /// When it ended.
    pub finished_at: Option<Time>,
}

impl Event {
    /// An event just filed.
    pub fn new(id: EventId, payload: Payload, filed_at: Time, trace: Option<TraceContext>) -> Self {
        Self {
            id,
            payload,
            filed_at,
            trace,
            state: State::Pending,
            progress: Progress::default(),
            attempts: 0,
            last_error: None,
            finished_at: None,
        }
    }
}
