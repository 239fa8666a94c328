//! Likes: a set of users a post.

mod set;
mod stream;

pub use set::{LikedPost, Liker, batch_get_counts, list_by_user, list_likers, set};
pub use stream::{CountsEvent, CountsSubscription, subscribe};

use crate::id::{PostId, UserId};

/// A row of a list of likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Like {
    /// Who likes.
    pub user: UserId,
    /// What is liked.
    pub post: PostId,
    /// When, as a time-ordered key: the listing's order.
    pub since: u64,
}

/// What a like or unlike came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LikeChange {
    /// Whether the user likes the post now.
    pub active: bool,
    /// Whether this call changed that.
    pub changed: bool,
}
