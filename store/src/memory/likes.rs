//! Likes.

use async_trait::async_trait;
use social_core::backend::LikeStore;
use social_core::likes::{Like, LikeChange};
use social_core::page::Range;
use social_core::{PostId, Result, UserId};

use super::{Memory, Rows, select_unsorted};

#[async_trait]
impl LikeStore for Memory {
    async fn set_like(&self, user: UserId, post: PostId, active: bool) -> Result<LikeChange> {
        let mut rows = self.rows();
        let changed = rows.likes.contains_key(&(user, post)) != active;
        if changed && active {
            let since = rows.mint();
            rows.likes.insert((user, post), since);
        } else if changed {
            rows.likes.remove(&(user, post));
        }
        Ok(LikeChange { active, changed })
    }

    async fn liked(&self, user: UserId, posts: &[PostId]) -> Result<Vec<bool>> {
        let rows = self.rows();
        Ok(posts
            .iter()
            .map(|post| rows.likes.contains_key(&(user, *post)))
            .collect())
    }

    async fn likers(&self, post: PostId, range: Range) -> Result<Vec<Like>> {
        Ok(self.rows().likes_where(|like| like.post == post, &range))
    }

    async fn user_likes(&self, user: UserId, range: Range) -> Result<Vec<Like>> {
        Ok(self.rows().likes_where(|like| like.user == user, &range))
    }
}

impl Rows {
    fn likes_where(&self, wanted: impl Fn(&Like) -> bool, range: &Range) -> Vec<Like> {
        let likes = self
            .likes
            .iter()
            .map(|(&(user, post), &since)| Like { user, post, since });
        select_unsorted(likes.filter(wanted).map(|like| (like.since, like)), range)
    }
}
