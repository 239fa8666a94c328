//! CommentService.

use social_core::comments;
use social_core::{Backend, Result, text};
use social_observability::event;
use social_proto::v1;
use social_proto::v1::comment_service_server::{CommentService, CommentServiceServer};
use tonic::{Request, Response, Status};

use super::convert::{self, Fields};
use super::reply::{answer, open};

/// The service over a backend.
pub fn service(backend: Backend) -> CommentServiceServer<impl CommentService> {
    CommentServiceServer::new(Comments { backend })
}

struct Comments {
    backend: Backend,
}

#[tonic::async_trait]
impl CommentService for Comments {
    async fn create_comment(
        &self,
        request: Request<v1::CreateCommentRequest>,
    ) -> Result<Response<v1::CreateCommentResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let post = fields.id("post_id", &message.post_id);
            let parent = fields.optional_id("parent_id", &message.parent_id);
            fields.request_id(&message.request_id);
            fields.also(|| text::comment_content("content", &message.content));
            fields.check()?;
            let view = comments::create(
                &self.backend,
                &caller,
                post,
                parent,
                message.content,
                &message.request_id,
            )
            .await?;
            event::comment_created(&view.comment.id, &post);
            Ok(v1::CreateCommentResponse {
                comment: Some(convert::comment::comment(view)),
            })
        })
        .await
    }

    async fn update_comment(
        &self,
        request: Request<v1::UpdateCommentRequest>,
    ) -> Result<Response<v1::UpdateCommentResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("comment_id", &message.comment_id);
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            // A mask that is not refused names the one field that there is.
            fields.mask(message.update_mask.as_ref(), ["content"]);
            fields.also(|| text::comment_content("content", &message.content));
            fields.check()?;
            let view = comments::update(
                &self.backend,
                &caller,
                id,
                message.content,
                expected,
                &message.request_id,
            )
            .await?;
            Ok(v1::UpdateCommentResponse {
                comment: Some(convert::comment::comment(view)),
            })
        })
        .await
    }

    async fn delete_comment(
        &self,
        request: Request<v1::DeleteCommentRequest>,
    ) -> Result<Response<v1::DeleteCommentResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("comment_id", &message.comment_id);
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            fields.check()?;
            let comment = comments::delete(&self.backend, &caller, id, expected, &message.request_id).await?;
            Ok(v1::DeleteCommentResponse {
                delete_time: comment.deleted_at.map(convert::timestamp),
            })
        })
        .await
    }

    async fn list_comments(
        &self,
        request: Request<v1::ListCommentsRequest>,
    ) -> Result<Response<v1::ListCommentsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let post = fields.id("post_id", &message.post_id);
            let parent = fields.optional_id("parent_id", &message.parent_id);
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = comments::list(&self.backend, caller.viewer, post, parent, page).await?;
            Ok(v1::ListCommentsResponse {
                comments: listed.items.into_iter().map(convert::comment::comment).collect(),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn batch_get_comments(
        &self,
        request: Request<v1::BatchGetCommentsRequest>,
    ) -> Result<Response<v1::BatchGetCommentsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let ids = fields.ids("comment_ids", &message.comment_ids);
            fields.check()?;
            let found = comments::batch_get(&self.backend, caller.viewer, &ids).await?;
            let (found, not_found_ids) = convert::split_found(&ids, found);
            Ok(v1::BatchGetCommentsResponse {
                comments: found.into_iter().map(convert::comment::comment).collect(),
                not_found_ids,
            })
        })
        .await
    }
}
