//! Processes that come and go beside each other.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use social_core::backend::Filled;
use social_core::fanout::Event;
use social_core::{Backend, EventId, PostId, UserId, limits};
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

/// Broken where a fan-out goes by what it remembers of timelines though one has begun elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_begun_by_one_process_misses_no_post_that_another_fans_out() {
    const ROUNDS: u64 = 20;
    let site = Site::new().await;
    let (reader, worker) = (site.open("reader").await, site.open("worker").await);
    let (timelines, fanout) = (&reader.backend.timelines, &worker.backend.timelines);
    let viewers: Vec<UserId> = (1_000..1_250).map(UserId).collect();
    let viewer = viewers[77];
    let truth = Mutex::new(Vec::new());
    let (mut met, mut brought) = (0, 0);
    for round in 1..=ROUNDS {
        timelines.forget(viewer).await.unwrap();
        // Remembers that the viewer has none.
        fanout.append(&viewers, PostId(2 * round)).await.unwrap();
        let post = PostId(2 * round + 1);
        let fill = async {
            let Filled::Begun(generation) = timelines.begin(viewer).await.unwrap() else {
                panic!("nobody else begins");
            };
            let posts = truth.lock().clone();
            timelines.fill(viewer, generation, &posts, PostId(0)).await.unwrap();
            posts.first() == Some(&post)
        };
        let fan_out = async {
            tokio::time::sleep(Duration::from_millis(round % 10 * 3)).await;
            truth.lock().insert(0, post);
            fanout.append(&viewers, post).await.unwrap().delivered > 0
        };
        let (was_met, was_brought) = tokio::join!(fill, fan_out);
        met += u64::from(was_met);
        brought += u64::from(was_brought);
        let slice = timelines.read(viewer, None, 10).await.unwrap().unwrap();
        assert_eq!(
            slice.posts.first(),
            Some(&post),
            "round {round}: {was_met} {was_brought}"
        );
    }
    println!("of {ROUNDS} posts a fill met {met}, and a fan-out brought {brought}");
    assert!(met > 0 && brought > 0, "both ways are there");
    reader.close().await;
    worker.close().await;
    site.end().await;
}
