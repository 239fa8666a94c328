//! Keyspaces of a real CQL store for the cases that run on the cluster: each case has one for itself, emptied before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::Mutex;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::Row;
use social_core::Clock;
use social_store::cluster::{self, Cluster, CqlConfig, Identity, Timing};
use tokio::sync::{Notify, OnceCell};

/// Where the real services are, where they are.
pub(crate) const CQL: &str = "SOCIAL_TEST_CQL";
const REDIS: &str = "SOCIAL_TEST_REDIS";

/// Keyspaces of a run. Making one takes seconds, so cases wait for one that is free.
const KEYSPACES: u64 = 10;
/// Tables emptied at once.
const TABLES_AT_ONCE: usize = 4;

static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());
static GIVEN_BACK: Notify = Notify::const_new();
/// Keyspaces made so far. Held while one is made: the store changes its schema one step at a time.
static MADE: tokio::sync::Mutex<u64> = tokio::sync::Mutex::const_new(0);
static SERIAL: AtomicU64 = AtomicU64::new(0);
static SESSION: OnceCell<Session> = OnceCell::const_new();

/// Whether there are real services to run on.
pub(crate) fn are_there() -> bool {
    std::env::var_os(CQL).is_some()
}

fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} says where the real service is"))
}

/// A keyspace of one case, and who holds it.
pub(crate) struct Keyspace {
    name: String,
    /// New for each case, so that what an earlier one left in Redis is not met.
    prefix: String,
    holder: Mutex<Option<Cluster>>,
}

impl Keyspace {
    /// An empty keyspace.
    pub(crate) async fn take() -> Self {
        let name = free_one().await;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self {
            prefix: format!("{name}:{}:{serial}", std::process::id()),
            name,
            holder: Mutex::new(None),
        }
    }

    /// Opens the cluster on it, as its only process.
    pub(crate) async fn open(&self, clock: Clock) -> social_core::Backend {
        let mut redis = cluster::redis::Config::new(address(REDIS));
        redis.prefix.clone_from(&self.prefix);
        let config = cluster::Config {
            cql: CqlConfig::new(address(CQL), &self.name),
            redis,
            clock,
            identity: Identity {
                name: "conformance".into(),
                roles: "api,worker".into(),
            },
            node: None,
            timing: Timing {
                // A machine that builds beside the tests is slow at times.
                filing: Duration::from_secs(30),
                slack: Duration::ZERO,
                horizon_every: Duration::ZERO,
            },
        };
        let cluster = Box::pin(cluster::open(config)).await.expect("the cluster opens");
        let backend = cluster.backend();
        *self.holder.lock() = Some(cluster);
        backend
    }

    /// Closes the cluster.
    pub(crate) async fn close(&self) {
        let holder = self.holder.lock().take();
        if let Some(cluster) = holder {
            cluster.close().await;
        }
    }
}

impl Drop for Keyspace {
    /// Gives the keyspace to the next case, once nothing writes to it any more.
    fn drop(&mut self) {
        let (name, holder) = (std::mem::take(&mut self.name), self.holder.lock().take());
        tokio::spawn(async move {
            if let Some(cluster) = holder {
                cluster.close().await;
            }
            FREE.lock().push(name);
            GIVEN_BACK.notify_one();
        });
    }
}

/// A keyspace that nobody uses, emptied or new.
async fn free_one() -> String {
    loop {
        let free = FREE.lock().pop();
        if let Some(name) = free {
            empty(&name).await;
            return name;
        }
        let mut made = MADE.lock().await;
        if *made < KEYSPACES {
            let name = make(*made).await;
            *made += 1;
            return name;
        }
        drop(made);
        GIVEN_BACK.notified().await;
    }
}

async fn make(number: u64) -> String {
    let name = format!("conformance_{}_{number}", std::process::id());
    let config = CqlConfig::new(address(CQL), &name);
    cluster::migrate(&config).await.expect("the keyspace is migrated");
    name
}

async fn session() -> &'static Session {
    SESSION
        .get_or_init(|| async {
            let builder = SessionBuilder::new().known_node(address(CQL));
            builder.build().await.expect("the CQL store answers")
        })
        .await
}

/// Empties the tables that hold something.
async fn empty(keyspace: &str) {
    let find = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables = rows::<(String,)>(find, (keyspace,)).await.into_iter();
    let emptied = tables
        .filter(|(table,)| table != "migrations")
        .map(|(table,)| empty_table(format!("{keyspace}.{table}")));
    let emptied = futures::stream::iter(emptied).buffer_unordered(TABLES_AT_ONCE);
    emptied.collect::<()>().await;
}

async fn empty_table(table: String) {
    let look = format!("SELECT * FROM {table} LIMIT 1");
    if !rows::<Row>(&look, ()).await.is_empty() {
        let empty = session().await.query_unpaged(format!("TRUNCATE {table}"), ()).await;
        empty.expect("a table is emptied");
    }
}

async fn rows<R>(cql: &str, values: impl scylla::serialize::row::SerializeRow) -> Vec<R>
where
    R: for<'a> scylla::deserialize::row::DeserializeRow<'a, 'a>,
{
    let answer = session().await.query_unpaged(cql, values).await.expect("an answer");
    let rows = answer.into_rows_result().expect("rows");
    rows.rows()
        .expect("of this type")
        .map(|row| row.expect("a row"))
        .collect()
}
