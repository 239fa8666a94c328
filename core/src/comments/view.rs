//! Comments as a viewer sees them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::FutureExt as _;

use super::Comment;
use crate::access;
use crate::backend::Backend;
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::{Error, Result};
use crate::id::{CommentId, PostId};
use crate::page::{Range, Round, fill};
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
    let found: Vec<Comment> = backend.store.comments(ids).await?.into_iter().flatten().collect();
    let mut posts: Vec<PostId> = found.iter().map(|comment| comment.post).collect();
    posts.sort_unstable();
    posts.dedup();
    let posts = backend.store.posts(&posts).await?;
    let relations = Relations::load(backend, viewer, posts.iter().flatten().map(|post| post.author)).await?;
    let readable: HashSet<PostId> = posts
        .iter()
        .flatten()
        .filter(|post| access::may_read(viewer, post, &relations.to(post.author)))
        .map(|post| post.id)
        .collect();
    let found = found
        .into_iter()
        .filter(|comment| readable.contains(&comment.post))
        .collect();
    let mut shown: HashMap<CommentId, CommentView> = present(backend, viewer, found)
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
    let (size, after) = (page.size()?, page.after(&binding)?);
    readable(backend, viewer, post).await?;
    if let Some(parent) = parent {
        let found = backend.store.comments(&[parent]).await?.pop().flatten();
        found
            .filter(|parent| parent.post == post)
            .ok_or_else(Error::comment_not_found)?;
    }
    let look = |after, wanted| {
        async move {
            let found = backend
                .store
                .list_comments(post, parent, Range::oldest(after, wanted))
                .await?;
            let (rows, last) = (found.len(), found.last().map(|comment| comment.id.0));
            let shown = present(backend, viewer, found).await?;
            Ok(Round {
                rows,
                last,
                shown: shown.into_iter().map(|view| (view.comment.id.0, view)).collect(),
            })
        }
        .boxed()
    };
    let (shown, next) = fill(size, after, look).await?;
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

/// A comment on a post that the viewer may see, as the viewer sees it, if at all.
pub(crate) async fn find(backend: &Backend, viewer: Viewer, id: CommentId) -> Result<Option<CommentView>> {
    let found = backend.store.comments(&[id]).await?.into_iter().flatten().collect();
    Ok(present(backend, viewer, found).await?.pop())
}

/// A comment as its author sees it after a mutation, also where it was deleted since.
pub(super) async fn own(backend: &Backend, comment: Comment) -> Result<CommentView> {
    let author = backend.store.users(&[comment.author]).await?.pop().flatten();
    Ok(CommentView { comment, author })
}
