//! What a command sees and writes: the group's pending rows over the committed ones.

use std::collections::BTreeMap;
use std::ops::Bound;

use fjall::{Keyspace, UserValue};
use social_core::clock::Time;
use social_core::id::IdSource;
use social_core::limits;
use social_core::request::RequestKey;
use social_core::{Error, Result};

use super::effects::Effect;
use super::keys::{self, Expiring, Key};
use super::rows::{self, RequestRow, Row};
use super::tables::{Table, Tables};

/// Where a row is.
type Place = (Table, Key);
/// A row that is not committed; `None` removes it.
type Pending = Option<UserValue>;

/// What a group of commands has come to so far.
#[derive(Default)]
pub(super) struct Group {
    /// The rows to be committed, in the order of tables and keys: sorted batches are written faster.
    pub(super) rows: BTreeMap<Place, Pending>,
    /// What changes in memory once the rows are committed, in the order of the commands.
    pub(super) effects: Vec<Effect>,
    /// Bytes of keys and values written, for the bound of a group.
    pub(super) bytes: usize,
    /// What the rows were before the present command wrote them, in the order of its writes.
    undo: Vec<(Place, Option<Pending>)>,
}

/// One command's view. Dropped without [`Tx::keep`], it leaves nothing in the group.
pub(super) struct Tx<'a> {
    tables: &'a Tables,
    group: &'a mut Group,
    ids: &'a mut IdSource,
    last_id: &'a mut u64,
    now: Time,
    effects_before: usize,
    kept: bool,
}

impl<'a> Tx<'a> {
    pub(super) fn begin(
        tables: &'a Tables,
        group: &'a mut Group,
        ids: &'a mut IdSource,
        last_id: &'a mut u64,
        now: Time,
    ) -> Self {
        group.undo.clear();
        let effects_before = group.effects.len();
        Self {
            tables,
            group,
            ids,
            last_id,
            now,
            effects_before,
            kept: false,
        }
    }

    /// Keeps what the command wrote; answers whether it wrote anything.
    pub(super) fn keep(mut self) -> bool {
        self.kept = true;
        !self.group.undo.is_empty()
    }

    /// When the command runs.
    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// A new id, larger than every one before it.
    pub(super) fn mint(&mut self) -> u64 {
        *self.last_id = self.ids.mint(self.now);
        *self.last_id
    }

    /// Has ids go on above this one.
    pub(super) fn raise_ids(&mut self, floor: u64) {
        self.ids.raise(floor);
        *self.last_id = (*self.last_id).max(floor);
    }

    /// Changes memory once the command is committed.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.group.effects.push(effect);
    }

    /// A row's bytes.
    pub(super) fn get(&self, table: Table, key: &Key) -> Result<Option<UserValue>> {
        match self.group.rows.get(&(table, key.clone())) {
            Some(pending) => Ok(pending.clone()),
            None => self.tables.of(table).get(key).map_err(engine_error),
        }
    }

    /// Whether there is a row.
    pub(super) fn has(&self, table: Table, key: &Key) -> Result<bool> {
        Ok(self.get(table, key)?.is_some())
    }

    /// A row.
    pub(super) fn row<T: Row>(&self, table: Table, key: &Key) -> Result<Option<T>> {
        self.get(table, key)?
            .map(|bytes| rows::decode(&bytes).map_err(|error| error.report(table.name())))
            .transpose()
    }

    /// A row that is a number.
    pub(super) fn number(&self, table: Table, key: &Key) -> Result<Option<u64>> {
        self.get(table, key)?
            .map(|bytes| rows::decode_u64(&bytes).map_err(|error| error.report(table.name())))
            .transpose()
    }

    /// Writes a row's bytes.
    pub(super) fn put(&mut self, table: Table, key: Key, value: impl Into<UserValue>) {
        self.set(table, key, Some(value.into()));
    }

    /// Writes a row.
    pub(super) fn put_row<T: Row>(&mut self, table: Table, key: Key, row: &T) -> Result<()> {
        self.put(table, key, rows::encode(row)?);
        Ok(())
    }

    /// Writes a row that is a number.
    pub(super) fn put_number(&mut self, table: Table, key: Key, number: u64) {
        self.put(table, key, number.to_be_bytes());
    }

    /// Writes a row that only is there.
    pub(super) fn mark(&mut self, table: Table, key: Key) {
        self.put(table, key, []);
    }

    /// Removes a row.
    pub(super) fn delete(&mut self, table: Table, key: Key) {
        self.set(table, key, None);
    }

    fn set(&mut self, table: Table, key: Key, value: Option<UserValue>) {
        self.group.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
        let before = self.group.rows.insert((table, key.clone()), value);
        self.group.undo.push(((table, key), before));
    }

    /// The first `limit` rows from `low` to `high`, both inclusive.
    pub(super) fn range(&self, table: Table, low: &Key, high: &Key, limit: usize) -> Result<Vec<(Key, UserValue)>> {
        let mut found = Vec::new();
        let mut pending = self.pending(table, low, high).peekable();
        for guard in self.keyspace(table).range(low.clone()..=high.clone()) {
            let (key, value) = guard.into_inner().map_err(engine_error)?;
            while let Some((key, value)) = pending.next_if(|(pending, _)| *pending < &key) {
                found.extend(value.as_ref().map(|value| (key.clone(), value.clone())));
            }
            if found.len() >= limit {
                break;
            }
            match pending.next_if(|(pending, _)| *pending == &key) {
                Some((_, replaced)) => found.extend(replaced.as_ref().map(|value| (key, value.clone()))),
                None => found.push((key, value)),
            }
        }
        found.extend(
            pending
                .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
                .take(limit),
        );
        found.truncate(limit);
        Ok(found)
    }

    /// The last key from `low` to `high` in a table whose rows are never removed.
    pub(super) fn last_key(&self, table: Table, low: &Key, high: &Key) -> Result<Option<Key>> {
        let committed = self.keyspace(table).range(low.clone()..=high.clone()).next_back();
        let committed = committed.map(fjall::Guard::key).transpose().map_err(engine_error)?;
        let pending = self.pending(table, low, high).next_back().map(|(key, _)| key.clone());
        Ok(committed.max(pending))
    }

    fn pending(&self, table: Table, low: &Key, high: &Key) -> impl DoubleEndedIterator<Item = (&Key, &Pending)> {
        let bounds = (
            Bound::Included((table, low.clone())),
            Bound::Included((table, high.clone())),
        );
        self.group.rows.range(bounds).map(|((_, key), value)| (key, value))
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        self.tables.of(table)
    }

    /// What an earlier request with this key was about; REQUEST_ID_REUSED where that asked for something else.
    pub(super) fn replayed(&self, request: &RequestKey) -> Result<Option<u64>> {
        let row = self.row::<RequestRow>(Table::Requests, &Key::from(request.key))?;
        row.map_or(Ok(None), |row| {
            Ok(row.answers(request, self.now)?.then_some(row.target))
        })
    }

    /// Remembers what a request brought about.
    pub(super) fn remember(&mut self, request: &RequestKey, target: u64) -> Result<()> {
        self.expire_at(
            self.now.plus(limits::REQUEST_KEPT).plus_ms(1),
            Expiring::Request(request.key),
        );
        let row = RequestRow {
            fingerprint: request.fingerprint,
            target,
            at: self.now,
        };
        self.put_row(Table::Requests, Key::from(request.key), &row)
    }

    /// Has something looked at, and removed where it ended, at a time.
    pub(super) fn expire_at(&mut self, time: Time, what: Expiring) {
        self.mark(Table::Expiry, keys::expiry(time.unix_ms(), what));
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        self.group.effects.truncate(self.effects_before);
        for (key, before) in self.group.undo.drain(..).rev() {
            match before {
                Some(value) => self.group.rows.insert(key, value),
                None => self.group.rows.remove(&key),
            };
        }
    }
}

/// Logs why the engine could not read, and gives the caller an error that says nothing of the inside.
#[allow(clippy::needless_pass_by_value, reason = "shaped for map_err")]
pub(super) fn engine_error(error: fjall::Error) -> Error {
    tracing::error!(%error, "the storage engine cannot read");
    Error::unavailable()
}
