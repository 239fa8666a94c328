//! Lists of any length: followers, posts, likes, comments.
//!
//! Entries are ordered by a key (an id) and spread over buckets by it, so that no partition grows without bound; see [`layout`]. An entry stays in the
//! bucket that it was first put into, and whoever changes it knows that bucket from the row of truth beside it. A page reads some rows of each
//! bucket, and more of those whose rows reach into it.

mod layout;
mod page;

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use quick_cache::sync::Cache;
use social_core::Result;
use social_core::page::Range;

pub(super) use layout::{BUCKET_ENTRIES, spread};

use super::db::{Db, statements};
use layout::{Layout, is_looked_at};
use page::Part;

/// How long a process goes by the number of buckets that it knows. An older number only makes a bucket somewhat larger.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// Lists whose number of buckets a process remembers.
const KNOWN: usize = 100_000;
/// Buckets that are asked at the same time.
const AT_ONCE: usize = 64;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i8)]
pub(super) enum List {
    /// Of a user: who follows, by `since`.
    Followers = 1,
    /// Of a user: who blocks, by `since`.
    Blockers = 2,
    /// Of a user: who mutes, by `since`.
    Muters = 3,
    /// Of a user: posts that are not deleted.
    UserPosts = 4,
    /// Of a user: all posts.
    AllUserPosts = 5,
    /// Of a post: replies that are not deleted.
    Replies = 6,
    /// Of a post: comments that are not deleted, at any depth. For counting.
    Comments = 7,
    /// Of a post: its direct comments, deleted ones included.
    Roots = 8,
    /// Of a comment: its answers, deleted ones included.
    Answers = 9,
    /// Of a comment: its answers that are not deleted. For counting.
    LiveAnswers = 10,
    /// Of a post: who likes it, by `since`.
    PostLikes = 11,
    /// Of a user: what it likes, by `since`.
    UserLikes = 12,
    /// Of a user: who follows, by the follower's id. For fan-out.
    FanOut = 13,
    /// Of a user: edges and likes that it made lately. No list to page through: it tells calls of several processes that made the same one.
    Lately = 14,
}

/// Where an entry belongs: a list, its owner, and the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) list: List,
    pub(super) owner: u64,
    pub(super) bucket: i32,
}

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its place in the order.
    pub(super) key: u64,
    /// What is listed.
    pub(super) member: u64,
}

statements!(Statements {
    buckets: Read "SELECT buckets FROM list_buckets WHERE list = ? AND owner = ?",
    grow: Write "INSERT INTO list_buckets (list, owner, buckets) VALUES (?, ?, ?) USING TIMESTAMP ?",
    put: Write "INSERT INTO lists (list, owner, bucket, key, member, active) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
    newest: Read "SELECT key, member, active FROM lists WHERE list = ? AND owner = ? AND bucket = ? AND key >= ? AND key <= ? ORDER BY key DESC LIMIT ?",
    oldest: Read "SELECT key, member, active FROM lists WHERE list = ? AND owner = ? AND bucket = ? AND key >= ? AND key <= ? ORDER BY key ASC LIMIT ?",
    entry: Read "SELECT member, active FROM lists WHERE list = ? AND owner = ? AND bucket = ? AND key = ?",
    count: Read "SELECT COUNT(*) FROM lists WHERE list = ? AND owner = ? AND bucket = ?",
    count_active: Read "SELECT COUNT(*) FROM lists WHERE list = ? AND owner = ? AND bucket = ? AND active = true ALLOW FILTERING",
});

/// All lists.
pub(super) struct Lists {
    statements: Statements,
    known: Cache<(List, u64), (Layout, Instant)>,
}

impl Lists {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            known: Cache::new(KNOWN),
        })
    }

    /// Where a new entry goes.
    pub(super) async fn place(&self, db: &Db, list: List, owner: u64, key: u64) -> Result<Place> {
        let layout = match self.known.get(&(list, owner)) {
            Some((layout, at)) if at.elapsed() < KNOWN_FOR => layout,
            _ => self.layout(db, list, owner).await?,
        };
        let bucket = layout.bucket(key);
        Ok(Place { list, owner, bucket })
    }

    /// Sets an entry as of `stamp`: the newest stamp wins.
    pub(super) async fn put(&self, db: &Db, place: Place, entry: Entry, active: bool, stamp: i64) -> Result<()> {
        let Place { list, owner, bucket } = place;
        let (key, member) = (entry.key as i64, entry.member as i64);
        let values = (list as i8, owner as i64, bucket, key, member, active, stamp);
        db.run(&self.statements.put, values).await?;
        if active && is_looked_at(entry.key, owner) {
            // The entry is there; a bucket that is not looked at now is looked at later.
            if let Err(error) = self.grow_if_full(db, place).await {
                tracing::debug!(?error, "a list could not be looked at");
            }
        }
        Ok(())
    }

    /// Active entries of a range, in its order.
    pub(super) async fn range(&self, db: &Db, list: List, owner: u64, range: &Range) -> Result<Vec<Entry>> {
        let buckets = self.layout(db, list, owner).await?.buckets();
        let parts = (0..buckets).map(|bucket| Part::new(Place { list, owner, bucket }, *range));
        page::read(self, db, parts.collect(), range).await
    }

    /// The next `limit` active entries behind a bucket and key, bucket by bucket: an order in which an entry never moves back.
    pub(super) async fn walk(
        &self,
        db: &Db,
        list: List,
        owner: u64,
        after: Option<(i32, u64)>,
        limit: usize,
    ) -> Result<Vec<(i32, Entry)>> {
        let buckets = self.layout(db, list, owner).await?.buckets();
        let (first, mut key) = after.map_or((0, None), |(bucket, key)| (bucket, Some(key)));
        let mut entries = Vec::new();
        for bucket in first..buckets {
            let range = Range::oldest(key.take(), limit - entries.len());
            let part = Part::new(Place { list, owner, bucket }, range);
            let part = page::read(self, db, vec![part], &range).await?;
            entries.extend(part.into_iter().map(|entry| (bucket, entry)));
            if entries.len() >= limit {
                break;
            }
        }
        Ok(entries)
    }

    /// Active entries.
    pub(super) async fn count(&self, db: &Db, list: List, owner: u64) -> Result<u64> {
        self.count_to(db, list, owner, u64::MAX).await
    }

    /// Active entries, or some number from `enough` up: of a long list only as much is counted as that takes.
    pub(super) async fn count_to(&self, db: &Db, list: List, owner: u64, enough: u64) -> Result<u64> {
        let mut count = 0;
        for generation in self.layout(db, list, owner).await?.generations() {
            let counts = stream::iter(generation)
                .map(|bucket| self.count_bucket(db, Place { list, owner, bucket }))
                .buffer_unordered(AT_ONCE);
            count += counts
                .try_fold(0, |sum, count| std::future::ready(Ok(sum + count)))
                .await?;
            if count >= enough {
                break;
            }
        }
        Ok(count)
    }

    /// The buckets in which an entry of this key stands for a member.
    pub(super) async fn find(&self, db: &Db, list: List, owner: u64, entry: Entry) -> Result<Vec<i32>> {
        let buckets = self.layout(db, list, owner).await?.buckets();
        let looks = stream::iter(0..buckets).map(|bucket| async move {
            let values = (list as i8, owner as i64, bucket, entry.key as i64);
            let row: Option<(i64, bool)> = db.row(&self.statements.entry, values).await?;
            Ok((row == Some((entry.member as i64, true))).then_some(bucket))
        });
        let found: Vec<Option<i32>> = looks.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn count_bucket(&self, db: &Db, place: Place) -> Result<u64> {
        let values = (place.list as i8, place.owner as i64, place.bucket);
        let count: Option<(i64,)> = db.row(&self.statements.count_active, values).await?;
        Ok(count.map_or(0, |(count,)| count as u64))
    }

    /// How a list is spread. Never cached for reads: an entry in a new bucket must be seen at once.
    async fn layout(&self, db: &Db, list: List, owner: u64) -> Result<Layout> {
        let row: Option<(i32,)> = db.row(&self.statements.buckets, (list as i8, owner as i64)).await?;
        let layout = Layout::of(row.map_or(1, |(buckets,)| buckets));
        self.known.insert((list, owner), (layout, Instant::now()));
        Ok(layout)
    }

    async fn grow_if_full(&self, db: &Db, place: Place) -> Result<()> {
        let Place { list, owner, bucket } = place;
        let layout = self.layout(db, list, owner).await?;
        let Some(next) = layout.next().filter(|_| layout.takes(bucket)) else {
            return Ok(());
        };
        let (number, of) = (list as i8, owner as i64);
        let count: Option<(i64,)> = db.row(&self.statements.count, (number, of, bucket)).await?;
        if count.is_some_and(|(count,)| count > BUCKET_ENTRIES) {
            let buckets = next.buckets();
            // The number is its own timestamp: the larger one wins, whoever writes last.
            db.run(&self.statements.grow, (number, of, buckets, i64::from(buckets)))
                .await?;
            self.known.insert((list, owner), (next, Instant::now()));
        }
        Ok(())
    }
}
