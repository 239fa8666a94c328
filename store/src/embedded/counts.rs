//! Counts: exact rows that move in the commit of what they count, read through memory.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::Counters;
use social_core::posts::PostCounts;
use social_core::users::UserCounts;
use social_core::{Error, PostId, Result, UserId};

use super::effects::Effect;
use super::keys;
use super::rows::UserTotals;
use super::tables::Table;
use super::truth::Truth;
use super::tx::Tx;

/// The counters of the store.
pub(super) struct Counts(pub(super) Arc<Truth>);

#[async_trait]
impl Counters for Counts {
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<PostCounts>> {
        ids.iter().map(|id| self.0.post_counts(*id)).collect()
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<UserCounts>> {
        ids.iter().map(|id| Ok(self.0.user_totals(*id)?.into())).collect()
    }

    async fn recount_post(&self, id: PostId) -> Result<(PostCounts, PostCounts)> {
        let truth = self.0.clone();
        let counted = tokio::task::spawn_blocking(move || count(&truth, id)).await;
        let (was, is) = counted.map_err(|_| Error::internal())??;
        if was == is {
            return Ok((was, is));
        }
        self.0.writer.run(move |tx| correct(tx, id, was, is)).await
    }
}

/// The row of a moment, and what the rows of the same moment come to. Counting may take long, so the writer does not do it.
fn count(truth: &Truth, id: PostId) -> Result<(PostCounts, PostCounts)> {
    let view = truth.snapshot();
    let was = view.row(Table::Counts, &keys::post_counts(id))?.unwrap_or(NONE);
    let mut is = NONE;
    let prefix = keys::id(id.0);
    view.each(Table::LikesByPost, &prefix, |_, _| {
        is.likes += 1;
        Ok(())
    })?;
    view.each(Table::CommentIndex, &prefix, |_, live| {
        is.comments += u64::from(live == super::comments::LIVE);
        Ok(())
    })?;
    view.each(Table::Replies, &prefix, |_, _| {
        is.replies += 1;
        Ok(())
    })?;
    Ok((was, is))
}

/// Moves the row by what it was off at the moment of counting; what was counted since then moved it already.
fn correct(tx: &mut Tx<'_>, id: PostId, was: PostCounts, is: PostCounts) -> Result<(PostCounts, PostCounts)> {
    let before = tx.row(Table::Counts, &keys::post_counts(id))?.unwrap_or(NONE);
    let moved = |now: u64, was: u64, is: u64| (now + is).saturating_sub(was);
    let after = PostCounts {
        likes: moved(before.likes, was.likes, is.likes),
        comments: moved(before.comments, was.comments, is.comments),
        replies: moved(before.replies, was.replies, is.replies),
        exact: true,
    };
    put_post_counts(tx, id, after)?;
    Ok((before, after))
}

/// The counts of what nobody has liked, commented on or replied to.
const NONE: PostCounts = PostCounts {
    likes: 0,
    comments: 0,
    replies: 0,
    exact: true,
};

impl Truth {
    fn post_counts(&self, id: PostId) -> Result<PostCounts> {
        let load = || Ok(self.row(Table::Counts, &keys::post_counts(id))?.unwrap_or(NONE));
        self.caches.post_counts(id, load)
    }

    fn user_totals(&self, id: UserId) -> Result<UserTotals> {
        let load = || Ok(self.row(Table::Counts, &keys::user_counts(id))?.unwrap_or_default());
        self.caches.user_totals(id, load)
    }
}

/// Moves the counts of a post in this commit.
pub(super) fn move_post(tx: &mut Tx<'_>, id: PostId, change: impl FnOnce(&mut PostCounts)) -> Result<()> {
    let mut counts = tx.row(Table::Counts, &keys::post_counts(id))?.unwrap_or(NONE);
    change(&mut counts);
    put_post_counts(tx, id, counts)
}

fn put_post_counts(tx: &mut Tx<'_>, id: PostId, counts: PostCounts) -> Result<()> {
    tx.effect(Effect::PostCounts(id, counts));
    tx.put_row(Table::Counts, keys::post_counts(id), &counts)
}

/// The counts of a user as they are in this commit.
pub(super) fn totals(tx: &Tx<'_>, id: UserId) -> Result<UserTotals> {
    Ok(tx.row(Table::Counts, &keys::user_counts(id))?.unwrap_or_default())
}

/// Moves the counts of a user in this commit.
pub(super) fn move_user(tx: &mut Tx<'_>, id: UserId, change: impl FnOnce(&mut UserTotals)) -> Result<()> {
    let mut totals = totals(tx, id)?;
    change(&mut totals);
    tx.effect(Effect::UserTotals(id, totals));
    tx.put_row(Table::Counts, keys::user_counts(id), &totals)
}

/// Moves one count up or down by one.
pub(super) fn step(count: &mut u64, up: bool) {
    debug_assert!(up || *count > 0, "a count would fall below zero");
    *count = if up { *count + 1 } else { count.saturating_sub(1) };
}
