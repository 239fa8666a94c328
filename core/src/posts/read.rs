//! Reading posts, their revisions, and a user's posts.

use super::view::{self, Known, PostView, Relations};
use super::{Post, Revision, Visibility};
use futures::FutureExt as _;

use crate::access;
use crate::backend::Backend;
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::{Error, Reason, Result};
use crate::id::{PostId, UserId};
use crate::page::{Range, Round, fill};
use crate::request::Viewer;
use crate::users;

/// A post. POST_NOT_FOUND where there is none that the viewer may see; with `include_deleted` its author sees a deleted one, and without it
/// learns how to.
pub async fn get(backend: &Backend, viewer: Viewer, id: PostId, include_deleted: bool) -> Result<PostView> {
    let post = backend
        .store
        .posts(&[id])
        .await?
        .pop()
        .flatten()
        .ok_or_else(Error::post_not_found)?;
    if viewer.is(post.author) && post.is_deleted() {
        // To everybody else it is as if it had never been.
        return if include_deleted {
            view::show(backend, viewer, post).await
        } else {
            Err(own_but_deleted())
        };
    }
    visible_one(backend, viewer, id).await
}

fn own_but_deleted() -> Error {
    Error::new(
        Reason::PostNotFound,
        "you deleted this post: UndeletePost brings it back for 30 days, and include_deleted shows it to you",
    )
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

/// Which of a user's posts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserPostsFilter {
    /// Leave out posts that reply to another.
    pub exclude_replies: bool,
    /// Deleted ones too, where the viewer wrote them.
    pub include_deleted: bool,
}

impl UserPostsFilter {
    /// A number for each filter, that a page token is bound to.
    fn number(self) -> u64 {
        u64::from(self.exclude_replies) | u64::from(self.include_deleted) << 1
    }
}

/// A user's posts that the viewer may see, newest first. USER_NOT_FOUND.
pub async fn list_by_user(
    backend: &Backend,
    viewer: Viewer,
    author: UserId,
    filter: UserPostsFilter,
    page: PageRequest<'_>,
) -> Result<Listed<PostView>> {
    let binding = Binding::new("user posts", viewer, &[author.0, filter.number()]);
    let (size, after) = (page.size()?, page.after(&binding)?);
    users::require(backend, author).await?;
    let relations = Relations::load(backend, viewer, [author].into_iter()).await?;
    let relations = &relations;
    let with_deleted = filter.include_deleted && viewer.is(author);
    let look = |after, wanted| {
        async move {
            let range = Range::newest(after, wanted);
            let ids = if with_deleted {
                backend.store.all_user_posts(author, range).await?
            } else {
                backend.store.user_posts(author, range).await?
            };
            let posts = backend.store.posts(&ids).await?.into_iter().flatten();
            let shown = posts
                .filter(|post| with_deleted || access::may_read(viewer, post, &relations.to(author)))
                .filter(|post| !(filter.exclude_replies && post.in_reply_to.is_some()));
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
        view::hydrate(backend, viewer, shown, relations, &Known::default()).await?,
        next,
        &binding,
    ))
}
