//! Bulk loading.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::ImportStore;
use social_core::graph::EdgeKind;
use social_core::id;
use social_core::import::{ImportBatch, ImportFollow, ImportKind, ImportOutcome, ImportPost, ImportProgress};
use social_core::posts::PostDraft;
use social_core::users::NewUser;
use social_core::{Error, PostId, Reason, Result, Time};
use uuid::Uuid;

use super::{Memory, Rows};

#[async_trait]
impl ImportStore for Memory {
    async fn import_progress(&self, import: Uuid) -> Result<Option<ImportProgress>> {
        Ok(self.rows().imports.get(&import).cloned())
    }

    async fn import_users(&self, batch: ImportBatch<NewUser>) -> Result<ImportOutcome> {
        self.rows().import(ImportKind::Users, batch, |rows, user| {
            rows.add_user(user).map(|_| false)
        })
    }

    async fn import_posts(&self, batch: ImportBatch<ImportPost>) -> Result<ImportOutcome> {
        self.rows().import(ImportKind::Posts, batch, Rows::import_post)
    }

    async fn import_follows(&self, batch: ImportBatch<ImportFollow>) -> Result<ImportOutcome> {
        self.rows().import(ImportKind::Follows, batch, Rows::import_follow)
    }

    async fn seal_imports(&self) -> Result<()> {
        self.rows().import_runs += 1;
        Ok(())
    }
}

/// Ids of the past that were given to imported rows, so that each is given once.
#[derive(Default)]
pub(super) struct PastIds {
    /// Ids given so far, by the millisecond's first one.
    given: BTreeMap<u64, u64>,
}

impl PastIds {
    /// So many ids of the millisecond with this first one are taken, or more.
    pub(super) fn note(&mut self, base: u64, given: u64) {
        let taken = self.given.entry(base).or_default();
        *taken = given.max(*taken);
    }

    /// The first free id of a millisecond, or of the next one that has room.
    fn give(&mut self, mut time: Time) -> u64 {
        loop {
            let base = id::import_base(time);
            let given = self.given.entry(base).or_default();
            if *given < id::IMPORTS_A_MS {
                *given += 1;
                return base + *given - 1;
            }
            time = time.plus_ms(1);
        }
    }
}

impl Rows {
    /// `take` answers whether home timelines are others now: then cursors of before are reset at once, since the end of the
    /// import may never come.
    fn import<T>(
        &mut self,
        kind: ImportKind,
        batch: ImportBatch<T>,
        mut take: impl FnMut(&mut Self, T) -> Result<bool>,
    ) -> Result<ImportOutcome> {
        let now = self.now();
        let earlier = self.imports.get(&batch.import).cloned();
        let mut progress = earlier.unwrap_or_else(|| ImportProgress::new(kind, now));
        let skipped = progress.skip(kind, batch.offset, batch.items.len())?;
        let mut moved = false;
        for item in batch.items.into_iter().skip(skipped) {
            let stored = item.and_then(|item| take(self, item));
            progress.note(&stored.map(|stored| moved |= stored));
        }
        self.import_runs += u64::from(moved);
        progress.updated_at = now;
        self.imports.insert(batch.import, progress.clone());
        Ok(ImportOutcome {
            progress,
            skipped: skipped as u64,
        })
    }

    fn import_post(&mut self, import: ImportPost) -> Result<bool> {
        self.user(import.author)?;
        let id = PostId(self.past_posts.give(import.created_at));
        let draft = PostDraft {
            author: import.author,
            title: import.title,
            content: import.content,
            visibility: import.visibility,
            in_reply_to: import.in_reply_to,
            facets: import.facets,
        };
        self.posts.insert(id, Arc::new(draft.into_post(id, import.created_at)));
        Ok(true)
    }

    fn import_follow(&mut self, import: ImportFollow) -> Result<bool> {
        let ImportFollow {
            follower,
            followee,
            created_at,
        } = import;
        if follower == followee {
            return Err(Error::new(Reason::SelfReference, "nobody follows themselves"));
        }
        self.user(follower)?;
        self.user(followee)?;
        if self.graph.follows.has(follower, followee) {
            return Ok(false);
        }
        self.graph.check_new(EdgeKind::Follow, follower, followee)?;
        let since = self.past_follows.give(created_at);
        self.graph.follows.add(follower, followee, since);
        Ok(true)
    }
}
