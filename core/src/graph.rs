//! Who follows, blocks and mutes whom.

mod edges;

pub use edges::{
    FollowerChunk, Neighbour, export_followers, list_followers, list_following, list_own, remove_follower, set,
};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Reason, Result};
use crate::id::{PostId, UserId};

/// A kind of relation from one user to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// `from` reads what `to` posts.
    Follow,
    /// `from` and `to` see nothing of each other.
    Block,
    /// `from` does not see `to` in timelines; `to` cannot tell.
    Mute,
}

impl EdgeKind {
    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Follow => "follow",
            Self::Block => "block",
            Self::Mute => "mute",
        }
    }
}

/// Which end of the edges a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Edges that leave the user: whom it follows, blocks, mutes.
    Outgoing,
    /// Edges that arrive at the user: its followers.
    Incoming,
}

/// A row of a list of edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The user at the other end.
    pub user: UserId,
    /// Since when, as a time-ordered key: the listing's order.
    pub since: u64,
}

/// What setting or removing an edge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeChange {
    /// Whether the edge exists now.
    pub active: bool,
    /// Whether this call changed that.
    pub changed: bool,
    /// The durable backfill that a new follow brings about.
    pub event: Option<crate::id::EventId>,
}

/// How a viewer and another user stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relation {
    /// The viewer follows the other.
    pub following: bool,
    /// The other follows the viewer.
    pub followed_by: bool,
    /// The viewer blocks the other.
    pub blocking: bool,
    /// The other blocks the viewer.
    pub blocked_by: bool,
    /// The viewer mutes the other.
    pub muting: bool,
}

impl Relation {
    /// Whether one of the two blocks the other.
    pub fn is_blocked(&self) -> bool {
        self.blocking || self.blocked_by
    }

    /// Refuses an action of one towards the other across a block.
    pub fn refuse_blocked(&self) -> Result<()> {
        if self.is_blocked() {
            return Err(Error::new(Reason::Blocked, "one of you blocks the other"));
        }
        Ok(())
    }
}

/// Whose posts a viewer's home timeline shows: a consistent snapshot. Bounded by
/// [`limits::FOLLOWING`](crate::limits::FOLLOWING) and [`limits::MUTES`](crate::limits::MUTES). A block ends follows in both directions, so
/// blocks need no place here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Following {
    /// Whom the viewer follows, and since when (the edge's key).
    pub followees: HashMap<UserId, u64>,
    /// Whom the viewer mutes.
    pub muted: HashSet<UserId>,
}

impl Following {
    /// A digest of whom the viewer mutes, the same for the same set.
    pub fn muted_digest(&self) -> u64 {
        // Ids differ in their low bits hardly: spread them, so that two sets rarely come to the same.
        let spread = |user: &UserId| user.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.muted.iter().map(spread).fold(0, u64::wrapping_add)
    }

    /// Whether the author's posts belong into the viewer's home timeline.
    pub fn shows(&self, author: UserId) -> bool {
        self.followees.contains_key(&author) && !self.muted.contains(&author)
    }
}

/// A followee some of whose posts were left to readers instead of being pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledAuthor {
    /// The author.
    pub author: UserId,
    /// Stretches from one post to a later one, both inclusive, ascending. Each post in a stretch may or may
    /// not have been pulled; every pulled post is in a stretch.
    pub stretches: Vec<(PostId, PostId)>,
}

/// What a viewer's home timeline is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Whose posts it shows.
    pub following: Arc<Following>,
    /// Those of them some of whose posts are pulled.
    pub pulled: Arc<Vec<PulledAuthor>>,
}
