//! Posts as a viewer sees them: the row, its author, its counts and how the viewer stands to it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::{Post, PostCounts};
use crate::access;
use crate::backend::Backend;
use crate::error::Result;
use crate::graph::Relation;
use crate::id::{PostId, UserId};
use crate::request::Viewer;
use crate::users::User;

/// A post as one viewer sees it.
#[derive(Debug, Clone)]
pub struct PostView {
    /// The post.
    pub post: Arc<Post>,
    /// Who wrote it.
    pub author: Arc<User>,
    /// Likes, comments and replies.
    pub counts: PostCounts,
    /// How the viewer stands to it; absent for an anonymous viewer.
    pub viewer: Option<ViewerState>,
}

/// How a viewer stands to a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewerState {
    /// The viewer likes it.
    pub liked: bool,
    /// The viewer follows its author.
    pub following_author: bool,
    /// The viewer mutes its author.
    pub muting_author: bool,
    /// The viewer wrote it.
    pub is_author: bool,
}

/// How a viewer stands to users, each asked for once.
#[derive(Debug, Default)]
pub struct Relations(HashMap<UserId, Relation>);

impl Relations {
    /// How `viewer` stands to `users`; an anonymous viewer stands to nobody.
    pub async fn load(backend: &Backend, viewer: Viewer, users: impl Iterator<Item = UserId>) -> Result<Self> {
        let Some(me) = viewer.user() else {
            return Ok(Self::default());
        };
        let mut users: Vec<UserId> = users.collect();
        users.sort_unstable();
        users.dedup();
        let relations = backend.store.relations(me, &users).await?;
        Ok(Self(users.into_iter().zip(relations).collect()))
    }

    /// Relations that are known already.
    pub fn known(relations: impl Iterator<Item = (UserId, Relation)>) -> Self {
        Self(relations.collect())
    }

    /// How the viewer stands to a user.
    pub fn to(&self, user: UserId) -> Relation {
        self.0.get(&user).copied().unwrap_or_default()
    }
}

/// Rows that were read already within the same call. What is not among them is asked for.
#[derive(Debug, Default)]
pub(crate) struct Known {
    posts: HashMap<PostId, Option<Arc<Post>>>,
    users: HashMap<UserId, Option<Arc<User>>>,
    liked: HashMap<PostId, bool>,
}

impl Known {
    /// Reads what showing these posts of these authors to a viewer takes, but for the counts.
    pub(crate) async fn read(backend: &Backend, viewer: UserId, posts: &[PostId], authors: &[UserId]) -> Result<Self> {
        let store = &backend.store;
        let (rows, users, liked) =
            futures::try_join!(store.posts(posts), store.users(authors), store.liked(viewer, posts))?;
        Ok(Self {
            posts: posts.iter().copied().zip(rows).collect(),
            users: authors.iter().copied().zip(users).collect(),
            liked: posts.iter().copied().zip(liked).collect(),
        })
    }

    pub(crate) async fn posts(&self, backend: &Backend, ids: &[PostId]) -> Result<Vec<Option<Arc<Post>>>> {
        complete(&self.posts, ids, async |ids| backend.store.posts(ids).await).await
    }

    async fn users(&self, backend: &Backend, ids: &[UserId]) -> Result<Vec<Option<Arc<User>>>> {
        complete(&self.users, ids, async |ids| backend.store.users(ids).await).await
    }

    async fn liked(&self, backend: &Backend, viewer: Viewer, posts: &[PostId]) -> Result<Vec<bool>> {
        match viewer.user() {
            Some(me) => complete(&self.liked, posts, async |posts| backend.store.liked(me, posts).await).await,
            None => Ok(vec![false; posts.len()]),
        }
    }
}

/// The values of keys, in order: the known ones, and those that `load` answers for the others.
async fn complete<K: Copy + Eq + Hash, V: Clone>(
    known: &HashMap<K, V>,
    keys: &[K],
    load: impl AsyncFnOnce(&[K]) -> Result<Vec<V>>,
) -> Result<Vec<V>> {
    if known.is_empty() {
        return load(keys).await;
    }
    let missing: Vec<K> = keys.iter().copied().filter(|key| !known.contains_key(key)).collect();
    let mut loaded = if missing.is_empty() {
        Vec::new()
    } else {
        load(&missing).await?
    }
    .into_iter();
    Ok(keys
        .iter()
        .filter_map(|key| known.get(key).cloned().or_else(|| loaded.next()))
        .collect())
}

/// Posts by id as the viewer may see them: in order, `None` for one that is not there or not visible.
pub(crate) async fn visible(backend: &Backend, viewer: Viewer, ids: &[PostId]) -> Result<Vec<Option<PostView>>> {
    let posts = backend.store.posts(ids).await?;
    let relations = Relations::load(backend, viewer, posts.iter().flatten().map(|post| post.author)).await?;
    let readable: Vec<Option<Arc<Post>>> = posts
        .into_iter()
        .map(|post| post.filter(|post| access::may_read(viewer, post, &relations.to(post.author))))
        .collect();
    let mut views = hydrate(
        backend,
        viewer,
        readable.iter().flatten().cloned().collect(),
        &relations,
        &Known::default(),
    )
    .await?
    .into_iter()
    .peekable();
    Ok(readable
        .into_iter()
        .map(|post| post.and_then(|post| views.next_if(|view| view.post.id == post.id)))
        .collect())
}

/// A post that the viewer may see. POST_NOT_FOUND.
pub(crate) async fn readable(backend: &Backend, viewer: Viewer, id: PostId) -> Result<Arc<Post>> {
    let post = backend
        .store
        .posts(&[id])
        .await?
        .pop()
        .flatten()
        .ok_or_else(crate::Error::post_not_found)?;
    let relations = Relations::load(backend, viewer, [post.author].into_iter()).await?;
    if access::may_read(viewer, &post, &relations.to(post.author)) {
        Ok(post)
    } else {
        Err(crate::Error::post_not_found())
    }
}

/// Adds to posts what the viewer is shown with them. A post whose author is gone is left out.
pub(crate) async fn hydrate(
    backend: &Backend,
    viewer: Viewer,
    posts: Vec<Arc<Post>>,
    relations: &Relations,
    known: &Known,
) -> Result<Vec<PostView>> {
    if posts.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<PostId> = posts.iter().map(|post| post.id).collect();
    let authors: Vec<UserId> = posts.iter().map(|post| post.author).collect();
    let (authors, counts, liked) = futures::try_join!(
        known.users(backend, &authors),
        backend.counters.posts(&ids),
        known.liked(backend, viewer, &ids)
    )?;
    let rows = posts.into_iter().zip(authors).zip(counts).zip(liked);
    Ok(rows
        .filter_map(|(((post, author), counts), liked)| {
            let viewer = viewer.user().map(|me| ViewerState::new(me, &post, liked, relations));
            Some(PostView {
                author: author?,
                counts,
                viewer,
                post,
            })
        })
        .collect())
}

/// One post as the viewer sees it, whether deleted or not; the caller has decided that it may be shown.
pub(super) async fn show(backend: &Backend, viewer: Viewer, post: Arc<Post>) -> Result<PostView> {
    let relations = Relations::load(backend, viewer, [post.author].into_iter()).await?;
    hydrate(backend, viewer, vec![post], &relations, &Known::default())
        .await?
        .pop()
        .ok_or_else(crate::Error::post_not_found)
}

impl ViewerState {
    fn new(me: UserId, post: &Post, liked: bool, relations: &Relations) -> Self {
        let relation = relations.to(post.author);
        Self {
            liked,
            following_author: relation.following,
            muting_author: relation.muting,
            is_author: post.author == me,
        }
    }
}
