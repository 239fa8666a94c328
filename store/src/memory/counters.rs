//! Counts, counted from the rows at every read: always exact.

use async_trait::async_trait;
use social_core::backend::Counters;
use social_core::posts::PostCounts;
use social_core::users::UserCounts;
use social_core::{PostId, Result, UserId};

use super::{Memory, Rows};

#[async_trait]
impl Counters for Memory {
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<PostCounts>> {
        let rows = self.rows();
        Ok(ids.iter().map(|id| rows.count_post(*id)).collect())
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<UserCounts>> {
        let rows = self.rows();
        Ok(ids.iter().map(|id| rows.count_user(*id)).collect())
    }

    async fn recount_post(&self, id: PostId) -> Result<(PostCounts, PostCounts)> {
        let counts = self.rows().count_post(id);
        Ok((counts, counts))
    }
}

impl Rows {
    fn count_post(&self, id: PostId) -> PostCounts {
        let comments = self
            .comments
            .values()
            .filter(|comment| comment.post == id && !comment.is_deleted());
        let replies = self.posts.values().filter(|post| post.counts_for() == Some(id));
        PostCounts {
            likes: self.likes.keys().filter(|(_, post)| *post == id).count() as u64,
            comments: comments.count() as u64,
            replies: replies.count() as u64,
            exact: true,
        }
    }

    fn count_user(&self, id: UserId) -> UserCounts {
        UserCounts {
            posts: self
                .posts
                .values()
                .filter(|post| post.author == id && !post.is_deleted())
                .count() as u64,
            followers: self.graph.follows.incoming(id).count() as u64,
            following: self.graph.follows.outgoing(id).count() as u64,
            exact: true,
        }
    }
}
