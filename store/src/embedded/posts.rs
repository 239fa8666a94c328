//! Posts and their history.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::PostStore;
use social_core::fanout::{Mode, Payload};
use social_core::page::{Order, Range};
use social_core::posts::{CreatedPost, Post, PostChange, PostDraft, PostEdit, Revision};
use social_core::request::{Outcome, RequestKey, TraceContext};
use social_core::{Error, PostId, Result, UserId, limits};

use super::counts::{self, step};
use super::effects::Effect;
use super::events;
use super::keys;
use super::rows::{self, Stretches};
use super::tables::Table;
use super::truth::Truth;
use super::tx::Tx;

#[async_trait]
impl PostStore for Truth {
    async fn create_post(
        &self,
        draft: PostDraft,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<CreatedPost>> {
        self.writer.run(move |tx| create(tx, draft, &request, trace)).await
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<Arc<Post>>>> {
        let one = |id: &PostId| self.caches.post(*id, || self.row(Table::Posts, &keys::id(id.0)));
        ids.iter().map(one).collect()
    }

    async fn edit_post(
        &self,
        id: PostId,
        edit: PostEdit,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>> {
        let decide = move |post: &Post, now| post.edited(&edit, expected_version, now);
        self.writer.run(move |tx| change(tx, id, &request, trace, decide)).await
    }

    async fn delete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<Post>>> {
        let decide = move |post: &Post, now| post.deleted(expected_version, now).map(Some);
        self.writer.run(move |tx| change(tx, id, &request, None, decide)).await
    }

    async fn undelete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>> {
        let decide = move |post: &Post, now| post.undeleted(expected_version, now);
        self.writer.run(move |tx| change(tx, id, &request, trace, decide)).await
    }

    async fn post_revisions(&self, id: PostId, range: Range) -> Result<Vec<Revision>> {
        let rows = self.list(Table::Revisions, &keys::id(id.0), range)?;
        let decode =
            |(_, bytes): (u64, fjall::UserValue)| rows::decode(&bytes).map_err(|e| e.report(Table::Revisions.name()));
        rows.into_iter().map(decode).collect()
    }

    async fn user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        let rows = self.list(Table::UserPosts, &keys::id(author.0), range)?;
        Ok(rows.into_iter().map(|(id, _)| PostId(id)).collect())
    }

    async fn all_user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        let (view, prefix) = (self.snapshot(), keys::id(author.0));
        let mut rows = view.list(Table::UserPosts, &prefix, range)?;
        rows.extend(view.list(Table::DeletedPosts, &prefix, range)?);
        let mut ids: Vec<PostId> = rows.into_iter().map(|(id, _)| PostId(id)).collect();
        ids.sort_unstable();
        if range.order == Order::NewestFirst {
            ids.reverse();
        }
        ids.truncate(range.limit);
        Ok(ids)
    }
}

/// A post in this commit.
pub(super) fn load(tx: &Tx<'_>, id: PostId) -> Result<Option<Post>> {
    tx.row(Table::Posts, &keys::id(id.0))
}

/// Writes a post's row.
pub(super) fn put(tx: &mut Tx<'_>, post: Post) -> Result<Arc<Post>> {
    tx.put_row(Table::Posts, keys::id(post.id.0), &post)?;
    let post = Arc::new(post);
    tx.effect(Effect::Post(post.clone()));
    Ok(post)
}

/// Writes a post that did not exist, with its indexes and counts.
pub(super) fn insert(tx: &mut Tx<'_>, post: Post) -> Result<Arc<Post>> {
    if post.is_deleted() {
        tx.mark(Table::DeletedPosts, keys::pair(post.author.0, post.id.0));
    } else {
        list(tx, &post, true)?;
    }
    count_reply(tx, None, &post)?;
    put(tx, post)
}

/// Puts a post into its author's list and count, or takes it out.
fn list(tx: &mut Tx<'_>, post: &Post, listed: bool) -> Result<()> {
    let own = keys::pair(post.author.0, post.id.0);
    set(tx, Table::UserPosts, own, listed);
    counts::move_user(tx, post.author, |totals| step(&mut totals.posts, listed))
}

/// Moves the reply count of the post that a post counts for, or counted for before.
fn count_reply(tx: &mut Tx<'_>, before: Option<&Post>, post: &Post) -> Result<()> {
    let (was, is) = (before.and_then(Post::counts_for), post.counts_for());
    let Some(target) = was.or(is).filter(|_| was != is) else {
        return Ok(());
    };
    let counted = is.is_some();
    set(tx, Table::Replies, keys::pair(target.0, post.id.0), counted);
    counts::move_post(tx, target, |counts| step(&mut counts.replies, counted))
}

fn set(tx: &mut Tx<'_>, table: Table, key: keys::Key, there: bool) {
    if there {
        tx.mark(table, key);
    } else {
        tx.delete(table, key);
    }
}

fn create(
    tx: &mut Tx<'_>,
    draft: PostDraft,
    request: &RequestKey,
    trace: Option<TraceContext>,
) -> Result<Outcome<CreatedPost>> {
    if let Some(id) = tx.replayed(request)? {
        return created_before(tx, PostId(id)).map(Outcome::replayed);
    }
    let author = draft.author;
    let followers = counts::totals(tx, author)?.followers;
    let mode = events::policy(tx)?.mode_for(followers);
    let id = PostId(tx.mint());
    let post = insert(tx, draft.into_post(id, tx.now()))?;
    note_mode(tx, author, id, mode)?;
    events::file(tx, id.into(), Payload::Post { post: id, author, mode }, trace)?;
    tx.remember(request, id.0)?;
    Ok(Outcome::new(CreatedPost { post, mode }))
}

/// The post of an earlier request; its event, which is kept for longer than requests are, knows the mode.
fn created_before(tx: &Tx<'_>, id: PostId) -> Result<CreatedPost> {
    let post = Arc::new(load(tx, id)?.ok_or_else(Error::post_not_found)?);
    let mode = match events::load(tx, id.into())?.map(|event| event.payload) {
        Some(Payload::Post { mode, .. }) => mode,
        // Its dead letter was replayed, which pushes.
        _ => Mode::Push,
    };
    Ok(CreatedPost { post, mode })
}

/// Keeps the author's pulled stretches: a pulled post begins or continues one, a pushed one ends it.
fn note_mode(tx: &mut Tx<'_>, author: UserId, post: PostId, mode: Mode) -> Result<()> {
    let key = keys::id(author.0);
    let stretches: Option<Stretches> = tx.row(Table::Stretches, &key)?;
    let stretches = match (mode, stretches) {
        (Mode::Pull, stretches) => stretches.unwrap_or_default().pulled(post),
        (Mode::Push, Some(stretches)) if stretches.open => Stretches {
            open: false,
            ..stretches
        },
        (Mode::Push, _) => return Ok(()),
    };
    tx.put_row(Table::Stretches, key, &stretches)?;
    tx.effect(Effect::Stretches(author, Arc::new(stretches)));
    Ok(())
}

/// Applies a change that the domain decides from the row as it is; `None` where there is nothing to change.
fn change(
    tx: &mut Tx<'_>,
    id: PostId,
    request: &RequestKey,
    trace: Option<TraceContext>,
    decide: impl FnOnce(&Post, social_core::Time) -> Result<Option<PostChange>>,
) -> Result<Outcome<Arc<Post>>> {
    let replayed = tx.replayed(request)?.is_some();
    let post = load(tx, id)?.ok_or_else(Error::post_not_found)?;
    if replayed {
        return Ok(Outcome::replayed(Arc::new(post)));
    }
    let changed = decide(&post, tx.now())?;
    tx.remember(request, id.0)?;
    match changed {
        Some(change) => Ok(Outcome::new(apply(tx, &post, change, trace)?)),
        None => Ok(Outcome::new(Arc::new(post))),
    }
}

fn apply(tx: &mut Tx<'_>, before: &Post, change: PostChange, trace: Option<TraceContext>) -> Result<Arc<Post>> {
    let PostChange {
        mut post,
        revision,
        restores,
    } = change;
    if let Some(revision) = revision {
        keep_revision(tx, before.id, &revision)?;
    }
    if before.is_deleted() != post.is_deleted() {
        list(tx, &post, !post.is_deleted())?;
        let own = keys::pair(post.author.0, post.id.0);
        set(tx, Table::DeletedPosts, own, post.is_deleted());
    }
    count_reply(tx, Some(before), &post)?;
    if restores {
        let payload = Payload::Restore {
            post: post.id,
            author: post.author,
        };
        post.visible_since = events::file_new(tx, payload, trace)?;
    }
    put(tx, post)
}

/// Adds a revision. They are numbered without holes, so the one to make room is known.
fn keep_revision(tx: &mut Tx<'_>, post: PostId, revision: &Revision) -> Result<()> {
    let number = u64::from(revision.number);
    if let Some(oldest) = number.checked_sub(limits::POST_REVISIONS as u64) {
        tx.delete(Table::Revisions, keys::pair(post.0, oldest));
    }
    tx.put_row(Table::Revisions, keys::pair(post.0, number), revision)
}
