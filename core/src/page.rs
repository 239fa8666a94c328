//! Ranges of rows and pages of answers.

use futures::future::BoxFuture;

use crate::error::{Error, Result};
use crate::limits;

/// The direction of a listing by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Descending ids.
    NewestFirst,
    /// Ascending ids.
    OldestFirst,
}

/// A stretch of a listing whose rows are keyed by an ascending number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Direction.
    pub order: Order,
    /// Rows strictly behind this key, in the direction of travel.
    pub after: Option<u64>,
    /// Rows strictly before this key, in the direction of travel.
    pub until: Option<u64>,
    /// At most this many rows.
    pub limit: usize,
}

impl Range {
    /// The newest `limit` rows below `after`.
    pub fn newest(after: Option<u64>, limit: usize) -> Self {
        Self {
            order: Order::NewestFirst,
            after,
            until: None,
            limit,
        }
    }

    /// The oldest `limit` rows above `after`.
    pub fn oldest(after: Option<u64>, limit: usize) -> Self {
        Self {
            order: Order::OldestFirst,
            after,
            until: None,
            limit,
        }
    }

    /// Smallest and largest key of the range, both inclusive; `None` where it is empty.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        let (low, high) = match self.order {
            Order::NewestFirst => (self.until, self.after),
            Order::OldestFirst => (self.after, self.until),
        };
        let low = low.map_or(Some(0), |key| key.checked_add(1))?;
        let high = high.map_or(Some(u64::MAX), |key| key.checked_sub(1))?;
        (low <= high && self.limit > 0).then_some((low, high))
    }
}

/// A page: its items, and where the next one starts. Only an absent `next` is the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, K = u64> {
    /// The items, in the listing's order.
    pub items: Vec<T>,
    /// Key of the last row that was looked at, to go on behind it.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U, K> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next: self.next,
        }
    }
}

/// A caller's page size coerced into range: 0 is `default`, more than `max` is `max`; negative is INVALID_FIELD `page_size`.
pub fn size(requested: i32, default: usize, max: usize) -> Result<usize> {
    match usize::try_from(requested) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
        Err(_) => Err(Error::field("page_size", "must be 0 (for the default) or more")),
    }
}

/// The key to go on behind a page that was read whole: that of its last row, or `None` where the page is not full, which is the end.
pub(crate) fn next_after<R>(rows: &[R], size: usize, key: impl Fn(&R) -> u64) -> Option<u64> {
    rows.last().filter(|_| rows.len() == size).map(key)
}

/// Checks how many ids a batch call asks for: 1 to [`limits::BATCH`]. INVALID_FIELD `field`.
pub fn batch(field: &str, ids: usize) -> Result<()> {
    if (1..=limits::BATCH).contains(&ids) {
        return Ok(());
    }
    Err(Error::field(
        field,
        format!("must hold 1 to {} ids, not {ids}", limits::BATCH),
    ))
}

/// Rows of one round of [`fill`] at the most.
const ROUND_MAX: usize = 256;

/// What one round of a listing came to.
pub(crate) struct Round<T> {
    /// How many rows were looked at.
    pub(crate) rows: usize,
    /// The key of the last of them.
    pub(crate) last: Option<u64>,
    /// Those of them that are shown, each with its key, in the listing's order.
    pub(crate) shown: Vec<(u64, T)>,
}

/// How many rows the first round of a page asks for: one more than it holds, which tells whether another page follows.
pub(crate) const fn first_round(size: usize) -> usize {
    size + 1
}

/// Fills a page of `size` items from a listing of which some rows are not shown. `look` reads a round of that many rows behind a
/// key, or more, and of fewer only at the listing's end; there are rounds until the page is full, the listing ends or [`limits::PAGE_SCAN`] rows were looked at. Answers the items and the key to
/// go on behind, `None` at the end.
pub(crate) async fn fill<'a, T>(
    size: usize,
    mut after: Option<u64>,
    look: impl Fn(Option<u64>, usize) -> BoxFuture<'a, Result<Round<T>>>,
) -> Result<(Vec<T>, Option<u64>)> {
    let mut items = Vec::with_capacity(size);
    let mut scanned = 0;
    let mut wanted = first_round(size);
    loop {
        let round = look(after, wanted).await?;
        for (key, item) in round.shown {
            if items.len() == size {
                return Ok((items, after));
            }
            items.push(item);
            after = Some(key);
        }
        if round.rows < wanted {
            return Ok((items, None));
        }
        after = round.last.or(after);
        scanned += round.rows;
        if items.len() == size || scanned >= limits::PAGE_SCAN {
            return Ok((items, after));
        }
        wanted = (wanted * 2).min(ROUND_MAX).max(first_round(size));
    }
}
