//! How fast a fan-out writes its rows, against the bare driver writing the same rows to the same table. Needs real services and says so where there
//! are none: `cargo test --release -p social-store --test timelines_rate -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails loudly"
)]

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use social_core::backend::{Filled, Timelines};
use social_core::{Clock, PostId, UserId};
use social_store::cluster::{self, CqlConfig, Identity, Timing};

const VIEWERS: u64 = 1_000;
/// Posts brought to all viewers in a turn.
const POSTS: u64 = 10;
const ROUNDS: u64 = 5;
const AT_ONCE: usize = 256;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for minutes, and needs real services"]
async fn a_fan_out_keeps_up_with_the_bare_driver() {
    let (Ok(cql), Ok(redis)) = (std::env::var("SOCIAL_TEST_CQL"), std::env::var("SOCIAL_TEST_REDIS")) else {
        eprintln!("skipped: SOCIAL_TEST_CQL and SOCIAL_TEST_REDIS say where the services are");
        return;
    };
    let keyspace = format!("timelines_rate_{}", std::process::id());
    let config = cluster::Config {
        cql: CqlConfig::new(&cql, &keyspace),
        redis: cluster::redis::Config::new(redis),
        clock: Clock::system(),
        identity: Identity {
            name: "rate".into(),
            roles: "api".into(),
        },
        node: None,
        timing: Timing::default(),
    };
    cluster::migrate(&config.cql).await.unwrap();
    let opened = cluster::open(config).await.unwrap();
    let timelines = opened.backend().timelines;
    let viewers: Vec<UserId> = (1..=VIEWERS).map(UserId).collect();
    stream::iter(&viewers)
        .map(|viewer| make_ready(timelines.as_ref(), *viewer))
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    let session = SessionBuilder::new().known_node(&cql).build().await.unwrap();
    let put = format!(
        "INSERT INTO {keyspace}.home_timeline (viewer, generation, post, arrived) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
    );
    let mut put = session.prepare(put).await.unwrap();
    put.set_consistency(Consistency::Quorum);
    put.set_is_idempotent(true);
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let fan_out = fan_out(timelines.as_ref(), &viewers, round * POSTS).await;
        let bare = bare(&session, &put, round * POSTS).await;
        let [ours, theirs] = [fan_out, bare].map(|took| (VIEWERS * POSTS) as f64 / took.as_secs_f64());
        println!(
            "fan-out {ours:.0} rows/s, bare driver {theirs:.0} rows/s, ratio {:.2}",
            ours / theirs
        );
        // The first round warms up.
        if round > 0 {
            ratios.push(ours / theirs);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ratios.len() / 2]);
    opened.close().await;
    session
        .query_unpaged(format!("DROP KEYSPACE {keyspace}"), ())
        .await
        .unwrap();
}

async fn make_ready(timelines: &dyn Timelines, viewer: UserId) {
    let Filled::Begun(generation) = timelines.begin(viewer).await.unwrap() else {
        panic!("nobody else begins it");
    };
    timelines.fill(viewer, generation, &[], PostId(0)).await.unwrap();
}

async fn fan_out(timelines: &dyn Timelines, viewers: &[UserId], first: u64) -> Duration {
    let began = Instant::now();
    for post in first..first + POSTS {
        let appended = timelines.append(viewers, PostId(post)).await.unwrap();
        assert_eq!(appended.delivered, VIEWERS);
    }
    began.elapsed()
}

/// The same rows, in partitions of their own.
async fn bare(session: &Session, put: &PreparedStatement, first: u64) -> Duration {
    let began = Instant::now();
    for post in first..first + POSTS {
        let at = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64;
        stream::iter(1..=VIEWERS as i64)
            .map(|viewer| session.execute_unpaged(put, (viewer, i64::MAX - viewer, post as i64, at, at)))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .unwrap();
    }
    began.elapsed()
}
