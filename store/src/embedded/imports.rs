//! Imports: bulk loading, a batch a commit.

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

/// The row of table `meta` that counts runs of imports.
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
        self.writer
            .run(move |tx| commit(tx, ImportKind::Posts, batch, import_post))
            .await
    }

    async fn import_follows(&self, batch: ImportBatch<ImportFollow>) -> Result<ImportOutcome> {
        self.writer
            .run(move |tx| commit(tx, ImportKind::Follows, batch, import_follow))
            .await
    }

    async fn seal_imports(&self) -> Result<()> {
        self.writer.run(seal).await
    }
}

/// Stores what an earlier attempt did not, with the progress.
fn commit<T>(
    tx: &mut Tx<'_>,
    kind: ImportKind,
    batch: ImportBatch<T>,
    store: impl Fn(&mut Tx<'_>, T) -> Result<()>,
) -> Result<ImportOutcome> {
    let key = keys::import(batch.import);
    let earlier: Option<ImportProgress> = tx.row(Table::Imports, &key)?;
    let mut progress = earlier.unwrap_or_else(|| ImportProgress::new(kind, tx.now()));
    let skipped = progress.skip(kind, batch.offset, batch.items.len())?;
    for item in batch.items.into_iter().skip(skipped) {
        progress.note(&refused(item.and_then(|item| store(tx, item)))?);
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

fn import_user(tx: &mut Tx<'_>, user: NewUser) -> Result<()> {
    accounts::insert_user(tx, user).map(drop)
}

fn import_post(tx: &mut Tx<'_>, import: ImportPost) -> Result<()> {
    accounts::load_user(tx, import.author)?;
    let id = PostId(free_id(import.created_at, |first, last| {
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
    posts::insert(tx, draft.into_post(id, import.created_at)).map(drop)
}

fn import_follow(tx: &mut Tx<'_>, follow: ImportFollow) -> Result<()> {
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
        return Ok(());
    }
    // Both lists that the follow goes into are ordered by it.
    let since = free_id(created_at, |first, last| {
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
    graph::add(tx, EdgeKind::Follow, follower, followee, since)
}

/// An id of that time behind all that are taken, or of the next millisecond that has room. `last_taken` finds the last key
/// of those from one id to another.
fn free_id(time: Time, last_taken: impl Fn(u64, u64) -> Result<Option<Key>>) -> Result<u64> {
    let mut first = id::import_base(time);
    loop {
        let end = first + IMPORTS_A_MS - 1;
        match last_taken(first, end)?.map(|key| keys::last(&key)) {
            None => return Ok(first),
            Some(last) if last < end => return Ok(last + 1),
            Some(_) => first = id::import_base(id::minted_at(first).plus_ms(1)),
        }
    }
}

fn seal(tx: &mut Tx<'_>) -> Result<()> {
    let key = Key::from(IMPORTS_ROW);
    let imports = tx.number(Table::Meta, &key)?.unwrap_or(0) + 1;
    tx.put_number(Table::Meta, key, imports);
    tx.effect(Effect::Imports(imports));
    Ok(())
}
