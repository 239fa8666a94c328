//! Imports: bulk loading, a batch a commit.

use std::collections::HashMap;

use async_trait::async_trait;
use social_core::backend::ImportStore;
use social_core::error::Reason;
use social_core::graph::EdgeKind;
use social_core::id::{self, IMPORTS_A_MS};
use social_core::import::{ImportBatch, ImportFollow, ImportKind, ImportOutcome, ImportPost, ImportProgress};
use social_core::posts::PostDraft;
use social_core::users::NewUser;
use social_core::{Error, PostId, Result, Time};
use uuid::Uuid;

use super::accounts;
use super::effects::Effect;
use super::graph;
use super::keys::{self, Key};
use super::posts;
use super::tables::Table;
use super::truth::Truth;
use super::tx::Tx;

/// The row of table `meta` that counts what imports raised the horizon by.
pub(super) const IMPORTS_ROW: &[u8] = b"imports";

#[async_trait]
impl ImportStore for Truth {
    async fn import_progress(&self, import: Uuid) -> Result<Option<ImportProgress>> {
        self.row(Table::Imports, &keys::import(import))
    }

    async fn import_users(&self, batch: ImportBatch<NewUser>) -> Result<ImportOutcome> {
        self.writer
            .run(move |tx| commit(tx, ImportKind::Users, batch, import_user))
            .await
    }

    async fn import_posts(&self, batch: ImportBatch<ImportPost>) -> Result<ImportOutcome> {
        let past = self.past.clone();
        self.writer
            .run(move |tx| {
                let mut past = past.lock();
                commit(tx, ImportKind::Posts, batch, |tx, post| {
                    import_post(tx, &mut past, post)
                })
            })
            .await
    }

    async fn import_follows(&self, batch: ImportBatch<ImportFollow>) -> Result<ImportOutcome> {
        let past = self.past.clone();
        self.writer
            .run(move |tx| {
                let mut past = past.lock();
                commit(tx, ImportKind::Follows, batch, |tx, follow| {
                    import_follow(tx, &mut past, follow)
                })
            })
            .await
    }

    async fn seal_imports(&self) -> Result<()> {
        self.writer.run(raise_horizon).await
    }
}

/// Stores what an earlier attempt did not, with the progress. `store` answers whether home timelines are others now: then
/// cursors of before are reset with the same commit, since the end of the import may never come.
fn commit<T>(
    tx: &mut Tx<'_>,
    kind: ImportKind,
    batch: ImportBatch<T>,
    mut store: impl FnMut(&mut Tx<'_>, T) -> Result<bool>,
) -> Result<ImportOutcome> {
    let key = keys::import(batch.import);
    let earlier: Option<ImportProgress> = tx.row(Table::Imports, &key)?;
    let mut progress = earlier.unwrap_or_else(|| ImportProgress::new(kind, tx.now()));
    let skipped = progress.skip(kind, batch.offset, batch.items.len())?;
    let mut moved = false;
    for item in batch.items.into_iter().skip(skipped) {
        let stored = item.and_then(|item| store(tx, item));
        progress.note(&refused(stored.map(|stored| moved |= stored))?);
    }
    if moved {
        raise_horizon(tx)?;
    }
    progress.updated_at = tx.now();
    tx.put_row(Table::Imports, key, &progress)?;
    Ok(ImportOutcome {
        progress,
        skipped: skipped as u64,
    })
}

/// An item's refusal is part of the outcome; where the store failed, nothing is wrong with the item and the batch fails.
fn refused(outcome: Result<()>) -> Result<Result<()>> {
    match outcome {
        Err(error) if error.is_transient() || error.reason == Reason::Internal => Err(error),
        outcome => Ok(outcome),
    }
}

fn import_user(tx: &mut Tx<'_>, user: NewUser) -> Result<bool> {
    accounts::insert_user(tx, user).map(|_| false)
}

fn import_post(tx: &mut Tx<'_>, past: &mut PastIds, import: ImportPost) -> Result<bool> {
    accounts::load_user(tx, import.author)?;
    let id = PostId(past.give(POSTS, import.created_at, |first, last| {
        tx.last_key(Table::Posts, &keys::id(first), &keys::id(last))
    })?);
    let draft = PostDraft {
        author: import.author,
        title: import.title,
        content: import.content,
        visibility: import.visibility,
        in_reply_to: import.in_reply_to,
        facets: import.facets,
    };
    posts::insert(tx, draft.into_post(id, import.created_at)).map(|_| true)
}

fn import_follow(tx: &mut Tx<'_>, past: &mut PastIds, follow: ImportFollow) -> Result<bool> {
    let ImportFollow {
        follower,
        followee,
        created_at,
    } = follow;
    if follower == followee {
        return Err(Error::new(Reason::SelfReference, "nobody follows themselves"));
    }
    accounts::load_user(tx, follower)?;
    accounts::load_user(tx, followee)?;
    if graph::has(tx, EdgeKind::Follow, follower, followee)? {
        return Ok(false);
    }
    // Both lists that the follow goes into are ordered by it. The follower's has few; the followee's may fill many milliseconds.
    let since = past.give(followee.0, created_at, |first, last| {
        let list = |table, user| {
            tx.last_key(
                table,
                &keys::edge(EdgeKind::Follow, user, first),
                &keys::edge(EdgeKind::Follow, user, last),
            )
        };
        let (out, into) = (list(Table::EdgesOut, follower)?, list(Table::EdgesIn, followee)?);
        Ok([out, into].into_iter().flatten().max_by_key(|key| keys::last(key)))
    })?;
    graph::add(tx, EdgeKind::Follow, follower, followee, since).map(|()| true)
}

/// The list of [`PastIds`] that all posts are in; those of follows are named by the followee.
const POSTS: u64 = 0;
/// Milliseconds remembered as full. Beyond that they are found anew.
const FULL_KEPT: usize = 65_536;

/// Which milliseconds of the past have no room, so that rows of one time do not each look through those that the rows before
/// them filled. Only where to look is remembered: whether an id is free, the rows say.
#[derive(Default)]
pub(super) struct PastIds {
    /// By list and a full millisecond's first id: the first id of a later millisecond before which there is no room either.
    full: HashMap<(u64, u64), u64>,
}

impl PastIds {
    /// An id of that time behind all that are taken in the list, or of the next millisecond that has room. `last_taken` finds
    /// the last key of those from one id to another.
    fn give(&mut self, list: u64, time: Time, last_taken: impl Fn(u64, u64) -> Result<Option<Key>>) -> Result<u64> {
        let base = id::import_base(time);
        let mut first = base;
        let given = loop {
            if let Some(&next) = self.full.get(&(list, first)) {
                first = next;
                continue;
            }
            let end = first + IMPORTS_A_MS - 1;
            match last_taken(first, end)?.map(|key| keys::last(&key)) {
                None => break first,
                Some(last) if last < end => break last + 1,
                Some(_) => {
                    let next = id::import_base(id::minted_at(first).plus_ms(1));
                    self.note_full(list, first, next);
                    first = next;
                }
            }
        };
        if first != base {
            self.note_full(list, base, first);
        }
        Ok(given)
    }

    fn note_full(&mut self, list: u64, first: u64, next: u64) {
        if self.full.len() >= FULL_KEPT {
            self.full.clear();
        }
        self.full.insert((list, first), next);
    }
}

/// Resets the cursors of before this commit.
fn raise_horizon(tx: &mut Tx<'_>) -> Result<()> {
    let key = Key::from(IMPORTS_ROW);
    let imports = tx.number(Table::Meta, &key)?.unwrap_or(0) + 1;
    tx.put_number(Table::Meta, key, imports);
    tx.effect(Effect::Imports(imports));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    use super::*;

    const OLD: Time = Time::from_unix_ms(1_300_000_000_000);

    #[test]
    fn rows_of_one_time_are_placed_without_looking_through_all_before_them() {
        let (taken, looks) = (RefCell::new(BTreeSet::new()), Cell::new(0));
        let last_taken = |first: u64, last: u64| {
            looks.set(looks.get() + 1);
            Ok(taken.borrow().range(first..=last).next_back().map(|id| keys::id(*id)))
        };
        let mut past = PastIds::default();
        let count = 5 * IMPORTS_A_MS + 7;
        let mut before = 0;
        for _ in 0..count {
            let given = past.give(POSTS, OLD, last_taken).unwrap();
            assert!(
                given > before && taken.borrow_mut().insert(given),
                "each once, ascending"
            );
            before = given;
        }
        assert_eq!(
            looks.get(),
            count + 5,
            "one look each, and one more for each that was full"
        );

        // Rows of a time that overflowing ones filled go behind those, and a process that remembers nothing finds the same.
        for ms in [0, 2, 5] {
            let given = past.give(POSTS, OLD.plus_ms(ms), last_taken).unwrap();
            let anew = PastIds::default().give(POSTS, OLD.plus_ms(ms), last_taken).unwrap();
            assert!(given == anew && taken.borrow_mut().insert(given));
            assert_eq!(id::minted_at(given), OLD.plus_ms(5));
        }
        assert_eq!(
            past.give(1, OLD, |_, _| Ok(None)).unwrap(),
            id::import_base(OLD),
            "lists do not mix"
        );
    }
}
