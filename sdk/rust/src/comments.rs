//! Comments on posts.

use std::sync::Arc;

use prost_types::{FieldMask, Timestamp};
use social_proto::v1;

use crate::call::present;
use crate::core::Core;
use crate::ids::wire;
use crate::{Call, CommentId, IntoId, List, PostId};

/// Writes and reads comments. See `social/v1/comment.proto`.
#[derive(Clone, Debug)]
pub struct Comments {
    core: Arc<Core>,
}

impl Comments {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone() }
    }

    /// Comments on a post.
    pub fn create(
        &self,
        post_id: impl IntoId<PostId>,
        content: impl Into<String>,
    ) -> Call<v1::CreateCommentRequest, v1::Comment> {
        let post_id = wire("post_id", post_id);
        let request = v1::CreateCommentRequest {
            content: content.into(),
            ..Default::default()
        };
        Call::new(&self.core, request, |answer| present("comment", answer.comment))
            .set(post_id, |request, id| request.post_id = id)
    }

    /// Changes the text of a comment of the caller.
    pub fn update(
        &self,
        comment_id: impl IntoId<CommentId>,
        content: impl Into<String>,
    ) -> Call<v1::UpdateCommentRequest, v1::Comment> {
        let comment_id = wire("comment_id", comment_id);
        let update_mask = Some(FieldMask {
            paths: vec!["content".to_owned()],
        });
        let request = v1::UpdateCommentRequest {
            content: content.into(),
            update_mask,
            ..Default::default()
        };
        Call::new(&self.core, request, |answer| present("comment", answer.comment))
            .set(comment_id, |request, id| request.comment_id = id)
    }

    /// Deletes a comment of the caller for good. Gives when.
    pub fn delete(&self, comment_id: impl IntoId<CommentId>) -> Call<v1::DeleteCommentRequest, Option<Timestamp>> {
        let comment_id = wire("comment_id", comment_id);
        Call::new(&self.core, v1::DeleteCommentRequest::default(), |answer| {
            Ok(answer.delete_time)
        })
        .set(comment_id, |request, id| request.comment_id = id)
    }

    /// The comments on a post, oldest first: the top level, or the replies to one of them. Needs no login where the post is
    /// PUBLIC.
    pub fn list(&self, post_id: impl IntoId<PostId>) -> List<v1::ListCommentsRequest> {
        let post_id = wire("post_id", post_id);
        List::new(&self.core, v1::ListCommentsRequest::default()).set(post_id, |request, id| request.post_id = id)
    }

    /// Up to 100 comments; those that the viewer cannot see are listed. Needs no login on PUBLIC posts.
    pub fn batch_get<I: IntoId<CommentId>>(
        &self,
        comment_ids: impl IntoIterator<Item = I>,
    ) -> Call<v1::BatchGetCommentsRequest> {
        let ids = comment_ids.into_iter().map(|id| wire("comment_ids", id)).collect();
        Call::new(&self.core, v1::BatchGetCommentsRequest::default(), Ok)
            .set(ids, |request, ids| request.comment_ids = ids)
    }
}

impl Call<v1::CreateCommentRequest, v1::Comment> {
    /// The comment on the same post to reply to.
    pub fn parent(self, comment_id: impl IntoId<CommentId>) -> Self {
        self.set(wire("parent_id", comment_id), |request, id| request.parent_id = id)
    }
}

impl Call<v1::UpdateCommentRequest, v1::Comment> {
    /// Fails when the comment is not the version of this etag any more.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }
}

impl Call<v1::DeleteCommentRequest, Option<Timestamp>> {
    /// Fails when the comment is not the version of this etag any more.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }
}

impl List<v1::ListCommentsRequest> {
    /// Lists the direct replies to this comment instead of the top level.
    pub fn parent(self, comment_id: impl IntoId<CommentId>) -> Self {
        self.set(wire("parent_id", comment_id), |request, id| request.parent_id = id)
    }
}
