//! Hand-out of work, and wake-ups.

use std::collections::HashSet;
use std::time::Duration;

use social_core::backend::{Channel, Listener, Wake, WakeKind};
use social_core::{CommentId, EventId, PostId, UserId, limits};
use tokio::time::timeout;

use super::subject::at_once;
use super::{Subject, cases};

cases!["signals":
    an_offered_event_reaches_a_worker,
    a_worker_waits_for_an_offer,
    each_offer_reaches_one_worker,
    waiting_for_work_can_be_given_up,
    a_wake_reaches_those_who_watch,
    a_wake_nobody_waits_for_is_nothing,
    one_listener_watches_many_channels,
    homes_are_woken_one_by_one,
    what_is_not_watched_any_more_wakes_nobody,
    waiting_for_a_wake_can_be_given_up,
    wakes_come_in_order,
    what_waits_already_is_not_held_twice,
    a_slow_listener_learns_once_that_it_missed_some,
    a_dropped_listener_harms_nobody,
    wakes_from_many_tasks_all_arrive,
];

/// Long enough for what is to come, short enough for what is not.
const SOON: Duration = Duration::from_secs(5);
const A_MOMENT: Duration = Duration::from_millis(30);

const ANN: UserId = UserId(101);
const BOB: UserId = UserId(102);

fn listener(t: &Subject, channels: &[Channel]) -> Box<dyn Listener> {
    let mut listener = t.signals().listen();
    for channel in channels {
        listener.watch(*channel);
    }
    listener
}

async fn next(listener: &mut Box<dyn Listener>) -> Wake {
    timeout(SOON, listener.next()).await.expect("a wake comes soon")
}

async fn is_quiet(listener: &mut Box<dyn Listener>) -> bool {
    timeout(A_MOMENT, listener.next()).await.is_err()
}

async fn an_offered_event_reaches_a_worker(t: &Subject) {
    for event in 1..=3 {
        t.signals().offer(EventId(event));
    }
    for event in 1..=3 {
        assert_eq!(timeout(SOON, t.signals().next_work()).await.unwrap(), EventId(event));
    }
}

async fn a_worker_waits_for_an_offer(t: &Subject) {
    let signals = t.signals();
    let worker = tokio::spawn(async move { signals.next_work().await });
    tokio::time::sleep(A_MOMENT).await;
    assert!(!worker.is_finished());
    t.signals().offer(EventId(9));
    assert_eq!(timeout(SOON, worker).await.unwrap().unwrap(), EventId(9));
}

async fn each_offer_reaches_one_worker(t: &Subject) {
    let (sent, mut handed) = tokio::sync::mpsc::unbounded_channel();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (signals, sent) = (t.signals(), sent.clone());
            tokio::spawn(async move {
                loop {
                    let event = signals.next_work().await;
                    sent.send(event).unwrap();
                }
            })
        })
        .collect();
    for event in 0..200 {
        t.signals().offer(EventId(event));
    }
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let event = timeout(SOON, handed.recv()).await.unwrap().unwrap();
        assert!(seen.insert(event), "each once");
    }
    for worker in workers {
        worker.abort();
    }
}

async fn waiting_for_work_can_be_given_up(t: &Subject) {
    for event in 0..20 {
        let _ = timeout(Duration::from_millis(1), t.signals().next_work()).await;
        t.signals().offer(EventId(event));
        assert_eq!(timeout(SOON, t.signals().next_work()).await.unwrap(), EventId(event));
    }
}

async fn a_wake_reaches_those_who_watch(t: &Subject) {
    let post = Channel::Post(PostId(1));
    let (mut one, mut two) = (listener(t, &[post]), listener(t, &[post]));
    let mut other = listener(
        t,
        &[
            Channel::Post(PostId(2)),
            Channel::Home(UserId(1)),
            Channel::Author(UserId(1)),
        ],
    );
    t.signals().wake(post, WakeKind::Counts(PostId(1)));
    let wake = Wake {
        channel: post,
        kind: WakeKind::Counts(PostId(1)),
    };
    assert_eq!((next(&mut one).await, next(&mut two).await), (wake.clone(), wake));
    assert!(is_quiet(&mut one).await && is_quiet(&mut other).await);
}

async fn a_wake_nobody_waits_for_is_nothing(t: &Subject) {
    t.signals().wake(Channel::Home(ANN), WakeKind::GraphChanged);
    t.signals().wake_homes(&[ANN, BOB], PostId(1));
    t.signals().wake_homes(&[], PostId(1));
    let mut late = listener(t, &[Channel::Home(ANN)]);
    assert!(is_quiet(&mut late).await, "wakes are not kept for later");
}

async fn one_listener_watches_many_channels(t: &Subject) {
    let channels = [
        Channel::Home(ANN),
        Channel::Author(ANN),
        Channel::Post(PostId(ANN.0)),
        Channel::Sessions(ANN),
        Channel::Home(BOB),
    ];
    let mut listener = listener(t, &channels);
    for channel in channels {
        t.signals().wake(channel, WakeKind::GraphChanged);
        assert_eq!(
            next(&mut listener).await,
            Wake {
                channel,
                kind: WakeKind::GraphChanged
            }
        );
    }
}

async fn homes_are_woken_one_by_one(t: &Subject) {
    let mut ann = listener(t, &[Channel::Home(ANN)]);
    let mut bob = listener(t, &[Channel::Home(BOB)]);
    let crowd: Vec<_> = (1..1_000).map(UserId).filter(|user| *user != BOB).collect();
    t.signals().wake_homes(&crowd, PostId(5));
    let wake = Wake {
        channel: Channel::Home(ANN),
        kind: WakeKind::Arrived(PostId(5)),
    };
    assert_eq!(next(&mut ann).await, wake);
    assert!(is_quiet(&mut ann).await && is_quiet(&mut bob).await);
}

async fn what_is_not_watched_any_more_wakes_nobody(t: &Subject) {
    let (home, post) = (Channel::Home(ANN), Channel::Post(PostId(1)));
    let mut leaving = listener(t, &[home, home, post]);
    let mut staying = listener(t, &[home]);
    leaving.unwatch(home);
    leaving.unwatch(Channel::Home(BOB));
    t.signals().wake(home, WakeKind::GraphChanged);
    assert_eq!(next(&mut staying).await.channel, home);
    t.signals().wake(post, WakeKind::PostChanged(PostId(1)));
    assert_eq!(next(&mut leaving).await.channel, post);
    leaving.watch(home);
    t.signals().wake(home, WakeKind::GraphChanged);
    assert_eq!(next(&mut leaving).await.channel, home);
}

async fn waiting_for_a_wake_can_be_given_up(t: &Subject) {
    let mut listener = listener(t, &[Channel::Home(ANN)]);
    for number in 0..20 {
        let _ = timeout(Duration::from_millis(1), listener.next()).await;
        t.signals().wake_homes(&[ANN], PostId(number));
        assert_eq!(next(&mut listener).await.kind, WakeKind::Arrived(PostId(number)));
    }
}

async fn wakes_come_in_order(t: &Subject) {
    let mut listener = listener(t, &[Channel::Home(ANN)]);
    for number in 0..50 {
        t.signals().wake_homes(&[ANN], PostId(number));
    }
    for number in 0..50 {
        assert_eq!(next(&mut listener).await.kind, WakeKind::Arrived(PostId(number)));
    }
}

async fn what_waits_already_is_not_held_twice(t: &Subject) {
    let post = Channel::Post(PostId(1));
    let mut slow = listener(t, &[Channel::Home(ANN), post]);
    let hints = [
        WakeKind::Arrived(PostId(1)),
        WakeKind::GraphChanged,
        WakeKind::Counts(PostId(1)),
        WakeKind::PostChanged(PostId(1)),
    ];
    for _ in 0..limits::STREAM_BUFFER {
        for kind in &hints {
            t.signals().wake(Channel::Home(ANN), kind.clone());
            t.signals().wake(post, kind.clone());
        }
    }
    for kind in &hints {
        for channel in [Channel::Home(ANN), post] {
            let kind = kind.clone();
            assert_eq!(next(&mut slow).await, Wake { channel, kind });
        }
    }
    assert!(is_quiet(&mut slow).await, "and nothing was missed");

    // Once taken, the same is news again; and comments come as they were written.
    let (one, two) = (
        WakeKind::CommentCreated(CommentId(1)),
        WakeKind::CommentEdited(CommentId(1)),
    );
    for kind in [&hints[2], &one, &two, &one] {
        t.signals().wake(post, kind.clone());
        assert_eq!(next(&mut slow).await.kind, *kind);
    }
    for kind in [&one, &two, &one] {
        t.signals().wake(post, kind.clone());
    }
    for kind in [&one, &two, &one] {
        assert_eq!(next(&mut slow).await.kind, *kind);
    }
}

async fn a_slow_listener_learns_once_that_it_missed_some(t: &Subject) {
    let mut slow = listener(t, &[Channel::Home(ANN)]);
    let mut quick = listener(t, &[Channel::Home(BOB)]);
    for number in 0..limits::STREAM_BUFFER as u64 * 3 {
        t.signals().wake_homes(&[ANN, BOB], PostId(number));
        assert_eq!(
            next(&mut quick).await.kind,
            WakeKind::Arrived(PostId(number)),
            "others are not held up"
        );
    }
    let mut taken = 0;
    while next(&mut slow).await.kind != WakeKind::Missed {
        taken += 1;
    }
    assert!(taken < limits::STREAM_BUFFER * 3);
    assert!(is_quiet(&mut slow).await, "it is told once");
    t.signals().wake_homes(&[ANN], PostId(7_000));
    assert_eq!(
        next(&mut slow).await.kind,
        WakeKind::Arrived(PostId(7_000)),
        "and goes on"
    );
}

async fn a_dropped_listener_harms_nobody(t: &Subject) {
    let home = Channel::Home(ANN);
    let mut staying = listener(t, &[home]);
    drop(listener(t, &[home, Channel::Post(PostId(1))]));
    t.signals().wake(Channel::Post(PostId(1)), WakeKind::Counts(PostId(1)));
    t.signals().wake(home, WakeKind::GraphChanged);
    assert_eq!(next(&mut staying).await.channel, home);
}

async fn wakes_from_many_tasks_all_arrive(t: &Subject) {
    let mut listener = listener(t, &[Channel::Home(ANN)]);
    at_once(20, |number| {
        let signals = t.signals();
        async move { signals.wake_homes(&[BOB, ANN], PostId(number as u64)) }
    })
    .await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        match next(&mut listener).await.kind {
            WakeKind::Arrived(post) => assert!(seen.insert(post), "each once"),
            other => panic!("{other:?}"),
        }
    }
}
