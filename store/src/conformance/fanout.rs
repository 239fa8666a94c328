//! The event log, dead letters, the horizon, the policy and stretches of pulled posts.

pub(super) mod dead;
pub(super) mod policy;

use std::time::Duration;

use social_core::fanout::{Event, Mode, Payload, Progress, State};
use social_core::request::TraceContext;
use social_core::{EventId, PostId, UserId, limits};

use super::subject::draft;
use super::{Subject, cases};

cases!["fanout":
    a_post_files_its_event,
    a_follow_files_its_backfill,
    what_needs_no_work_files_no_event,
    pending_events_are_paged,
    progress_is_kept_until_the_end,
    an_ended_event_stays_ended,
    events_may_end_in_any_order,
    pending_events_survive_reopening,
    a_finished_event_is_kept_for_its_time,
    the_horizon_waits_for_pending_events,
    later_posts_are_beyond_the_horizon,
    the_horizon_holds_after_reopening,
    expiry_is_bounded,
    statistics_say_what_is_to_be_done,
];

pub(super) async fn event(t: &Subject, id: impl Into<EventId>) -> Event {
    t.store().event(id.into()).await.unwrap().expect("the event is kept")
}

pub(super) async fn fail(t: &Subject, id: EventId, times: u32) -> Event {
    let mut event = event(t, id).await;
    for _ in 0..times {
        event = t.store().record_failure(id, "Broken").await.unwrap();
    }
    event
}

pub(super) fn progress(delivered: u64) -> Progress {
    Progress {
        after: Some(UserId(delivered)),
        delivered,
        skipped: 1,
        steps: 2,
    }
}

/// Stretches of a followee of the viewer.
pub(super) async fn stretches(t: &Subject, viewer: UserId, author: UserId) -> Vec<(PostId, PostId)> {
    let pulled = t.store().sources(viewer).await.unwrap().pulled;
    pulled
        .iter()
        .find(|pulled| pulled.author == author)
        .map(|pulled| pulled.stretches.clone())
        .unwrap_or_default()
}

async fn a_post_files_its_event(t: &Subject) {
    let ann = t.user("ann").await;
    let trace = TraceContext {
        trace_id: [3; 16],
        span_id: [4; 8],
        flags: 1,
    };
    let post = t
        .store()
        .create_post(draft(ann, "x"), t.key(), Some(trace))
        .await
        .unwrap()
        .value
        .post
        .id;
    let event = event(t, post).await;
    assert_eq!(
        event.payload,
        Payload::Post {
            post,
            author: ann,
            mode: Mode::Push
        }
    );
    assert_eq!(
        (event.state, event.attempts, event.filed_at, event.trace),
        (State::Pending, 0, t.now(), Some(trace))
    );
    assert_eq!((event.progress.clone(), event.finished_at), (Progress::default(), None));
    assert_eq!(t.store().pending_events(None, 10).await.unwrap(), [event]);
    assert_eq!(t.store().event(EventId(7)).await.unwrap(), None);
}

async fn a_follow_files_its_backfill(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let id = t.follow(ann, bob).await.event.unwrap();
    assert_eq!(
        event(t, id).await.payload,
        Payload::Follow {
            follower: ann,
            followee: bob
        }
    );
    assert_eq!(t.pending().await, [id]);
}

async fn what_needs_no_work_files_no_event(t: &Subject) {
    use social_core::graph::EdgeKind;
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let post = t.post(ann, "x").await;
    t.follow(bob, ann).await;
    t.settle().await;
    t.like(bob, post, true).await;
    t.comment(bob, post).await;
    t.edit(post, "y").await;
    t.delete(post).await;
    t.set(EdgeKind::Mute, bob, ann, true).await;
    t.unfollow(bob, ann).await;
    t.block(ann, bob).await;
    assert!(t.pending().await.is_empty());
}

async fn pending_events_are_paged(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let mut ids: Vec<EventId> = t.posts(ann, 4).await.into_iter().map(EventId::from).collect();
    ids.insert(0, t.follow(ann, bob).await.event.unwrap());
    ids.sort();
    let page = async |after, limit| {
        let events = t.store().pending_events(after, limit).await.unwrap();
        events.into_iter().map(|event| event.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(ids[1]), 2).await, ids[2..4]);
    assert_eq!(page(Some(ids[3]), 2).await, ids[4..]);
    assert_eq!(page(Some(ids[4]), 2).await, []);
    t.store().finish(ids[2], Progress::default()).await.unwrap();
    assert_eq!(page(Some(ids[0]), 9).await, [ids[1], ids[3], ids[4]]);
}

async fn progress_is_kept_until_the_end(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.store().record_progress(post.into(), progress(3)).await.unwrap();
    let half = event(t, post).await;
    assert_eq!((half.progress, half.state), (progress(3), State::Pending));
    t.advance(Duration::from_secs(1));
    t.store().finish(post.into(), progress(5)).await.unwrap();
    let done = event(t, post).await;
    assert_eq!(
        (done.progress, done.state, done.finished_at),
        (progress(5), State::Done, Some(t.now()))
    );
    assert!(t.pending().await.is_empty());
}

async fn an_ended_event_stays_ended(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.store().finish(post.into(), progress(5)).await.unwrap();
    let done = event(t, post).await;
    t.store().record_progress(post.into(), progress(1)).await.unwrap();
    t.store().finish(post.into(), progress(5)).await.unwrap();
    assert_eq!(event(t, post).await.state, State::Done);
    assert_eq!(event(t, post).await.progress, done.progress);
    assert!(t.pending().await.is_empty());
    t.store().record_progress(EventId(7), progress(1)).await.unwrap();
    t.store().finish(EventId(7), progress(1)).await.unwrap();
    assert_eq!(
        t.store().event(EventId(7)).await.unwrap(),
        None,
        "nothing comes of nothing"
    );
}

async fn events_may_end_in_any_order(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 6).await;
    for number in [4, 0, 5, 2] {
        t.store()
            .finish(posts[number].into(), Progress::default())
            .await
            .unwrap();
    }
    assert_eq!(t.pending().await, [EventId::from(posts[1]), posts[3].into()]);
}

async fn pending_events_survive_reopening(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let trace = TraceContext {
        trace_id: [3; 16],
        span_id: [4; 8],
        flags: 1,
    };
    t.store()
        .create_post(draft(ann, "x"), t.key(), Some(trace))
        .await
        .unwrap();
    t.follow(ann, bob).await;
    let post = t.post(ann, "y").await;
    t.delete(post).await;
    t.undelete(post).await;
    let before = t.store().pending_events(None, 99).await.unwrap();
    assert_eq!(before.len(), 4);
    t.reopen().await;
    assert_eq!(t.store().pending_events(None, 99).await.unwrap(), before);
}

async fn a_finished_event_is_kept_for_its_time(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.settle().await;
    t.advance(limits::EVENT_KEPT - Duration::from_secs(1));
    while t.store().expire(100).await.unwrap() > 0 {}
    assert_eq!(event(t, post).await.state, State::Done);
    t.advance(Duration::from_secs(2));
    while t.store().expire(100).await.unwrap() > 0 {}
    assert_eq!(t.store().event(post.into()).await.unwrap(), None);
    assert_eq!(t.row(post).await.id, post, "the post is there for ever");
}

async fn the_horizon_waits_for_pending_events(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 3).await;
    let settled = async || t.store().horizon().await.unwrap().settled;
    assert!(settled().await <= posts[0].into());
    t.store().finish(posts[1].into(), Progress::default()).await.unwrap();
    assert!(
        settled().await <= posts[0].into(),
        "one finished out of turn changes nothing"
    );
    t.store().finish(posts[0].into(), Progress::default()).await.unwrap();
    let now = settled().await;
    assert!(EventId::from(posts[1]) < now && now <= posts[2].into());
    t.store().finish(posts[2].into(), Progress::default()).await.unwrap();
    assert!(settled().await > posts[2].into());
    let next = t.post(ann, "x").await;
    assert!(settled().await <= next.into());
}

async fn later_posts_are_beyond_the_horizon(t: &Subject) {
    let ann = t.user("ann").await;
    let mut horizon = t.store().horizon().await.unwrap();
    for step in 0..12 {
        if step % 3 == 0 {
            t.step_back(Duration::from_secs(5));
        }
        let post = t.post(ann, "x").await;
        assert!(post > horizon.visible);
        assert!(EventId::from(post) >= horizon.settled);
        horizon = t.store().horizon().await.unwrap();
        assert!(horizon.visible >= post, "what is readable is not to come");
    }
}

async fn the_horizon_holds_after_reopening(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 3).await;
    t.store().finish(posts[0].into(), Progress::default()).await.unwrap();
    t.store().finish(posts[2].into(), Progress::default()).await.unwrap();
    t.reopen().await;
    t.step_back(Duration::from_secs(60));
    let horizon = t.store().horizon().await.unwrap();
    assert!(horizon.settled <= posts[1].into());
    assert!(horizon.visible >= posts[2]);
    assert!(t.post(ann, "x").await > horizon.visible);
}

async fn expiry_is_bounded(t: &Subject) {
    let ann = t.user("ann").await;
    t.posts(ann, 6).await;
    t.settle().await;
    assert_eq!(t.store().expire(100).await.unwrap(), 0);
    t.advance(limits::EVENT_KEPT + limits::REQUEST_KEPT);
    let mut total = 0;
    loop {
        let removed = t.store().expire(4).await.unwrap();
        assert!(removed <= 4);
        if removed == 0 {
            break;
        }
        total += removed;
    }
    assert!(total >= 13, "6 events and 7 request keys, but {total}");
}

async fn statistics_say_what_is_to_be_done(t: &Subject) {
    let ann = t.user("ann").await;
    let filed = t.now();
    let first = t.post(ann, "x").await;
    t.advance(Duration::from_secs(9));
    let second = t.post(ann, "y").await;
    let stats = t.store().stats().await.unwrap();
    assert_eq!(
        (stats.backend, stats.pending_events, stats.dead_letters),
        (t.name(), 2, 0)
    );
    assert_eq!(stats.oldest_pending, Some(filed));
    assert!(!stats.tables.is_empty());
    t.store().finish(first.into(), Progress::default()).await.unwrap();
    fail(t, second.into(), limits::EVENT_ATTEMPTS).await;
    let stats = t.store().stats().await.unwrap();
    assert_eq!(
        (stats.pending_events, stats.dead_letters, stats.oldest_pending),
        (0, 1, None)
    );
}
