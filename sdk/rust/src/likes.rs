//! Likes and counts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::BoxStream;
use social_proto::v1;
use social_proto::v1::subscribe_counts_response::Event;

use crate::core::Core;
use crate::ids::wire;
use crate::live::{self, Feed, Next, Reconnect};
use crate::{Call, Error, IntoId, List, PostId, UserId};

/// Likes posts, and tells counts. See `social/v1/like.proto`.
#[derive(Clone, Debug)]
pub struct Likes {
    core: Arc<Core>,
}

impl Likes {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone() }
    }

    /// Likes a post. A post that is liked already stays liked.
    pub fn like(&self, post_id: impl IntoId<PostId>) -> Call<v1::LikePostRequest> {
        let post_id = wire("post_id", post_id);
        Call::new(&self.core, v1::LikePostRequest::default(), Ok).set(post_id, |request, id| request.post_id = id)
    }

    /// Takes a like back.
    pub fn unlike(&self, post_id: impl IntoId<PostId>) -> Call<v1::UnlikePostRequest> {
        let post_id = wire("post_id", post_id);
        Call::new(&self.core, v1::UnlikePostRequest::default(), Ok).set(post_id, |request, id| request.post_id = id)
    }

    /// Who likes a post, latest like first. Needs no login where the post is PUBLIC.
    pub fn list_likers(&self, post_id: impl IntoId<PostId>) -> List<v1::ListPostLikersRequest> {
        let post_id = wire("post_id", post_id);
        List::new(&self.core, v1::ListPostLikersRequest::default()).set(post_id, |request, id| request.post_id = id)
    }

    /// The posts that a user likes and the caller can see, latest like first.
    pub fn list_by_user(&self, user_id: impl IntoId<UserId>) -> List<v1::ListUserLikesRequest> {
        let user_id = wire("user_id", user_id);
        List::new(&self.core, v1::ListUserLikesRequest::default()).set(user_id, |request, id| request.user_id = id)
    }

    /// The counts of up to 100 posts; those that the viewer cannot see are listed. Needs no login for PUBLIC ones.
    pub fn batch_get_counts<I: IntoId<PostId>>(
        &self,
        post_ids: impl IntoIterator<Item = I>,
    ) -> Call<v1::BatchGetCountsRequest> {
        let ids = post_ids.into_iter().map(|id| wire("post_ids", id)).collect();
        Call::new(&self.core, v1::BatchGetCountsRequest::default(), Ok).set(ids, |request, ids| request.post_ids = ids)
    }

    /// Follows the counts of up to 100 posts live. Needs no login for PUBLIC ones.
    #[must_use = "streams do nothing unless polled"]
    pub fn subscribe_counts<I: IntoId<PostId>>(&self, post_ids: impl IntoIterator<Item = I>) -> CountsStream {
        let ids: Result<Vec<String>, Error> = post_ids.into_iter().map(|id| wire("post_ids", id)).collect();
        CountsStream {
            events: live::run(&self.core, ids.map(|post_ids| CountsFeed { post_ids }), None),
        }
    }
}

/// What happens to counts that are followed live.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CountsEvent {
    /// The stream is connected; a snapshot follows.
    Connected {
        /// It was connected before.
        reconnected: bool,
    },
    /// The connection was lost; the stream connects again by itself.
    Reconnecting(Reconnect),
    /// The counts of all posts as they are now. Comes first, and again after each reconnect.
    Snapshot(v1::CountsSnapshot),
    /// Posts whose counts changed.
    Changed(v1::CountsChanged),
}

/// Counts that are followed live. It connects again by itself; an error is its end. Dropping it ends the subscription.
pub struct CountsStream {
    events: BoxStream<'static, Result<CountsEvent, Error>>,
}

impl Stream for CountsStream {
    type Item = Result<CountsEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(cx)
    }
}

struct CountsFeed {
    post_ids: Vec<String>,
}

impl Feed for CountsFeed {
    type Request = v1::SubscribeCountsRequest;
    type Event = CountsEvent;

    fn request(&self) -> Self::Request {
        v1::SubscribeCountsRequest {
            post_ids: self.post_ids.clone(),
        }
    }

    fn take(&mut self, message: v1::SubscribeCountsResponse, events: &mut VecDeque<CountsEvent>) -> Next {
        match message.event {
            Some(Event::Snapshot(snapshot)) => events.push_back(CountsEvent::Snapshot(snapshot)),
            Some(Event::Changed(changed)) => events.push_back(CountsEvent::Changed(changed)),
            Some(Event::Heartbeat(heartbeat)) => return live::within(heartbeat.interval_ms),
            None => {}
        }
        Next::Go
    }

    fn connected(&mut self, reconnected: bool, events: &mut VecDeque<CountsEvent>) {
        events.push_back(CountsEvent::Connected { reconnected });
    }

    fn reconnecting(&mut self, reconnect: Reconnect, events: &mut VecDeque<CountsEvent>) {
        events.push_back(CountsEvent::Reconnecting(reconnect));
    }
}
