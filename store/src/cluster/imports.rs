//! Bulk loading.
//!
//! The progress of an import is a document. Before the rows of a batch are written, the document notes what they are written under: ids,
//! timestamp, places in lists. Whoever repeats a batch that was cut short, or commits the same one at the same time, writes the same rows, also
//! where they were changed in between: an older timestamp changes nothing.

mod follows;
mod past;
mod posts;
mod users;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use social_core::backend::ImportStore;
use social_core::import::{ImportBatch, ImportFollow, ImportKind, ImportOutcome, ImportPost, ImportProgress};
use social_core::users::NewUser;
use social_core::{Error, Reason, Result};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::db::Db;
use super::docs::{self, Doc, Docs, Put};
use super::graph::Buckets;
use super::posts::Places as PostPlaces;
use super::truth::Truth;
use crate::rows::Row;
use past::{PastIds, Series};

/// The settings document that counts what imports raised the horizon by.
const RUNS: u64 = 2;
/// How often a batch is begun anew when other calls bring the same import on.
const ATTEMPTS: usize = 32;
/// Items whose rows are written at the same time.
const AT_ONCE: usize = 64;
/// Locks that imports are spread over.
const LOCKS: usize = 64;

/// An import as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Import {
    progress: ImportProgress,
    /// What items that are not committed yet are written under, from the progress's next offset on.
    reserved: Vec<Option<Reserved>>,
}

impl Row for Import {}

/// What the rows of an item are written under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reserved {
    /// The id of the row, or the key of the list entry.
    id: u64,
    /// The write timestamp.
    stamp: i64,
    /// The lists that it goes into.
    places: Places,
}

/// The buckets of lists.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Places {
    /// It is in no list.
    None,
    /// Of a post.
    Post(PostPlaces),
    /// Of a follow.
    Follow(Buckets),
}

/// How often imports moved timelines.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Runs(u64);

impl Row for Runs {}

/// The statements of imports.
pub(super) struct Imports {
    docs: Docs,
    settings: Docs,
    past: PastIds,
    locks: Box<[Mutex<()>]>,
}

impl Imports {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            docs: Docs::prepare(db, "imports").await?,
            settings: Docs::prepare(db, "settings").await?,
            past: PastIds::prepare(db).await?,
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
        })
    }

    /// Lets this process work on one batch of an import at a time: another would only do the same again. These are locks of
    /// their own, since rows are locked meanwhile.
    async fn lock(&self, import: Uuid) -> MutexGuard<'_, ()> {
        let (high, low) = import.as_u64_pair();
        self.locks[((high ^ low) % LOCKS as u64) as usize].lock().await
    }
}

/// What an import brings.
#[async_trait]
trait Item: Sized + Send + Sync + 'static {
    const KIND: ImportKind;
    /// Whether home timelines are others with it: then cursors of before are reset with each batch, since the end of the import may never come.
    const MOVES_TIMELINES: bool;

    /// What is to become of the items: written, `false` where there is nothing to be written, or refused.
    async fn check(truth: &Truth, items: &[Slot<'_, Self>]) -> Result<Vec<Result<bool>>>;

    /// What the rows of some items are to be written under.
    async fn reserve(truth: &Truth, items: &[&Self]) -> Result<Vec<Reserved>>;

    /// Writes the rows of items, or finds them written, and has the counts that they touched counted anew. An error that is not of the store
    /// refuses its item.
    async fn store(truth: &Truth, items: &[(&Self, &Reserved)]) -> Result<Vec<Result<()>>>;
}

/// An item of a batch, and what an earlier attempt reserved for it.
struct Slot<'a, T> {
    item: &'a Result<T>,
    reserved: Option<&'a Reserved>,
}

/// A batch under way: the document as it is stored, and how many items of the batch are behind it.
struct Run {
    id: Uuid,
    stored: Option<Doc<Import>>,
    import: Import,
    skipped: usize,
}

#[async_trait]
impl ImportStore for Truth {
    async fn import_progress(&self, import: Uuid) -> Result<Option<ImportProgress>> {
        let doc: Option<Doc<Import>> = self.imports.docs.get(&self.db, import).await?;
        let progress = doc.map(|doc| doc.row.progress);
        // One whose first batch was cut short does not exist yet.
        Ok(progress.filter(|progress| progress.next_offset > 0))
    }

    async fn import_users(&self, batch: ImportBatch<NewUser>) -> Result<ImportOutcome> {
        self.import_batch(&batch).await
    }

    async fn import_posts(&self, batch: ImportBatch<ImportPost>) -> Result<ImportOutcome> {
        self.import_batch(&batch).await
    }

    async fn import_follows(&self, batch: ImportBatch<ImportFollow>) -> Result<ImportOutcome> {
        self.import_batch(&batch).await
    }

    async fn seal_imports(&self) -> Result<()> {
        let event = self.ids.mint().await?;
        let raised = docs::change(&self.imports.settings, &self.db, RUNS, event, |runs: Option<&Runs>| {
            Ok(Some(Runs(runs.map_or(0, |runs| runs.0) + 1)))
        });
        raised.await?;
        self.events.forget_horizon();
        Ok(())
    }
}

impl Truth {
    /// How often imports moved timelines: cursors of before are reset.
    pub(super) async fn import_runs(&self) -> Result<u64> {
        let runs: Option<Doc<Runs>> = self.imports.settings.get(&self.db, RUNS).await?;
        Ok(runs.map_or(0, |doc| doc.row.0))
    }

    /// Sees to it that no import gives these ids anew.
    pub(super) async fn note_past_ids(&self, posts: &[u64], follows: &[u64]) -> Result<()> {
        let past = &self.imports.past;
        tokio::try_join!(
            past.note(&self.db, Series::Posts, posts),
            past.note(&self.db, Series::Follows, follows),
        )
        .map(drop)
    }

    async fn import_batch<T: Item>(&self, batch: &ImportBatch<T>) -> Result<ImportOutcome> {
        let _alone = self.imports.lock(batch.import).await;
        for _ in 0..ATTEMPTS {
            let mut run = self.open_import(batch).await?;
            let items = batch.items.get(run.skipped..).unwrap_or_default();
            let checked = T::check(self, &run.slots(items)).await?;
            if self.reserve_items(&mut run, items, &checked).await? == Put::Lost {
                continue;
            }
            let outcomes = self.store_items(&run, items, checked).await?;
            if T::MOVES_TIMELINES && outcomes.contains(&Ok(true)) {
                self.seal_imports().await?;
            }
            if self.note_outcomes(&mut run, &outcomes).await? == Put::Stored {
                return Ok(ImportOutcome {
                    progress: run.import.progress,
                    skipped: run.skipped as u64,
                });
            }
        }
        Err(Error::unavailable())
    }

    async fn open_import<T: Item>(&self, batch: &ImportBatch<T>) -> Result<Run> {
        let stored: Option<Doc<Import>> = self.imports.docs.get(&self.db, batch.import).await?;
        let import = stored.as_ref().map_or_else(
            || Import {
                progress: ImportProgress::new(T::KIND, self.now()),
                reserved: Vec::new(),
            },
            |doc| doc.row.clone(),
        );
        Ok(Run {
            id: batch.import,
            skipped: import.progress.skip(T::KIND, batch.offset, batch.items.len())?,
            stored,
            import,
        })
    }

    /// Notes what the items to be written are written under, where that is not noted yet.
    async fn reserve_items<T: Item>(
        &self,
        run: &mut Run,
        items: &[Result<T>],
        checked: &[Result<bool>],
    ) -> Result<Put> {
        let reserved = &mut run.import.reserved;
        reserved.resize(reserved.len().max(items.len()), None);
        let (mut open, mut wanting) = (Vec::new(), Vec::new());
        for (number, (item, decided)) in items.iter().zip(checked).enumerate() {
            if let (Ok(item), Ok(true), None) = (item, decided, &reserved[number]) {
                open.push(number);
                wanting.push(item);
            }
        }
        if wanting.is_empty() {
            return Ok(Put::Stored);
        }
        for (number, made) in open.into_iter().zip(T::reserve(self, &wanting).await?) {
            reserved[number] = Some(made);
        }
        self.save_import(run).await
    }

    /// Writes the rows of the items; for each whether there was anything to write, or why it is refused.
    async fn store_items<T: Item>(
        &self,
        run: &Run,
        items: &[Result<T>],
        mut outcomes: Vec<Result<bool>>,
    ) -> Result<Vec<Result<bool>>> {
        let (mut numbers, mut wanting) = (Vec::new(), Vec::new());
        for (number, (slot, decided)) in run.slots(items).into_iter().zip(&outcomes).enumerate() {
            if let (Ok(item), Ok(true), Some(reserved)) = (slot.item, decided, slot.reserved) {
                numbers.push(number);
                wanting.push((item, reserved));
            }
        }
        for (number, stored) in numbers.into_iter().zip(T::store(self, &wanting).await?) {
            match stored {
                Ok(()) => {}
                // Nothing is wrong with the item: the batch fails.
                Err(error) if error.is_transient() || error.reason == Reason::Internal => return Err(error),
                Err(error) => outcomes[number] = Err(error),
            }
        }
        Ok(outcomes)
    }

    /// Commits the batch: its items are behind the import's next offset.
    async fn note_outcomes(&self, run: &mut Run, outcomes: &[Result<bool>]) -> Result<Put> {
        let now = self.now();
        let Import { progress, reserved } = &mut run.import;
        if progress.next_offset == 0 {
            progress.created_at = now;
        }
        for outcome in outcomes {
            progress.note(&outcome.clone().map(drop));
        }
        progress.updated_at = now;
        reserved.drain(..outcomes.len().min(reserved.len()));
        self.save_import(run).await
    }

    async fn save_import(&self, run: &mut Run) -> Result<Put> {
        let event = self.ids.mint().await?;
        let docs = &self.imports.docs;
        docs.save(&self.db, run.id, &mut run.stored, event, &run.import).await
    }
}

/// Does something about each of some items, many at the same time.
async fn each<T>(work: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(work.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
}

impl Run {
    fn slots<'a, T>(&'a self, items: &'a [Result<T>]) -> Vec<Slot<'a, T>> {
        let reserved = self
            .import
            .reserved
            .iter()
            .map(Option::as_ref)
            .chain(std::iter::repeat(None));
        let slots = items.iter().zip(reserved);
        slots.map(|(item, reserved)| Slot { item, reserved }).collect()
    }
}
