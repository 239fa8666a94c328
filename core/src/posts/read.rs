//! Reading posts, their revisions, and a user's posts.

use super::view::{self, PostView, Relations};
use super::{Post, Revision, Visibility};
use futures::FutureExt as _;

use crate::access;
use crate::backend::Backend;
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::{Error, Result};
use crate::id::{PostId, UserId};
use crate::page::{Range, Round, fill};
use crate::request::Viewer;
use crate::users;

/// A post. POST_NOT_FOUND where there is none that the viewer may see; with `include_deleted` its author sees a deleted one.
pub async fn get(backend: &Backend, viewer: Viewer, id: PostId, include_deleted: bool) -> Result<PostView> {
    let post = backend
        .store
        .posts(&[id])
        .await?
        .pop()
        .flatten()
        .ok_or_else(Error::post_not_found)?;
    if include_deleted && viewer.is(post.author) {
        return view::show(backend, viewer, post).await;
    }
    visible_one(backend, viewer, id).await
}

pub(super) async fn visible_one(backend: &Backend, viewer: Viewer, id: PostId) -> Result<PostView> {
    view::visible(backend, viewer, &[id])
        .await?
        .pop()
        .flatten()
        .ok_or_else(Error::post_not_found)
}

/// Posts by id, in order, `None` for those that the viewer cannot see. INVALID_FIELD `post_ids` for none or too many.
pub async fn batch_get(backend: &Backend, viewer: Viewer, ids: &[PostId]) -> Result<Vec<Option<PostView>>> {
    crate::page::batch("post_ids", ids.len())?;
    view::visible(backend, viewer, ids).await
}

/// What a post is and was, newest first. What the viewer could not have seen is left out. POST_NOT_FOUND.
pub async fn list_revisions(
    backend: &Backend,
    viewer: Viewer,
    id: PostId,
    page: PageRequest<'_>,
) -> Result<Listed<Revision>> {
    let post = view::readable(backend, viewer, id).await?;
    let binding = Binding::new("revisions", viewer, &[id.0]);
    let (size, after) = (page.size()?, page.after(&binding)?);
    let mut revisions = Vec::new();
    if after.is_none() {
        revisions.push(post.as_revision());
    }
    let older = size + 1 - revisions.len();
    revisions.extend(backend.store.post_revisions(id, Range::newest(after, older)).await?);
    let next = (revisions.len() > size).then(|| u64::from(revisions[size - 1].number));
    revisions.truncate(size);
    revisions.retain(|revision| could_see(viewer, &post, revision.visibility));
    Ok(Listed::new(revisions, next, &binding))
}

fn could_see(viewer: Viewer, post: &Post, visibility: Visibility) -> bool {
    viewer.is(post.author) || visibility >= post.visibility
}

/// A user's posts that the viewer may see, newest first. USER_NOT_FOUND.
pub async fn list_by_user(
    backend: &Backend,
    viewer: Viewer,
    author: UserId,
    exclude_replies: bool,
    page: PageRequest<'_>,
) -> Result<Listed<PostView>> {
    let binding = Binding::new("user posts", viewer, &[author.0, u64::from(exclude_replies)]);
    let (size, after) = (page.size()?, page.after(&binding)?);
    users::require(backend, author).await?;
    let relations = Relations::load(backend, viewer, [author].into_iter()).await?;
    let relations = &relations;
    let look = |after, wanted| {
        async move {
            let ids = backend.store.user_posts(author, Range::newest(after, wanted)).await?;
            let posts = backend.store.posts(&ids).await?.into_iter().flatten();
            let shown = posts
                .filter(|post| access::may_read(viewer, post, &relations.to(author)))
                .filter(|post| !(exclude_replies && post.in_reply_to.is_some()));
            Ok(Round {
                rows: ids.len(),
                last: ids.last().map(|id| id.0),
                shown: shown.map(|post| (post.id.0, post)).collect(),
            })
        }
        .boxed()
    };
    let (shown, next) = fill(size, after, look).await?;
    Ok(Listed::new(
        view::hydrate(backend, viewer, shown, relations).await?,
        next,
        &binding,
    ))
}
