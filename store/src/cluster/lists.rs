//! Ordered lists of any length: followers of an author, likes of a post, posts of a user.
//!
//! A list is spread over buckets by a hash of the entry's key, so that no partition grows without bound. The number of buckets doubles when a bucket is
//! full. An entry stays in the bucket that it was first put into, and whoever changes it knows that bucket from the row of truth beside it. A
//! page reads each bucket and merges by key.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use quick_cache::sync::Cache;
use social_core::Result;
use social_core::page::{Order, Range};

use super::db::{Db, statements};

/// Entries of a bucket beyond which new entries are spread over twice as many.
pub(super) const BUCKET_ENTRIES: i64 = 10_000;
/// A full bucket is looked for once in so many insertions.
const LOOK_EVERY: u64 = 64;
/// Entries that one read asks for at least.
const READ_MIN: usize = 256;
/// Buckets of one list at the most: enough for 40 million entries.
const BUCKETS_MAX: i32 = 4_096;
/// How long a process goes by the number of buckets that it knows. An older number only makes a bucket somewhat larger.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// Lists whose number of buckets a process remembers.
const KNOWN: usize = 100_000;

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
    count: Read "SELECT COUNT(*) FROM lists WHERE list = ? AND owner = ? AND bucket = ?",
    count_active: Read "SELECT COUNT(*) FROM lists WHERE list = ? AND owner = ? AND bucket = ? AND active = true ALLOW FILTERING",
});

/// All lists.
pub(super) struct Lists {
    statements: Statements,
    known: Cache<(List, u64), (i32, Instant)>,
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
        let buckets = match self.known.get(&(list, owner)) {
            Some((buckets, at)) if at.elapsed() < KNOWN_FOR => buckets,
            _ => self.buckets(db, list, owner).await?,
        };
        Ok(Place {
            list,
            owner,
            bucket: (spread(key) % buckets as u64) as i32,
        })
    }

    /// Sets an entry as of `stamp`: the newest stamp wins.
    pub(super) async fn put(&self, db: &Db, place: Place, entry: Entry, active: bool, stamp: i64) -> Result<()> {
        let Place { list, owner, bucket } = place;
        let (key, member) = (entry.key as i64, entry.member as i64);
        let values = (list as i8, owner as i64, bucket, key, member, active, stamp);
        db.run(&self.statements.put, values).await?;
        if active && spread(entry.key ^ owner).is_multiple_of(LOOK_EVERY) {
            // The entry is there; a bucket that is not looked at now is looked at later.
            if let Err(error) = self.grow_if_full(db, place).await {
                tracing::debug!(?error, "a list could not be looked at");
            }
        }
        Ok(())
    }

    /// Active entries of a range, in its order.
    pub(super) async fn range(&self, db: &Db, list: List, owner: u64, range: &Range) -> Result<Vec<Entry>> {
        let buckets = self.buckets(db, list, owner).await?;
        let parts = (0..buckets).map(|bucket| self.part(db, Place { list, owner, bucket }, *range));
        let mut entries = try_join_all(parts).await?.concat();
        match range.order {
            Order::NewestFirst => entries.sort_unstable_by_key(|entry| Reverse(entry.key)),
            Order::OldestFirst => entries.sort_unstable_by_key(|entry| entry.key),
        }
        entries.truncate(range.limit);
        Ok(entries)
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
        let buckets = self.buckets(db, list, owner).await?;
        let (first, mut key) = after.map_or((0, None), |(bucket, key)| (bucket, Some(key)));
        let mut entries = Vec::new();
        for bucket in first..buckets {
            let range = Range::oldest(key.take(), limit - entries.len());
            let part = self.part(db, Place { list, owner, bucket }, range).await?;
            entries.extend(part.into_iter().map(|entry| (bucket, entry)));
            if entries.len() >= limit {
                break;
            }
        }
        Ok(entries)
    }

    /// Active entries.
    pub(super) async fn count(&self, db: &Db, list: List, owner: u64) -> Result<u64> {
        let buckets = self.buckets(db, list, owner).await?;
        let parts = (0..buckets).map(|bucket| async move {
            let count: Option<(i64,)> = db
                .row(&self.statements.count_active, (list as i8, owner as i64, bucket))
                .await?;
            Ok(count.map_or(0, |(count,)| count as u64))
        });
        Ok(try_join_all(parts).await?.into_iter().sum())
    }

    /// How many buckets a list has. Never cached for reads: an entry in a new bucket must be seen at once.
    async fn buckets(&self, db: &Db, list: List, owner: u64) -> Result<i32> {
        let row: Option<(i32,)> = db.row(&self.statements.buckets, (list as i8, owner as i64)).await?;
        let buckets = row.map_or(1, |(buckets,)| buckets.clamp(1, BUCKETS_MAX));
        self.known.insert((list, owner), (buckets, Instant::now()));
        Ok(buckets)
    }

    /// Active entries of one bucket.
    async fn part(&self, db: &Db, place: Place, range: Range) -> Result<Vec<Entry>> {
        let Place { list, owner, bucket } = place;
        let mut left = range;
        let mut entries = Vec::new();
        while let Some((low, high)) = left.bounds() {
            let statement = match range.order {
                Order::NewestFirst => &self.statements.newest,
                Order::OldestFirst => &self.statements.oldest,
            };
            // Entries that are not active any more must not make it a query for each.
            let wanted = left.limit.clamp(READ_MIN, i32::MAX as usize);
            let values = (
                list as i8,
                owner as i64,
                bucket,
                low as i64,
                high.min(i64::MAX as u64) as i64,
                wanted as i32,
            );
            let rows: Vec<(i64, i64, bool)> = db.all_rows(statement, values).await?;
            let is_all = rows.len() < wanted;
            left.after = rows.last().map(|row| row.0 as u64).or(left.after);
            entries.extend(rows.into_iter().filter(|row| row.2).map(|(key, member, _)| Entry {
                key: key as u64,
                member: member as u64,
            }));
            if is_all || entries.len() >= range.limit {
                break;
            }
            left.limit = range.limit - entries.len();
        }
        entries.truncate(range.limit);
        Ok(entries)
    }

    async fn grow_if_full(&self, db: &Db, place: Place) -> Result<()> {
        let Place { list, owner, bucket } = place;
        let (list, owner) = (list as i8, owner as i64);
        let count: Option<(i64,)> = db.row(&self.statements.count, (list, owner, bucket)).await?;
        let buckets = self.buckets(db, place.list, place.owner).await?;
        if count.is_some_and(|(count,)| count > BUCKET_ENTRIES) && buckets < BUCKETS_MAX {
            let doubled = buckets * 2;
            // The number is its own timestamp: the larger one wins, whoever writes last.
            db.run(&self.statements.grow, (list, owner, doubled, i64::from(doubled)))
                .await?;
            self.known.insert((place.list, place.owner), (doubled, Instant::now()));
        }
        Ok(())
    }
}

/// Spreads ids, which differ little in their low bits, evenly.
pub(super) fn spread(id: u64) -> u64 {
    let mixed = (id ^ (id >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}
