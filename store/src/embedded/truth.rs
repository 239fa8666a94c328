//! The store itself: where its parts meet, and how rows are read without the writer.

use std::ops::Bound;
use std::sync::Arc;

use fjall::{Database, Readable, Snapshot, UserValue};
use parking_lot::Mutex;
use social_core::Result;
use social_core::clock::Clock;
use social_core::page::{Order, Range};
use tokio::sync::Semaphore;

use super::caches::Caches;
use super::folder::Folder;
use super::imports::PastIds;
use super::keys::{self, Key};
use super::operator::Own;
use super::rows::{self, Row};
use super::tables::{Table, Tables};
use super::tx::engine_error;
use super::writer::Writer;

/// Truth on the engine. Each noun's file implements its trait on this.
pub(super) struct Truth {
    pub(super) writer: Writer,
    pub(super) caches: Arc<Caches>,
    pub(super) clock: Clock,
    pub(super) tables: Arc<Tables>,
    pub(super) db: Database,
    pub(super) own: Own,
    /// A place for each backup under way.
    pub(super) backups: Arc<Semaphore>,
    /// Locked by the writer's thread alone.
    pub(super) past: Arc<Mutex<PastIds>>,
    // Last, so that the folder is let go after the engine is.
    pub(super) folder: Folder,
}

impl Truth {
    /// A row as it is now.
    pub(super) fn row<T: Row>(&self, table: Table, key: &Key) -> Result<Option<T>> {
        let bytes = self.tables.of(table).get(key).map_err(engine_error)?;
        bytes
            .map(|bytes| rows::decode(&bytes).map_err(|error| error.report(table.name())))
            .transpose()
    }

    /// A row that is a number.
    pub(super) fn number(&self, table: Table, key: &Key) -> Result<Option<u64>> {
        let bytes = self.tables.of(table).get(key).map_err(engine_error)?;
        bytes
            .map(|bytes| rows::decode_u64(&bytes).map_err(|error| error.report(table.name())))
            .transpose()
    }

    /// Whether there is a row.
    pub(super) fn has(&self, table: Table, key: &Key) -> Result<bool> {
        self.tables.of(table).contains_key(key).map_err(engine_error)
    }

    /// The committed state of one moment, for reads of several rows that must fit together.
    pub(super) fn snapshot(&self) -> View<'_> {
        View {
            tables: &self.tables,
            snapshot: self.db.snapshot(),
        }
    }

    /// Rows whose keys are `prefix` and a number in the range.
    pub(super) fn list(&self, table: Table, prefix: &[u8], range: Range) -> Result<Vec<(u64, UserValue)>> {
        self.snapshot().list(table, prefix, range)
    }
}

/// The committed state of one moment.
pub(super) struct View<'a> {
    tables: &'a Tables,
    snapshot: Snapshot,
}

impl View<'_> {
    /// A row.
    pub(super) fn row<T: Row>(&self, table: Table, key: &Key) -> Result<Option<T>> {
        let bytes = self.snapshot.get(self.tables.of(table), key).map_err(engine_error)?;
        bytes
            .map(|bytes| rows::decode(&bytes).map_err(|error| error.report(table.name())))
            .transpose()
    }

    /// Rows whose keys are `prefix` and a number in the range, in the range's order.
    pub(super) fn list(&self, table: Table, prefix: &[u8], range: Range) -> Result<Vec<(u64, UserValue)>> {
        let Some((low, high)) = range.bounds() else {
            return Ok(Vec::new());
        };
        let (low, high) = keys::bounds(prefix, low, high);
        let rows = self.snapshot.range(self.tables.of(table), low..=high);
        match range.order {
            Order::OldestFirst => numbered(rows.take(range.limit)),
            Order::NewestFirst => numbered(rows.rev().take(range.limit)),
        }
    }

    /// All rows of a table behind a key, in the order of keys.
    pub(super) fn behind(
        &self,
        table: Table,
        after: Bound<&[u8]>,
    ) -> impl Iterator<Item = Result<(Key, UserValue)>> + use<> {
        let rows = self
            .snapshot
            .range::<&[u8], _>(self.tables.of(table), (after, Bound::Unbounded));
        rows.map(|guard| guard.into_inner().map_err(engine_error))
    }

    /// All rows whose keys begin with `prefix`, handed to `visit` with the number that their key ends with.
    pub(super) fn each(
        &self,
        table: Table,
        prefix: &[u8],
        mut visit: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        for guard in self.snapshot.prefix(self.tables.of(table), prefix) {
            let (key, value) = guard.into_inner().map_err(engine_error)?;
            visit(keys::last(&key), &value)?;
        }
        Ok(())
    }
}

fn numbered(rows: impl Iterator<Item = fjall::Guard>) -> Result<Vec<(u64, UserValue)>> {
    rows.map(|guard| {
        let (key, value) = guard.into_inner().map_err(engine_error)?;
        Ok((keys::last(&key), value))
    })
    .collect()
}

/// Reads the number that each value of a listing is.
pub(super) fn with_numbers(table: Table, rows: Vec<(u64, UserValue)>) -> Result<Vec<(u64, u64)>> {
    let number =
        |(key, value): (u64, UserValue)| Ok((key, rows::decode_u64(&value).map_err(|e| e.report(table.name()))?));
    rows.into_iter().map(number).collect()
}
