//! Failures, dead letters and their replay.

use social_core::fanout::{Payload, Progress, State};
use social_core::page::Range;
use social_core::{EventId, Reason, limits};

use crate::conformance::subject::refused;
use crate::conformance::{Subject, cases};

use super::{event, fail, progress};

cases!["fanout":
    failures_are_counted_up_to_a_dead_letter,
    dead_letters_are_paged,
    a_replayed_dead_letter_arrives_anew,
    a_replayed_backfill_is_pending_again,
    what_is_no_dead_letter_is_not_replayed,
    failures_and_dead_letters_survive_reopening,
    pending_events_and_dead_letters_never_expire,
    the_horizon_waits_for_dead_letters,
    the_horizon_goes_back_for_a_replayed_dead_letter,
];

async fn failures_are_counted_up_to_a_dead_letter(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    let id = EventId::from(posts[0]);
    for attempt in 1..limits::EVENT_ATTEMPTS {
        let event = t.store().record_failure(id, "Broken").await.unwrap();
        assert_eq!((event.attempts, event.state), (attempt, State::Pending));
        assert_eq!(event.last_error.as_deref(), Some("Broken"));
    }
    assert_eq!(t.pending().await.len(), 2);
    let dead = t.store().record_failure(id, "Worse").await.unwrap();
    assert_eq!(
        (dead.state, dead.last_error.as_deref()),
        (State::DeadLettered, Some("Worse"))
    );
    assert_eq!(event(t, id).await, dead);
    assert_eq!(t.pending().await, [EventId::from(posts[1])]);
    assert_eq!(t.store().dead_letters(Range::newest(None, 9)).await.unwrap(), [dead]);
}

async fn dead_letters_are_paged(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 4).await;
    for post in &posts[..3] {
        fail(t, (*post).into(), limits::EVENT_ATTEMPTS).await;
    }
    let page = async |range| {
        let dead = t.store().dead_letters(range).await.unwrap();
        dead.into_iter().map(|event| event.id).collect::<Vec<_>>()
    };
    let ids: Vec<EventId> = posts.iter().map(|post| (*post).into()).collect();
    assert_eq!(page(Range::newest(None, 2)).await, [ids[2], ids[1]]);
    assert_eq!(page(Range::newest(Some(ids[1].0), 2)).await, [ids[0]]);
    assert_eq!(page(Range::oldest(Some(ids[0].0), 9)).await, [ids[1], ids[2]]);
}

async fn a_replayed_dead_letter_arrives_anew(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 3).await;
    t.store().record_progress(posts[0].into(), progress(3)).await.unwrap();
    fail(t, posts[0].into(), limits::EVENT_ATTEMPTS).await;
    let before = t.row(posts[0]).await;
    let replayed = t.store().replay_dead_letter(posts[0].into()).await.unwrap();
    assert_eq!(
        (replayed.id, replayed.state, replayed.attempts),
        (posts[0].into(), State::Pending, 0)
    );
    assert_eq!(
        replayed.payload,
        Payload::Restore {
            post: posts[0],
            author: ann
        },
        "an entry that is there arrives anew"
    );
    assert_eq!(
        replayed.progress,
        Progress::default(),
        "and every follower is served again"
    );
    assert_eq!(event(t, posts[0]).await, replayed);
    assert_eq!(t.pending().await[0], replayed.id);
    assert!(t.store().dead_letters(Range::newest(None, 9)).await.unwrap().is_empty());
    let row = t.row(posts[0]).await;
    assert!(
        row.visible_since > EventId::from(posts[2]),
        "every cursor issued before owes it"
    );
    assert_eq!((row.version, &row.content), (before.version, &before.content));
    t.reopen().await;
    assert_eq!(t.row(posts[0]).await, row);
    assert_eq!(event(t, posts[0]).await, replayed);
}

async fn a_replayed_backfill_is_pending_again(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let id = t.follow(ann, bob).await.event.unwrap();
    fail(t, id, limits::EVENT_ATTEMPTS).await;
    let replayed = t.store().replay_dead_letter(id).await.unwrap();
    assert_eq!(
        replayed.payload,
        Payload::Follow {
            follower: ann,
            followee: bob
        }
    );
    assert_eq!((replayed.state, replayed.attempts), (State::Pending, 0));
    assert_eq!(t.pending().await, [id]);
}

async fn what_is_no_dead_letter_is_not_replayed(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    t.store().finish(posts[0].into(), Progress::default()).await.unwrap();
    for id in [posts[0].into(), posts[1].into(), EventId(7)] {
        refused(t.store().replay_dead_letter(id).await, Reason::DeadLetterNotFound);
    }
    fail(t, posts[1].into(), limits::EVENT_ATTEMPTS).await;
    t.store().replay_dead_letter(posts[1].into()).await.unwrap();
    refused(
        t.store().replay_dead_letter(posts[1].into()).await,
        Reason::DeadLetterNotFound,
    );
}

async fn failures_and_dead_letters_survive_reopening(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    let failed = fail(t, posts[0].into(), 2).await;
    let dead = fail(t, posts[1].into(), limits::EVENT_ATTEMPTS).await;
    t.reopen().await;
    assert_eq!(event(t, posts[0]).await, failed);
    assert_eq!(t.store().dead_letters(Range::newest(None, 9)).await.unwrap(), [dead]);
    assert_eq!(t.pending().await, [EventId::from(posts[0])]);
}

async fn pending_events_and_dead_letters_never_expire(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    fail(t, posts[0].into(), limits::EVENT_ATTEMPTS).await;
    t.advance(limits::EVENT_KEPT * 20);
    while t.store().expire(100).await.unwrap() > 0 {}
    assert_eq!(event(t, posts[0]).await.state, State::DeadLettered);
    assert_eq!(t.pending().await, [EventId::from(posts[1])]);
    assert_eq!(t.store().dead_letters(Range::newest(None, 9)).await.unwrap().len(), 1);
}

async fn the_horizon_waits_for_dead_letters(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let follow = t.follow(bob, ann).await.event.unwrap();
    fail(t, follow, limits::EVENT_ATTEMPTS).await;
    t.posts(ann, 2).await;
    t.settle().await;
    let settled = async || t.store().horizon().await.unwrap().settled;
    assert!(settled().await <= follow, "what it would bring is owed");
    t.reopen().await;
    assert!(settled().await <= follow);
    t.store().replay_dead_letter(follow).await.unwrap();
    t.settle().await;
    assert!(settled().await > follow);
}

async fn the_horizon_goes_back_for_a_replayed_dead_letter(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    fail(t, posts[0].into(), limits::EVENT_ATTEMPTS).await;
    t.settle().await;
    let cursor = t.store().horizon().await.unwrap().settled;
    t.store().replay_dead_letter(posts[0].into()).await.unwrap();
    let visible_since = t.row(posts[0]).await.visible_since;
    assert!(visible_since >= cursor, "a cursor of before the replay owes the post");
    let during = t.store().horizon().await.unwrap().settled;
    assert!(
        during <= visible_since,
        "one issued while it is pending owes it as well"
    );
    t.settle().await;
    assert!(t.store().horizon().await.unwrap().settled > visible_since);
}
