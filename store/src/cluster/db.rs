//! The CQL session: statements by class, and errors told apart.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::cluster::ClusterState;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::response::query_result::QueryRowsResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::routing::Shard;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row};
use social_core::{Error, Result};
use uuid::Uuid;

use super::CqlConfig;

/// How long one request to the store may take. Above a node's own timeouts, so that it is the node that says what happened.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After this long a read, or a write under a timestamp of ours, is sent to another node as well.
const SPECULATE_AFTER: Duration = Duration::from_millis(100);
/// After this long a compare-and-set is: two of the same hinder each other, so that it must not happen where the store is merely busy; and a call has to
/// file its event within 2.5 s.
const SPECULATE_CONDITIONAL_AFTER: Duration = Duration::from_secs(1);
/// Rows that one page of a long answer brings.
const PAGE_ROWS: i32 = 2_000;

/// What a statement is for: its consistency, and whether it may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Reads truth.
    Read,
    /// Writes truth under a timestamp of ours, so that a repetition changes nothing.
    Write,
    /// Compares and sets. It may come to the store more than once, also late: so it must do nothing where it was done before, and a refusal
    /// is not to be believed before a look at what is stored.
    Conditional,
    /// Reads what the last conditional write decided, also where its outcome is unknown.
    Serial,
    /// Reads home timelines.
    TimelineRead,
    /// Writes home timelines.
    TimelineWrite,
}

/// The consistency of each class of statement. Truth must overlap (what is written by a quorum is read by one), so it is a setting for experiments only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consistencies {
    /// Reads of truth.
    pub truth_read: Consistency,
    /// Writes of truth.
    pub truth_write: Consistency,
    /// Reads of home timelines.
    pub timeline_read: Consistency,
    /// Writes of home timelines.
    pub timeline_write: Consistency,
}

impl Default for Consistencies {
    fn default() -> Self {
        Self {
            truth_read: Consistency::Quorum,
            truth_write: Consistency::Quorum,
            timeline_read: Consistency::Quorum,
            timeline_write: Consistency::Quorum,
        }
    }
}

/// An open session, and the settings of its statements.
pub(super) struct Db {
    session: Session,
    consistencies: Consistencies,
    /// The profile of compare-and-sets.
    conditional: ExecutionProfileHandle,
}

/// The execution profile of all statements but compare-and-sets.
pub(super) fn profile(datacenter: Option<&str>) -> ExecutionProfile {
    profile_with(datacenter, SPECULATE_AFTER)
}

/// Near replicas first, and another one when there is no answer for a while: so a node that stands still holds nobody up.
fn profile_with(datacenter: Option<&str>, speculate_after: Duration) -> ExecutionProfile {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = datacenter {
        policy = policy
            .prefer_datacenter(datacenter.to_owned())
            .permit_dc_failover(false);
    }
    ExecutionProfile::builder()
        .load_balancing_policy(policy.build())
        .request_timeout(Some(REQUEST_TIMEOUT))
        .speculative_execution_policy(Some(Arc::new(SimpleSpeculativeExecutionPolicy {
            max_retry_count: 1,
            retry_interval: speculate_after,
        })))
        .build()
}

impl Db {
    pub(super) fn new(session: Session, config: &CqlConfig) -> Self {
        let conditional = profile_with(config.datacenter.as_deref(), SPECULATE_CONDITIONAL_AFTER);
        Self {
            session,
            consistencies: config.consistencies,
            conditional: conditional.into_handle(),
        }
    }

    /// The keyspace in use.
    pub(super) fn keyspace(&self) -> String {
        self.session
            .get_keyspace()
            .map(|name| name.to_string())
            .unwrap_or_default()
    }

    /// Prepares a statement of a class.
    pub(super) async fn prepare(&self, class: Class, cql: &str) -> Result<PreparedStatement> {
        let mut statement = self.session.prepare(cql).await.map_err(|error| {
            tracing::error!(%error, cql, "a statement cannot be prepared");
            Error::unavailable()
        })?;
        let of = &self.consistencies;
        statement.set_consistency(match class {
            Class::Read => of.truth_read,
            Class::Write | Class::Conditional => of.truth_write,
            Class::Serial => Consistency::Serial,
            Class::TimelineRead => of.timeline_read,
            Class::TimelineWrite => of.timeline_write,
        });
        statement.set_serial_consistency(Some(SerialConsistency::Serial));
        statement.set_is_idempotent(true);
        if class == Class::Conditional {
            statement.set_execution_profile_handle(Some(self.conditional.clone()));
        }
        statement.set_page_size(PAGE_ROWS);
        Ok(statement)
    }

    /// Runs a write.
    pub(super) async fn run(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<()> {
        // Boxed: the driver's futures are large, and all of ours hold one.
        let done = Box::pin(self.session.execute_unpaged(statement, values)).await;
        done.map(drop).map_err(|error| failed(&error))
    }

    /// Runs a write with each of these values in one request, which goes to a replica of the first one's row. Where it fails some may have taken effect.
    pub(super) async fn run_together(&self, statement: &PreparedStatement, values: &[impl SerializeRow]) -> Result<()> {
        if let [values] = values {
            return self.run(statement, values).await;
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        for _ in values {
            batch.append_statement(statement.clone());
        }
        batch.set_is_idempotent(statement.get_is_idempotent());
        if let Some(consistency) = statement.get_consistency() {
            batch.set_consistency(consistency);
        }
        let done = Box::pin(self.session.batch(&batch, values)).await;
        done.map(drop).map_err(|error| failed(&error))
    }

    /// Tells where the rows of a statement lie at present.
    pub(super) fn replicas<'a>(&self, statement: &'a PreparedStatement) -> Replicas<'a> {
        Replicas {
            cluster: self.session.get_cluster_state(),
            statement,
        }
    }

    /// The rows of a short answer.
    async fn answer(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<QueryRowsResult> {
        let answer = Box::pin(self.session.execute_unpaged(statement, values)).await;
        let answer = answer.map_err(|error| failed(&error))?;
        answer.into_rows_result().map_err(|error| malformed(&error))
    }

    /// The first row.
    pub(super) async fn row<R>(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<Option<R>>
    where
        R: for<'a> DeserializeRow<'a, 'a>,
    {
        let rows = self.answer(statement, values).await?;
        rows.maybe_first_row().map_err(|error| malformed(&error))
    }

    /// All rows of an answer that its statement bounds.
    pub(super) async fn rows<R>(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<Vec<R>>
    where
        R: for<'a> DeserializeRow<'a, 'a>,
    {
        let answer = self.answer(statement, values).await?;
        let rows = answer.rows().map_err(|error| malformed(&error))?;
        rows.collect::<Result<_, _>>().map_err(|error| malformed(&error))
    }

    /// All rows of a long answer, page by page.
    pub(super) async fn all_rows<R>(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<Vec<R>>
    where
        R: for<'a, 'b> DeserializeRow<'a, 'b> + Send + 'static,
    {
        let pager = Box::pin(self.session.execute_iter(statement.clone(), values)).await;
        let pager = pager.map_err(|error| unavailable(&error))?;
        let rows = pager.rows_stream::<R>().map_err(|error| malformed(&error))?;
        rows.try_collect().await.map_err(|error| unavailable(&error))
    }

    /// The next rows of a whole table behind a place in it, which is the store's to make and to read; none at the end.
    pub(super) async fn page<R>(
        &self,
        statement: &PreparedStatement,
        after: Option<&[u8]>,
        rows: usize,
    ) -> Result<(Vec<R>, Option<Vec<u8>>)>
    where
        R: for<'a> DeserializeRow<'a, 'a>,
    {
        let mut statement = statement.clone();
        statement.set_page_size(rows.clamp(1, PAGE_ROWS as usize) as i32);
        let state = after.map_or_else(PagingState::start, PagingState::new_from_raw_bytes);
        let page = Box::pin(self.session.execute_single_page(&statement, (), state)).await;
        let (page, next) = page.map_err(|error| failed(&error))?;
        let page = page.into_rows_result().map_err(|error| malformed(&error))?;
        let rows = page.rows().map_err(|error| malformed(&error))?;
        let rows = rows.collect::<Result<_, _>>().map_err(|error| malformed(&error))?;
        let next = match next {
            PagingStateResponse::HasMorePages { state } => state.as_bytes_slice().map(|bytes| bytes.to_vec()),
            PagingStateResponse::NoMorePages => None,
        };
        Ok((rows, next))
    }

    /// Runs a compare-and-set; whether it was applied. Where it was not, that may be because it was applied before; an error is an unknown outcome.
    pub(super) async fn compare_and_set(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<bool> {
        let row: Option<Row> = self.row(statement, values).await?;
        let applied = row.and_then(|row| row.columns.into_iter().next().flatten());
        Ok(applied == Some(CqlValue::Boolean(true)))
    }
}

/// Where the rows of a statement lie.
pub(super) struct Replicas<'a> {
    cluster: Arc<ClusterState>,
    statement: &'a PreparedStatement,
}

impl Replicas<'_> {
    /// The first node, and its shard, of the row with these values; none where it is not known.
    pub(super) fn first(&self, values: &impl SerializeRow) -> Option<(Uuid, Shard)> {
        let table = self.statement.get_table_spec()?;
        let token = self.statement.calculate_token(values).ok()??;
        let replicas = self
            .cluster
            .get_token_endpoints(table.ks_name(), table.table_name(), token);
        replicas.first().map(|(node, shard)| (node.host_id, *shard))
    }
}

/// What a failure of the store means to the caller: it is away, or its answer came too late. Whether a write took effect is unknown.
fn failed(error: &ExecutionError) -> Error {
    match error {
        ExecutionError::BadQuery(_) => malformed(error),
        // Refused for good: a repetition is, too.
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Invalid | DbError::SyntaxError | DbError::Unauthorized | DbError::ConfigError,
            _,
        )) => malformed(error),
        _ => unavailable(error),
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> Error {
    tracing::debug!(%error, "the CQL store did not answer a request");
    Error::unavailable()
}

/// An answer, or a request, that does not fit the schema.
pub(super) fn malformed(error: &dyn std::fmt::Display) -> Error {
    tracing::error!(%error, "the CQL store and this program do not fit");
    Error::internal()
}

/// Declares the statements of a table or noun: `name: Class "CQL"`, prepared together at the start.
macro_rules! statements {
    ($name:ident { $($statement:ident: $class:ident $cql:expr,)* }) => {
        struct $name { $($statement: scylla::statement::prepared::PreparedStatement,)* }

        impl $name {
            async fn prepare(db: &$crate::cluster::db::Db) -> social_core::Result<Self> {
                let ($($statement,)*) = tokio::try_join!($(db.prepare($crate::cluster::db::Class::$class, $cql),)*)?;
                Ok(Self { $($statement,)* })
            }
        }
    };
}
pub(super) use statements;
