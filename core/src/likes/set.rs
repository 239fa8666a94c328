//! Liking, unliking, and who likes what.

use std::sync::Arc;

use futures::FutureExt as _;

use super::Like;
use crate::access;
use crate::backend::{Backend, Channel, WakeKind};
use crate::clock::Time;
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::Result;
use crate::id::{PostId, UserId, minted_at};
use crate::page::{Range, Round, fill, next_after};
use crate::posts::view::{Known, Relations, hydrate, readable};
use crate::posts::{PostCounts, PostView};
use crate::request::{Caller, Viewer, check_id};
use crate::users::{self, User};

/// Sets whether the caller likes a post; answers whether they do now, and the post's counts. Repeating it answers today's state.
///
/// POST_NOT_FOUND.
pub async fn set(
    backend: &Backend,
    caller: &Caller,
    post: PostId,
    liked: bool,
    request_id: &str,
) -> Result<(bool, PostCounts)> {
    let user = caller.user()?;
    check_id(request_id)?;
    readable(backend, caller.viewer, post).await?;
    let change = backend.store.set_like(user, post, liked).await?;
    if change.changed {
        backend.signals.wake(Channel::Post(post), WakeKind::Counts(post));
    }
    let counts = backend.counters.posts(&[post]).await?.pop().unwrap_or_default();
    Ok((change.active, counts))
}

/// A user who likes a post, and since when.
#[derive(Debug, Clone)]
pub struct Liker {
    /// The user.
    pub user: Arc<User>,
    /// Since when.
    pub since: Time,
}

/// Who likes a post, latest first; users apart from the viewer by a block are left out. POST_NOT_FOUND.
pub async fn list_likers(
    backend: &Backend,
    viewer: Viewer,
    post: PostId,
    page: PageRequest<'_>,
) -> Result<Listed<Liker>> {
    let binding = Binding::new("likers", viewer, &[post.0]);
    let (size, after) = (page.user_size()?, page.after(&binding)?);
    readable(backend, viewer, post).await?;
    let likes = backend.store.likers(post, Range::newest(after, size)).await?;
    let next = next_after(&likes, size, |like| like.since);
    let users: Vec<UserId> = likes.iter().map(|like| like.user).collect();
    let relations = Relations::load(backend, viewer, users.iter().copied()).await?;
    let found = backend.store.users(&users).await?;
    let likers = likes
        .iter()
        .zip(found)
        .filter(|(like, _)| !relations.to(like.user).is_blocked())
        .filter_map(|(like, user)| {
            Some(Liker {
                user: user?,
                since: minted_at(like.since),
            })
        })
        .collect();
    Ok(Listed::new(likers, next, &binding))
}

/// A post that a user likes, and since when.
#[derive(Debug, Clone)]
pub struct LikedPost {
    /// The post.
    pub view: PostView,
    /// Since when.
    pub since: Time,
}

/// What a user likes, latest first: the posts that the viewer may see; nothing across a block. USER_NOT_FOUND.
pub async fn list_by_user(
    backend: &Backend,
    viewer: Viewer,
    user: UserId,
    page: PageRequest<'_>,
) -> Result<Listed<LikedPost>> {
    let binding = Binding::new("user likes", viewer, &[user.0]);
    let (size, after) = (page.size()?, page.after(&binding)?);
    users::require(backend, user).await?;
    if Relations::load(backend, viewer, [user].into_iter())
        .await?
        .to(user)
        .is_blocked()
    {
        return Ok(Listed::new(Vec::new(), None, &binding));
    }
    let look = |after, wanted| {
        async move {
            let likes = backend.store.user_likes(user, Range::newest(after, wanted)).await?;
            Ok(Round {
                rows: likes.len(),
                last: likes.last().map(|like| like.since),
                shown: liked_posts(backend, viewer, &likes).await?,
            })
        }
        .boxed()
    };
    let (shown, next) = fill(size, after, look).await?;
    Ok(Listed::new(shown, next, &binding))
}

async fn liked_posts(backend: &Backend, viewer: Viewer, likes: &[Like]) -> Result<Vec<(u64, LikedPost)>> {
    let ids: Vec<PostId> = likes.iter().map(|like| like.post).collect();
    let posts: Vec<_> = backend.store.posts(&ids).await?.into_iter().flatten().collect();
    let relations = Relations::load(backend, viewer, posts.iter().map(|post| post.author)).await?;
    let readable = posts
        .into_iter()
        .filter(|post| access::may_read(viewer, post, &relations.to(post.author)))
        .collect();
    let views = hydrate(backend, viewer, readable, &relations, &Known::default()).await?;
    let mut views = views.into_iter().peekable();
    Ok(likes
        .iter()
        .filter_map(|like| {
            let view = views.next_if(|view| view.post.id == like.post)?;
            let since = minted_at(like.since);
            Some((like.since, LikedPost { view, since }))
        })
        .collect())
}

/// The counts of posts, in order, `None` for those that the viewer cannot see. INVALID_FIELD `post_ids`.
pub async fn batch_get_counts(backend: &Backend, viewer: Viewer, ids: &[PostId]) -> Result<Vec<Option<PostCounts>>> {
    crate::page::batch("post_ids", ids.len())?;
    let posts = backend.store.posts(ids).await?;
    let relations = Relations::load(backend, viewer, posts.iter().flatten().map(|post| post.author)).await?;
    let counts = backend.counters.posts(ids).await?;
    Ok(posts
        .into_iter()
        .zip(counts)
        .map(|(post, counts)| {
            post.filter(|post| access::may_read(viewer, post, &relations.to(post.author)))
                .map(|_| counts)
        })
        .collect())
}
