//! Writing, editing, deleting and undeleting posts.

use std::sync::Arc;

use super::view::{self, PostView, Relations};
use super::{Post, PostDraft, PostEdit, Visibility};
use crate::access;
use crate::backend::{Backend, Channel, WakeKind};
use crate::error::{Error, Reason, Result};
use crate::fanout::Mode;
use crate::id::{EventId, PostId, UserId};
use crate::request::{Caller, Outcome, RequestKey, optional};
use crate::text::{self, Facet, FacetKind};

/// A post to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPost {
    /// The text.
    pub content: String,
    /// A headline; empty for none.
    pub title: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The post that it replies to.
    pub in_reply_to: Option<PostId>,
}

/// What to change of a post; `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PostPatch {
    /// The new headline; empty removes it.
    pub title: Option<String>,
    /// The new text.
    pub content: Option<String>,
    /// The new visibility.
    pub visibility: Option<Visibility>,
}

/// A post after a mutation, and the fan-out that the mutation brought about.
#[derive(Debug, Clone)]
pub struct Published {
    /// The post.
    pub view: PostView,
    /// The fan-out, for [`fanout::status`](crate::fanout::status).
    pub fanout: Option<EventId>,
    /// How a post that this call created reaches its followers; absent for a replay and for a change.
    pub created: Option<Mode>,
}

/// Publishes a post. When this returns it is durable and in the author's own timelines; followers get it by the workers.
///
/// INVALID_FIELD, POST_NOT_FOUND where `in_reply_to` is not visible, BLOCKED where a mentioned user is apart by a block.
pub async fn create(backend: &Backend, caller: &Caller, new: NewPost, request_id: &str) -> Result<Published> {
    let author = caller.user()?;
    let new = NewPost {
        content: text::tidied(new.content),
        title: text::tidied(new.title),
        ..new
    };
    let request = RequestKey::new(
        caller,
        "CreatePost",
        request_id,
        &[
            new.content.as_bytes(),
            new.title.as_bytes(),
            new.visibility.label().as_bytes(),
            &optional(new.in_reply_to.map(|target| target.0)),
        ],
    )?;
    check_title(&new.title)?;
    text::post_content("content", &new.content)?;
    let facets = if backend.store.was_committed(request).await? {
        Vec::new()
    } else {
        if let Some(target) = new.in_reply_to {
            view::readable(backend, caller.viewer, target).await?;
        }
        facets_unblocked(backend, author, &new.content).await?
    };
    let draft = PostDraft {
        author,
        title: some_text(new.title),
        content: new.content,
        visibility: new.visibility,
        in_reply_to: new.in_reply_to,
        facets,
    };
    let Outcome {
        value: created,
        replayed,
    } = backend.store.create_post(draft, request, caller.trace).await?;
    let post = created.post;
    if !replayed {
        announce(backend, &post, created.mode).await;
    }
    let fanout = Some(EventId::from(post.id));
    Ok(Published {
        view: view::show(backend, caller.viewer, post).await?,
        fanout,
        created: (!replayed).then_some(created.mode),
    })
}

/// Puts a new post before its author at once and sends the workers after the rest. All of it is derived, so a failure here
/// must not fail the call: the post is durable, and the sweep repeats this.
async fn announce(backend: &Backend, post: &Post, mode: Mode) {
    let own = [post.author];
    if let Err(error) = backend.timelines.append(&own, post.id).await {
        tracing::warn!(post = %post.id, ?error, "own timeline was not updated; the worker will");
    }
    backend.signals.wake_homes(&own, post.id);
    if mode == Mode::Pull {
        backend
            .signals
            .wake(Channel::Author(post.author), WakeKind::Arrived(post.id));
    }
    if let Some(target) = post.in_reply_to {
        backend.signals.wake(Channel::Post(target), WakeKind::Counts(target));
    }
    backend.signals.offer(post.id.into());
}

/// Edits a post of the caller. The answer names a fan-out where more people may see it now.
///
/// POST_NOT_FOUND, PERMISSION_DENIED, POST_DELETED, ETAG_MISMATCH, INVALID_FIELD, BLOCKED.
pub async fn update(
    backend: &Backend,
    caller: &Caller,
    id: PostId,
    patch: PostPatch,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<Published> {
    let author = caller.user()?;
    let patch = PostPatch {
        title: patch.title.map(text::tidied),
        content: patch.content.map(text::tidied),
        ..patch
    };
    let request = update_key(caller, id, &patch, expected_version, request_id)?;
    let before = own(backend, caller, id).await?;
    let replayed = backend.store.was_committed(request).await?;
    if let Some(title) = &patch.title {
        check_title(title)?;
    }
    let content = match patch.content {
        Some(content) => {
            text::post_content("content", &content)?;
            let facets = if replayed {
                Vec::new()
            } else {
                facets_unblocked(backend, author, &content).await?
            };
            Some((content, facets))
        }
        None => None,
    };
    let edit = PostEdit {
        title: patch.title.map(some_text),
        content,
        visibility: patch.visibility,
    };
    let may_widen = edit.visibility.is_some();
    let outcome = backend
        .store
        .edit_post(id, edit, expected_version, request, caller.trace)
        .await?;
    let fanout = restored(&before, &outcome, may_widen);
    Ok(Published {
        view: changed(backend, caller, outcome.value, fanout).await?,
        fanout,
        created: None,
    })
}

fn update_key(
    caller: &Caller,
    id: PostId,
    patch: &PostPatch,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<RequestKey> {
    // What is left as it is differs from what is emptied.
    let part = |text: Option<&str>| text.map_or_else(Vec::new, |text| [b"=", text.as_bytes()].concat());
    RequestKey::new(
        caller,
        "UpdatePost",
        request_id,
        &[
            &id.0.to_le_bytes(),
            &part(patch.title.as_deref()),
            &part(patch.content.as_deref()),
            &part(patch.visibility.map(Visibility::label)),
            &optional(expected_version),
        ],
    )
}

/// Deletes a post of the caller; for [`UNDELETE_WINDOW`](crate::limits::UNDELETE_WINDOW) it can be brought back.
///
/// POST_NOT_FOUND, PERMISSION_DENIED, POST_DELETED, ETAG_MISMATCH.
pub async fn delete(
    backend: &Backend,
    caller: &Caller,
    id: PostId,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<PostView> {
    let content: [&[u8]; 2] = [&id.0.to_le_bytes(), &optional(expected_version)];
    let request = RequestKey::new(caller, "DeletePost", request_id, &content)?;
    own(backend, caller, id).await?;
    let outcome = backend.store.delete_post(id, expected_version, request).await?;
    changed(backend, caller, outcome.value, None).await
}

/// Brings a deleted post of the caller back and fans it out again.
///
/// POST_NOT_FOUND, PERMISSION_DENIED, UNDELETE_EXPIRED, ETAG_MISMATCH.
pub async fn undelete(
    backend: &Backend,
    caller: &Caller,
    id: PostId,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<Published> {
    let content: [&[u8]; 2] = [&id.0.to_le_bytes(), &optional(expected_version)];
    let request = RequestKey::new(caller, "UndeletePost", request_id, &content)?;
    let before = own(backend, caller, id).await?;
    let outcome = backend
        .store
        .undelete_post(id, expected_version, request, caller.trace)
        .await?;
    let fanout = restored(&before, &outcome, true);
    Ok(Published {
        view: changed(backend, caller, outcome.value, fanout).await?,
        fanout,
        created: None,
    })
}

/// The event that a mutation filed to bring the post before readers anew; a replay finds the one of the original call.
fn restored(before: &Post, outcome: &Outcome<Arc<Post>>, may_restore: bool) -> Option<EventId> {
    let after = &outcome.value;
    let filed = if outcome.replayed {
        may_restore
    } else {
        after.visible_since != before.visible_since
    };
    (filed && after.visible_since != EventId::from(after.id)).then_some(after.visible_since)
}

/// Tells open streams and workers of a changed post.
async fn changed(backend: &Backend, caller: &Caller, post: Arc<Post>, fanout: Option<EventId>) -> Result<PostView> {
    backend
        .signals
        .wake(Channel::Post(post.id), WakeKind::PostChanged(post.id));
    if let Some(target) = post.in_reply_to {
        backend.signals.wake(Channel::Post(target), WakeKind::Counts(target));
    }
    if let Some(event) = fanout {
        backend.signals.offer(event);
    }
    view::show(backend, caller.viewer, post).await
}

/// The post, if it is the caller's own.
async fn own(backend: &Backend, caller: &Caller, id: PostId) -> Result<Arc<Post>> {
    let post = backend
        .store
        .posts(&[id])
        .await?
        .pop()
        .flatten()
        .ok_or_else(Error::post_not_found)?;
    let relations = Relations::load(backend, caller.viewer, [post.author].into_iter()).await?;
    access::own_post(caller, &post, &relations.to(post.author))?;
    Ok(post)
}

fn check_title(title: &str) -> Result<()> {
    if title.is_empty() {
        return Ok(());
    }
    text::post_title("title", title)
}

/// The facets of a text; BLOCKED where a block stands between its author and somebody it mentions.
pub(crate) async fn facets_unblocked(backend: &Backend, author: UserId, content: &str) -> Result<Vec<Facet>> {
    let facets = text::facets(backend.store.as_ref(), content).await?;
    let mentioned: Vec<UserId> = facets
        .iter()
        .filter_map(|facet| match &facet.kind {
            FacetKind::Mention { user, .. } => Some(*user),
            FacetKind::Hashtag(_) => None,
        })
        .collect();
    let relations = backend.store.relations(author, &mentioned).await?;
    if relations.iter().any(|relation| relation.is_blocked()) {
        return Err(Error::new(
            Reason::Blocked,
            "a block stands between you and somebody whom you mention",
        )
        .violation("content", "leave out the mention of that user"));
    }
    Ok(facets)
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
