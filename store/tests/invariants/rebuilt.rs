//! I3: every projection can be rebuilt.

use xtask::services::Redis;
use xtask::services::redis::Options;

use crate::cql::Logged;
use crate::site::Site;
use crate::work::finish_all;
use crate::world::{World, differences};

/// Home timelines, which are made of truth.
const TIMELINES: [&str; 2] = ["home_timeline", "timeline_states"];
/// Rows that follow from the log: all but what is set by comparison alone, as sessions, markers, settings and claims.
const ROWS: [&str; 16] = [
    "users",
    "handles",
    "accounts",
    "posts",
    "post_heads",
    "post_revisions",
    "comments",
    "comment_heads",
    "likes",
    "edges",
    "versions",
    "lists",
    "list_buckets",
    "stretches",
    "pulled_authors",
    "outbox_watermarks",
];

/// Broken where a timeline, a count or a row is made of anything that is lost here, or is not made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_every_projection_is_rebuilt_as_it_was() {
    let mut redis = Redis::start(&Options::default()).unwrap();
    let site = Site::on(redis.url()).await;
    let process = site.open("before").await;
    let world = World::rich(&process.backend).await;
    finish_all(&process.backend).await;
    let before = world.answers(&process.backend).await;

    // What is derived: timelines, counts, streams.
    site.cql.truncate(&TIMELINES).await;
    redis.nodes_mut()[0].ask(&["FLUSHALL"]).unwrap();
    let after = world.answers(&process.backend).await;
    assert_eq!(differences(&before, &after), [""; 0], "without Redis and timelines");
    process.close().await;

    // And every row of truth: the log is written first, all else follows from it.
    let log = site.cql.log().await;
    site.cql.truncate(&ROWS).await;
    site.cql.truncate(&TIMELINES).await;
    site.cql.truncate(&["outbox"]).await;
    redis.nodes_mut()[0].ask(&["FLUSHALL"]).unwrap();
    let process = site.open("after").await;
    for logged in &log {
        write_again(&site, &process.backend, logged).await;
    }
    finish_all(&process.backend).await;
    let after = world.answers(&process.backend).await;
    assert_eq!(differences(&before, &after), [""; 0], "from the log");
    println!("{} answers from {} events", after.len(), log.len());
    process.close().await;
    site.end().await;
}

/// Files an event, as its writer did, and has its rows written by somebody else.
async fn write_again(site: &Site, backend: &social_core::Backend, logged: &Logged) {
    site.cql.file(logged).await;
    backend.store.pending_events(None, usize::MAX).await.unwrap();
}
