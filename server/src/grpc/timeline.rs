//! TimelineService.

use social_core::timeline::{self, HomeEvent, HomeRequest, HomeSubscribe, HomeSubscription};
use social_core::{Backend, Result, fanout};
use social_observability::event;
use social_proto::spliced::HomeTimelinePage;
use social_proto::spliced::timeline_service_server::{TimelineService, TimelineServiceServer};
use social_proto::v1;
use tonic::{Request, Response, Status};

use super::Streams;
use super::convert::{self, Fields};
use super::reply::{Events, Source, answer, events, open};

/// The method of live home timelines, as metrics name it.
const SUBSCRIBE: &str = "social.v1.TimelineService/SubscribeHomeTimeline";

/// The service over a backend.
pub fn service(backend: Backend, streams: Streams) -> TimelineServiceServer<impl TimelineService> {
    TimelineServiceServer::new(Timelines { backend, streams })
}

struct Timelines {
    backend: Backend,
    streams: Streams,
}

#[tonic::async_trait]
impl TimelineService for Timelines {
    async fn get_home_timeline(
        &self,
        request: Request<v1::GetHomeTimelineRequest>,
    ) -> Result<Response<HomeTimelinePage>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let request = HomeRequest {
                page: fields.page(message.page_size, &message.page_token),
                newer_than_cursor: &message.newer_than_cursor,
                exclude_replies: message.exclude_replies,
            };
            fields.check()?;
            let page = timeline::home(&self.backend, &caller, request).await?;
            Ok(convert::timeline::home_page(page))
        })
        .await
    }

    async fn get_marker(
        &self,
        request: Request<v1::GetMarkerRequest>,
    ) -> Result<Response<v1::GetMarkerResponse>, Status> {
        let (caller, v1::GetMarkerRequest {}) = open(request);
        answer(async {
            let marker = timeline::get_marker(&self.backend, &caller).await?;
            Ok(v1::GetMarkerResponse {
                marker: Some(convert::timeline::marker(marker)),
            })
        })
        .await
    }

    async fn set_marker(
        &self,
        request: Request<v1::SetMarkerRequest>,
    ) -> Result<Response<v1::SetMarkerResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let post = fields.id("last_read_post_id", &message.last_read_post_id);
            let expected = fields.etag(&message.etag);
            fields.request_id(&message.request_id);
            fields.check()?;
            let marker = timeline::set_marker(&self.backend, &caller, post, expected, &message.request_id).await?;
            Ok(v1::SetMarkerResponse {
                marker: Some(convert::timeline::marker(marker)),
            })
        })
        .await
    }

    async fn get_fanout_status(
        &self,
        request: Request<v1::GetFanoutStatusRequest>,
    ) -> Result<Response<v1::GetFanoutStatusResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let id = fields.id("fanout_id", &message.fanout_id);
            fields.check()?;
            let status = fanout::status(&self.backend, &caller, id).await?;
            Ok(convert::timeline::fanout_status(id, status))
        })
        .await
    }

    type SubscribeHomeTimelineStream = Events<v1::SubscribeHomeTimelineResponse>;

    async fn subscribe_home_timeline(
        &self,
        request: Request<v1::SubscribeHomeTimelineRequest>,
    ) -> Result<Response<Self::SubscribeHomeTimelineStream>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let request = HomeSubscribe {
                resume_cursor: &message.resume_cursor,
                exclude_replies: message.exclude_replies,
                heartbeat: self.streams.heartbeat,
            };
            let subscription = timeline::subscribe(&self.backend, &caller, request).await?;
            Ok(events(subscription, self.streams.drain.clone()))
        })
        .await
    }
}

impl Source for HomeSubscription {
    type Message = v1::SubscribeHomeTimelineResponse;

    async fn next(&mut self) -> Option<Result<Self::Message>> {
        let event = Self::next(self).await?;
        match &event {
            Ok(HomeEvent::Gap { .. }) => event::stream_gap_sent(SUBSCRIBE),
            Ok(HomeEvent::Reset) => event::stream_reset_sent(SUBSCRIBE),
            _ => {}
        }
        Some(event.map(convert::timeline::home_event))
    }
}
