//! LikeService.

use social_core::likes::{self, CountsSubscription};
use social_core::request::Caller;
use social_core::{Backend, Result};
use social_observability::event;
use social_proto::v1;
use social_proto::v1::like_service_server::{LikeService, LikeServiceServer};
use tonic::{Request, Response, Status};

use super::Streams;
use super::convert::{self, Fields};
use super::reply::{Events, Source, answer, events, open};

/// The service over a backend.
pub fn service(backend: Backend, streams: Streams) -> LikeServiceServer<impl LikeService> {
    LikeServiceServer::new(Likes { backend, streams })
}

struct Likes {
    backend: Backend,
    streams: Streams,
}

impl Likes {
    /// Sets whether the caller likes a post: whether they do then, and the post's counts.
    async fn set(
        &self,
        caller: &Caller,
        active: bool,
        post_id: &str,
        request_id: &str,
    ) -> Result<(bool, Option<v1::PostCounts>)> {
        let mut fields = Fields::new();
        let post = fields.id("post_id", post_id);
        fields.request_id(request_id);
        fields.check()?;
        let user = caller.user()?;
        let (liked, counts) = likes::set(&self.backend, caller, post, active, request_id).await?;
        event::like_set(&post, &user, active);
        Ok((liked, Some(convert::post::post_counts(counts))))
    }
}

#[tonic::async_trait]
impl LikeService for Likes {
    async fn like_post(&self, request: Request<v1::LikePostRequest>) -> Result<Response<v1::LikePostResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let (liked, counts) = self.set(&caller, true, &message.post_id, &message.request_id).await?;
            Ok(v1::LikePostResponse { liked, counts })
        })
        .await
    }

    async fn unlike_post(
        &self,
        request: Request<v1::UnlikePostRequest>,
    ) -> Result<Response<v1::UnlikePostResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let (liked, counts) = self.set(&caller, false, &message.post_id, &message.request_id).await?;
            Ok(v1::UnlikePostResponse { liked, counts })
        })
        .await
    }

    async fn list_post_likers(
        &self,
        request: Request<v1::ListPostLikersRequest>,
    ) -> Result<Response<v1::ListPostLikersResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let post = fields.id("post_id", &message.post_id);
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = likes::list_likers(&self.backend, caller.viewer, post, page).await?;
            Ok(v1::ListPostLikersResponse {
                likers: listed.items.iter().map(convert::like::liker).collect(),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn list_user_likes(
        &self,
        request: Request<v1::ListUserLikesRequest>,
    ) -> Result<Response<v1::ListUserLikesResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let user = fields.id("user_id", &message.user_id);
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = likes::list_by_user(&self.backend, caller.viewer, user, page).await?;
            Ok(v1::ListUserLikesResponse {
                likes: listed.items.iter().map(convert::like::user_like).collect(),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn batch_get_counts(
        &self,
        request: Request<v1::BatchGetCountsRequest>,
    ) -> Result<Response<v1::BatchGetCountsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let ids = fields.ids("post_ids", &message.post_ids);
            fields.check()?;
            let found = likes::batch_get_counts(&self.backend, caller.viewer, &ids).await?;
            let named = ids
                .iter()
                .zip(found)
                .map(|(id, counts)| counts.map(|counts| (*id, counts)))
                .collect();
            let (found, not_found_ids) = convert::split_found(&ids, named);
            Ok(v1::BatchGetCountsResponse {
                counts: found.into_iter().map(convert::post::counts_entry).collect(),
                not_found_ids,
            })
        })
        .await
    }

    type SubscribeCountsStream = Events<v1::SubscribeCountsResponse>;

    async fn subscribe_counts(
        &self,
        request: Request<v1::SubscribeCountsRequest>,
    ) -> Result<Response<Self::SubscribeCountsStream>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let ids = fields.ids("post_ids", &message.post_ids);
            fields.check()?;
            let subscription = likes::subscribe(&self.backend, &caller, ids, self.streams.heartbeat).await?;
            Ok(events(subscription, self.streams.drain.clone()))
        })
        .await
    }
}

impl Source for CountsSubscription {
    type Message = v1::SubscribeCountsResponse;

    async fn next(&mut self) -> Option<Result<Self::Message>> {
        let event = Self::next(self).await?;
        Some(event.map(convert::like::counts_event))
    }
}
