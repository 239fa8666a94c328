//! Comments as a viewer sees them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Comment;
use crate::access;
use crate::backend::Backend;
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::{Error, Result};
use crate::id::{CommentId, PostId};
use crate::limits;
use crate::page::Range;
use crate::posts::view::{Relations, readable};
use crate::request::Viewer;
use crate::users::User;

/// A comment as one viewer sees it.
#[derive(Debug, Clone)]
pub struct CommentView {
    /// The comment.
    pub comment: Comment,
    /// Who wrote it; absent for a deleted comment that stays for the sake of its answers.
    pub author: Option<Arc<User>>,
}

/// Comments by id, in order, `None` for those that the viewer cannot see. INVALID_FIELD `comment_ids`.
pub async fn batch_get(backend: &Backend, viewer: Viewer, ids: &[CommentId]) -> Result<Vec<Option<CommentView>>> {
    crate::page::batch("comment_ids", ids.len())?;
    let found = backend.store.comments(ids).await?;
    let mut posts: HashMap<PostId, bool> = HashMap::new();
    for comment in found.iter().flatten() {
        if let std::collections::hash_map::Entry::Vacant(slot) = posts.entry(comment.post) {
            slot.insert(readable(backend, viewer, comment.post).await.is_ok());
        }
    }
    let readable = found
        .into_iter()
        .flatten()
        .filter(|comment| posts[&comment.post])
        .collect();
    let mut shown: HashMap<CommentId, CommentView> = present(backend, viewer, readable)
        .await?
        .into_iter()
        .map(|view| (view.comment.id, view))
        .collect();
    Ok(ids.iter().map(|id| shown.remove(id)).collect())
}

/// Comments on a post, or answers to one of them, oldest first. POST_NOT_FOUND, COMMENT_NOT_FOUND where `parent` is not on the post.
pub async fn list(
    backend: &Backend,
    viewer: Viewer,
    post: PostId,
    parent: Option<CommentId>,
    page: PageRequest<'_>,
) -> Result<Listed<CommentView>> {
    let binding = Binding::new("comments", viewer, &[post.0, parent.map_or(0, |parent| parent.0)]);
    let (size, mut after) = (page.size()?, page.after(&binding)?);
    readable(backend, viewer, post).await?;
    if let Some(parent) = parent {
        let found = backend.store.comments(&[parent]).await?.pop().flatten();
        found
            .filter(|parent| parent.post == post)
            .ok_or_else(Error::comment_not_found)?;
    }
    let mut shown = Vec::new();
    let mut scanned = 0;
    let next = loop {
        let wanted = size - shown.len();
        let found = backend
            .store
            .list_comments(post, parent, Range::oldest(after, wanted))
            .await?;
        let more = found.len() == wanted;
        scanned += found.len();
        after = found.last().map(|comment| comment.id.0).or(after);
        shown.extend(present(backend, viewer, found).await?);
        if !more {
            break None;
        }
        if shown.len() >= size || scanned >= limits::PAGE_SCAN {
            break after;
        }
    };
    Ok(Listed::new(shown, next, &binding))
}

/// Drops what the viewer is not to see (the deleted without answers, and authors apart by a block) and adds the authors.
async fn present(backend: &Backend, viewer: Viewer, comments: Vec<Comment>) -> Result<Vec<CommentView>> {
    let relations = Relations::load(backend, viewer, comments.iter().map(|comment| comment.author)).await?;
    let kept: Vec<Comment> = comments
        .into_iter()
        .filter(|comment| access::may_read_comment(viewer, comment, &relations.to(comment.author)))
        .filter(|comment| !comment.is_deleted() || comment.replies > 0)
        .collect();
    let authors: Vec<_> = kept.iter().map(|comment| comment.author).collect();
    let authors = backend.store.users(&authors).await?;
    Ok(kept
        .into_iter()
        .zip(authors)
        .map(|(comment, author)| CommentView {
            author: author.filter(|_| !comment.is_deleted()),
            comment,
        })
        .collect())
}

/// One comment as the viewer sees it. COMMENT_NOT_FOUND.
pub async fn show(backend: &Backend, viewer: Viewer, comment: Comment) -> Result<CommentView> {
    present(backend, viewer, vec![comment])
        .await?
        .pop()
        .ok_or_else(Error::comment_not_found)
}
