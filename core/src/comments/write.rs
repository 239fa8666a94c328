//! Writing, editing and deleting comments.

use super::view::{self, CommentView};
use super::{Comment, CommentDraft};
use crate::access;
use crate::backend::{Backend, Channel, WakeKind};
use crate::error::{Error, Result};
use crate::id::{CommentId, PostId};
use crate::limits;
use crate::posts::view::{Relations, readable};
use crate::posts::write::facets_unblocked;
use crate::request::{Caller, RequestKey, optional};
use crate::text;

/// Comments on a post, or answers a comment on it.
///
/// POST_NOT_FOUND, COMMENT_NOT_FOUND for the parent, BLOCKED where a block stands between the caller and the parent's author or somebody
/// mentioned, INVALID_FIELD (`content`, `parent_id` nested too deep).
pub async fn create(
    backend: &Backend,
    caller: &Caller,
    post: PostId,
    parent: Option<CommentId>,
    content: String,
    request_id: &str,
) -> Result<CommentView> {
    let author = caller.user()?;
    let content = text::tidied(content);
    let place = (post.0.to_le_bytes(), optional(parent.map(|parent| parent.0)));
    let request = RequestKey::new(
        caller,
        "CreateComment",
        request_id,
        &[&place.0, &place.1, content.as_bytes()],
    )?;
    text::comment_content("content", &content)?;
    let (depth, facets) = if backend.store.was_committed(request).await? {
        (0, Vec::new())
    } else {
        readable(backend, caller.viewer, post).await?;
        let depth = match parent {
            Some(parent) => depth_below(backend, caller, post, parent).await?,
            None => 0,
        };
        (depth, facets_unblocked(backend, author, &content).await?)
    };
    let draft = CommentDraft {
        post,
        parent,
        depth,
        author,
        content,
        facets,
    };
    let written = backend.store.create_comment(draft, request).await?;
    if !written.replayed {
        announce(backend, post, WakeKind::CommentCreated(written.value.id));
    }
    view::own(backend, written.value).await
}

async fn depth_below(backend: &Backend, caller: &Caller, post: PostId, parent: CommentId) -> Result<u32> {
    let parent = find(backend, parent).await?;
    if parent.post != post || parent.is_deleted() {
        return Err(Error::comment_not_found());
    }
    if parent.depth + 1 >= limits::COMMENT_DEPTH {
        return Err(Error::field(
            "parent_id",
            format!(
                "comments nest at most {} deep: answer one further up",
                limits::COMMENT_DEPTH
            ),
        ));
    }
    let relation = backend
        .store
        .relations(caller.user()?, &[parent.author])
        .await?
        .pop()
        .unwrap_or_default();
    relation.refuse_blocked()?;
    Ok(parent.depth + 1)
}

/// Changes the text of a comment of the caller. COMMENT_NOT_FOUND, PERMISSION_DENIED, ETAG_MISMATCH, INVALID_FIELD, BLOCKED.
pub async fn update(
    backend: &Backend,
    caller: &Caller,
    id: CommentId,
    content: String,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<CommentView> {
    let author = caller.user()?;
    let content = text::tidied(content);
    let request = RequestKey::new(
        caller,
        "UpdateComment",
        request_id,
        &[&id.0.to_le_bytes(), &optional(expected_version), content.as_bytes()],
    )?;
    text::comment_content("content", &content)?;
    let (before, facets) = if backend.store.was_committed(request).await? {
        (None, Vec::new())
    } else {
        let before = require_own(backend, caller, id).await?.version;
        (Some(before), facets_unblocked(backend, author, &content).await?)
    };
    let written = backend
        .store
        .edit_comment(id, content, facets, expected_version, request)
        .await?;
    if !written.replayed && before != Some(written.value.version) {
        announce(backend, written.value.post, WakeKind::CommentEdited(id));
    }
    view::own(backend, written.value).await
}

/// Deletes a comment of the caller. One with answers stays in lists, without text and author.
///
/// COMMENT_NOT_FOUND, PERMISSION_DENIED, ETAG_MISMATCH.
pub async fn delete(
    backend: &Backend,
    caller: &Caller,
    id: CommentId,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<Comment> {
    let content: [&[u8]; 2] = [&id.0.to_le_bytes(), &optional(expected_version)];
    let request = RequestKey::new(caller, "DeleteComment", request_id, &content)?;
    if !backend.store.was_committed(request).await? {
        require_own(backend, caller, id).await?;
    }
    let deleted = backend.store.delete_comment(id, expected_version, request).await?;
    if !deleted.replayed {
        announce(backend, deleted.value.post, WakeKind::CommentDeleted(id));
    }
    Ok(deleted.value)
}

async fn require_own(backend: &Backend, caller: &Caller, id: CommentId) -> Result<Comment> {
    let comment = find(backend, id).await?;
    let post = backend
        .store
        .posts(&[comment.post])
        .await?
        .pop()
        .flatten()
        .ok_or_else(Error::comment_not_found)?;
    let relations = Relations::load(backend, caller.viewer, [comment.author, post.author].into_iter()).await?;
    access::own_comment(
        caller,
        &comment,
        &relations.to(comment.author),
        &post,
        &relations.to(post.author),
    )?;
    Ok(comment)
}

async fn find(backend: &Backend, id: CommentId) -> Result<Comment> {
    backend
        .store
        .comments(&[id])
        .await?
        .pop()
        .flatten()
        .ok_or_else(Error::comment_not_found)
}

fn announce(backend: &Backend, post: PostId, happened: WakeKind) {
    let channel = Channel::Post(post);
    backend.signals.wake(channel, happened);
    backend.signals.wake(channel, WakeKind::Counts(post));
}
