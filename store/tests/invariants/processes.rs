//! Processes that come and go beside each other.

use std::time::{Duration, Instant};

use social_core::fanout::Event;
use social_core::{Backend, EventId, limits};
use social_store::cluster::Error;
use tokio::time::timeout;
use xtask::services::Redis;
use xtask::services::redis::Options;

use crate::site::{Site, TIMING};
use crate::support::{draft, user};
use crate::world::post;

/// How long what is to happen at once may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_other_times_is_refused_while_others_run() {
    let site = Site::new().await;
    let first = site.open("first").await;
    let same = site.open("same").await;
    let mut other = site.config("other");
    other.timing.slack = TIMING.slack * 2;
    let refused = site.open_with(other.clone()).await.err().unwrap();
    let told = refused.to_string();
    assert!(matches!(refused, Error::Disagree { .. }), "{told}");
    assert!(
        told.contains("slack 11000 ms") && told.contains("slack 22000 ms"),
        "{told}"
    );
    first.close().await;
    assert!(site.open_with(other.clone()).await.is_err(), "one runs still");
    same.close().await;
    let other = site.open_with(other).await.unwrap();
    assert!(matches!(
        site.open_with(site.config("first")).await.err(),
        Some(Error::Disagree { .. })
    ));
    other.close().await;
    site.end().await;
}

async fn stalled(backend: &Backend, idle: Duration) -> Vec<EventId> {
    let events: Vec<Event> = backend.store.stalled_events(None, 10, idle).await.unwrap();
    events.into_iter().map(|event| event.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_flushed_redis_lost_is_found_at_once() {
    let mut redis = Redis::start(&Options::default()).unwrap();
    let site = Site::on(redis.url()).await;
    let process = site.open("worker").await;
    let backend = &process.backend;
    let ann = user(backend, "ann").await;
    // It begins to take work, and makes the groups.
    let early = post(backend, draft(ann, "early")).await;
    let taken = timeout(SOON, backend.signals.next_work()).await.unwrap();
    assert_eq!(taken, early.into());
    timeout(SOON, backend.signals.lost()).await.unwrap();

    let began = Instant::now();
    redis.nodes_mut()[0].ask(&["FLUSHALL"]).unwrap();
    timeout(SOON, backend.signals.lost())
        .await
        .expect("the loss is noticed");
    let lost = backend
        .store
        .create_post(draft(ann, "x"), crate::support::key(), None)
        .await;
    let lost = lost.unwrap().value.post.id;
    assert!(
        stalled(backend, limits::EVENT_STALE).await.is_empty(),
        "too young for a sweep"
    );
    assert_eq!(stalled(backend, Duration::ZERO).await, [early.into(), lost.into()]);
    println!("found {:?} after the flush", began.elapsed());
    process.close().await;
    site.end().await;
}
