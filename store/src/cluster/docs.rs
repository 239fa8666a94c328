//! Documents: rows that are changed by compare-and-set on their version, in tables that see nothing but conditional writes.
//!
//! A document remembers the last events that changed it, so that repeating one that was applied already is told from losing to another.

use std::collections::HashMap;

use futures::future::try_join_all;
use scylla::serialize::value::SerializeValue;
use scylla::statement::prepared::PreparedStatement;
use social_core::{Error, Result};
use uuid::Uuid;

use super::db::{Class, Db};
use crate::rows::{Row, decode_as, encode_as};

/// Events that a document remembers. A repetition that comes later than this many further changes is refused as lost.
const REMEMBERED: usize = 64;

/// Documents that one statement asks for by their ids: they lie on any nodes, and the one that is asked collects them.
const KEYS_AT_ONCE: usize = 25;

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doc<T> {
    /// Raised by each change.
    pub(super) version: u64,
    /// The events that changed it last, newest first.
    pub(super) events: Vec<u64>,
    /// The row.
    pub(super) row: T,
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It is stored, now or by an earlier attempt of the same event.
    Stored,
    /// Another change came first.
    Lost,
}

/// What documents are found by.
pub(super) trait Key: Copy + Send + Sync {
    /// What the store holds.
    type Value: SerializeValue + Send + Sync;

    fn value(self) -> Self::Value;
}

impl Key for u64 {
    type Value = i64;

    fn value(self) -> i64 {
        self as i64
    }
}

impl Key for Uuid {
    type Value = Uuid;

    fn value(self) -> Uuid {
        self
    }
}

/// A table of documents.
pub(super) struct Docs {
    table: &'static str,
    select: PreparedStatement,
    select_serial: PreparedStatement,
    select_many: PreparedStatement,
    insert: PreparedStatement,
    update: PreparedStatement,
}

impl Docs {
    pub(super) async fn prepare(db: &Db, table: &'static str) -> Result<Self> {
        let select = format!("SELECT version, row FROM {table} WHERE id = ?");
        let select_many = format!("SELECT id, version, row FROM {table} WHERE id IN ?");
        let insert = format!("INSERT INTO {table} (id, version, row) VALUES (?, ?, ?) IF NOT EXISTS");
        let update = format!("UPDATE {table} SET version = ?, row = ? WHERE id = ? IF version = ?");
        let (select, select_serial, select_many, insert, update) = tokio::try_join!(
            db.prepare(Class::Read, &select),
            db.prepare(Class::Serial, &select),
            db.prepare(Class::Read, &select_many),
            db.prepare(Class::Conditional, &insert),
            db.prepare(Class::Conditional, &update),
        )?;
        Ok(Self {
            table,
            select,
            select_serial,
            select_many,
            insert,
            update,
        })
    }

    pub(super) async fn get<T: Row>(&self, db: &Db, id: impl Key) -> Result<Option<Doc<T>>> {
        self.read(db, &self.select, id).await
    }

    /// Those of some documents that are there.
    pub(super) async fn get_many<T: Row>(&self, db: &Db, ids: &[u64]) -> Result<HashMap<u64, Doc<T>>> {
        if let [id] = ids {
            // Where its replicas are known.
            let doc = self.get(db, *id).await?;
            return Ok(doc.into_iter().map(|doc| (*id, doc)).collect());
        }
        let keys: Vec<i64> = ids.iter().map(|id| *id as i64).collect();
        let parts = keys
            .chunks(KEYS_AT_ONCE)
            .map(|keys| db.rows(&self.select_many, (keys,)));
        let rows: Vec<Vec<(i64, i64, Vec<u8>)>> = try_join_all(parts).await?;
        let doc = |(id, version, body): (i64, i64, Vec<u8>)| Ok((id as u64, self.read_row(version, &body)?));
        rows.into_iter().flatten().map(doc).collect()
    }

    /// Stores a new document under version 1; `event` makes it ours.
    pub(super) async fn create<T: Row>(&self, db: &Db, id: impl Key, event: u64, row: &T) -> Result<Put> {
        let events = vec![event];
        let body = encode_as(T::FORMAT, &(&events, row))?;
        let put = db.compare_and_set(&self.insert, (id.value(), 1_i64, body)).await;
        self.settle::<T>(db, id, event, put).await
    }

    /// Replaces a document as it was read; `event` makes the new one ours.
    pub(super) async fn replace<T: Row>(
        &self,
        db: &Db,
        id: impl Key,
        before: &Doc<T>,
        event: u64,
        row: &T,
    ) -> Result<Put> {
        if before.events.contains(&event) {
            return Ok(Put::Stored);
        }
        let events = remembered(event, &before.events);
        let body = encode_as(T::FORMAT, &(&events, row))?;
        let (version, next) = (before.version as i64, before.version as i64 + 1);
        let put = db
            .compare_and_set(&self.update, (next, body, id.value(), version))
            .await;
        self.settle::<T>(db, id, event, put).await
    }

    /// Stores a new document, or replaces it as it was read.
    pub(super) async fn put<T: Row>(
        &self,
        db: &Db,
        id: impl Key,
        before: Option<&Doc<T>>,
        event: u64,
        row: &T,
    ) -> Result<Put> {
        match before {
            None => self.create(db, id, event, row).await,
            Some(before) => self.replace(db, id, before, event, row).await,
        }
    }

    /// [`put`](Self::put) in the place of what is held, which then is what is stored.
    pub(super) async fn save<T: Row + Clone>(
        &self,
        db: &Db,
        id: impl Key,
        held: &mut Option<Doc<T>>,
        event: u64,
        row: &T,
    ) -> Result<Put> {
        let put = self.put(db, id, held.as_ref(), event, row).await?;
        if put == Put::Stored {
            let before = held.take().map(|doc| (doc.version, doc.events));
            let (version, events) = before.unwrap_or_default();
            *held = Some(Doc {
                version: version + 1,
                events: remembered(event, &events),
                row: row.clone(),
            });
        }
        Ok(put)
    }

    /// Replaces the document that had version `before`, as an event that may have done so already.
    pub(super) async fn advance<T: Row>(&self, db: &Db, id: impl Key, before: u64, event: u64, row: &T) -> Result<Put> {
        match self.get::<T>(db, id).await? {
            Some(doc) if doc.events.contains(&event) => Ok(Put::Stored),
            Some(doc) if doc.version == before => self.replace(db, id, &doc, event, row).await,
            _ => Ok(Put::Lost),
        }
    }

    /// What a compare-and-set came to. An unknown outcome, and a lost comparison, are looked up at SERIAL: ours may have been applied.
    async fn settle<T: Row>(&self, db: &Db, id: impl Key, event: u64, put: Result<bool>) -> Result<Put> {
        if put == Ok(true) {
            return Ok(Put::Stored);
        }
        match self.read::<T>(db, &self.select_serial, id).await? {
            Some(doc) if doc.events.contains(&event) => Ok(Put::Stored),
            // Not there after an unknown outcome: SERIAL has finished or voided the attempt.
            _ => put.map(|_| Put::Lost),
        }
    }

    async fn read<T: Row>(&self, db: &Db, select: &PreparedStatement, id: impl Key) -> Result<Option<Doc<T>>> {
        let Some((version, body)) = db.row::<(i64, Vec<u8>)>(select, (id.value(),)).await? else {
            return Ok(None);
        };
        self.read_row(version, &body).map(Some)
    }

    fn read_row<T: Row>(&self, version: i64, body: &[u8]) -> Result<Doc<T>> {
        let (events, row) = decode_as(T::FORMAT, body).map_err(|error| error.report(self.table))?;
        Ok(Doc {
            version: version as u64,
            events,
            row,
        })
    }
}

/// The events that a document remembers once `event` has changed it.
fn remembered(event: u64, before: &[u64]) -> Vec<u64> {
    let before = before.iter().copied().take(REMEMBERED - 1);
    std::iter::once(event).chain(before).collect()
}

/// Changes a document until no other change comes in between. `decide` sees the row and answers the new one, or `None` to leave it.
pub(super) async fn change<T: Row, F>(
    docs: &Docs,
    db: &Db,
    id: impl Key,
    event: u64,
    mut decide: F,
) -> Result<Option<T>>
where
    F: FnMut(Option<&T>) -> Result<Option<T>>,
{
    for _ in 0..ATTEMPTS {
        let before = docs.get::<T>(db, id).await?;
        let Some(row) = decide(before.as_ref().map(|doc| &doc.row))? else {
            return Ok(before.map(|doc| doc.row));
        };
        let put = docs.put(db, id, before.as_ref(), event, &row).await?;
        if put == Put::Stored {
            return Ok(Some(row));
        }
    }
    Err(Error::unavailable())
}

/// How often a change is tried anew when others come first.
const ATTEMPTS: usize = 32;
