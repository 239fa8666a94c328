//! What the store holds, as the nodes estimate it.

use std::collections::BTreeMap;

use social_core::Result;
use social_core::backend::{StorageStats, TableStats};

use super::db::{Db, statements};

statements!(Statements {
    sizes: Read "SELECT table_name, partitions_count, mean_partition_size FROM system.size_estimates WHERE keyspace_name = ?",
});

/// Reads the estimates of the node that is asked.
pub(super) struct Stats {
    statements: Statements,
    keyspace: String,
}

impl Stats {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            keyspace: db.keyspace(),
        })
    }

    /// Tables, with the partitions and bytes that one node estimates of its own ranges.
    pub(super) async fn look(&self, db: &Db) -> Result<StorageStats> {
        let rows: Vec<(String, i64, i64)> = db.all_rows(&self.statements.sizes, (&self.keyspace,)).await?;
        let mut sizes: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (table, partitions, mean) in rows {
            let size = sizes.entry(table).or_default();
            size.0 += partitions.max(0) as u64;
            size.1 += (partitions.max(0) * mean.max(0)) as u64;
        }
        let tables: Vec<TableStats> = TABLES
            .iter()
            .map(|name| {
                let (rows, disk_bytes) = sizes.get(*name).copied().unwrap_or_default();
                TableStats {
                    name,
                    rows,
                    exact: false,
                    disk_bytes,
                }
            })
            .collect();
        Ok(StorageStats {
            backend: "cluster",
            disk_bytes: tables.iter().map(|table| table.disk_bytes).sum(),
            tables,
            ..StorageStats::default()
        })
    }
}

/// The tables that operators ask about.
const TABLES: [&str; 12] = [
    "users",
    "sessions",
    "posts",
    "post_heads",
    "post_revisions",
    "comments",
    "likes",
    "edges",
    "lists",
    "outbox",
    "requests",
    "home_timeline",
];
