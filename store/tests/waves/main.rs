//! How often a warm home page waits for the stores: counted by holding all answers back for a while, so that a page takes as many of those
//! whiles as it waits one after another.
//!
//! Needs both services: `cargo xtask test cluster` starts them, tells where they are, and runs this.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod delay;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use social_core::fanout::{Policy, Strategy};
use social_core::graph::EdgeKind;
use social_core::request::{Caller, Viewer};
use social_core::timeline::{HomeRequest, home};
use social_core::{Backend, Clock, PostId, SessionId, UserId};
use social_store::cluster::{self, Cluster, CqlConfig, Identity, Timing, redis};

use delay::Delay;
use support::{post, user};

/// How long answers are held back: long against everything else that a page takes.
const WHILE: Duration = Duration::from_millis(100);
/// Pages read for a figure, which is the median.
const PAGES: usize = 9;
const AUTHORS: u64 = 12;
const POSTS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_home_page_waits_once_for_each_store() {
    let platform = Platform::open().await;
    let reader = platform.populated().await;
    let page = platform.page(reader).await;
    assert_eq!(page.len(), 20);
    for _ in 0..3 {
        assert_eq!(platform.page(reader).await, page);
    }
    platform.cql.set(WHILE);
    let cql = platform.waits(reader, &page).await;
    platform.cql.set(Duration::ZERO);
    platform.redis.set(WHILE);
    let redis = platform.waits(reader, &page).await;
    platform.redis.set(Duration::ZERO);
    println!(
        "a warm home page of {} posts: waits of the CQL store {cql}, of Redis {redis}",
        page.len()
    );
    assert_eq!((cql, redis), (1, 1));
    platform.cluster.close().await;
}

/// A cluster of one process, whose ways to both stores can be made long.
struct Platform {
    cluster: Cluster,
    backend: Backend,
    cql: Delay,
    redis: Delay,
}

impl Platform {
    async fn open() -> Self {
        let (cql, redis) = (address("SOCIAL_TEST_CQL"), address("SOCIAL_TEST_REDIS"));
        let keyspace = format!("waves_{}", std::process::id());
        cluster::migrate(&CqlConfig::new(&cql, &keyspace)).await.unwrap();
        let cql = Delay::before(&cql).await;
        let redis = Delay::before(redis.trim_start_matches("redis://")).await;
        let config = cluster::Config {
            cql: CqlConfig::new(cql.address(), &keyspace),
            redis: redis::Config {
                prefix: keyspace,
                // A machine that builds beside this is no reason to do without Redis.
                patience: Duration::from_secs(5),
                ..redis::Config::new(format!("redis://{}", redis.address()))
            },
            clock: Clock::system(),
            identity: Identity {
                name: "waves".into(),
                roles: "api".into(),
            },
            node: None,
            timing: Timing::default(),
        };
        let cluster = cluster::open(config).await.unwrap();
        let backend = cluster.backend();
        Self {
            cluster,
            backend,
            cql,
            redis,
        }
    }

    /// Somebody who follows authors of pushed and of pulled posts, and likes some of them.
    async fn populated(&self) -> UserId {
        let store = &self.backend.store;
        let reader = user(&self.backend, "reader").await;
        for number in 0..AUTHORS {
            let author = user(&self.backend, &format!("author_{number}")).await;
            store
                .set_edge(EdgeKind::Follow, reader, author, true, None)
                .await
                .unwrap();
            if number == AUTHORS / 2 {
                let strategy = Strategy::Pull;
                let policy = Policy {
                    strategy,
                    ..Policy::default()
                };
                store.set_policy(policy, None).await.unwrap();
            }
            for nth in 0..POSTS {
                let id = post(&self.backend, author, &format!("post {nth}")).await;
                store.set_like(reader, id, nth == 1).await.unwrap();
            }
        }
        reader
    }

    async fn page(&self, reader: UserId) -> Vec<PostId> {
        let caller = Caller {
            viewer: Viewer::User {
                id: reader,
                session: SessionId(1),
            },
            address: None,
            trace: None,
        };
        let page = home(&self.backend, &caller, HomeRequest::default()).await.unwrap();
        page.items.iter().map(|view| view.post.id).collect()
    }

    /// How many whiles a page takes.
    async fn waits(&self, reader: UserId, expected: &[PostId]) -> u128 {
        let mut times = Vec::new();
        for _ in 0..PAGES {
            let began = Instant::now();
            assert_eq!(self.page(reader).await, expected);
            times.push(began.elapsed());
        }
        times.sort_unstable();
        println!("{times:.0?}");
        times[PAGES / 2].as_nanos() / WHILE.as_nanos()
    }
}

fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} says where the real service is: `cargo xtask test cluster` starts both and runs this")
    })
}
