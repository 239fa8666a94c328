//! The event log on the wire.

use social_core::Time;
use social_core::admin::{OutboxCounts, OutboxPage, PendingEvent};
use social_core::fanout::{Mode, Payload};
use social_proto::v1;

use super::subject;
use crate::grpc::convert::{count, millis, optional_id, timestamp};

/// A page of what waits.
pub(crate) fn outbox(page: OutboxPage) -> v1::ListOutboxEventsResponse {
    let now = page.now;
    v1::ListOutboxEventsResponse {
        events: page
            .listed
            .items
            .into_iter()
            .map(|pending| event(pending, now))
            .collect(),
        counts: page.counts.map(|found| counts(&found, now)),
        next_page_token: page.listed.next_page_token,
    }
}

fn event(pending: PendingEvent, now: Time) -> v1::OutboxEvent {
    let stalled = pending.is_stalled(now);
    let PendingEvent { event, moved_at } = pending;
    let (kind, post, actor) = subject(&event.payload);
    v1::OutboxEvent {
        event_id: event.id.to_string(),
        kind: kind.to_owned(),
        post_id: optional_id(post),
        actor_id: actor.to_string(),
        mode: mode(&event.payload).into(),
        delivered: count(event.progress.delivered),
        skipped: count(event.progress.skipped),
        attempts: i32::try_from(event.attempts).unwrap_or(i32::MAX),
        error_class: event.last_error.unwrap_or_default(),
        create_time: Some(timestamp(event.filed_at)),
        progress_time: Some(timestamp(moved_at)),
        stalled,
        trace_id: event.trace.map_or_else(String::new, |trace| trace.trace_id_hex()),
    }
}

/// How the post of an event gets to followers.
fn mode(payload: &Payload) -> v1::FanoutMode {
    match payload {
        Payload::Post { mode: Mode::Push, .. } | Payload::Restore { .. } => v1::FanoutMode::Push,
        Payload::Post { mode: Mode::Pull, .. } => v1::FanoutMode::Pull,
        Payload::Follow { .. } => v1::FanoutMode::Unspecified,
    }
}

fn counts(found: &OutboxCounts, now: Time) -> v1::OutboxCounts {
    v1::OutboxCounts {
        pending: count(found.pending),
        stalled: count(found.stalled),
        dead: count(found.dead),
        oldest_pending_age_ms: found.oldest_pending.map_or(0, |filed_at| millis(now.since(filed_at))),
        exact: found.exact,
    }
}

#[cfg(test)]
mod tests {
    use social_core::cursor::Listed;
    use social_core::fanout::{Event, Progress};
    use social_core::request::TraceContext;
    use social_core::{EventId, PostId, UserId};

    use super::*;

    const NOW: Time = Time::from_unix_ms(1_800_000_010_000);

    fn page(payload: Payload, moved_at: Time) -> OutboxPage {
        let trace = TraceContext {
            trace_id: [0xab; 16],
            span_id: [1; 8],
            flags: 1,
        };
        let event = Event {
            attempts: 2,
            last_error: Some("internal".to_owned()),
            progress: Progress {
                delivered: 1_000,
                skipped: 7,
                ..Progress::default()
            },
            ..Event::new(EventId(9), payload, Time::from_unix_ms(1_800_000_000_000), Some(trace))
        };
        OutboxPage {
            listed: Listed {
                items: vec![PendingEvent { event, moved_at }],
                next_page_token: "next".to_owned(),
            },
            counts: None,
            now: NOW,
        }
    }

    #[test]
    fn an_event_says_what_it_is_about_and_how_far_it_has_come() {
        let (post, author) = (PostId(1), UserId(2));
        let push = Payload::Post {
            post,
            author,
            mode: Mode::Push,
        };
        let pull = Payload::Post {
            post,
            author,
            mode: Mode::Pull,
        };
        let restore = Payload::Restore { post, author };
        let follow = Payload::Follow {
            follower: author,
            followee: UserId(3),
        };
        for (payload, kind, mode, post_id) in [
            (push, "post_created", v1::FanoutMode::Push, post.to_string()),
            (pull, "post_created", v1::FanoutMode::Pull, post.to_string()),
            (restore, "post_restored", v1::FanoutMode::Push, post.to_string()),
            (follow, "followed", v1::FanoutMode::Unspecified, String::new()),
        ] {
            let answer = outbox(page(payload, NOW));
            let event = &answer.events[0];
            assert_eq!(
                (event.kind.as_str(), event.mode(), &event.post_id),
                (kind, mode, &post_id)
            );
            assert_eq!((event.delivered, event.skipped, event.attempts), (1_000, 7, 2));
            assert_eq!(event.error_class, "internal");
            assert_eq!(event.trace_id, "ab".repeat(16));
            assert_eq!((answer.next_page_token.as_str(), answer.counts), ("next", None));
        }
    }

    #[test]
    fn an_event_is_stalled_by_the_time_of_its_last_step() {
        let follow = Payload::Follow {
            follower: UserId(2),
            followee: UserId(3),
        };
        let stalled = |moved_at| outbox(page(follow, moved_at)).events[0].stalled;
        assert!(!stalled(NOW));
        assert!(stalled(Time::from_unix_ms(NOW.unix_ms() - 2_000)));
    }

    #[test]
    fn counts_tell_the_age_of_the_oldest() {
        let found = OutboxCounts {
            pending: 3,
            stalled: 2,
            dead: 1,
            oldest_pending: Some(Time::from_unix_ms(NOW.unix_ms() - 4_500)),
            exact: true,
        };
        let wire = counts(&found, NOW);
        assert_eq!((wire.pending, wire.stalled, wire.dead, wire.exact), (3, 2, 1, true));
        assert_eq!(wire.oldest_pending_age_ms, 4_500);
        let none = OutboxCounts {
            oldest_pending: None,
            ..found
        };
        assert_eq!(counts(&none, NOW).oldest_pending_age_ms, 0);
    }
}
