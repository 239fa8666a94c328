//! Comments.

use async_trait::async_trait;
use social_core::backend::CommentStore;
use social_core::comments::{Comment, CommentDraft};
use social_core::page::Range;
use social_core::request::{Outcome, RequestKey};
use social_core::text::Facet;
use social_core::{CommentId, Error, PostId, Result, Time};

use super::counts::{self, step};
use super::keys;
use super::posts;
use super::tables::Table;
use super::truth::Truth;
use super::tx::Tx;

/// In the index: a comment that is not deleted.
pub(super) const LIVE: &[u8] = &[1];
/// In the index: a deleted one, which stays in lists as long as it has answers.
const DELETED: &[u8] = &[0];

#[async_trait]
impl CommentStore for Truth {
    async fn create_comment(&self, draft: CommentDraft, request: RequestKey) -> Result<Outcome<Comment>> {
        self.writer.run(move |tx| create(tx, draft, &request)).await
    }

    async fn edit_comment(
        &self,
        id: CommentId,
        content: String,
        facets: Vec<Facet>,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>> {
        let edit = move |comment: &Comment, now| comment.edited(content, facets, expected_version, now);
        self.writer.run(move |tx| change(tx, id, &request, edit)).await
    }

    async fn delete_comment(
        &self,
        id: CommentId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>> {
        let delete = move |comment: &Comment, now| comment.deleted(expected_version, now);
        self.writer.run(move |tx| change(tx, id, &request, delete)).await
    }

    async fn comments(&self, ids: &[CommentId]) -> Result<Vec<Option<Comment>>> {
        ids.iter()
            .map(|id| self.row(Table::Comments, &keys::id(id.0)))
            .collect()
    }

    async fn list_comments(&self, post: PostId, parent: Option<CommentId>, range: Range) -> Result<Vec<Comment>> {
        let view = self.snapshot();
        let ids = view.list(Table::CommentIndex, &keys::comment_list(post, parent), range)?;
        let comments = ids.into_iter().map(|(id, _)| view.row(Table::Comments, &keys::id(id)));
        Ok(comments.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

fn load(tx: &Tx<'_>, id: CommentId) -> Result<Comment> {
    tx.row(Table::Comments, &keys::id(id.0))?
        .ok_or_else(Error::comment_not_found)
}

/// Writes a comment's row and its place in the index.
fn put(tx: &mut Tx<'_>, comment: &Comment) -> Result<()> {
    let state = if comment.is_deleted() { DELETED } else { LIVE };
    tx.put(
        Table::CommentIndex,
        keys::comment_index(comment.post, comment.parent, comment.id.0),
        state,
    );
    tx.put_row(Table::Comments, keys::id(comment.id.0), comment)
}

fn create(tx: &mut Tx<'_>, draft: CommentDraft, request: &RequestKey) -> Result<Outcome<Comment>> {
    if let Some(id) = tx.replayed(request)? {
        return load(tx, CommentId(id)).map(Outcome::replayed);
    }
    posts::load(tx, draft.post)?
        .filter(|post| !post.is_deleted())
        .ok_or_else(Error::post_not_found)?;
    let parent = match draft.parent {
        Some(id) => Some(answerable(tx, draft.post, id)?),
        None => None,
    };
    let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
    let id = CommentId(tx.mint());
    let comment = CommentDraft { depth, ..draft }.into_comment(id, tx.now());
    put(tx, &comment)?;
    count(tx, &comment, parent)?;
    tx.remember(request, id.0)?;
    Ok(Outcome::new(comment))
}

/// Writes a comment that did not exist, whether the one that it answers is there already or comes later.
pub(super) fn insert(tx: &mut Tx<'_>, comment: Comment) -> Result<()> {
    let replies = live_answers(tx, comment.post, comment.id)?;
    let comment = Comment { replies, ..comment };
    put(tx, &comment)?;
    if comment.is_deleted() {
        return Ok(());
    }
    let parent = match comment.parent {
        Some(id) => tx.row(Table::Comments, &keys::id(id.0))?,
        None => None,
    };
    count(tx, &comment, parent)
}

/// Answers to a comment that are there and not deleted.
fn live_answers(tx: &Tx<'_>, post: PostId, id: CommentId) -> Result<u64> {
    let (low, high) = keys::bounds(&keys::comment_list(post, Some(id)), 0, u64::MAX);
    let answers = tx.range(Table::CommentIndex, &low, &high, usize::MAX)?;
    Ok(answers.iter().filter(|(_, state)| &**state == LIVE).count() as u64)
}

/// Counts a new comment for its post and its parent.
fn count(tx: &mut Tx<'_>, comment: &Comment, parent: Option<Comment>) -> Result<()> {
    if let Some(parent) = parent {
        let replies = parent.replies + 1;
        put(tx, &Comment { replies, ..parent })?;
    }
    counts::move_post(tx, comment.post, |counts| step(&mut counts.comments, true))
}

/// A comment of the post that can be answered.
fn answerable(tx: &Tx<'_>, post: PostId, id: CommentId) -> Result<Comment> {
    let parent = load(tx, id)?;
    if parent.post == post && !parent.is_deleted() {
        Ok(parent)
    } else {
        Err(Error::comment_not_found())
    }
}

/// Puts what `decide` makes of a comment in its place; a deletion moves the counts.
fn change(
    tx: &mut Tx<'_>,
    id: CommentId,
    request: &RequestKey,
    decide: impl FnOnce(&Comment, Time) -> Result<Comment>,
) -> Result<Outcome<Comment>> {
    let replayed = tx.replayed(request)?.is_some();
    let before = load(tx, id)?;
    if replayed {
        return Ok(Outcome::replayed(before));
    }
    let comment = decide(&before, tx.now())?;
    put(tx, &comment)?;
    if comment.is_deleted() && !before.is_deleted() {
        uncount(tx, &comment)?;
    }
    tx.remember(request, id.0)?;
    Ok(Outcome::new(comment))
}

fn uncount(tx: &mut Tx<'_>, deleted: &Comment) -> Result<()> {
    if let Some(parent) = deleted.parent {
        let mut parent = load(tx, parent)?;
        step(&mut parent.replies, false);
        put(tx, &parent)?;
    }
    counts::move_post(tx, deleted.post, |counts| step(&mut counts.comments, false))
}
