//! The reference of fan-out on a cluster: the driver by itself, which inserts the rows of home timelines as fast as the store takes them.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Instant, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use tokio::task::JoinSet;

use crate::failure::{During as _, Result};

/// The table that fan-out writes to, as the platform's schema makes it.
const TABLE: &str = "home_timeline (viewer bigint, generation bigint, post bigint, arrived bigint, PRIMARY KEY ((viewer, generation), post)) \
                     WITH CLUSTERING ORDER BY (post DESC) AND default_time_to_live = 2592000";
const INSERT: &str = "home_timeline (viewer, generation, post, arrived) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";

/// A table of the shape that the platform writes to, in a keyspace of its own.
pub(crate) struct Bare {
    session: Arc<Session>,
    insert: PreparedStatement,
    keyspace: String,
    /// The post of the next turn.
    post: i64,
}

impl Bare {
    pub(crate) async fn open(addresses: &str, keyspace: String) -> Result<Self> {
        let session = connect(addresses).await?;
        let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
        for statement in [
            format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}"),
            format!("CREATE TABLE {keyspace}.{TABLE}"),
        ] {
            session
                .query_unpaged(statement, ())
                .await
                .during("the reference's table")?;
        }
        let insert = format!("INSERT INTO {keyspace}.{INSERT}");
        let mut insert = session.prepare(insert).await.during("the reference's statement")?;
        // As the platform writes.
        insert.set_consistency(Consistency::Quorum);
        insert.set_is_idempotent(true);
        Ok(Self {
            session: Arc::new(session),
            insert,
            keyspace,
            post: 1,
        })
    }

    /// Inserts a row for each post and viewer, with so many on the way at once; rows a second.
    pub(crate) async fn turn(&mut self, viewers: usize, posts: usize, at_once: usize) -> Result<f64> {
        let began = Instant::now();
        // Requests are made on every core, as the platform's are.
        let tasks = available_parallelism().map_or(1, usize::from);
        let mut inserting = JoinSet::new();
        for task in 0..tasks {
            let first = self.post;
            let rows = (task..posts * viewers)
                .step_by(tasks)
                .map(move |row| (first + (row / viewers) as i64, row % viewers));
            let (session, insert) = (Arc::clone(&self.session), self.insert.clone());
            inserting.spawn(insert_all(session, insert, rows, at_once.div_ceil(tasks)));
        }
        while let Some(inserted) = inserting.join_next().await {
            inserted.during("the reference")??;
        }
        self.post += posts as i64;
        Ok((viewers * posts) as f64 / began.elapsed().as_secs_f64())
    }

    pub(crate) async fn close(self) -> Result<()> {
        drop_keyspace(&self.session, &self.keyspace).await
    }
}

async fn insert_all(
    session: Arc<Session>,
    insert: PreparedStatement,
    rows: impl Iterator<Item = (i64, usize)>,
    at_once: usize,
) -> Result<()> {
    stream::iter(rows)
        .map(|(post, viewer)| {
            let (viewer, generation) = partition(viewer);
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as i64;
            session.execute_unpaged(&insert, (viewer, generation, post, now, now))
        })
        .buffer_unordered(at_once)
        .try_for_each(async |_| Ok(()))
        .await
        .during("an insert of the reference")
}

/// Ids spread as the platform's are.
fn partition(viewer: usize) -> (i64, i64) {
    let number = (viewer as i64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
    (number >> 1 & i64::MAX, number.rotate_left(17))
}

pub(crate) async fn connect(addresses: &str) -> Result<Session> {
    let nodes: Vec<&str> = addresses.split(',').map(str::trim).collect();
    let session = SessionBuilder::new().known_nodes(nodes).build().await;
    session.during("the driver cannot connect to the CQL store")
}

pub(crate) async fn drop_keyspace(session: &Session, keyspace: &str) -> Result<()> {
    let dropped = session
        .query_unpaged(format!("DROP KEYSPACE IF EXISTS {keyspace}"), ())
        .await;
    dropped.during("a keyspace of the run cannot be dropped").map(drop)
}
