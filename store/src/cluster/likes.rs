//! Likes.
//!
//! Processes do not wait for each other: each writes its like first, and then looks whether another made the same one at the same time. The later
//! of the two sees both, and takes the entry that the row does not name out of the lists.

use std::collections::HashSet;

use async_trait::async_trait;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use social_core::backend::LikeStore;
use social_core::likes::{Like, LikeChange};
use social_core::page::Range;
use social_core::{PostId, Result, UserId};

use super::change::{Act, Change, Verdict};
use super::db::{Db, statements};
use super::graph::{Made, Noted};
use super::lists::{Entry, List, Place, spread};
use super::redis::PostDelta;
use super::truth::{Intent, Ticket, Truth};

/// What likes are among the things that users made lately; edges have the numbers of their kinds.
const LIKES: i32 = 0;
/// Rows that one statement asks for by their keys: what ScyllaDB allows.
const KEYS_AT_ONCE: usize = 100;

/// A like as it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LikeRow {
    pub(super) user: UserId,
    pub(super) post: PostId,
    pub(super) active: bool,
    /// Of a like that is taken back: since when it was.
    since: u64,
    post_bucket: i32,
    user_bucket: i32,
}

statements!(Statements {
    like: Read "SELECT active, since, post_bucket, user_bucket, stamp FROM likes WHERE user = ? AND post = ?",
    among: Read "SELECT post, active FROM likes WHERE user = ? AND post IN ?",
    set: Write "INSERT INTO likes (user, post, active, since, post_bucket, user_bucket, stamp) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
});

/// The statements of likes.
pub(super) struct Likes {
    statements: Statements,
}

impl Likes {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
        })
    }

    /// A like, also one that was taken back, and the timestamp of its row.
    async fn get(&self, db: &Db, user: UserId, post: PostId) -> Result<Option<(LikeRow, i64)>> {
        let row: Option<(bool, i64, i32, i32, i64)> =
            db.row(&self.statements.like, (user.0 as i64, post.0 as i64)).await?;
        Ok(row.map(|(active, since, post_bucket, user_bucket, stamp)| {
            let row = LikeRow {
                user,
                post,
                active,
                since: since as u64,
                post_bucket,
                user_bucket,
            };
            (row, stamp)
        }))
    }

    async fn set(&self, db: &Db, row: &LikeRow, stamp: i64) -> Result<()> {
        let (user, post, since) = (row.user.0 as i64, row.post.0 as i64, row.since as i64);
        let values = (
            user,
            post,
            row.active,
            since,
            row.post_bucket,
            row.user_bucket,
            stamp,
            stamp,
        );
        db.run(&self.statements.set, values).await
    }

    /// Those of some posts that a user likes.
    async fn among(&self, db: &Db, user: UserId, posts: &[i64]) -> Result<Vec<i64>> {
        let rows: Vec<(i64, bool)> = db.rows(&self.statements.among, (user.0 as i64, posts)).await?;
        Ok(rows.into_iter().filter(|row| row.1).map(|row| row.0).collect())
    }
}

impl LikeRow {
    fn made(&self) -> Made {
        Made {
            kind: LIKES,
            user: self.user.0,
            member: self.post.0,
        }
    }
}

#[async_trait]
impl LikeStore for Truth {
    async fn set_like(&self, user: UserId, post: PostId, active: bool) -> Result<LikeChange> {
        let _turn = self.lock(spread(user.0) ^ post.0).await;
        let before = self.likes.get(&self.db, user, post).await?;
        let changed = before.is_some_and(|(row, _)| row.active) != active;
        if changed {
            let ticket = self.ticket().await?;
            let filed = self.file_like(ticket, (user, post), before).await;
            self.conclude(ticket, filed).await?;
            let likes = if active { 1 } else { -1 };
            let delta = PostDelta {
                likes,
                ..PostDelta::default()
            };
            self.moves.post(post, delta);
        }
        Ok(LikeChange { active, changed })
    }

    async fn liked(&self, user: UserId, posts: &[PostId]) -> Result<Vec<bool>> {
        let ids: Vec<i64> = posts.iter().map(|post| post.0 as i64).collect();
        let parts = ids
            .chunks(KEYS_AT_ONCE)
            .map(|ids| self.likes.among(&self.db, user, ids));
        let liked: HashSet<i64> = try_join_all(parts).await?.into_iter().flatten().collect();
        Ok(ids.iter().map(|post| liked.contains(post)).collect())
    }

    async fn likers(&self, post: PostId, range: Range) -> Result<Vec<Like>> {
        let entries = self.lists.range(&self.db, List::PostLikes, post.0, &range).await?;
        let like = |entry: Entry| Like {
            user: UserId(entry.member),
            post,
            since: entry.key,
        };
        Ok(entries.into_iter().map(like).collect())
    }

    async fn user_likes(&self, user: UserId, range: Range) -> Result<Vec<Like>> {
        let entries = self.lists.range(&self.db, List::UserLikes, user.0, &range).await?;
        let like = |entry: Entry| Like {
            user,
            post: PostId(entry.member),
            since: entry.key,
        };
        Ok(entries.into_iter().map(like).collect())
    }
}

impl Truth {
    /// Files the opposite of what is.
    async fn file_like(
        &self,
        ticket: Ticket,
        (user, post): (UserId, PostId),
        before: Option<(LikeRow, i64)>,
    ) -> Result<Verdict> {
        let row = match before {
            Some((row, _)) if row.active => LikeRow { active: false, ..row },
            _ => self.new_like(user, post, ticket.event).await?,
        };
        let stamp = self.ids.stamp_after(before.map_or(0, |(_, stamp)| stamp));
        self.commit_at(ticket, Intent::from(Change::Like(row)), stamp).await
    }

    /// A like that is to be made, and its places in the lists.
    pub(super) async fn new_like(&self, user: UserId, post: PostId, since: u64) -> Result<LikeRow> {
        let (of_post, of_user) = tokio::try_join!(
            self.lists.place(&self.db, List::PostLikes, post.0, since),
            self.lists.place(&self.db, List::UserLikes, user.0, since),
        )?;
        Ok(LikeRow {
            user,
            post,
            active: true,
            since,
            post_bucket: of_post.bucket,
            user_bucket: of_user.bucket,
        })
    }

    /// Writes a like as it was elsewhere, or finds it written; whether another one is in its place.
    pub(super) async fn restore_like(&self, row: LikeRow, stamp: i64) -> Result<bool> {
        let there = self.likes.get(&self.db, row.user, row.post).await?;
        if there.is_some_and(|(there, _)| there.active && there.since != row.since) {
            return Ok(false);
        }
        tokio::try_join!(self.likes.set(&self.db, &row, stamp), self.list_like(&row, stamp))?;
        Ok(true)
    }

    /// Writes a like, and puts right what another process may have done at the same time.
    pub(super) async fn apply_like(&self, act: Act, row: &LikeRow) -> Result<Verdict> {
        tokio::try_join!(self.likes.set(&self.db, row, act.stamp), self.list_like(row, act.stamp))?;
        self.drop_stray_likes(row, act.stamp).await?;
        Ok(Verdict::Stored)
    }

    /// Sets the entries of a like in the lists of its post and its user.
    async fn list_like(&self, row: &LikeRow, stamp: i64) -> Result<()> {
        let LikeRow {
            user,
            post,
            active,
            since,
            ..
        } = *row;
        let of_post = Place {
            list: List::PostLikes,
            owner: post.0,
            bucket: row.post_bucket,
        };
        let of_user = Place {
            list: List::UserLikes,
            owner: user.0,
            bucket: row.user_bucket,
        };
        let entry = |member| Entry { key: since, member };
        tokio::try_join!(
            self.lists.put(&self.db, of_post, entry(user.0), active, stamp),
            self.lists.put(&self.db, of_user, entry(post.0), active, stamp),
            self.graph
                .lately
                .note(&self.db, row.made(), Noted { since, stamp }, active, self.now()),
        )?;
        Ok(())
    }

    /// Takes entries out of the lists that the like's row does not name.
    async fn drop_stray_likes(&self, row: &LikeRow, stamp: i64) -> Result<()> {
        let entries = self.graph.lately.entries(&self.db, row.made(), self.now());
        let (entries, stored) = tokio::try_join!(entries, self.likes.get(&self.db, row.user, row.post))?;
        let Some((stored, newest)) = stored else { return Ok(()) };
        let is_named = |since: u64| stored.active && stored.since == since;
        if row.active && !is_named(row.since) {
            self.drop_stray_like(row, stamp, newest).await?;
        }
        for noted in entries
            .into_iter()
            .filter(|noted| noted.since != row.since && !is_named(noted.since))
        {
            if let Some(filed) = self.outbox.find(&self.db, noted.since).await?
                && let Change::Like(stray) = &filed.filing.change
            {
                self.drop_stray_like(stray, filed.filing.stamp, newest).await?;
            }
        }
        Ok(())
    }

    /// Takes a like's entries out of the lists, unless its row is only on its way.
    async fn drop_stray_like(&self, stray: &LikeRow, stamp: i64, newest: i64) -> Result<()> {
        if stamp > newest {
            return Ok(());
        }
        // The same whenever it is done. Nothing else is ever written under the entry's key but its end.
        let stamp = stamp + 1;
        let ended = LikeRow {
            active: false,
            ..*stray
        };
        self.list_like(&ended, stamp).await?;
        self.moves.recount_post(stray.post);
        Ok(())
    }
}
