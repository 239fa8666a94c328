//! Why a cluster could not be opened.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

/// The cluster cannot be used; the text says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No contact point of the CQL store answers, or it refuses the login.
    #[error("cannot connect to the CQL store at {contact_points}: {reason}")]
    Connect {
        /// The addresses tried.
        contact_points: String,
        /// What the driver said.
        reason: String,
    },
    /// The schema cannot be read or changed.
    #[error("the schema cannot be read or changed: {reason}")]
    Schema {
        /// What the store said.
        reason: String,
    },
    /// The user lacks rights.
    #[error(
        "the CQL store refuses the user: {reason}; it needs SELECT and MODIFY on the keyspace, and CREATE, too, for `social-server migrate`"
    )]
    Rights {
        /// What the store said: which right, and on what.
        reason: String,
    },
    /// The keyspace was migrated by a later version of the program.
    #[error(
        "the keyspace has schema {found}, this program knows up to {known}: start the newer program that migrated it"
    )]
    NewerSchema {
        /// The schema that it has.
        found: i32,
        /// The newest schema that this program knows.
        known: i32,
    },
    /// The keyspace is missing or was not migrated yet.
    #[error(
        "the keyspace {keyspace} has schema {found}, this program needs {known}: run `social-server migrate` with this configuration first"
    )]
    OlderSchema {
        /// The keyspace.
        keyspace: String,
        /// The schema that it has; 0 where there is none.
        found: i32,
        /// The schema that this program needs.
        known: i32,
    },
    /// Another process holds the migration lock for long.
    #[error("another process migrates the schema and does not come to an end; try again when it ended")]
    SchemaLocked,
    /// The node number of the configuration is another process's.
    #[error(
        "the node number {node} is in use by the process {name}: give each process its own `cluster.node`, or none to let it choose"
    )]
    NodeInUse {
        /// The number.
        node: u16,
        /// The other process.
        name: String,
    },
    /// Every node number is taken.
    #[error("every node number is in use; numbers of processes that ended are free after 15 s")]
    NoNode,
    /// The system's clock is not the store's.
    #[error("the system's clock is {} s {} the CQL store's, and may be 0.5 s at the most: set both by NTP", seconds(.apart_ms), direction(.apart_ms))]
    Clock {
        /// By how much it is ahead.
        apart_ms: i64,
    },
    /// The store is too slow to be held against the system's clock.
    #[error(
        "the CQL store does not answer within 0.2 s, too slowly to compare its clock with the system's: start again when it is less busy"
    )]
    Slow,
    /// Other processes go by other figures.
    #[error(
        "the processes that run go by other times ({theirs}) than this one ({ours}): stop all of them before you start this one; one that was killed \
         counts for 15 s"
    )]
    Disagree {
        /// The figures of the others.
        theirs: String,
        /// Those of this process.
        ours: String,
    },
    /// Redis cannot be used as it is configured.
    #[error("redis: {0}")]
    Redis(String),
    /// A setting cannot be used.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed while the cluster was opened.
    #[error("the CQL store failed while the cluster was opened: {0}")]
    Store(Box<social_core::Error>),
}

impl From<social_core::Error> for Error {
    fn from(error: social_core::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

fn seconds(apart_ms: &i64) -> String {
    format!("{:.1}", apart_ms.unsigned_abs() as f64 / 1_000.0)
}

fn direction(apart_ms: &i64) -> &'static str {
    if *apart_ms < 0 { "behind" } else { "ahead of" }
}

impl Error {
    /// Why a statement failed that looks at the schema or changes it.
    pub(super) fn statement(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unauthorized, reason)) => {
                let reason = reason.lines().next().unwrap_or_default().to_owned();
                Self::Rights { reason }
            }
            other => Self::schema(other),
        }
    }

    pub(super) fn schema(error: &dyn std::fmt::Display) -> Self {
        Self::Schema {
            reason: error.to_string(),
        }
    }
}
