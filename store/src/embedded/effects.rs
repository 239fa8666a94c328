//! What a committed command changes in memory.

use std::sync::Arc;

use social_core::fanout::{Policy, State};
use social_core::graph::EdgeKind;
use social_core::posts::{Post, PostCounts};
use social_core::users::User;
use social_core::{EventId, PostId, Time, UserId};

use super::rows::{Stretches, UserTotals};

/// A change of a projection in memory, applied in commit order and before the command is answered.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// A user's row is this now.
    User(Arc<User>),
    /// A post's row is this now.
    Post(Arc<Post>),
    /// A post's counts are these now.
    PostCounts(PostId, PostCounts),
    /// A user's counts are these now.
    UserTotals(UserId, UserTotals),
    /// Whether a user likes a post changed.
    Like {
        /// Who.
        user: UserId,
        /// What.
        post: PostId,
        /// Whether it is liked now.
        active: bool,
    },
    /// An edge of this kind from this user was set or removed.
    Edge(EdgeKind, UserId),
    /// An author's pulled stretches are these now.
    Stretches(UserId, Arc<Stretches>),
    /// An event stands here since this time.
    Event(EventId, State, Time),
    /// The policy is this now.
    Policy(Policy),
    /// The count of the horizon that imports raise is this now.
    Imports(u64),
}
