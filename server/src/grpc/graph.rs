//! GraphService.

use social_core::auth::require_live_session;
use social_core::graph::{self, EdgeKind};
use social_core::request::{Caller, Viewer};
use social_core::{Backend, Result, UserId};
use social_observability::event;
use social_proto::v1;
use social_proto::v1::graph_service_server::{GraphService, GraphServiceServer};
use tonic::{Request, Response, Status};

use super::Streams;
use super::convert::{self, Fields};
use super::reply::{Events, Source, answer, events, open};

/// The service over a backend.
pub fn service(backend: Backend, streams: Streams) -> GraphServiceServer<impl GraphService> {
    GraphServiceServer::new(Graph { backend, streams })
}

struct Graph {
    backend: Backend,
    streams: Streams,
}

impl Graph {
    /// Sets an edge from the caller to a user, or takes it back; answers how the caller stands to the user then.
    async fn set<R>(
        &self,
        caller: &Caller,
        (kind, active): (EdgeKind, bool),
        user_id: &str,
        request_id: &str,
        respond: impl FnOnce(Option<v1::Relationship>) -> R,
    ) -> Result<Response<R>, Status> {
        answer(async {
            let user = towards(user_id, request_id)?;
            let me = caller.user()?;
            let relation = graph::set(&self.backend, caller, kind, user, active, request_id).await?;
            event::edge_set(name(kind), &me, &user, active);
            Ok(respond(Some(convert::user::relationship(user, relation))))
        })
        .await
    }
}

/// The name of a kind of edge, for logs and metrics.
fn name(kind: EdgeKind) -> &'static str {
    match kind {
        EdgeKind::Follow => "follow",
        EdgeKind::Block => "block",
        EdgeKind::Mute => "mute",
    }
}

/// The user whom a mutation is towards.
fn towards(user_id: &str, request_id: &str) -> Result<UserId> {
    let mut fields = Fields::new();
    let user = fields.id("user_id", user_id);
    fields.request_id(request_id);
    fields.check()?;
    Ok(user)
}

#[tonic::async_trait]
impl GraphService for Graph {
    async fn follow(&self, request: Request<v1::FollowRequest>) -> Result<Response<v1::FollowResponse>, Status> {
        let (caller, message) = open(request);
        let respond = |relationship| v1::FollowResponse { relationship };
        let edge = (EdgeKind::Follow, true);
        self.set(&caller, edge, &message.user_id, &message.request_id, respond)
            .await
    }

    async fn unfollow(&self, request: Request<v1::UnfollowRequest>) -> Result<Response<v1::UnfollowResponse>, Status> {
        let (caller, message) = open(request);
        let respond = |relationship| v1::UnfollowResponse { relationship };
        let edge = (EdgeKind::Follow, false);
        self.set(&caller, edge, &message.user_id, &message.request_id, respond)
            .await
    }

    async fn remove_follower(
        &self,
        request: Request<v1::RemoveFollowerRequest>,
    ) -> Result<Response<v1::RemoveFollowerResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let follower = towards(&message.user_id, &message.request_id)?;
            let me = caller.user()?;
            let relation = graph::remove_follower(&self.backend, &caller, follower, &message.request_id).await?;
            event::edge_set("follow", &follower, &me, false);
            Ok(v1::RemoveFollowerResponse {
                relationship: Some(convert::user::relationship(follower, relation)),
            })
        })
        .await
    }

    async fn list_followers(
        &self,
        request: Request<v1::ListFollowersRequest>,
    ) -> Result<Response<v1::ListFollowersResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let user = fields.id("user_id", &message.user_id);
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = graph::list_followers(&self.backend, caller.viewer, user, page).await?;
            Ok(v1::ListFollowersResponse {
                followers: convert::graph::edges(&listed.items),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn list_following(
        &self,
        request: Request<v1::ListFollowingRequest>,
    ) -> Result<Response<v1::ListFollowingResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let user = fields.id("user_id", &message.user_id);
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = graph::list_following(&self.backend, caller.viewer, user, page).await?;
            Ok(v1::ListFollowingResponse {
                following: convert::graph::edges(&listed.items),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    type StreamFollowersStream = Events<v1::StreamFollowersResponse>;

    async fn stream_followers(
        &self,
        request: Request<v1::StreamFollowersRequest>,
    ) -> Result<Response<Self::StreamFollowersStream>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let user = fields.id("user_id", &message.user_id);
            fields.check()?;
            let mut export = Export::new(self.backend.clone(), caller.viewer, user, message.resume_cursor);
            // Read ahead, so that a bad cursor or user refuses the call instead of ending its stream.
            export.ready = Some(export.read().await?);
            Ok(events(export, self.streams.drain.clone()))
        })
        .await
    }

    async fn block(&self, request: Request<v1::BlockRequest>) -> Result<Response<v1::BlockResponse>, Status> {
        let (caller, message) = open(request);
        let respond = |relationship| v1::BlockResponse { relationship };
        let edge = (EdgeKind::Block, true);
        self.set(&caller, edge, &message.user_id, &message.request_id, respond)
            .await
    }

    async fn unblock(&self, request: Request<v1::UnblockRequest>) -> Result<Response<v1::UnblockResponse>, Status> {
        let (caller, message) = open(request);
        let respond = |relationship| v1::UnblockResponse { relationship };
        let edge = (EdgeKind::Block, false);
        self.set(&caller, edge, &message.user_id, &message.request_id, respond)
            .await
    }

    async fn mute(&self, request: Request<v1::MuteRequest>) -> Result<Response<v1::MuteResponse>, Status> {
        let (caller, message) = open(request);
        let respond = |relationship| v1::MuteResponse { relationship };
        let edge = (EdgeKind::Mute, true);
        self.set(&caller, edge, &message.user_id, &message.request_id, respond)
            .await
    }

    async fn unmute(&self, request: Request<v1::UnmuteRequest>) -> Result<Response<v1::UnmuteResponse>, Status> {
        let (caller, message) = open(request);
        let respond = |relationship| v1::UnmuteResponse { relationship };
        let edge = (EdgeKind::Mute, false);
        self.set(&caller, edge, &message.user_id, &message.request_id, respond)
            .await
    }

    async fn list_blocks(
        &self,
        request: Request<v1::ListBlocksRequest>,
    ) -> Result<Response<v1::ListBlocksResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = graph::list_own(&self.backend, &caller, EdgeKind::Block, page).await?;
            Ok(v1::ListBlocksResponse {
                blocks: convert::graph::edges(&listed.items),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn list_mutes(
        &self,
        request: Request<v1::ListMutesRequest>,
    ) -> Result<Response<v1::ListMutesResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let listed = graph::list_own(&self.backend, &caller, EdgeKind::Mute, page).await?;
            Ok(v1::ListMutesResponse {
                mutes: convert::graph::edges(&listed.items),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }
}

/// An export of followers, a chunk at a time. It holds one chunk at the most.
struct Export {
    backend: Backend,
    viewer: Viewer,
    user: UserId,
    cursor: String,
    ready: Option<v1::StreamFollowersResponse>,
    ended: bool,
}

impl Export {
    fn new(backend: Backend, viewer: Viewer, user: UserId, cursor: String) -> Self {
        Self {
            backend,
            viewer,
            user,
            cursor,
            ready: None,
            ended: false,
        }
    }

    async fn read(&mut self) -> Result<v1::StreamFollowersResponse> {
        require_live_session(&self.backend, self.viewer).await?;
        let chunk = graph::export_followers(&self.backend, self.viewer, self.user, &self.cursor).await?;
        self.cursor.clone_from(&chunk.resume_cursor);
        self.ended = chunk.last;
        Ok(convert::graph::follower_chunk(chunk))
    }
}

impl Source for Export {
    type Message = v1::StreamFollowersResponse;

    async fn next(&mut self) -> Option<Result<Self::Message>> {
        match self.ready.take() {
            Some(chunk) => Some(Ok(chunk)),
            None if self.ended => None,
            None => Some(self.read().await),
        }
    }
}
