//! The home timeline.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::stream::BoxStream;
use social_proto::v1;
use social_proto::v1::subscribe_home_timeline_response::Event;
use tokio::time::{Instant, sleep};

use crate::call::present;
use crate::core::Core;
use crate::ids::wire;
use crate::live::{self, Feed, Next, Recent, Reconnect};
use crate::{Call, Error, EventId, IntoId, List, PostId, Reason};

const FANOUT_POLL_MIN: Duration = Duration::from_millis(10);
const FANOUT_POLL_MAX: Duration = Duration::from_secs(1);

/// Reads and watches the caller's home timeline. See `social/v1/timeline.proto`.
#[derive(Clone, Debug)]
pub struct Timeline {
    core: Arc<Core>,
}

impl Timeline {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone() }
    }

    /// The home timeline, newest first. `pages` and `page` also tell `head_cursor`, `completeness` and `reset`.
    pub fn home(&self) -> List<v1::GetHomeTimelineRequest> {
        List::new(&self.core, v1::GetHomeTimelineRequest::default())
    }

    /// Follows the home timeline live.
    pub fn subscribe(&self) -> SubscribeHome {
        SubscribeHome {
            core: self.core.clone(),
            request: Default::default(),
            max_reconnects: None,
        }
    }

    /// How far the caller has read.
    pub fn marker(&self) -> Call<v1::GetMarkerRequest, v1::Marker> {
        Call::new(&self.core, v1::GetMarkerRequest {}, |answer| {
            present("marker", answer.marker)
        })
    }

    /// Moves the caller's marker forward, to the newest post that was read.
    pub fn set_marker(&self, last_read_post_id: impl IntoId<PostId>) -> Call<v1::SetMarkerRequest, v1::Marker> {
        let post_id = wire("last_read_post_id", last_read_post_id);
        Call::new(&self.core, v1::SetMarkerRequest::default(), |answer| {
            present("marker", answer.marker)
        })
        .set(post_id, |request, id| request.last_read_post_id = id)
    }

    /// How far a post of the caller has got on its way to the followers.
    pub fn fanout_status(&self, fanout_id: impl IntoId<EventId>) -> Call<v1::GetFanoutStatusRequest> {
        let fanout_id = wire("fanout_id", fanout_id);
        Call::new(&self.core, v1::GetFanoutStatusRequest::default(), Ok)
            .set(fanout_id, |request, id| request.fanout_id = id)
    }

    /// Waits until a post of the caller is with its followers, or was given up (`FANOUT_STATE_DEAD_LETTERED`).
    ///
    /// # Errors
    /// When it cannot be asked, or is not over after `limit`; then the origin is [`Deadline`](crate::Origin::Deadline).
    pub async fn wait_for_fanout(
        &self,
        fanout_id: impl IntoId<EventId>,
        limit: Duration,
    ) -> Result<v1::GetFanoutStatusResponse, Error> {
        let deadline = Instant::now() + limit;
        let fanout_id: EventId = fanout_id
            .into_id()
            .map_err(|error| Error::invalid("fanout_id", error.to_string()))?;
        let mut pause = FANOUT_POLL_MIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let status = self
                .fanout_status(fanout_id)
                .timeout(left.min(self.core.transport.timeout))
                .await?;
            if matches!(status.state(), v1::FanoutState::Done | v1::FanoutState::DeadLettered) {
                return Ok(status);
            }
            if Instant::now() + pause >= deadline {
                return Err(Error::deadline(limit));
            }
            sleep(pause).await;
            pause = (pause * 2).min(FANOUT_POLL_MAX);
        }
    }
}

impl List<v1::GetHomeTimelineRequest> {
    /// Only what became visible after this cursor was issued (a `head_cursor`, or one of a stream). Where the server cannot
    /// tell any more, the pages are those of the whole timeline, and the first says `reset`.
    pub fn newer_than(self, cursor: impl Into<String>) -> Self {
        let cursor = cursor.into();
        self.set(Ok(cursor), |request, cursor| request.newer_than_cursor = cursor)
    }

    /// Leaves out posts that reply to another.
    pub fn exclude_replies(self) -> Self {
        self.set(Ok(()), |request, ()| request.exclude_replies = true)
    }
}

impl Call<v1::SetMarkerRequest, v1::Marker> {
    /// Fails when the marker is not the version of this etag any more.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.request.etag = etag.into();
        self
    }
}

/// A subscription to the home timeline that is about to begin.
#[derive(Debug)]
#[must_use = "a subscription begins with `stream`"]
pub struct SubscribeHome {
    core: Arc<Core>,
    request: v1::SubscribeHomeTimelineRequest,
    max_reconnects: Option<u32>,
}

impl SubscribeHome {
    /// Starts with what became visible after this cursor was issued, instead of with what happens from now on.
    pub fn resume_from(mut self, cursor: impl Into<String>) -> Self {
        self.request.resume_cursor = cursor.into();
        self
    }

    /// Leaves out posts that reply to another. A cursor is good for the setting that it was issued with.
    pub fn exclude_replies(mut self) -> Self {
        self.request.exclude_replies = true;
        self
    }

    /// Gives up after so many failures in a row to connect again. Default: never. The very first connection is tried for
    /// as long as a call is.
    pub fn max_reconnects(mut self, reconnects: u32) -> Self {
        self.max_reconnects = Some(reconnects);
        self
    }

    /// Begins.
    #[must_use = "streams do nothing unless polled"]
    pub fn stream(self) -> HomeStream {
        let cursor = Some(self.request.resume_cursor.clone()).filter(|cursor| !cursor.is_empty());
        let feed = HomeFeed {
            request: self.request,
            own_cursor: false,
            recent: Recent::default(),
        };
        HomeStream {
            events: live::run(&self.core, Ok(feed), self.max_reconnects),
            cursor,
            handed_out: None,
        }
    }
}

/// What happens in a home timeline that is followed live.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "most events are the large one, and none is kept"
)]
pub enum HomeEvent {
    /// The stream is connected. After a reconnect it goes on where it was, and leaves no post out. Removals and counts of
    /// the time without a connection are never told: who keeps posts reads them anew, or their home timeline.
    Connected {
        /// It was connected before.
        reconnected: bool,
    },
    /// The connection was lost; the stream connects again and resumes by itself.
    Reconnecting(Reconnect),
    /// A post became visible. Each is given once, as long as it stays visible.
    Added {
        /// The post and why it is there.
        item: v1::TimelineItem,
        /// Its id is below one that was given earlier: it belongs further down, where its id says.
        late: bool,
    },
    /// Posts are no longer visible. Not told of posts that vanished while there was no connection.
    Removed(Vec<String>),
    /// Counts of posts that were given lately changed.
    CountsUpdated(Vec<v1::PostCountsEntry>),
    /// A cursor that stands for everything before it. Store it to resume in a later run.
    Checkpoint {
        /// For [`SubscribeHome::resume_from`], also [`List::newer_than`].
        cursor: String,
    },
    /// Events were read too slowly. The stream resumes by itself: posts that were dropped are still given, but removals and
    /// counts that were dropped are not told again.
    Gap,
    /// What became visible in between cannot be told any more: drop what is cached, and read the home timeline anew. The
    /// stream goes on with what happens from now on.
    Reset,
}

/// A home timeline that is followed live. It connects again and resumes by itself; an error is its end: the session was
/// revoked, or the first connection failed. Dropping it ends the subscription.
pub struct HomeStream {
    events: BoxStream<'static, Result<HomeEvent, Error>>,
    cursor: Option<String>,
    /// Of a checkpoint that the caller has, and may not have handled yet.
    handed_out: Option<String>,
}

impl HomeStream {
    /// The cursor behind everything that was handled: an event counts as handled when the next one is asked for.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

impl Stream for HomeStream {
    type Item = Result<HomeEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(handled) = self.handed_out.take() {
            self.cursor = Some(handled);
        }
        let event = self.events.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(HomeEvent::Checkpoint { cursor }))) = &event {
            self.handed_out = Some(cursor.clone());
        }
        event
    }
}

struct HomeFeed {
    request: v1::SubscribeHomeTimelineRequest,
    /// The cursor in the request came from this stream, not from the caller.
    own_cursor: bool,
    recent: Recent,
}

impl HomeFeed {
    fn go_on_from(&mut self, cursor: String) {
        self.request.resume_cursor = cursor;
        self.own_cursor = true;
    }
}

impl Feed for HomeFeed {
    type Request = v1::SubscribeHomeTimelineRequest;
    type Event = HomeEvent;

    fn request(&self) -> Self::Request {
        self.request.clone()
    }

    fn take(&mut self, message: v1::SubscribeHomeTimelineResponse, events: &mut VecDeque<HomeEvent>) -> Next {
        match message.event {
            Some(Event::Added(added)) => {
                let items = added
                    .items
                    .into_iter()
                    .filter_map(|added| Some((added.item?, added.late)));
                for (item, late) in items {
                    if item.post.as_ref().is_some_and(|post| self.recent.insert(&post.id)) {
                        events.push_back(HomeEvent::Added { item, late });
                    }
                }
            }
            Some(Event::Removed(removed)) => {
                // They may come back, by an undelete or a new follow.
                removed.post_ids.iter().for_each(|id| self.recent.remove(id));
                events.push_back(HomeEvent::Removed(removed.post_ids));
            }
            Some(Event::CountsUpdated(updated)) => events.push_back(HomeEvent::CountsUpdated(updated.counts)),
            Some(Event::Checkpoint(checkpoint)) => {
                self.go_on_from(checkpoint.cursor.clone());
                events.push_back(HomeEvent::Checkpoint {
                    cursor: checkpoint.cursor,
                });
                return live::within(checkpoint.interval_ms);
            }
            Some(Event::Gap(gap)) => {
                self.go_on_from(gap.resume_cursor);
                events.push_back(HomeEvent::Gap);
                return Next::Reopen;
            }
            Some(Event::Reset(_)) => {
                self.recent.clear();
                events.push_back(HomeEvent::Reset);
            }
            None => {}
        }
        Next::Go
    }

    fn connected(&mut self, reconnected: bool, events: &mut VecDeque<HomeEvent>) {
        events.push_back(HomeEvent::Connected { reconnected });
    }

    fn reconnecting(&mut self, reconnect: Reconnect, events: &mut VecDeque<HomeEvent>) {
        events.push_back(HomeEvent::Reconnecting(reconnect));
    }

    fn mend(&mut self, error: &Error, events: &mut VecDeque<HomeEvent>) -> bool {
        // A cursor that the server itself issued and does not know any more, as after a restore of its data. One of the
        // caller's is an error of the caller's.
        let lost = error.reason() == Reason::CursorInvalid && self.own_cursor;
        if lost {
            self.request.resume_cursor.clear();
            self.own_cursor = false;
            self.recent.clear();
            events.push_back(HomeEvent::Reset);
        }
        lost
    }
}
