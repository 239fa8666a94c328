//! What the store holds: counted where it is little, and else as the nodes estimate it.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use scylla::statement::prepared::PreparedStatement;
use social_core::Result;
use social_core::backend::{RowCount, StorageStats, TableStats};

use super::db::{Class, Db, statements};

/// Rows of a table that are counted. Nodes estimate what they wrote to disk, minutes later: of a small table they know nothing.
const COUNTED: usize = 1_000;

statements!(Statements {
    sizes: Read "SELECT table_name, partitions_count, mean_partition_size FROM system.size_estimates WHERE keyspace_name = ?",
});

/// Reads the estimates of the node that is asked.
pub(super) struct Stats {
    statements: Statements,
    looks: Vec<PreparedStatement>,
    keyspace: String,
}

/// What a node estimates of its own ranges of a table.
#[derive(Debug, Clone, Copy, Default)]
struct Estimate {
    rows: u64,
    bytes: u64,
}

impl Stats {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        let looks = TABLES.map(|(table, column)| async move {
            // One more than are counted, so that it is seen where there are more.
            let look = format!("SELECT {column} FROM {table} LIMIT {}", COUNTED + 1);
            db.prepare(Class::Read, &look).await
        });
        Ok(Self {
            statements: Statements::prepare(db).await?,
            looks: try_join_all(looks).await?,
            keyspace: db.keyspace(),
        })
    }

    /// Tables, with their rows and bytes.
    pub(super) async fn look(&self, db: &Db) -> Result<StorageStats> {
        let counts = try_join_all(self.looks.iter().map(|look| async move {
            let rows: Vec<(Option<i64>,)> = db.all_rows(look, ()).await?;
            Ok(rows.len())
        }));
        let (counts, estimates) = tokio::try_join!(counts, self.estimates(db))?;
        let tables = TABLES.iter().zip(counts).map(|((name, _), counted)| {
            let estimate = estimates.get(*name).copied().unwrap_or_default();
            TableStats {
                name,
                rows: rows(counted, estimate.rows),
                disk_bytes: estimate.bytes,
            }
        });
        let tables: Vec<TableStats> = tables.collect();
        Ok(StorageStats {
            backend: "cluster",
            disk_bytes: tables.iter().map(|table| table.disk_bytes).sum(),
            tables,
            ..StorageStats::default()
        })
    }

    async fn estimates(&self, db: &Db) -> Result<BTreeMap<String, Estimate>> {
        let rows: Vec<(String, i64, i64)> = db.all_rows(&self.statements.sizes, (&self.keyspace,)).await?;
        let mut estimates: BTreeMap<String, Estimate> = BTreeMap::new();
        for (table, partitions, mean) in rows {
            let estimate = estimates.entry(table).or_default();
            estimate.rows += partitions.max(0) as u64;
            estimate.bytes += (partitions.max(0) * mean.max(0)) as u64;
        }
        Ok(estimates)
    }
}

/// How many rows there are, of which `counted` were met. An estimate of fewer than are there is none.
fn rows(counted: usize, estimated: u64) -> RowCount {
    match counted {
        0..=COUNTED => RowCount::Exact(counted as u64),
        _ if estimated > COUNTED as u64 => RowCount::About(estimated),
        _ => RowCount::Unknown,
    }
}

/// The tables that operators ask about, and what a row of each is known by.
const TABLES: [(&str, &str); 12] = [
    ("users", "id"),
    ("sessions", "id"),
    ("posts", "id"),
    ("post_heads", "id"),
    ("post_revisions", "post"),
    ("comments", "id"),
    ("likes", "user"),
    ("edges", "from_user"),
    ("lists", "owner"),
    ("outbox", "event"),
    ("requests", "event"),
    ("home_timeline", "post"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_estimated_yet_is_not_said_to_be_nothing() {
        assert_eq!(rows(0, 0), RowCount::Exact(0));
        assert_eq!(rows(7, 0), RowCount::Exact(7), "and not on disk yet");
        assert_eq!(rows(7, 5_000), RowCount::Exact(7), "and most of them deleted since");
        assert_eq!(rows(COUNTED + 1, 90_000), RowCount::About(90_000));
        assert_eq!(rows(COUNTED + 1, 0), RowCount::Unknown);
        assert_eq!(rows(COUNTED + 1, 12), RowCount::Unknown);
    }
}
