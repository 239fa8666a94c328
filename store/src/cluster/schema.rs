//! The schema: numbered migrations, applied once each, by one process at a time.
//!
//! A schema that is up to date costs one read: no DDL, and no agreement of the nodes, which may take minutes while one of them is away.

use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::response::query_result::QueryResult;
use scylla::statement::Statement;
use uuid::Uuid;

use super::Error;

/// A step of the schema.
struct Migration {
    number: i32,
    name: &'static str,
    statements: &'static str,
}

/// Every step, ascending. One that was released is never changed.
const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "platform",
        statements: include_str!("schema/0001_platform.cql"),
    },
    Migration {
        number: 2,
        name: "timeline_marks",
        statements: include_str!("schema/0002_timeline_marks.cql"),
    },
];

/// How long another process may take for a migration before its lock is taken over.
const LOCK: Duration = Duration::from_secs(120);
/// How long one step of the schema may take: every node takes part in it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a waiting process looks.
const LOOK: Duration = Duration::from_millis(250);

/// How a keyspace is replicated where it is made by the migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    /// So many copies in each data centre that the store names.
    Factor(u8),
    /// Copies by data centre.
    Datacenters(Vec<(String, u8)>),
}

/// What a migration run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Whether the keyspace was made.
    pub keyspace_created: bool,
    /// The steps applied now, as `0001_platform`.
    pub applied: Vec<String>,
    /// The number of the schema now.
    pub version: i32,
}

/// The newest schema that this program knows.
pub(super) fn newest() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.number)
}

/// Brings a keyspace to the newest schema, making it where it is missing.
pub(super) async fn migrate(session: &Session, keyspace: &str, replication: &Replication) -> Result<Migrated, Error> {
    let keyspace_created = create_keyspace(session, keyspace, replication).await?;
    session
        .use_keyspace(keyspace, false)
        .await
        .map_err(|error| Error::schema(&error))?;
    let present = version(session, keyspace).await?;
    let mut migrated = Migrated {
        keyspace_created,
        applied: Vec::new(),
        version: present,
    };
    if present > newest() {
        return Err(Error::NewerSchema {
            found: present,
            known: newest(),
        });
    }
    if present == newest() {
        return Ok(migrated);
    }
    let lock = Lock::take(session, keyspace).await?;
    let applied = apply(session, keyspace, &mut migrated).await;
    lock.release(session, keyspace).await?;
    applied.map(|()| migrated)
}

async fn apply(session: &Session, keyspace: &str, migrated: &mut Migrated) -> Result<(), Error> {
    // Another process may have been quicker.
    migrated.version = version(session, keyspace).await?;
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.number > migrated.version)
    {
        for statement in statements(migration.statements) {
            // A run that was cut short is taken up where it ended.
            let statement = statement.replacen("CREATE TABLE ", &format!("CREATE TABLE IF NOT EXISTS {keyspace}."), 1);
            run(session, &statement).await?;
        }
        let note = format!(
            "INSERT INTO {keyspace}.migrations (number, name) VALUES ({}, '{}') IF NOT EXISTS",
            migration.number, migration.name
        );
        run(session, &note).await?;
        migrated
            .applied
            .push(format!("{:04}_{}", migration.number, migration.name));
    }
    migrated.version = newest();
    Ok(())
}

/// Refuses a keyspace whose schema this program cannot work with, and a user who may not read and write it.
pub(super) async fn check(session: &Session, keyspace: &str) -> Result<(), Error> {
    match version(session, keyspace).await? {
        found if found > newest() => Err(Error::NewerSchema { found, known: newest() }),
        found if found < newest() => Err(Error::OlderSchema {
            keyspace: keyspace.to_owned(),
            found,
            known: newest(),
        }),
        _ => may_write(session, keyspace).await,
    }
}

/// Refuses a user who may not write: a deletion that finds nothing takes the same right.
async fn may_write(session: &Session, keyspace: &str) -> Result<(), Error> {
    let nothing = format!("DELETE FROM {keyspace}.migration_lock WHERE id = -1 IF EXISTS");
    run(session, &nothing).await.map(drop)
}

/// The number of the last step applied; 0 where there is none.
async fn version(session: &Session, keyspace: &str) -> Result<i32, Error> {
    if !has_table(session, keyspace, "migrations").await? {
        return Ok(0);
    }
    let answer = run(session, &format!("SELECT MAX(number) FROM {keyspace}.migrations")).await?;
    let rows = answer.into_rows_result().map_err(|error| Error::schema(&error))?;
    let newest: Option<(Option<i32>,)> = rows.maybe_first_row().map_err(|error| Error::schema(&error))?;
    Ok(newest.and_then(|(number,)| number).unwrap_or(0))
}

async fn has_table(session: &Session, keyspace: &str, table: &str) -> Result<bool, Error> {
    let find = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let answer = session
        .query_unpaged(find, (keyspace, table))
        .await
        .map_err(|error| Error::statement(&error))?;
    let rows = answer.into_rows_result().map_err(|error| Error::schema(&error))?;
    Ok(rows.rows_num() > 0)
}

/// Makes the keyspace where it is missing; whether it was.
async fn create_keyspace(session: &Session, keyspace: &str, replication: &Replication) -> Result<bool, Error> {
    let find = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let answer = session
        .query_unpaged(find, (keyspace,))
        .await
        .map_err(|error| Error::statement(&error))?;
    let rows = answer.into_rows_result().map_err(|error| Error::schema(&error))?;
    if rows.rows_num() > 0 {
        return Ok(false);
    }
    run(session, &creation(keyspace, replication, is_scylla(session).await?)).await?;
    Ok(true)
}

/// The statement that makes a keyspace.
fn creation(keyspace: &str, replication: &Replication, is_scylla: bool) -> String {
    let copies = match replication {
        Replication::Factor(factor) => format!("'replication_factor': {factor}"),
        Replication::Datacenters(all) => {
            let copies: Vec<_> = all.iter().map(|(name, copies)| format!("'{name}': {copies}")).collect();
            copies.join(", ")
        }
    };
    // ScyllaDB has no conditional writes on tables with tablets, which it makes unless told otherwise. Cassandra does not know the word.
    let tablets = match is_scylla {
        true => " AND tablets = {'enabled': false}",
        false => "",
    };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', {copies}}}{tablets}"
    )
}

/// Whether the store is ScyllaDB, which has tables of its own that Cassandra does not have.
async fn is_scylla(session: &Session) -> Result<bool, Error> {
    has_table(session, "system", "scylla_local").await
}

async fn run(session: &Session, cql: &str) -> Result<QueryResult, Error> {
    let mut statement = Statement::new(cql);
    statement.set_request_timeout(Some(PATIENCE));
    let answer = session.query_unpaged(statement, ()).await;
    answer.map_err(|error| Error::statement(&error))
}

/// The statements of a file, without comments.
fn statements(file: &str) -> impl Iterator<Item = String> {
    let code: Vec<&str> = file
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    let statements: Vec<String> = code.join("\n").split(';').map(|part| part.trim().to_owned()).collect();
    statements.into_iter().filter(|statement| !statement.is_empty())
}

/// The right to change the schema, held by one process at a time.
struct Lock {
    holder: Uuid,
}

impl Lock {
    async fn take(session: &Session, keyspace: &str) -> Result<Self, Error> {
        for table in [
            "migrations (number int PRIMARY KEY, name text)",
            "migration_lock (id int PRIMARY KEY, holder uuid)",
        ] {
            run(session, &format!("CREATE TABLE IF NOT EXISTS {keyspace}.{table}")).await?;
        }
        let holder = Uuid::new_v4();
        let began = Instant::now();
        // The row ends by itself when its holder dies.
        let take = format!(
            "INSERT INTO {keyspace}.migration_lock (id, holder) VALUES (0, {holder}) IF NOT EXISTS USING TTL {}",
            LOCK.as_secs()
        );
        while !is_applied(session, &take).await? {
            if began.elapsed() > LOCK * 2 {
                return Err(Error::SchemaLocked);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self { holder })
    }

    async fn release(self, session: &Session, keyspace: &str) -> Result<(), Error> {
        let release = format!(
            "DELETE FROM {keyspace}.migration_lock WHERE id = 0 IF holder = {}",
            self.holder
        );
        is_applied(session, &release).await.map(drop)
    }
}

async fn is_applied(session: &Session, cql: &str) -> Result<bool, Error> {
    let rows = run(session, cql)
        .await?
        .into_rows_result()
        .map_err(|error| Error::schema(&error))?;
    let row: scylla::value::Row = rows.first_row().map_err(|error| Error::schema(&error))?;
    Ok(row.columns.first() == Some(&Some(scylla::value::CqlValue::Boolean(true))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_on_scylladb_has_no_tablets() {
        let factor = Replication::Factor(3);
        assert_eq!(
            creation("social", &factor, true),
            "CREATE KEYSPACE IF NOT EXISTS social WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 3} \
             AND tablets = {'enabled': false}"
        );
        let datacenters = Replication::Datacenters(vec![("east".to_owned(), 3), ("west".to_owned(), 2)]);
        assert_eq!(
            creation("social", &datacenters, false),
            "CREATE KEYSPACE IF NOT EXISTS social WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 3, 'west': 2}"
        );
    }

    #[test]
    fn a_file_is_its_statements_without_comments() {
        let file = "-- first\nCREATE TABLE a (b int);\n\n-- second\nCREATE TABLE c (\n  -- inside\n  d int\n);\n";
        let found: Vec<_> = statements(file).collect();
        assert_eq!(found, ["CREATE TABLE a (b int)", "CREATE TABLE c (\n  d int\n)"]);
    }
}
