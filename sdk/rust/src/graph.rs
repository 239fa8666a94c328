//! Follows, blocks, mutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use social_proto::v1;

use crate::call::present;
use crate::core::Core;
use crate::ids::wire;
use crate::live::{self, Feed, Next, Reconnect};
use crate::{Call, Error, IntoId, List, UserId};

/// An export that gives nothing for this long is taken for broken: its stream has no heartbeat.
const EXPORT_PATIENCE: Duration = Duration::from_secs(24);

/// Changes and lists the edges between users. See `social/v1/graph.proto`.
#[derive(Clone, Debug)]
pub struct Graph {
    core: Arc<Core>,
}

macro_rules! edges {
    ($($(#[$doc:meta])* $name:ident: $request:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self, user_id: impl IntoId<UserId>) -> Call<v1::$request, v1::Relationship> {
                let user_id = wire("user_id", user_id);
                Call::new(&self.core, v1::$request::default(), |answer| present("relationship", answer.relationship))
                    .set(user_id, |request, id| request.user_id = id)
            }
        )*
    };
}

impl Graph {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone() }
    }

    edges! {
        /// Follows a user. Gives how the caller stands to them now.
        follow: FollowRequest;
        /// Stops following a user. Gives how the caller stands to them now.
        unfollow: UnfollowRequest;
        /// Makes a user stop following the caller. Gives how the caller stands to them now.
        remove_follower: RemoveFollowerRequest;
        /// Blocks a user. Gives how the caller stands to them now.
        block: BlockRequest;
        /// Lifts a block. Gives how the caller stands to the user now.
        unblock: UnblockRequest;
        /// Mutes a user. Gives how the caller stands to them now.
        mute: MuteRequest;
        /// Lifts a mute. Gives how the caller stands to the user now.
        unmute: UnmuteRequest;
    }

    /// Who follows a user, latest follow first.
    pub fn list_followers(&self, user_id: impl IntoId<UserId>) -> List<v1::ListFollowersRequest> {
        let user_id = wire("user_id", user_id);
        List::new(&self.core, v1::ListFollowersRequest::default()).set(user_id, |request, id| request.user_id = id)
    }

    /// Whom a user follows, latest follow first.
    pub fn list_following(&self, user_id: impl IntoId<UserId>) -> List<v1::ListFollowingRequest> {
        let user_id = wire("user_id", user_id);
        List::new(&self.core, v1::ListFollowingRequest::default()).set(user_id, |request, id| request.user_id = id)
    }

    /// Whom the caller blocks, latest block first.
    pub fn list_blocks(&self) -> List<v1::ListBlocksRequest> {
        List::new(&self.core, v1::ListBlocksRequest::default())
    }

    /// Whom the caller mutes, latest mute first.
    pub fn list_mutes(&self) -> List<v1::ListMutesRequest> {
        List::new(&self.core, v1::ListMutesRequest::default())
    }

    /// All followers of a user, latest follow first, for exports. Resumes by itself where the connection breaks.
    pub fn stream_followers(&self, user_id: impl IntoId<UserId>) -> ExportFollowers {
        let request = wire("user_id", user_id).map(|user_id| v1::StreamFollowersRequest {
            user_id,
            resume_cursor: String::new(),
        });
        ExportFollowers {
            core: self.core.clone(),
            request,
        }
    }
}

/// An export of all followers that is about to begin.
#[derive(Debug)]
#[must_use = "an export begins with `chunks` or `stream`"]
pub struct ExportFollowers {
    core: Arc<Core>,
    request: Result<v1::StreamFollowersRequest, Error>,
}

impl ExportFollowers {
    /// Goes on behind the chunk that this `resume_cursor` came with, in an earlier run.
    pub fn resume_from(mut self, cursor: impl Into<String>) -> Self {
        if let Ok(request) = &mut self.request {
            request.resume_cursor = cursor.into();
        }
        self
    }

    /// Chunks of at most 1,000 followers, each with the cursor to resume behind it. Store the cursor when the chunk is
    /// handled. Ends behind the chunk with `last`; an error is the end too, and leaves the export incomplete. A
    /// connection that breaks is made again for as long as a call may take.
    #[must_use = "streams do nothing unless polled"]
    pub fn chunks(self) -> BoxStream<'static, Result<v1::StreamFollowersResponse, Error>> {
        let attempts = self.core.transport.policy.max_attempts;
        live::run(
            &self.core,
            self.request.map(|request| ExportFeed { request }),
            Some(attempts.saturating_sub(1)),
        )
    }

    /// The followers one by one.
    #[must_use = "streams do nothing unless polled"]
    pub fn stream(self) -> BoxStream<'static, Result<v1::GraphEdge, Error>> {
        self.chunks()
            .map_ok(|chunk| stream::iter(chunk.followers.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

struct ExportFeed {
    request: v1::StreamFollowersRequest,
}

impl Feed for ExportFeed {
    type Request = v1::StreamFollowersRequest;
    type Event = v1::StreamFollowersResponse;

    /// Every chunk is a step ahead.
    const SETTLED: Duration = Duration::ZERO;

    const HURRIED: bool = true;

    fn request(&self) -> Self::Request {
        self.request.clone()
    }

    fn take(&mut self, chunk: v1::StreamFollowersResponse, events: &mut VecDeque<Self::Event>) -> Next {
        self.request.resume_cursor.clone_from(&chunk.resume_cursor);
        let last = chunk.last;
        events.push_back(chunk);
        if last { Next::End } else { Next::Within(EXPORT_PATIENCE) }
    }

    fn connected(&mut self, _: bool, _: &mut VecDeque<Self::Event>) {}

    fn reconnecting(&mut self, reconnect: Reconnect, _: &mut VecDeque<Self::Event>) {
        tracing::debug!(?reconnect, "an export resumes");
    }
}
