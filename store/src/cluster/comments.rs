//! Comments. A deleted one keeps its row and its place in the lists, so that answers to it keep theirs.
//!
//! Like posts they have a first row that never changes and, once changed, a head. How many answers a comment has is counted when it is read.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use social_core::backend::CommentStore;
use social_core::comments::{Comment, CommentDraft};
use social_core::page::Range;
use social_core::request::{Outcome, RequestKey};
use social_core::text::Facet;
use social_core::{CommentId, Error, PostId, Result, Time};

use super::change::{Act, Change, Verdict};
use super::db::{Db, statements};
use super::docs::{Docs, Put};
use super::lists::{Entry, List, Place};
use super::redis::PostDelta;
use super::truth::{Begun, Intent, Ticket, Truth};
use crate::rows::{Row, decode, encode};

/// How often a change is decided anew when others come first.
const ATTEMPTS: usize = 16;
/// Comments read at once.
const AT_ONCE: usize = 64;
/// Bytes of first rows kept in memory.
const CACHE_BYTES: u64 = 16 << 20;
/// First rows expected in the cache.
const CACHE_ENTRIES: usize = 40_000;

statements!(Statements {
    insert: Write "INSERT INTO comments (id, row) VALUES (?, ?) USING TIMESTAMP ?",
    first: Read "SELECT row FROM comments WHERE id = ?",
});

/// The buckets that a comment is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places {
    /// Of the post's direct comments, or of the parent's answers.
    listed: i32,
    /// Of the post's live comments.
    counted: i32,
    /// Of the parent's live answers; 0 without a parent.
    answers: i32,
}

/// A comment as it is stored. Its `replies` are 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CommentRow {
    comment: Comment,
    places: Places,
    /// The timestamp of the entries in the lists that came with it.
    stamp: i64,
}

impl Row for CommentRow {}

impl CommentRow {
    /// Where the comment is shown, whether it is deleted or not.
    fn shown(&self) -> Place {
        let (list, owner) = list_of(self.comment.post, self.comment.parent);
        Place {
            list,
            owner,
            bucket: self.places.listed,
        }
    }

    /// Where it counts while it is not deleted.
    fn counted(&self) -> Place {
        Place {
            list: List::Comments,
            owner: self.comment.post.0,
            bucket: self.places.counted,
        }
    }

    /// Where it counts for its parent.
    fn answers(&self) -> Option<Place> {
        Some(Place {
            list: List::LiveAnswers,
            owner: self.comment.parent?.0,
            bucket: self.places.answers,
        })
    }
}

/// A comment that was or was not there, as it is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CommentChange {
    before: Before,
    row: CommentRow,
}

/// What a change replaces. The order of the variants is part of the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Before {
    /// Nothing.
    None,
    /// A comment that was never changed.
    First,
    /// The head of this version.
    Head(u64),
}

/// A comment's present row.
struct Stored {
    row: CommentRow,
    before: Before,
}

#[derive(Clone, Copy)]
struct Weigh;

impl Weighter<CommentId, Arc<CommentRow>> for Weigh {
    fn weight(&self, _: &CommentId, row: &Arc<CommentRow>) -> u64 {
        400 + (row.comment.content.len() + 40 * row.comment.facets.len()) as u64
    }
}

/// The tables of comments.
pub(super) struct Comments {
    statements: Statements,
    heads: Docs,
    firsts: Cache<CommentId, Arc<CommentRow>, Weigh>,
}

impl Comments {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            heads: Docs::prepare(db, "comment_heads").await?,
            firsts: Cache::with_weighter(CACHE_ENTRIES, CACHE_BYTES, Weigh),
        })
    }

    async fn insert(&self, db: &Db, row: &CommentRow) -> Result<()> {
        let values = (row.comment.id.0 as i64, encode(row)?, row.stamp);
        db.run(&self.statements.insert, values).await?;
        self.firsts.insert(row.comment.id, Arc::new(row.clone()));
        Ok(())
    }

    async fn first(&self, db: &Db, id: CommentId) -> Result<Option<Arc<CommentRow>>> {
        if let Some(first) = self.firsts.get(&id) {
            return Ok(Some(first));
        }
        let row: Option<(Vec<u8>,)> = db.row(&self.statements.first, (id.0 as i64,)).await?;
        let Some((bytes,)) = row else {
            return Ok(None);
        };
        let first: Arc<CommentRow> = Arc::new(decode(&bytes).map_err(|error| error.report("comments"))?);
        self.firsts.insert(id, Arc::clone(&first));
        Ok(Some(first))
    }

    /// A comment's present row.
    async fn stored(&self, db: &Db, id: CommentId) -> Result<Option<Stored>> {
        let (head, first) = tokio::try_join!(self.heads.get::<CommentRow>(db, id.0), self.first(db, id))?;
        let head = head.map(|doc| Stored {
            before: Before::Head(doc.version),
            row: doc.row,
        });
        let first = first.map(|first| Stored {
            before: Before::First,
            row: CommentRow::clone(&first),
        });
        Ok(head.or(first))
    }
}

/// What core makes of a comment.
type Decide<'a> = dyn Fn(&Comment, Time) -> Result<Comment> + Send + Sync + 'a;

#[async_trait]
impl CommentStore for Truth {
    async fn create_comment(&self, draft: CommentDraft, request: RequestKey) -> Result<Outcome<Comment>> {
        match self.begin(request).await? {
            Begun::Earlier(event) => self.comment(CommentId(event)).await.map(Outcome::replayed),
            Begun::Ours(ticket) => {
                let created = self.create_new_comment(ticket, draft).await;
                self.conclude(ticket, created).await.map(Outcome::new)
            }
        }
    }

    async fn edit_comment(
        &self,
        id: CommentId,
        content: String,
        facets: Vec<Facet>,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>> {
        let decide = |comment: &Comment, now| comment.edited(content.clone(), facets.clone(), expected_version, now);
        self.change_comment(id, request, &decide).await
    }

    async fn delete_comment(
        &self,
        id: CommentId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>> {
        let decide = |comment: &Comment, now| comment.deleted(expected_version, now);
        self.change_comment(id, request, &decide).await
    }

    async fn comments(&self, ids: &[CommentId]) -> Result<Vec<Option<Comment>>> {
        let mut comments = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            comments.extend(try_join_all(some.iter().map(|id| self.find_comment(*id))).await?);
        }
        Ok(comments)
    }

    async fn list_comments(&self, post: PostId, parent: Option<CommentId>, range: Range) -> Result<Vec<Comment>> {
        let (list, owner) = list_of(post, parent);
        let entries = self.lists.range(&self.db, list, owner, &range).await?;
        let ids: Vec<CommentId> = entries.into_iter().map(|entry| CommentId(entry.key)).collect();
        let comments = self.comments(&ids).await?.into_iter().flatten();
        // The answers to a comment of another post are not asked for.
        Ok(comments.filter(|comment| comment.post == post).collect())
    }
}

impl Truth {
    pub(super) async fn apply_comment(&self, act: Act, change: &CommentChange) -> Result<Verdict> {
        let CommentChange { before, row } = change;
        let (heads, id) = (&self.comments.heads, row.comment.id.0);
        let put = match *before {
            Before::None => return self.apply_new_comment(row).await,
            Before::First => heads.create(&self.db, id, act.event, row).await?,
            Before::Head(version) => heads.advance(&self.db, id, version, act.event, row).await?,
        };
        if put == Put::Lost {
            return Ok(Verdict::Lost);
        }
        // Nothing but a deletion moves it, and none brings it back.
        if row.comment.is_deleted() {
            self.count_comment(row, false).await?;
        }
        Ok(Verdict::Stored)
    }

    pub(super) fn recount_after_comment(&self, change: &CommentChange) {
        self.moves.recount_post(change.row.comment.post);
    }

    async fn apply_new_comment(&self, row: &CommentRow) -> Result<Verdict> {
        tokio::try_join!(
            self.comments.insert(&self.db, row),
            self.lists
                .put(&self.db, row.shown(), entry(&row.comment), true, row.stamp),
            self.count_comment(row, !row.comment.is_deleted()),
        )?;
        Ok(Verdict::Stored)
    }

    /// A comment without the count of its answers.
    pub(super) async fn plain_comment(&self, id: CommentId) -> Result<Option<Comment>> {
        Ok(self
            .comments
            .stored(&self.db, id)
            .await?
            .map(|stored| stored.row.comment))
    }

    /// Writes a comment under its id, or finds it written; whether another one is in its place.
    pub(super) async fn restore_comment(&self, comment: Comment, places: Places, stamp: i64) -> Result<bool> {
        let comment = Comment { replies: 0, ..comment };
        let there = self.comments.first(&self.db, comment.id).await?;
        if there.is_some_and(|there| there.comment != comment) {
            return Ok(false);
        }
        let row = CommentRow { comment, places, stamp };
        self.apply_new_comment(&row).await.map(|_| true)
    }

    /// Puts a comment among the live ones, or takes it out.
    async fn count_comment(&self, row: &CommentRow, live: bool) -> Result<()> {
        let entry = entry(&row.comment);
        let answers = async {
            match row.answers() {
                Some(place) => self.lists.put(&self.db, place, entry, live, row.stamp).await,
                None => Ok(()),
            }
        };
        let count = self.lists.put(&self.db, row.counted(), entry, live, row.stamp);
        tokio::try_join!(answers, count).map(drop)
    }

    async fn comment(&self, id: CommentId) -> Result<Comment> {
        self.find_comment(id).await?.ok_or_else(Error::comment_not_found)
    }

    /// A comment with the count of its answers as they are now.
    async fn find_comment(&self, id: CommentId) -> Result<Option<Comment>> {
        let (stored, replies) = tokio::try_join!(self.comments.stored(&self.db, id), self.answers(id))?;
        Ok(stored.map(|stored| Comment {
            replies,
            ..stored.row.comment
        }))
    }

    /// Answers to a comment that are not deleted.
    async fn answers(&self, id: CommentId) -> Result<u64> {
        self.lists.count(&self.db, List::LiveAnswers, id.0).await
    }

    async fn create_new_comment(&self, ticket: Ticket, draft: CommentDraft) -> Result<Comment> {
        let id = CommentId(ticket.event);
        let (depth, places) =
            tokio::try_join!(self.depth_of(&draft), self.place_comment(id, draft.post, draft.parent))?;
        let comment = CommentDraft { depth, ..draft }.into_comment(id, self.now());
        let stamp = self.ids.stamp();
        let row = CommentRow {
            comment: comment.clone(),
            places,
            stamp,
        };
        self.put_comment(ticket, Before::None, row).await?;
        self.tell_of_comment(comment.post, 1);
        Ok(comment)
    }

    /// How deep a new comment is. POST_NOT_FOUND, COMMENT_NOT_FOUND where it cannot be written there.
    async fn depth_of(&self, draft: &CommentDraft) -> Result<u32> {
        let parent = async {
            match draft.parent {
                Some(parent) => self.comments.stored(&self.db, parent).await,
                None => Ok(None),
            }
        };
        let (post, parent) = tokio::try_join!(self.post(draft.post), parent)?;
        if post.is_none_or(|post| post.is_deleted()) {
            return Err(Error::post_not_found());
        }
        let parent = parent.map(|stored| stored.row.comment);
        match parent.filter(|parent| parent.post == draft.post && !parent.is_deleted()) {
            Some(parent) => Ok(parent.depth + 1),
            None if draft.parent.is_some() => Err(Error::comment_not_found()),
            None => Ok(0),
        }
    }

    /// Where a new comment goes in the lists that it belongs to.
    pub(super) async fn place_comment(&self, id: CommentId, post: PostId, parent: Option<CommentId>) -> Result<Places> {
        let bucket = |list, owner| async move {
            let place = self.lists.place(&self.db, list, owner, id.0).await?;
            Ok::<_, Error>(place.bucket)
        };
        let (list, owner) = list_of(post, parent);
        let answers = async {
            match parent {
                Some(parent) => bucket(List::LiveAnswers, parent.0).await,
                None => Ok(0),
            }
        };
        let (listed, counted, answers) =
            tokio::try_join!(bucket(list, owner), bucket(List::Comments, post.0), answers)?;
        Ok(Places {
            listed,
            counted,
            answers,
        })
    }

    /// Changes a comment to what `decide` makes of it.
    async fn change_comment(
        &self,
        id: CommentId,
        request: RequestKey,
        decide: &Decide<'_>,
    ) -> Result<Outcome<Comment>> {
        let _alone = self.lock(id.0).await;
        for _ in 0..ATTEMPTS {
            let ticket = match self.begin(request).await? {
                Begun::Ours(ticket) => ticket,
                Begun::Earlier(_) => return self.comment(id).await.map(Outcome::replayed),
            };
            let changed = self.try_to_change_comment(ticket, id, decide).await;
            if let Some(comment) = self.conclude(ticket, changed).await? {
                return Ok(Outcome::new(comment));
            }
        }
        Err(Error::unavailable())
    }

    /// One attempt; `None` where another change came first.
    async fn try_to_change_comment(
        &self,
        ticket: Ticket,
        id: CommentId,
        decide: &Decide<'_>,
    ) -> Result<Option<Comment>> {
        let (stored, replies) = tokio::try_join!(self.comments.stored(&self.db, id), self.answers(id))?;
        let Stored { row, before } = stored.ok_or_else(Error::comment_not_found)?;
        let comment = decide(&row.comment, self.now())?;
        let answer = Comment {
            replies,
            ..comment.clone()
        };
        if comment.version == row.comment.version {
            // Filed all the same, so that a repetition of the request finds it done.
            self.commit(ticket, Intent::from(Change::Nothing)).await?;
            return Ok(Some(answer));
        }
        let row = CommentRow {
            comment,
            stamp: self.ids.stamp_after(row.stamp),
            ..row
        };
        if self.put_comment(ticket, before, row).await? == Verdict::Lost {
            return Ok(None);
        }
        // A deleted one is not found any more, so this is the change that deleted it.
        if answer.is_deleted() {
            self.tell_of_comment(answer.post, -1);
        }
        Ok(Some(answer))
    }

    async fn put_comment(&self, ticket: Ticket, before: Before, row: CommentRow) -> Result<Verdict> {
        let stamp = row.stamp;
        let change = Change::Comment(Box::new(CommentChange { before, row }));
        self.commit_at(ticket, Intent::from(change), stamp).await
    }

    /// Has the count of a post's comments move.
    fn tell_of_comment(&self, post: PostId, comments: i64) {
        let delta = PostDelta {
            comments,
            ..PostDelta::default()
        };
        self.moves.post(post, delta);
    }
}

/// Where comments on a post, or answers to one of them, are listed.
fn list_of(post: PostId, parent: Option<CommentId>) -> (List, u64) {
    match parent {
        Some(parent) => (List::Answers, parent.0),
        None => (List::Roots, post.0),
    }
}

/// What a comment's lists hold of it.
fn entry(comment: &Comment) -> Entry {
    Entry {
        key: comment.id.0,
        member: comment.id.0,
    }
}
