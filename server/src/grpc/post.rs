//! PostService.

use social_core::posts::{self, NewPost, Post, PostEvent, PostPatch, PostSubscription, UserPostsFilter};
use social_core::{Backend, Result, text};
use social_observability::event;
use social_proto::v1;
use social_proto::v1::post_service_server::{PostService, PostServiceServer};
use tonic::{Request, Response, Status};

use super::Streams;
use super::convert::{self, Fields};
use super::reply::{Events, Source, answer, events, open};

/// The service over a backend.
pub fn service(backend: Backend, streams: Streams) -> PostServiceServer<impl PostService> {
    PostServiceServer::new(Posts { backend, streams })
}

struct Posts {
    backend: Backend,
    streams: Streams,
}

#[tonic::async_trait]
impl PostService for Posts {
    async fn create_post(
        &self,
        request: Request<v1::CreatePostRequest>,
    ) -> Result<Response<v1::CreatePostResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let visibility = convert::post::read_new_visibility(&mut fields, message.visibility);
            let in_reply_to = fields.optional_id("in_reply_to_id", &message.in_reply_to_id);
            fields.request_id(&message.request_id);
            fields.also(|| text::post_content("content", &message.content));
            fields.also(|| text::post_title("title", &message.title));
            fields.check()?;
            let new = NewPost {
                content: message.content,
                title: message.title,
                visibility,
                in_reply_to,
            };
            let published = posts::create(&self.backend, &caller, new, &message.request_id).await?;
            if let Some(mode) = published.created {
                let Post {
                    id, author, visibility, ..
                } = published.view.post.as_ref();
                event::post_created(id, author, visibility.label(), mode.label());
            }
            Ok(v1::CreatePostResponse {
                post: Some(convert::post::post(&published.view)),
                fanout_id: convert::optional_id(published.fanout),
            })
        })
        .await
    }

    async fn get_post(&self, request: Request<v1::GetPostRequest>) -> Result<Response<v1::GetPostResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("post_id", &message.post_id);
            fields.check()?;
            let view = posts::get(&self.backend, caller.viewer, id, message.include_deleted).await?;
            Ok(v1::GetPostResponse {
                post: Some(convert::post::post(&view)),
            })
        })
        .await
    }

    async fn batch_get_posts(
        &self,
        request: Request<v1::BatchGetPostsRequest>,
    ) -> Result<Response<v1::BatchGetPostsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let ids = fields.ids("post_ids", &message.post_ids);
            fields.check()?;
            let found = posts::batch_get(&self.backend, caller.viewer, &ids).await?;
            let (found, not_found_ids) = convert::split_found(&ids, found);
            Ok(v1::BatchGetPostsResponse {
                posts: found.iter().map(convert::post::post).collect(),
                not_found_ids,
            })
        })
        .await
    }

    async fn update_post(
        &self,
        request: Request<v1::UpdatePostRequest>,
    ) -> Result<Response<v1::UpdatePostResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("post_id", &message.post_id);
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            let mask = message.update_mask.as_ref();
            let [title, content, visibility] = fields.mask(mask, ["title", "content", "visibility"]);
            let patch = PostPatch {
                visibility: visibility.then(|| convert::post::read_visibility(&mut fields, message.visibility)),
                title: title.then_some(message.title),
                content: content.then_some(message.content),
            };
            fields.check()?;
            let published = posts::update(&self.backend, &caller, id, patch, expected, &message.request_id).await?;
            event::post_changed(&id, "edited");
            Ok(v1::UpdatePostResponse {
                post: Some(convert::post::post(&published.view)),
                fanout_id: convert::optional_id(published.fanout),
            })
        })
        .await
    }

    async fn delete_post(
        &self,
        request: Request<v1::DeletePostRequest>,
    ) -> Result<Response<v1::DeletePostResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("post_id", &message.post_id);
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            fields.check()?;
            let view = posts::delete(&self.backend, &caller, id, expected, &message.request_id).await?;
            event::post_changed(&id, "deleted");
            Ok(convert::post::deleted_post(&view))
        })
        .await
    }

    async fn undelete_post(
        &self,
        request: Request<v1::UndeletePostRequest>,
    ) -> Result<Response<v1::UndeletePostResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("post_id", &message.post_id);
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            fields.check()?;
            let published = posts::undelete(&self.backend, &caller, id, expected, &message.request_id).await?;
            event::post_changed(&id, "undeleted");
            Ok(v1::UndeletePostResponse {
                post: Some(convert::post::post(&published.view)),
                fanout_id: convert::optional_id(published.fanout),
            })
        })
        .await
    }

    async fn list_post_revisions(
        &self,
        request: Request<v1::ListPostRevisionsRequest>,
    ) -> Result<Response<v1::ListPostRevisionsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("post_id", &message.post_id);
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = posts::list_revisions(&self.backend, caller.viewer, id, page).await?;
            Ok(v1::ListPostRevisionsResponse {
                revisions: listed.items.into_iter().map(convert::post::revision).collect(),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn list_user_posts(
        &self,
        request: Request<v1::ListUserPostsRequest>,
    ) -> Result<Response<v1::ListUserPostsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let author = fields.id("user_id", &message.user_id);
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let filter = UserPostsFilter {
                exclude_replies: message.exclude_replies,
                include_deleted: message.include_deleted,
            };
            let listed = posts::list_by_user(&self.backend, caller.viewer, author, filter, page).await?;
            Ok(v1::ListUserPostsResponse {
                posts: listed.items.iter().map(convert::post::post).collect(),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    type SubscribePostStream = Events<v1::SubscribePostResponse>;

    async fn subscribe_post(
        &self,
        request: Request<v1::SubscribePostRequest>,
    ) -> Result<Response<Self::SubscribePostStream>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("post_id", &message.post_id);
            fields.check()?;
            let subscription = posts::subscribe(&self.backend, &caller, id, self.streams.heartbeat).await?;
            Ok(events(subscription, self.streams.drain.clone()))
        })
        .await
    }
}

impl Source for PostSubscription {
    type Message = v1::SubscribePostResponse;

    async fn next(&mut self) -> Option<Result<Self::Message>> {
        let event = Self::next(self).await?;
        if matches!(event, Ok(PostEvent::Gap)) {
            event::stream_gap_sent("social.v1.PostService/SubscribePost");
        }
        Some(event.map(convert::post::post_event))
    }
}
