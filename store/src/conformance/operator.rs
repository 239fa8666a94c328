//! The store as operators see it: its processes, and what waits in the event log.

use std::time::Duration;

use social_core::admin::{Lease, OutboxCounts, PendingEvent};
use social_core::fanout::{Mode, Payload, Progress, State};
use social_core::{EventId, Reason, limits};

use super::fanout::{fail, progress};
use super::subject::refused;
use super::{Kind, Subject, cases};

cases!["operator":
    the_process_that_answers_lives_and_holds_every_shard,
    the_outbox_counts_events_by_where_they_stand,
    an_empty_outbox_counts_nothing,
    waiting_events_are_paged,
    a_waiting_event_shows_its_progress_and_failures,
    an_event_is_stalled_until_it_is_brought_further,
    a_replayed_dead_letter_waits_again,
    what_waits_is_the_same_after_reopening,
    only_a_data_folder_is_backed_up,
];

async fn counts(t: &Subject) -> OutboxCounts {
    t.store().outbox_counts().await.unwrap()
}

async fn waiting(t: &Subject, after: Option<EventId>, limit: usize) -> Vec<PendingEvent> {
    t.store().outbox_events(after, limit).await.unwrap()
}

async fn waiting_ids(t: &Subject, after: Option<EventId>, limit: usize) -> Vec<EventId> {
    let events = waiting(t, after, limit).await;
    events.into_iter().map(|pending| pending.event.id).collect()
}

async fn the_process_that_answers_lives_and_holds_every_shard(t: &Subject) {
    let cluster = t.store().cluster().await.unwrap();
    assert_eq!(cluster.backend, t.name());
    let [own] = cluster.processes.as_slice() else {
        panic!("it is alone: {cluster:?}");
    };
    assert_eq!((own.node, own.roles.as_str()), (cluster.answered_by, "api,worker"));
    assert!(!own.name.is_empty() && own.started_at.unix_ms() > 0);
    let lives = match own.lease {
        Lease::Alone => t.kind() != Kind::Cluster,
        Lease::Held(left) => t.kind() == Kind::Cluster && left <= Duration::from_secs(10),
        Lease::Paused(_) | Lease::RanOut(_) => false,
    };
    assert!(lives, "{own:?}");
    let shards: Vec<u16> = cluster.shards_of(own.node).map(|shard| shard.number).collect();
    let all: Vec<u16> = (0..).take(cluster.shards.len()).collect();
    assert!(!all.is_empty() && shards == all, "{cluster:?}");
}

async fn the_outbox_counts_events_by_where_they_stand(t: &Subject) {
    let ann = t.user("ann").await;
    let filed = t.now();
    let posts = t.posts(ann, 4).await;
    t.store().finish(posts[1].into(), Progress::default()).await.unwrap();
    fail(t, posts[2].into(), limits::EVENT_ATTEMPTS).await;
    t.advance(limits::EVENT_STALE + Duration::from_secs(1));
    t.store().record_progress(posts[3].into(), progress(3)).await.unwrap();
    let expected = OutboxCounts {
        pending: 2,
        stalled: 1,
        dead: 1,
        oldest_pending: Some(filed),
        exact: true,
    };
    assert_eq!(counts(t).await, expected);
}

async fn an_empty_outbox_counts_nothing(t: &Subject) {
    let ann = t.user("ann").await;
    t.posts(ann, 2).await;
    t.settle().await;
    let expected = OutboxCounts {
        pending: 0,
        stalled: 0,
        dead: 0,
        oldest_pending: None,
        exact: true,
    };
    assert_eq!(counts(t).await, expected);
    assert!(waiting(t, None, 9).await.is_empty());
}

async fn waiting_events_are_paged(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let mut ids: Vec<EventId> = t.posts(ann, 4).await.into_iter().map(EventId::from).collect();
    ids.push(t.follow(ann, bob).await.event.unwrap());
    ids.sort();
    assert_eq!(waiting_ids(t, None, 2).await, ids[..2]);
    assert_eq!(waiting_ids(t, Some(ids[1]), 2).await, ids[2..4]);
    assert_eq!(waiting_ids(t, Some(ids[3]), 2).await, ids[4..]);
    assert_eq!(waiting_ids(t, Some(ids[4]), 2).await, []);
    t.store().finish(ids[2], Progress::default()).await.unwrap();
    fail(t, ids[3], limits::EVENT_ATTEMPTS).await;
    assert_eq!(waiting_ids(t, Some(ids[0]), 9).await, [ids[1], ids[4]]);
}

async fn a_waiting_event_shows_its_progress_and_failures(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.store().record_progress(post.into(), progress(7)).await.unwrap();
    fail(t, post.into(), 2).await;
    let [pending] = waiting(t, None, 9).await.try_into().unwrap();
    assert_eq!(
        pending.event.payload,
        Payload::Post {
            post,
            author: ann,
            mode: Mode::Push
        }
    );
    assert_eq!((pending.event.state, pending.event.attempts), (State::Pending, 2));
    assert_eq!(pending.event.progress, progress(7));
    assert_eq!(pending.event.last_error.as_deref(), Some("Broken"));
    assert_eq!(pending.event, t.store().event(post.into()).await.unwrap().unwrap());
}

async fn an_event_is_stalled_until_it_is_brought_further(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    let is_stalled = async || {
        let [pending] = waiting(t, None, 9).await.try_into().unwrap();
        pending.is_stalled(t.now())
    };
    assert!(!is_stalled().await);
    t.advance(limits::EVENT_STALE + Duration::from_millis(100));
    assert!(is_stalled().await);
    t.store().record_progress(post.into(), progress(1)).await.unwrap();
    assert!(!is_stalled().await, "a step was taken");
    t.advance(limits::EVENT_STALE + Duration::from_millis(100));
    assert!(is_stalled().await);
    fail(t, post.into(), 1).await;
    assert!(!is_stalled().await, "it was tried");
}

async fn a_replayed_dead_letter_waits_again(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.store().record_progress(post.into(), progress(7)).await.unwrap();
    fail(t, post.into(), limits::EVENT_ATTEMPTS).await;
    assert_eq!((counts(t).await.pending, counts(t).await.dead), (0, 1));
    let replayed = t.store().replay_dead_letter(post.into()).await.unwrap();
    assert_eq!((counts(t).await.pending, counts(t).await.dead), (1, 0));
    let [pending] = waiting(t, None, 9).await.try_into().unwrap();
    assert_eq!(pending.event, replayed);
}

async fn what_waits_is_the_same_after_reopening(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    t.posts(ann, 2).await;
    t.follow(ann, bob).await;
    let events = async || -> Vec<_> {
        let waiting = waiting(t, None, 99).await;
        waiting.into_iter().map(|pending| pending.event).collect()
    };
    let before = events().await;
    assert_eq!(before.len(), 3);
    t.reopen().await;
    assert_eq!(events().await, before);
}

async fn only_a_data_folder_is_backed_up(t: &Subject) {
    let begun = t.store().back_up().await;
    if t.kind() != Kind::Embedded {
        return refused(begun.map(drop), Reason::BackupUnsupported);
    }
    let mut backup = begun.unwrap();
    assert_eq!(backup.taken_at(), t.now());
    refused(t.store().back_up().await.map(drop), Reason::Overloaded);
    let (mut rows, mut last) = (0, false);
    while let Some(piece) = backup.next().await.unwrap() {
        assert!(!piece.data.is_empty() && !last);
        rows += piece.rows;
        last = piece.last;
    }
    assert!(last, "the end is said");
    assert!(backup.next().await.unwrap().is_none());
    drop(backup);
    let again = t.store().back_up().await;
    assert!(again.is_ok(), "one after the other");
    assert_eq!(rows, 0, "nothing was written yet");
}
