//! Pages of a list: the rows of all buckets, merged by their key.

use std::cmp::Reverse;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use social_core::Result;
use social_core::page::{Order, Range};

use super::{AT_ONCE, Entry, Lists, Place};
use crate::cluster::db::Db;

/// Rows that a bucket is asked for at least.
const ROWS_MIN: usize = 16;
/// Rows that a bucket is asked for at the most, at a time.
const ROWS_MAX: usize = 20_000;

/// What was read of one bucket.
pub(super) struct Part {
    place: Place,
    /// What is left to be read.
    left: Range,
    is_all: bool,
    /// Active ones.
    entries: Vec<Entry>,
}

impl Part {
    pub(super) fn new(place: Place, range: Range) -> Self {
        Self {
            place,
            left: range,
            is_all: range.bounds().is_none(),
            entries: Vec::new(),
        }
    }

    /// Whether a row that was not read yet may stand before a key.
    fn may_reach(&self, bound: Option<u64>) -> bool {
        let is_before = |bound: u64| match (self.left.after, self.left.order) {
            (None, _) => true,
            (Some(read), Order::NewestFirst) => read > bound,
            (Some(read), Order::OldestFirst) => read < bound,
        };
        !self.is_all && bound.is_none_or(is_before)
    }

    /// Reads up to so many rows further.
    async fn read_on(&mut self, lists: &Lists, db: &Db, wanted: usize) -> Result<()> {
        let Some((low, high)) = self.left.bounds() else {
            self.is_all = true;
            return Ok(());
        };
        let statement = match self.left.order {
            Order::NewestFirst => &lists.statements.newest,
            Order::OldestFirst => &lists.statements.oldest,
        };
        let Place { list, owner, bucket } = self.place;
        let (low, high) = (low as i64, high.min(i64::MAX as u64) as i64);
        let values = (list as i8, owner as i64, bucket, low, high, wanted as i32);
        let rows: Vec<(i64, i64, bool)> = db.all_rows(statement, values).await?;
        self.is_all = rows.len() < wanted;
        self.left.after = rows.last().map(|row| row.0 as u64).or(self.left.after);
        let active = rows.into_iter().filter(|(_, _, active)| *active);
        self.entries.extend(active.map(|(key, member, _)| Entry {
            key: key as u64,
            member: member as u64,
        }));
        Ok(())
    }
}

/// The entries of a range, in its order. Asks each bucket for its share, and then those further whose rows may belong to the page still.
pub(super) async fn read(lists: &Lists, db: &Db, mut parts: Vec<Part>, range: &Range) -> Result<Vec<Entry>> {
    // More than its even share: buckets differ, and some entries that are not active any more are read as well.
    let share = range.limit.div_ceil(parts.len().max(1));
    let more = if parts.len() > 1 { share } else { share / 16 };
    let mut wanted = share.saturating_add(more).clamp(ROWS_MIN, ROWS_MAX);
    let mut entries = Vec::new();
    loop {
        let bound = limit_key(&entries, range.limit);
        let open = parts.iter_mut().filter(|part| part.may_reach(bound));
        let reads: Vec<_> = open.map(|part| part.read_on(lists, db, wanted)).collect();
        if reads.is_empty() {
            break;
        }
        let () = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        entries.extend(parts.iter_mut().flat_map(|part| std::mem::take(&mut part.entries)));
        match range.order {
            Order::NewestFirst => entries.sort_unstable_by_key(|entry: &Entry| Reverse(entry.key)),
            Order::OldestFirst => entries.sort_unstable_by_key(|entry: &Entry| entry.key),
        }
        entries.truncate(range.limit);
        wanted = match parts.as_slice() {
            [_] => 2 * (range.limit - entries.len()),
            _ => 2 * wanted,
        }
        .clamp(ROWS_MIN, ROWS_MAX);
    }
    Ok(entries)
}

/// The key of the last entry of a page that is full.
fn limit_key(entries: &[Entry], limit: usize) -> Option<u64> {
    let last = limit.checked_sub(1)?;
    entries.get(last).map(|entry| entry.key)
}
