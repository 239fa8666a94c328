//! Home timelines, markers and fan-outs on the wire.

use social_core::fanout::{self, Event as FanoutEvent, Mode, State, Strategy};
use social_core::posts::PostView;
use social_core::timeline::{AddedPost, HomeEvent, HomePage, Marker};
use social_core::{EventId, etag};
use social_proto::spliced::{HomeTimelineEnd, HomeTimelineItem, HomeTimelinePage};
use social_proto::v1;
use social_proto::v1::subscribe_home_timeline_response::Event;

use super::post::{counts_entry, encoded_post, post, post_counts, viewer_state};
use super::user::encoded_summary;
use super::{count, interval_ms, millis, optional_id, timestamp};

/// A page of the home timeline, of posts and authors that were encoded before.
pub(crate) fn home_page(page: HomePage) -> HomeTimelinePage {
    let completeness = if page.rebuilding {
        v1::Completeness::Rebuilding
    } else {
        v1::Completeness::Complete
    };
    let end = HomeTimelineEnd {
        next_page_token: page.next_page_token,
        head_cursor: page.head_cursor,
        completeness,
        reset: page.reset,
    };
    HomeTimelinePage::new(page.items.iter().map(home_item).collect(), end)
}

fn home_item(view: &PostView) -> HomeTimelineItem {
    HomeTimelineItem {
        post: encoded_post(&view.post),
        author: encoded_summary(&view.author),
        counts: post_counts(view.counts),
        viewer: view.viewer.map(viewer_state),
        reason: reason(view),
    }
}

/// Why a post is in its viewer's home timeline.
fn reason(view: &PostView) -> v1::TimelineReason {
    if view.viewer.is_some_and(|viewer| viewer.is_author) {
        v1::TimelineReason::OwnPost
    } else {
        v1::TimelineReason::FollowedAuthor
    }
}

/// One message of SubscribeHomeTimeline.
pub(crate) fn home_event(event: HomeEvent) -> v1::SubscribeHomeTimelineResponse {
    let event = match event {
        HomeEvent::Added(posts) => Event::Added(v1::HomeTimelineAdded {
            items: posts.iter().map(added_item).collect(),
        }),
        HomeEvent::Removed(posts) => Event::Removed(v1::HomeTimelineRemoved {
            post_ids: posts.iter().map(ToString::to_string).collect(),
        }),
        HomeEvent::CountsUpdated(counts) => Event::CountsUpdated(v1::HomeTimelineCountsUpdated {
            counts: counts.into_iter().map(counts_entry).collect(),
        }),
        HomeEvent::Checkpoint { cursor, time, interval } => Event::Checkpoint(v1::HomeTimelineCheckpoint {
            cursor,
            time: Some(timestamp(time)),
            interval_ms: interval_ms(interval),
        }),
        HomeEvent::Gap { resume_cursor } => Event::Gap(v1::HomeTimelineGap { resume_cursor }),
        HomeEvent::Reset => Event::Reset(v1::HomeTimelineReset {}),
    };
    v1::SubscribeHomeTimelineResponse { event: Some(event) }
}

fn added_item(AddedPost { view, late }: &AddedPost) -> v1::HomeTimelineAddedItem {
    let item = v1::TimelineItem {
        post: Some(post(view)),
        reason: reason(view).into(),
    };
    v1::HomeTimelineAddedItem {
        item: Some(item),
        late: *late,
    }
}

/// How far a user has read.
pub(crate) fn marker(marker: Marker) -> v1::Marker {
    v1::Marker {
        last_read_post_id: optional_id(marker.last_read),
        update_time: marker.updated_at.map(timestamp),
        etag: etag::format(marker.version),
    }
}

/// How far a post has got on its way to the followers. `id` is the fan-out that was asked for.
pub(crate) fn fanout_status(id: EventId, status: fanout::Status) -> v1::GetFanoutStatusResponse {
    let event = status.event;
    v1::GetFanoutStatusResponse {
        fanout_id: id.to_string(),
        post_id: status.post.to_string(),
        mode: mode(status.mode).into(),
        state: state(&event).into(),
        delivered: count(event.progress.delivered),
        skipped: count(event.progress.skipped),
        pending: count(status.pending),
        lag_ms: millis(status.lag),
        attempts: i32::try_from(event.attempts).unwrap_or(i32::MAX),
        trace_id: event.trace.map_or_else(String::new, |trace| trace.trace_id_hex()),
        last_error_class: event.last_error.unwrap_or_default(),
    }
}

fn mode(mode: Mode) -> v1::FanoutMode {
    match mode {
        Mode::Push => v1::FanoutMode::Push,
        Mode::Pull => v1::FanoutMode::Pull,
    }
}

fn state(event: &FanoutEvent) -> v1::FanoutState {
    match event.state {
        State::Pending if event.progress.steps == 0 => v1::FanoutState::Pending,
        State::Pending => v1::FanoutState::Running,
        State::Done => v1::FanoutState::Done,
        State::DeadLettered => v1::FanoutState::DeadLettered,
    }
}

/// How new posts get to followers.
pub(crate) fn strategy(strategy: Strategy) -> v1::FanoutMode {
    match strategy {
        Strategy::Push => v1::FanoutMode::Push,
        Strategy::Pull => v1::FanoutMode::Pull,
        Strategy::Hybrid => v1::FanoutMode::Hybrid,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use social_core::fanout::{Payload, Progress};
    use social_core::{PostId, Time, UserId};

    use super::*;
    use crate::grpc::convert::post::tests::view;

    #[test]
    fn a_spliced_page_reads_as_the_message_that_it_stands_for() {
        let page = HomePage {
            items: vec![view(), view()],
            next_page_token: "next".to_owned(),
            head_cursor: "head".to_owned(),
            rebuilding: true,
            reset: true,
        };
        let bytes = home_page(page).encode_to_vec();
        let item = v1::TimelineItem {
            post: Some(post(&view())),
            reason: v1::TimelineReason::FollowedAuthor.into(),
        };
        let expected = v1::GetHomeTimelineResponse {
            items: vec![item.clone(), item],
            next_page_token: "next".to_owned(),
            head_cursor: "head".to_owned(),
            completeness: v1::Completeness::Rebuilding.into(),
            reset: true,
        };
        assert_eq!(v1::GetHomeTimelineResponse::decode(bytes.as_slice()).unwrap(), expected);
    }

    #[test]
    fn items_say_why_they_are_there() {
        let mut view = view();
        assert_eq!(reason(&view), v1::TimelineReason::FollowedAuthor);
        view.viewer.as_mut().unwrap().is_author = true;
        assert_eq!(reason(&view), v1::TimelineReason::OwnPost);
    }

    #[test]
    fn a_marker_that_never_moved_names_no_post() {
        let marker = marker(Marker::default());
        assert_eq!((marker.last_read_post_id.as_str(), marker.update_time), ("", None));
        assert_eq!(marker.etag, "e0");
    }

    #[test]
    fn a_fanout_runs_once_a_step_was_taken() {
        let payload = Payload::Restore {
            post: PostId(1),
            author: UserId(2),
        };
        let event = FanoutEvent::new(EventId(3), payload, Time::from_unix_ms(1), None);
        let running = Progress {
            steps: 1,
            ..Progress::default()
        };
        for (stands, progress, expected) in [
            (State::Pending, Progress::default(), v1::FanoutState::Pending),
            (State::Pending, running.clone(), v1::FanoutState::Running),
            (State::Done, running.clone(), v1::FanoutState::Done),
            (State::DeadLettered, running, v1::FanoutState::DeadLettered),
        ] {
            let event = FanoutEvent {
                state: stands,
                progress,
                ..event.clone()
            };
            assert_eq!(state(&event), expected);
        }
    }
}
