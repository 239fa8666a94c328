//! Comments: short texts below a post, nested by parent.

mod view;
mod write;

pub(crate) use view::find;
pub use view::{CommentView, batch_get, list};
pub use write::{create, delete, update};

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::error::{Error, Result};
use crate::id::{CommentId, PostId, UserId};
use crate::text::Facet;

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// The comment's id; newer comments have larger ones.
    pub id: CommentId,
    /// The post that it belongs to.
    pub post: PostId,
    /// The comment that it answers, on the same post.
    pub parent: Option<CommentId>,
    /// 0 for a comment on the post itself, one more than the parent's otherwise.
    pub depth: u32,
    /// Who wrote it.
    pub author: UserId,
    /// The text.
    pub content: String,
    /// Mentions and hashtags of the content, by offset.
    pub facets: Vec<Facet>,
    /// When it was written.
    pub created_at: Time,
    /// When it was last edited.
    pub edited_at: Option<Time>,
    /// When it was deleted.
    pub deleted_at: Option<Time>,
    /// Raised by every change; the etag is made of it.
    pub version: u64,
    /// Direct answers that are not deleted.
    pub replies: u64,
}

/// A comment to be written; the store mints its id and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentDraft {
    /// The post that it belongs to.
    pub post: PostId,
    /// The comment that it answers.
    pub parent: Option<CommentId>,
    /// 0 without a parent, one more than the parent's otherwise.
    pub depth: u32,
    /// Who writes it.
    pub author: UserId,
    /// The text.
    pub content: String,
    /// Mentions and hashtags of the content.
    pub facets: Vec<Facet>,
}

impl CommentDraft {
    /// The comment that the draft becomes under an id.
    pub fn into_comment(self, id: CommentId, created_at: Time) -> Comment {
        Comment {
            id,
            post: self.post,
            parent: self.parent,
            depth: self.depth,
            author: self.author,
            content: self.content,
            facets: self.facets,
            created_at,
            edited_at: None,
            deleted_at: None,
            version: 1,
            replies: 0,
        }
    }
}

impl Comment {
    /// Whether the comment is deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// The comment with another text, the same where it has that text already. COMMENT_NOT_FOUND where it is deleted, ETAG_MISMATCH where `expected` names another version.
    pub fn edited(&self, content: String, facets: Vec<Facet>, expected: Option<u64>, now: Time) -> Result<Comment> {
        self.check_changeable(expected)?;
        if (&self.content, &self.facets) == (&content, &facets) {
            return Ok(self.clone());
        }
        Ok(Comment {
            content,
            facets,
            edited_at: Some(now),
            version: self.version + 1,
            ..self.clone()
        })
    }

    /// The comment without its text. COMMENT_NOT_FOUND where it is deleted already, ETAG_MISMATCH where `expected` names another version.
    pub fn deleted(&self, expected: Option<u64>, now: Time) -> Result<Comment> {
        self.check_changeable(expected)?;
        Ok(Comment {
            content: String::new(),
            facets: Vec::new(),
            deleted_at: Some(now),
            version: self.version + 1,
            ..self.clone()
        })
    }

    fn check_changeable(&self, expected: Option<u64>) -> Result<()> {
        if self.is_deleted() {
            return Err(Error::comment_not_found());
        }
        match expected {
            Some(version) if version != self.version => Err(Error::etag_mismatch()),
            _ => Ok(()),
        }
    }
}
