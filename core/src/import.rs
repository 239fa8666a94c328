//! Imports: bulk loading for migrations and seeding, resumable by offset.

mod load;

pub use load::{FollowItem, PostItem, UserItem, Who, finish, follows, import_id, posts, progress, users};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;
use crate::error::{Error, Reason};
use crate::id::{PostId, UserId};
use crate::limits;
use crate::posts::Visibility;
use crate::text::Facet;

/// What an import brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ImportKind {
    /// Accounts.
    Users,
    /// Posts.
    Posts,
    /// Follows.
    Follows,
}

/// An item that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The item's offset in the import.
    pub offset: u64,
    /// Why.
    pub reason: Reason,
    /// The field at fault, where one is.
    pub field: String,
}

impl Rejection {
    /// The refusal of the item at `offset`.
    pub fn new(offset: u64, error: &Error) -> Self {
        let field = error
            .violations
            .first()
            .map_or_else(String::new, |violation| violation.field.clone());
        Self {
            offset,
            reason: error.reason,
            field,
        }
    }
}

/// How far an import has come; durable with the items it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// What it brings. A batch of another kind under the same id is INVALID_FIELD `import_id`.
    pub kind: ImportKind,
    /// Offset of the first item not committed yet: where to resume.
    pub next_offset: u64,
    /// Items stored.
    pub imported: u64,
    /// Items refused.
    pub rejected: u64,
    /// The first [`limits::IMPORT_REJECTED`] of the refused items.
    pub rejections: Vec<Rejection>,
    /// When its first batch was committed.
    pub created_at: Time,
    /// When its last batch was committed.
    pub updated_at: Time,
}

impl ImportProgress {
    /// An import of which nothing is committed.
    pub fn new(kind: ImportKind, now: Time) -> Self {
        Self {
            kind,
            next_offset: 0,
            imported: 0,
            rejected: 0,
            rejections: Vec::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// How many leading items of a batch an earlier attempt committed. INVALID_FIELD `offset` where the batch leaves a hole, `import_id`
    /// where the import is of another kind.
    pub fn skip(&self, kind: ImportKind, offset: u64, items: usize) -> Result<usize, Error> {
        if kind != self.kind {
            return Err(Error::field(
                "import_id",
                "this id belongs to an import of another kind; use a new UUID",
            ));
        }
        if offset > self.next_offset {
            let hint = format!("leaves a hole: resume at {}", self.next_offset);
            return Err(Error::field("offset", hint));
        }
        Ok(items.min((self.next_offset - offset) as usize))
    }

    /// Notes what became of the item at [`next_offset`](Self::next_offset).
    pub fn note(&mut self, outcome: &Result<(), Error>) {
        match outcome {
            Ok(()) => self.imported += 1,
            Err(error) => {
                self.rejected += 1;
                if self.rejections.len() < limits::IMPORT_REJECTED {
                    self.rejections.push(Rejection::new(self.next_offset, error));
                }
            }
        }
        self.next_offset += 1;
    }
}

/// A stretch of an import: consecutive items, checked by the domain; a refused one stays as its error so that offsets hold.
#[derive(Debug, Clone)]
pub struct ImportBatch<T> {
    /// The import.
    pub import: Uuid,
    /// Offset of the first item.
    pub offset: u64,
    /// The items.
    pub items: Vec<Result<T, Error>>,
}

/// What committing a stretch came to.
#[derive(Debug, Clone)]
pub struct ImportOutcome {
    /// The import's progress with this stretch.
    pub progress: ImportProgress,
    /// Items of this stretch that an earlier attempt had committed.
    pub skipped: u64,
}

/// A post of another platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPost {
    /// Its author, who exists here.
    pub author: UserId,
    /// An optional headline.
    pub title: Option<String>,
    /// The text.
    pub content: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The post that this one replies to.
    pub in_reply_to: Option<PostId>,
    /// Mentions and hashtags of the content.
    pub facets: Vec<Facet>,
    /// When it was written: the id is minted from it.
    pub created_at: Time,
}

/// A follow of another platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportFollow {
    /// Who follows.
    pub follower: UserId,
    /// Whom.
    pub followee: UserId,
    /// Since when.
    pub created_at: Time,
}
