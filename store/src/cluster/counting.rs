//! Counts truth, for the counters in Redis.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::graph::EdgeKind;
use social_core::posts::PostCounts;
use social_core::users::UserCounts;
use social_core::{PostId, Result, UserId};

use super::db::{Db, statements};
use super::lists::{List, Lists};
use super::redis;

statements!(Statements {
    following: Read "SELECT COUNT(*) FROM edges WHERE kind = ? AND from_user = ? AND active = true ALLOW FILTERING",
});

/// Counts from the lists and edges of truth.
pub(super) struct Counting {
    db: Arc<Db>,
    lists: Lists,
    statements: Statements,
}

impl Counting {
    pub(super) async fn prepare(db: Arc<Db>) -> Result<Self> {
        Ok(Self {
            lists: Lists::prepare(&db).await?,
            statements: Statements::prepare(&db).await?,
            db,
        })
    }

    async fn following(&self, user: UserId) -> Result<u64> {
        let values = (super::graph::number(EdgeKind::Follow), user.0 as i64);
        let count: Option<(i64,)> = self.db.row(&self.statements.following, values).await?;
        Ok(count.map_or(0, |(count,)| count as u64))
    }

    async fn count(&self, list: List, owner: u64) -> Result<u64> {
        self.lists.count(&self.db, list, owner).await
    }
}

#[async_trait]
impl redis::Truth for Counting {
    async fn count_post(&self, id: PostId) -> Result<PostCounts> {
        let (likes, comments, replies) = tokio::try_join!(
            self.count(List::PostLikes, id.0),
            self.count(List::Comments, id.0),
            self.count(List::Replies, id.0),
        )?;
        Ok(PostCounts {
            likes,
            comments,
            replies,
            exact: true,
        })
    }

    async fn count_user(&self, id: UserId) -> Result<UserCounts> {
        let (posts, followers, following) = tokio::try_join!(
            self.count(List::UserPosts, id.0),
            self.count(List::Followers, id.0),
            self.following(id),
        )?;
        Ok(UserCounts {
            posts,
            followers,
            following,
            exact: true,
        })
    }
}
