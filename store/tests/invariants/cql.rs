//! The store as it is, without the program under test.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::value::Row;

/// A session beside the program's own.
pub(crate) struct Cql {
    session: Session,
}

/// An event of the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) event: u64,
    pub(crate) stage: i8,
    /// The write timestamp of what was filed, which is that of the rows that follow from it.
    pub(crate) stamp: i64,
    shard: i32,
    minute: i64,
    body: Vec<u8>,
}

/// Filed, and nothing more.
pub(crate) const FILED: i8 = 0;
/// Rows are written, work is left.
pub(crate) const APPLIED: i8 = 1;
pub(crate) const DONE: i8 = 2;
pub(crate) const REJECTED: i8 = 3;
pub(crate) const DEAD: i8 = 4;

impl Cql {
    pub(crate) async fn connect(node: &str, keyspace: &str) -> Self {
        let session = SessionBuilder::new().known_node(node).build().await.unwrap();
        session.use_keyspace(keyspace, false).await.unwrap();
        Self { session }
    }

    /// Runs a statement.
    pub(crate) async fn run(&self, cql: &str) {
        let ran = self.session.query_unpaged(cql, ()).await;
        ran.unwrap_or_else(|error| panic!("{cql}: {error}"));
    }

    pub(crate) async fn rows<R>(&self, cql: &str) -> Vec<R>
    where
        R: for<'a> DeserializeRow<'a, 'a>,
    {
        let answer = self.session.query_unpaged(cql, ()).await;
        let rows = answer.unwrap_or_else(|error| panic!("{cql}: {error}"));
        let rows = rows.into_rows_result().unwrap();
        rows.rows().unwrap().map(Result::unwrap).collect()
    }

    /// Rows as text, in an order of their own.
    pub(crate) async fn dump(&self, cql: &str) -> Vec<String> {
        let rows: Vec<Row> = self.rows(cql).await;
        let mut lines: Vec<String> = rows.iter().map(|row| format!("{:?}", row.columns)).collect();
        lines.sort();
        lines
    }

    pub(crate) async fn truncate(&self, tables: &[&str]) {
        for table in tables {
            self.run(&format!("TRUNCATE {table}")).await;
        }
    }

    /// The whole log, oldest first.
    pub(crate) async fn log(&self) -> Vec<Logged> {
        type Row = (i32, i64, i64, Option<Vec<u8>>, Option<i8>, Option<i64>);
        let rows: Vec<Row> = self
            .rows("SELECT shard, minute, event, body, stage, WRITETIME(body) FROM outbox")
            .await;
        // A mark of an event that was not filed is none.
        let filed = rows
            .into_iter()
            .filter_map(|(shard, minute, event, body, stage, stamp)| {
                Some(Logged {
                    event: event as u64,
                    stage: stage.unwrap_or(FILED),
                    stamp: stamp?,
                    shard,
                    minute,
                    body: body?,
                })
            });
        let mut log: Vec<Logged> = filed.collect();
        log.sort_by_key(|logged| logged.event);
        log
    }

    /// Files an event as it was filed, without a stage.
    pub(crate) async fn file(&self, logged: &Logged) {
        let file = "INSERT INTO outbox (shard, minute, event, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        let name = "INSERT INTO outbox_minutes (shard, minute) VALUES (?, ?)";
        let values = (
            logged.shard,
            logged.minute,
            logged.event as i64,
            &logged.body,
            logged.stamp,
        );
        self.session
            .query_unpaged(name, (logged.shard, logged.minute))
            .await
            .unwrap();
        self.session.query_unpaged(file, values).await.unwrap();
    }

    /// Gives an event another stage, above every mark that it has.
    pub(crate) async fn set_stage(&self, logged: &Logged, stage: i8) {
        let set = "UPDATE outbox SET stage = ? WHERE shard = ? AND minute = ? AND event = ?";
        let values = (stage, logged.shard, logged.minute, logged.event as i64);
        self.session.query_unpaged(set, values).await.unwrap();
    }
}

impl Logged {
    /// The same, as if it had been filed a minute after it was minted.
    pub(crate) fn a_minute_late(&self) -> Self {
        Self {
            minute: self.minute + 1,
            ..self.clone()
        }
    }
}
