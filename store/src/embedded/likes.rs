//! Likes.

use async_trait::async_trait;
use social_core::backend::LikeStore;
use social_core::likes::{Like, LikeChange};
use social_core::page::Range;
use social_core::{PostId, Result, UserId};

use super::caches::{LIKED_SET, Liked};
use super::counts::{self, step};
use super::effects::Effect;
use super::keys;
use super::tables::Table;
use super::truth::{Truth, with_numbers};
use super::tx::Tx;

#[async_trait]
impl LikeStore for Truth {
    async fn set_like(&self, user: UserId, post: PostId, active: bool) -> Result<LikeChange> {
        self.writer.run(move |tx| set(tx, user, post, active)).await
    }

    async fn liked(&self, user: UserId, posts: &[PostId]) -> Result<Vec<bool>> {
        match self.caches.liked(user, || self.load_liked(user))? {
            Liked::All(liked) => Ok(posts.iter().map(|post| liked.binary_search(&post.0).is_ok()).collect()),
            Liked::Many => posts
                .iter()
                .map(|post| self.has(Table::Likes, &keys::pair(post.0, user.0)))
                .collect(),
        }
    }

    async fn likers(&self, post: PostId, range: Range) -> Result<Vec<Like>> {
        let rows = self.list(Table::LikesByPost, &keys::id(post.0), range)?;
        let rows = with_numbers(Table::LikesByPost, rows)?;
        Ok(rows
            .into_iter()
            .map(|(since, user)| Like {
                user: UserId(user),
                post,
                since,
            })
            .collect())
    }

    async fn user_likes(&self, user: UserId, range: Range) -> Result<Vec<Like>> {
        let rows = self.list(Table::LikesByUser, &keys::id(user.0), range)?;
        let rows = with_numbers(Table::LikesByUser, rows)?;
        Ok(rows
            .into_iter()
            .map(|(since, post)| Like {
                user,
                post: PostId(post),
                since,
            })
            .collect())
    }
}

impl Truth {
    fn load_liked(&self, user: UserId) -> Result<Liked> {
        let rows = self.list(
            Table::LikesByUser,
            &keys::id(user.0),
            Range::newest(None, LIKED_SET + 1),
        )?;
        if rows.len() > LIKED_SET {
            return Ok(Liked::Many);
        }
        let mut posts: Vec<u64> = with_numbers(Table::LikesByUser, rows)?
            .into_iter()
            .map(|(_, post)| post)
            .collect();
        posts.sort_unstable();
        Ok(Liked::All(posts.into()))
    }
}

fn set(tx: &mut Tx<'_>, user: UserId, post: PostId, active: bool) -> Result<LikeChange> {
    let key = keys::pair(post.0, user.0);
    match tx.number(Table::Likes, &key)? {
        None if active => {
            let since = tx.mint();
            add(tx, Like { user, post, since })?;
        }
        Some(since) if !active => {
            tx.delete(Table::Likes, key);
            tx.delete(Table::LikesByPost, keys::pair(post.0, since));
            tx.delete(Table::LikesByUser, keys::pair(user.0, since));
            moved(tx, user, post, false)?;
        }
        _ => return Ok(LikeChange { active, changed: false }),
    }
    Ok(LikeChange { active, changed: true })
}

/// Adds a like that is not there.
pub(super) fn add(tx: &mut Tx<'_>, like: Like) -> Result<()> {
    let Like { user, post, since } = like;
    tx.put_number(Table::Likes, keys::pair(post.0, user.0), since);
    tx.put_number(Table::LikesByPost, keys::pair(post.0, since), user.0);
    tx.put_number(Table::LikesByUser, keys::pair(user.0, since), post.0);
    moved(tx, user, post, true)
}

/// Counts the like that came or went, and tells memory.
fn moved(tx: &mut Tx<'_>, user: UserId, post: PostId, active: bool) -> Result<()> {
    counts::move_post(tx, post, |counts| step(&mut counts.likes, active))?;
    tx.effect(Effect::Like { user, post, active });
    Ok(())
}
