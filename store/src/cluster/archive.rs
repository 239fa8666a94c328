//! Whole platforms as records.
//!
//! An export reads whole tables page by page; a page ends where the store says, and what it says is good for every process and for long. An
//! import goes as those of foreign data go (`imports.rs`): a document holds how far it has come, and what the rows of the batch under way are
//! written under, so that whoever repeats the batch writes the same rows.

mod restore;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use scylla::statement::prepared::PreparedStatement;
use social_core::archive::{Batch, EdgeRecord, Part, Progress, Record, Restored};
use social_core::backend::{ArchiveStore, EventStore as _, ExportStart, Exported};
use social_core::id::floor_at;
use social_core::likes::Like;
use social_core::{CommentId, PostId, Result, UserId};
use tokio::sync::Mutex;

use super::db::{Db, statements};
use super::docs::Docs;
use super::graph::kind_of;
use super::truth::Truth;
use crate::rows::decode;
use restore::Restoring;

/// The settings document of the archive that was brought in.
const ARCHIVE: u64 = 16;
/// Rows that are read, or written, at the same time.
const AT_ONCE: usize = 64;

statements!(Statements {
    users: Read "SELECT id FROM users",
    any_user: Read "SELECT id FROM users LIMIT 1",
    posts: Read "SELECT id FROM posts",
    revisions: Read "SELECT post, row FROM post_revisions",
    comments: Read "SELECT id FROM comments",
    likes: Read "SELECT user, post, active, since FROM likes",
    edges: Read "SELECT kind, from_user, to_user, active, since FROM edges",
});

/// The statements of archives.
pub(super) struct Archives {
    statements: Statements,
    settings: Docs,
    /// One batch at a time in this process: another would only do the same again.
    alone: Mutex<()>,
}

impl Archives {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            settings: Docs::prepare(db, "settings").await?,
            alone: Mutex::default(),
        })
    }
}

#[async_trait]
impl ArchiveStore for Truth {
    async fn begin_export(&self) -> Result<ExportStart> {
        let timing = self.events.timing();
        let bound = floor_at(self.now().plus(timing.skew()).plus_ms(1));
        let minted = self.ids.mint().await?;
        if timing.slack.is_zero() {
            // The only process: nobody is ahead of it, and what it answered is written.
            return Ok(ExportStart {
                source: "cluster",
                bound: minted,
            });
        }
        // What others, whose clocks may be ahead, were asked to write below the bound is filed after this time, or never.
        tokio::time::sleep(timing.slack + timing.skew()).await;
        Ok(ExportStart {
            source: "cluster",
            bound: bound.max(minted),
        })
    }

    async fn export(&self, part: Part, after: Option<&[u8]>, limit: usize) -> Result<Exported> {
        let statements = &self.archives.statements;
        match part {
            Part::Policy => Ok(Exported {
                records: vec![Record::Policy(self.policy().await?)],
                next: None,
            }),
            Part::Users => {
                let person = |id| async move { self.person(UserId(id)).await };
                self.export_each(&statements.users, (after, limit), person).await
            }
            Part::Posts => {
                let post = |id| async move { Ok(self.post(PostId(id)).await?.map(Record::Post)) };
                self.export_each(&statements.posts, (after, limit), post).await
            }
            Part::Comments => {
                let comment = |id| async move { Ok(self.plain_comment(CommentId(id)).await?.map(Record::Comment)) };
                self.export_each(&statements.comments, (after, limit), comment).await
            }
            Part::Revisions => self.export_revisions(after, limit).await,
            Part::Likes => self.export_likes(after, limit).await,
            Part::Edges => self.export_edges(after, limit).await,
        }
    }

    async fn archive(&self) -> Result<Option<Progress>> {
        let doc = self.archives.settings.get::<Restoring>(&self.db, ARCHIVE).await?;
        // One whose first batch was cut short does not exist yet.
        let progress = doc.map(|doc| doc.row.progress);
        Ok(progress.filter(|progress| progress.next_offset > 0 || progress.complete))
    }

    async fn restore(&self, batch: Batch) -> Result<Restored> {
        let _alone = self.archives.alone.lock().await;
        self.restore_batch(&batch).await
    }
}

impl Truth {
    /// A page of a table of ids, each with what there is under it.
    async fn export_each<F>(
        &self,
        statement: &PreparedStatement,
        (after, limit): (Option<&[u8]>, usize),
        read: impl Fn(u64) -> F + Send,
    ) -> Result<Exported>
    where
        F: Future<Output = Result<Option<Record>>> + Send,
    {
        let (rows, next) = self.db.page::<(i64,)>(statement, after, limit).await?;
        let reads: Vec<F> = rows.into_iter().map(|(id,)| read(id as u64)).collect();
        let records: Vec<Option<Record>> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        Ok(Exported {
            records: records.into_iter().flatten().collect(),
            next,
        })
    }

    async fn export_revisions(&self, after: Option<&[u8]>, limit: usize) -> Result<Exported> {
        let statement = &self.archives.statements.revisions;
        let (rows, next) = self.db.page::<(i64, Vec<u8>)>(statement, after, limit).await?;
        let record = |(post, bytes): (i64, Vec<u8>)| {
            let revision = decode(&bytes).map_err(|error| error.report("post_revisions"))?;
            let post = PostId(post as u64);
            Ok(Record::Revision { post, revision })
        };
        let records = rows.into_iter().map(record).collect::<Result<_>>()?;
        Ok(Exported { records, next })
    }

    async fn export_likes(&self, after: Option<&[u8]>, limit: usize) -> Result<Exported> {
        let statement = &self.archives.statements.likes;
        let (rows, next) = self.db.page::<(i64, i64, bool, i64)>(statement, after, limit).await?;
        let active = rows.into_iter().filter(|row| row.2);
        let like = |(user, post, _, since): (i64, i64, bool, i64)| {
            Record::Like(Like {
                user: UserId(user as u64),
                post: PostId(post as u64),
                since: since as u64,
            })
        };
        Ok(Exported {
            records: active.map(like).collect(),
            next,
        })
    }

    async fn export_edges(&self, after: Option<&[u8]>, limit: usize) -> Result<Exported> {
        let statement = &self.archives.statements.edges;
        let (rows, next) = self
            .db
            .page::<(i8, i64, i64, bool, i64)>(statement, after, limit)
            .await?;
        let active = rows.into_iter().filter(|row| row.3);
        let edge = |(kind, from, to, _, since): (i8, i64, i64, bool, i64)| {
            Some(Record::Edge(EdgeRecord {
                kind: kind_of(kind)?,
                from: UserId(from as u64),
                to: UserId(to as u64),
                since: since as u64,
            }))
        };
        Ok(Exported {
            records: active.filter_map(edge).collect(),
            next,
        })
    }
}
