//! Ids of the past: each millisecond has room for [`IMPORTS_A_MS`] of them, and a row that counts how many were given.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use quick_cache::sync::Cache;
use social_core::id::{IMPORTS_A_MS, import_base, import_given, minted_at};
use social_core::{Error, Result, Time};

use crate::cluster::db::{Db, statements};

/// How often ids of a millisecond are asked for anew when others are given some.
const ATTEMPTS: usize = 64;
/// Milliseconds whose ids are asked for at the same time.
const AT_ONCE: usize = 64;
/// Milliseconds remembered as full. Beyond that they are found anew.
const FULL_KEPT: usize = 65_536;

/// What the ids are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub(super) enum Series {
    /// Posts.
    Posts = 1,
    /// When follows began.
    Follows = 2,
}

statements!(Statements {
    begin: Conditional "INSERT INTO past_ids (kind, base, given) VALUES (?, ?, ?) IF NOT EXISTS",
    read: Serial "SELECT given FROM past_ids WHERE kind = ? AND base = ?",
    raise: Conditional "UPDATE past_ids SET given = ? WHERE kind = ? AND base = ? IF given = ?",
});

/// The ids given so far.
pub(super) struct PastIds {
    statements: Statements,
    /// By a full millisecond's first id: that of a later millisecond before which there is no room either. Only where to
    /// look is remembered; what is free, the rows say.
    full: Cache<(Series, u64), u64>,
}

impl PastIds {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            full: Cache::new(FULL_KEPT),
        })
    }

    /// An id for each of the times. Those of one time ascend. Ids that a failed call was given are lost.
    pub(super) async fn give(&self, db: &Db, series: Series, times: &[Time]) -> Result<Vec<u64>> {
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|number| times[*number]);
        let groups = order.chunk_by(|one, next| times[*one] == times[*next]);
        let gives = groups.map(|group| async move {
            let ids = self.give_some(db, series, times[group[0]], group.len()).await?;
            Ok::<_, Error>(group.iter().copied().zip(ids).collect::<Vec<_>>())
        });
        let gives = stream::iter(gives.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        let given: Vec<Vec<(usize, u64)>> = gives.try_collect().await?;
        let mut ids = vec![0; times.len()];
        for (number, id) in given.into_iter().flatten() {
            ids[number] = id;
        }
        Ok(ids)
    }

    /// Counts ids as given that came from elsewhere.
    pub(super) async fn note(&self, db: &Db, series: Series, ids: &[u64]) -> Result<()> {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for (base, given) in ids.iter().filter_map(|id| import_given(*id)) {
            let count = counts.entry(base).or_default();
            *count = given.max(*count);
        }
        let notes = counts
            .into_iter()
            .map(|(base, given)| self.raise(db, series, base, given));
        stream::iter(notes.collect::<Vec<_>>())
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// So many ids of a millisecond are given, or more.
    async fn raise(&self, db: &Db, series: Series, base: u64, given: u64) -> Result<()> {
        let (kind, base, given) = (series as i8, base as i64, given as i64);
        if db.compare_and_set(&self.statements.begin, (kind, base, given)).await? {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let row: Option<(i64,)> = db.row(&self.statements.read, (kind, base)).await?;
            let (before,) = row.ok_or_else(Error::unavailable)?;
            let raise = (given, kind, base, before);
            if before >= given || db.compare_and_set(&self.statements.raise, raise).await? {
                return Ok(());
            }
        }
        Err(Error::unavailable())
    }

    /// Ids of a time, or where it has no room of the milliseconds after it.
    async fn give_some(&self, db: &Db, series: Series, time: Time, count: usize) -> Result<Vec<u64>> {
        let mut ids = Vec::with_capacity(count);
        let base = import_base(time);
        let mut first = base;
        while ids.len() < count {
            if let Some(next) = self.full.get(&(series, first)) {
                first = next;
                continue;
            }
            let wanted = (count - ids.len()) as u64;
            let given = self.take(db, series, first, wanted).await?;
            ids.extend(given.clone());
            if given.end - first == IMPORTS_A_MS {
                let next = import_base(minted_at(first).plus_ms(1));
                self.full.insert((series, first), next);
                first = next;
            }
        }
        if first != base {
            self.full.insert((series, base), first);
        }
        Ok(ids)
    }

    /// Takes up to so many ids of a millisecond; none where it is full. Ids that were taken without an answer are never given.
    async fn take(&self, db: &Db, series: Series, base: u64, wanted: u64) -> Result<std::ops::Range<u64>> {
        let kind = series as i8;
        let first = (kind, base as i64, wanted.min(IMPORTS_A_MS) as i64);
        if db.compare_and_set(&self.statements.begin, first).await? {
            return Ok(base..base + wanted.min(IMPORTS_A_MS));
        }
        for _ in 0..ATTEMPTS {
            let row: Option<(i64,)> = db.row(&self.statements.read, (kind, base as i64)).await?;
            let (before,) = row.ok_or_else(Error::unavailable)?;
            let given = (before as u64 + wanted).min(IMPORTS_A_MS);
            let taken = (base + before as u64)..(base + given);
            if taken.is_empty() {
                return Ok(taken);
            }
            let raise = (given as i64, kind, base as i64, before);
            if db.compare_and_set(&self.statements.raise, raise).await? {
                return Ok(taken);
            }
        }
        Err(Error::unavailable())
    }
}
