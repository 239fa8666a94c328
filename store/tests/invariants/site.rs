//! A keyspace of one test on the real store, and processes on it that can die.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use social_core::{Backend, Clock};
use social_store::cluster::{self, Cluster, CqlConfig, Error, Identity, Timing};
use tokio::sync::{Mutex, MutexGuard};

use crate::cql::Cql;

/// How far apart processes may be. More than usual: a machine that builds beside the tests is slow at times.
pub(crate) const TIMING: Timing = Timing {
    filing: Duration::from_secs(10),
    slack: Duration::from_secs(11),
    horizon_every: Duration::ZERO,
};

static TURN: Mutex<()> = Mutex::const_new(());

fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} says where the real service is: `cargo xtask test cluster` starts both and runs this")
    })
}

/// A platform without processes.
pub(crate) struct Site {
    pub(crate) cql: Cql,
    keyspace: String,
    store: String,
    redis: String,
    /// Tests measure times, so each has the machine for itself.
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    /// One with an empty keyspace, on the Redis of all tests.
    pub(crate) async fn new() -> Self {
        Self::on(&address("SOCIAL_TEST_REDIS")).await
    }

    /// One on a Redis of its own.
    pub(crate) async fn on(redis: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.lock().await;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let keyspace = format!("invariants_{}_{number}", std::process::id());
        let store = address("SOCIAL_TEST_CQL");
        let nodes: Vec<&str> = store.split(',').collect();
        cluster::migrate(&CqlConfig::new(nodes[0], &keyspace)).await.unwrap();
        Self {
            cql: Cql::connect(nodes[0], &keyspace).await,
            keyspace,
            redis: redis.to_owned(),
            store,
            _turn: turn,
        }
    }

    /// What a process is opened by.
    pub(crate) fn config(&self, name: &str) -> cluster::Config {
        let mut redis = cluster::redis::Config::new(&self.redis);
        redis.prefix.clone_from(&self.keyspace);
        let mut cql = CqlConfig::new("", &self.keyspace);
        cql.contact_points = self.store.split(',').map(str::to_owned).collect();
        cluster::Config {
            cql,
            redis,
            clock: Clock::system(),
            identity: Identity {
                name: name.to_owned(),
                roles: "api,worker".to_owned(),
            },
            node: None,
            timing: TIMING,
        }
    }

    /// A process that serves and works.
    pub(crate) async fn open(&self, name: &str) -> Process {
        self.open_with(self.config(name)).await.unwrap()
    }

    pub(crate) async fn open_with(&self, config: cluster::Config) -> Result<Process, Error> {
        let cluster = Box::pin(cluster::open(config)).await?;
        Ok(Process {
            backend: cluster.backend(),
            cluster,
        })
    }

    /// Ends the platform.
    pub(crate) async fn end(self) {
        self.cql.run(&format!("DROP KEYSPACE {}", self.keyspace)).await;
    }
}

/// An open process.
pub(crate) struct Process {
    pub(crate) backend: Backend,
    cluster: Cluster,
}

impl Process {
    /// Ends it in good order.
    pub(crate) async fn close(self) {
        drop(self.backend);
        self.cluster.close().await;
    }
}
