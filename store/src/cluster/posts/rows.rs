//! The tables of posts.

use std::sync::Arc;

use futures::future::try_join_all;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use social_core::fanout::Mode;
use social_core::page::{Order, Range};
use social_core::posts::{Post, Revision};
use social_core::{PostId, Result, limits};

use crate::cluster::db::{Db, statements};
use crate::cluster::docs::Docs;
use crate::cluster::lists::{Entry, List, Place};
use crate::cluster::truth::Truth;
use crate::rows::{Row, decode, encode};

/// Bytes of first rows kept in memory.
const CACHE_BYTES: u64 = 64 << 20;
/// First rows expected in the cache.
const CACHE_ENTRIES: usize = 100_000;

statements!(Statements {
    insert: Write "INSERT INTO posts (id, mode, row) VALUES (?, ?, ?) USING TIMESTAMP ?",
    first: Read "SELECT mode, row FROM posts WHERE id = ?",
    insert_revision: Write "INSERT INTO post_revisions (post, number, row) VALUES (?, ?, ?) USING TIMESTAMP ?",
    newest_revisions: Read "SELECT row FROM post_revisions WHERE post = ? AND number >= ? AND number <= ? ORDER BY number DESC LIMIT ?",
    oldest_revisions: Read "SELECT row FROM post_revisions WHERE post = ? AND number >= ? AND number <= ? ORDER BY number ASC LIMIT ?",
});

/// The buckets that a post is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Places {
    /// Of its author's posts.
    pub(super) own: i32,
    /// Of all of its author's posts.
    pub(super) all: i32,
    /// Of the target's replies; 0 without a target.
    pub(super) reply: i32,
}

/// A post as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::cluster) struct PostRow {
    pub(in crate::cluster) post: Arc<Post>,
    pub(in crate::cluster) places: Places,
    /// The timestamp of the entries in the lists that came with it.
    pub(in crate::cluster) stamp: i64,
}

impl Row for PostRow {}

impl PostRow {
    /// Where the post is in a list; none where it does not belong there.
    pub(super) fn place(&self, list: List) -> Option<Place> {
        let (owner, bucket) = match list {
            List::UserPosts => (self.post.author.0, self.places.own),
            List::AllUserPosts => (self.post.author.0, self.places.all),
            List::Replies => (self.post.in_reply_to?.0, self.places.reply),
            _ => return None,
        };
        Some(Place { list, owner, bucket })
    }

    /// What its lists hold of it.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            key: self.post.id.0,
            member: self.post.id.0,
        }
    }
}

/// A post's first row.
pub(in crate::cluster) struct First {
    pub(in crate::cluster) row: PostRow,
    /// The mode that it was created with.
    pub(super) mode: Mode,
}

#[derive(Clone, Copy)]
struct Weigh;

impl Weighter<PostId, Arc<First>> for Weigh {
    fn weight(&self, _: &PostId, first: &Arc<First>) -> u64 {
        // Twice the text: the edge keeps the encoded row beside it.
        let post = &first.row.post;
        600 + 2 * (post.content.len() + 40 * post.facets.len()) as u64
    }
}

/// A post's present row.
pub(super) struct Stored {
    pub(super) row: PostRow,
    /// The version of its head, where it has one.
    pub(super) head: Option<u64>,
}

/// The tables of posts.
pub(in crate::cluster) struct Posts {
    statements: Statements,
    pub(super) heads: Docs,
    firsts: Cache<PostId, Arc<First>, Weigh>,
}

impl Posts {
    pub(in crate::cluster) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            heads: Docs::prepare(db, "post_heads").await?,
            firsts: Cache::with_weighter(CACHE_ENTRIES, CACHE_BYTES, Weigh),
        })
    }

    /// Writes a post's first row.
    pub(super) async fn insert(&self, db: &Db, row: &PostRow, mode: Mode) -> Result<()> {
        let values = (row.post.id.0 as i64, number(mode), encode(row)?, row.stamp);
        db.run(&self.statements.insert, values).await?;
        self.firsts
            .insert(row.post.id, Arc::new(First { row: row.clone(), mode }));
        Ok(())
    }

    /// A post's first row.
    pub(in crate::cluster) async fn first(&self, db: &Db, id: PostId) -> Result<Option<Arc<First>>> {
        if let Some(first) = self.firsts.get(&id) {
            return Ok(Some(first));
        }
        let row: Option<(i8, Vec<u8>)> = db.row(&self.statements.first, (id.0 as i64,)).await?;
        let Some((mode, bytes)) = row else {
            return Ok(None);
        };
        let first = Arc::new(First {
            row: decode(&bytes).map_err(|error| error.report("posts"))?,
            mode: mode_of(mode),
        });
        self.firsts.insert(id, Arc::clone(&first));
        Ok(Some(first))
    }

    /// Writes a revision.
    pub(in crate::cluster) async fn insert_revision(
        &self,
        db: &Db,
        post: PostId,
        revision: &Revision,
        stamp: i64,
    ) -> Result<()> {
        let (post, number) = (post.0 as i64, i64::from(revision.number));
        let values = (post, number, encode(revision)?, stamp);
        db.run(&self.statements.insert_revision, values).await
    }

    /// One revision.
    pub(in crate::cluster) async fn revision(&self, db: &Db, post: PostId, number: u32) -> Result<Option<Revision>> {
        let number = i64::from(number);
        let values = (post.0 as i64, number, number, 1);
        let row: Option<(Vec<u8>,)> = db.row(&self.statements.oldest_revisions, values).await?;
        row.map(|(bytes,)| decode(&bytes).map_err(|error| error.report("post_revisions")))
            .transpose()
    }

    /// Earlier revisions of a post, the last [`limits::POST_REVISIONS`] of them: older rows stay, and are not told of.
    pub(super) async fn revisions(&self, db: &Db, post: &Post, range: Range) -> Result<Vec<Revision>> {
        let oldest = u64::from(post.revision).saturating_sub(limits::POST_REVISIONS as u64);
        // An edit under way writes its revision, which is the present one, before it is acknowledged.
        let newest = u64::from(post.revision).saturating_sub(1);
        let bounds = range.bounds().map(|(low, high)| (low.max(oldest), high.min(newest)));
        let Some((low, high)) = bounds.filter(|(low, high)| low <= high) else {
            return Ok(Vec::new());
        };
        let statement = match range.order {
            Order::NewestFirst => &self.statements.newest_revisions,
            Order::OldestFirst => &self.statements.oldest_revisions,
        };
        let limit = range.limit.min(limits::POST_REVISIONS) as i32;
        let values = (post.id.0 as i64, low as i64, high as i64, limit);
        let rows: Vec<(Vec<u8>,)> = db.rows(statement, values).await?;
        let read = |(bytes,): (Vec<u8>,)| decode(&bytes).map_err(|error| error.report("post_revisions"));
        rows.into_iter().map(read).collect()
    }
}

impl Truth {
    /// Posts as they are now.
    pub(super) async fn present_posts(&self, ids: &[PostId]) -> Result<Vec<Option<Arc<Post>>>> {
        let keys: Vec<u64> = ids.iter().map(|id| id.0).collect();
        let firsts = try_join_all(ids.iter().map(|id| self.posts.first(&self.db, *id)));
        let (heads, firsts) = tokio::try_join!(self.posts.heads.get_many::<PostRow>(&self.db, &keys), firsts)?;
        let present = |(id, first): (&PostId, Option<Arc<First>>)| match heads.get(&id.0) {
            Some(doc) => Some(Arc::clone(&doc.row.post)),
            None => first.map(|first| Arc::clone(&first.row.post)),
        };
        Ok(ids.iter().zip(firsts).map(present).collect())
    }

    /// A post's present row.
    pub(super) async fn stored_post(&self, id: PostId) -> Result<Option<Stored>> {
        let (head, first) = tokio::try_join!(
            self.posts.heads.get::<PostRow>(&self.db, id.0),
            self.posts.first(&self.db, id)
        )?;
        let head = head.map(|doc| Stored {
            head: Some(doc.version),
            row: doc.row,
        });
        let first = first.map(|first| Stored {
            head: None,
            row: first.row.clone(),
        });
        Ok(head.or(first))
    }
}

fn number(mode: Mode) -> i8 {
    match mode {
        Mode::Push => 0,
        Mode::Pull => 1,
    }
}

fn mode_of(number: i8) -> Mode {
    if number == 1 { Mode::Pull } else { Mode::Push }
}
