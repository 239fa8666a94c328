//! Posts: what they hold, how they change, who may see them.

mod read;
mod stream;
pub(crate) mod view;
pub(crate) mod write;

pub use read::{UserPostsFilter, batch_get, get, list_by_user, list_revisions};
pub use stream::{PostEvent, PostSubscription, subscribe};
pub use view::{PostView, Relations, ViewerState};
pub use write::{NewPost, PostPatch, Published, create, delete, undelete, update};

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::error::{Error, Reason, Result};
use crate::fanout::Mode;
use crate::id::{EventId, PostId, UserId};
use crate::limits;
use crate::text::Facet;

/// Who may see a post beside its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Visibility {
    /// The author alone. Never fanned out.
    Private,
    /// The author's followers.
    Followers,
    /// Everybody, also without an account.
    Public,
}

impl Visibility {
    /// Its name in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Followers => "followers",
            Self::Public => "public",
        }
    }
}

/// A place in a shared row where the edge keeps its encoding, so that a row is encoded once and not for each answer.
/// Takes no part in equality, and a clone starts empty.
#[derive(Debug, Default)]
pub struct Encoding(OnceLock<Bytes>);

impl Encoding {
    /// The kept encoding, made by `encode` on first use.
    pub fn get_or_init(&self, encode: impl FnOnce() -> Bytes) -> &Bytes {
        self.0.get_or_init(encode)
    }
}

impl Clone for Encoding {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Encoding {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Encoding {}

/// A post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// The post's id; newer posts have larger ones.
    pub id: PostId,
    /// Who wrote it.
    pub author: UserId,
    /// An optional headline.
    pub title: Option<String>,
    /// The text.
    pub content: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The post that this one replies to.
    pub in_reply_to: Option<PostId>,
    /// Mentions and hashtags of the content, by offset.
    pub facets: Vec<Facet>,
    /// When it was written; for imported posts, elsewhere.
    pub created_at: Time,
    /// When it was last edited.
    pub edited_at: Option<Time>,
    /// When it was deleted; a deleted post can be undeleted for [`limits::UNDELETE_WINDOW`].
    pub deleted_at: Option<Time>,
    /// Raised by every change; the etag is made of it.
    pub version: u64,
    /// Number of the present revision: 1 as written, one more with each edit.
    pub revision: u32,
    /// The event that last brought the post before readers: its creation, undeletion, widened visibility or
    /// the replay of its dead letter. Never smaller than the id.
    pub visible_since: EventId,
    /// Room for the edge to keep the encoded post.
    #[serde(skip)]
    pub encoding: Encoding,
}

/// A post to be written; the store mints its id and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostDraft {
    /// Who writes it.
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
}

impl PostDraft {
    /// The post that the draft becomes under an id.
    pub fn into_post(self, id: PostId, created_at: Time) -> Post {
        Post {
            id,
            author: self.author,
            title: self.title,
            content: self.content,
            visibility: self.visibility,
            in_reply_to: self.in_reply_to,
            facets: self.facets,
            created_at,
            edited_at: None,
            deleted_at: None,
            version: 1,
            revision: 1,
            visible_since: id.into(),
            encoding: Encoding::default(),
        }
    }
}

/// A change of a post: what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PostEdit {
    /// The new headline; `Some(None)` removes it.
    pub title: Option<Option<String>>,
    /// The new text and its facets.
    pub content: Option<(String, Vec<Facet>)>,
    /// Who may see it from now on.
    pub visibility: Option<Visibility>,
}

/// What a post was before an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The revision's number, from 1.
    pub number: u32,
    /// The headline then.
    pub title: Option<String>,
    /// The text then.
    pub content: String,
    /// The facets then.
    pub facets: Vec<Facet>,
    /// The visibility then.
    pub visibility: Visibility,
    /// When it became so: at creation or by the edit before.
    pub created_at: Time,
}

/// A change of a post's row, decided from the row as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostChange {
    /// The row as it is to be.
    pub post: Post,
    /// What it was, where readers may look that up.
    pub revision: Option<Revision>,
    /// Whether the post must be brought before readers anew: it was undeleted, or more people may see it.
    /// The store then files a [`Restore`](crate::fanout::Payload::Restore) event and puts its id into `visible_since`.
    pub restores: bool,
}

impl Post {
    /// Whether the post is deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// The post among whose replies this one is counted: not while it is deleted, nor while not everybody may see it, since a count is told
    /// to everybody.
    pub fn counts_for(&self) -> Option<PostId> {
        self.in_reply_to
            .filter(|_| !self.is_deleted() && self.visibility == Visibility::Public)
    }

    /// The change that an edit at `now` by its author makes; `None` where all is as the edit wants it already. POST_DELETED for a deleted
    /// post, ETAG_MISMATCH where `expected` names another version.
    pub fn edited(&self, edit: &PostEdit, expected: Option<u64>, now: Time) -> Result<Option<PostChange>> {
        self.check_version(expected)?;
        if self.is_deleted() {
            return Err(Error::new(
                Reason::PostDeleted,
                "a deleted post cannot be edited; undelete it first",
            ));
        }
        let mut post = self.clone();
        if let Some(title) = &edit.title {
            post.title.clone_from(title);
        }
        if let Some((content, facets)) = &edit.content {
            post.content.clone_from(content);
            post.facets.clone_from(facets);
        }
        post.visibility = edit.visibility.unwrap_or(self.visibility);
        if post == *self {
            return Ok(None);
        }
        post.edited_at = Some(now);
        post.version += 1;
        post.revision += 1;
        let restores = post.visibility > self.visibility;
        Ok(Some(PostChange {
            post,
            revision: Some(self.as_revision()),
            restores,
        }))
    }

    /// The change that a deletion at `now` makes. POST_DELETED where it is deleted already.
    pub fn deleted(&self, expected: Option<u64>, now: Time) -> Result<PostChange> {
        if self.is_deleted() {
            return Err(Error::new(Reason::PostDeleted, "the post is deleted already"));
        }
        self.check_version(expected)?;
        let post = Post {
            deleted_at: Some(now),
            version: self.version + 1,
            ..self.clone()
        };
        Ok(PostChange {
            post,
            revision: None,
            restores: false,
        })
    }

    /// The change that an undeletion at `now` makes; `None` where it is not deleted. UNDELETE_EXPIRED after the window.
    pub fn undeleted(&self, expected: Option<u64>, now: Time) -> Result<Option<PostChange>> {
        let Some(deleted_at) = self.deleted_at else {
            return Ok(None);
        };
        self.check_version(expected)?;
        if now.since(deleted_at) > limits::UNDELETE_WINDOW {
            return Err(Error::new(
                Reason::UndeleteExpired,
                "a deleted post can be undeleted for 30 days only",
            ));
        }
        let post = Post {
            deleted_at: None,
            version: self.version + 1,
            ..self.clone()
        };
        Ok(Some(PostChange {
            post,
            revision: None,
            // Also of a private post: its author's own timeline has to get it back.
            restores: true,
        }))
    }

    fn check_version(&self, expected: Option<u64>) -> Result<()> {
        match expected {
            Some(version) if version != self.version => Err(Error::etag_mismatch()),
            _ => Ok(()),
        }
    }

    /// The present state of the post as a revision.
    pub fn as_revision(&self) -> Revision {
        Revision {
            number: self.revision,
            title: self.title.clone(),
            content: self.content.clone(),
            facets: self.facets.clone(),
            visibility: self.visibility,
            created_at: self.edited_at.unwrap_or(self.created_at),
        }
    }
}

/// A post as its store wrote it, with the mode that its fan-out was given.
#[derive(Debug, Clone)]
pub struct CreatedPost {
    /// The post.
    pub post: Arc<Post>,
    /// How it reaches followers' home timelines.
    pub mode: Mode,
}

/// How often a post was liked, commented on and replied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PostCounts {
    /// Users who like it.
    pub likes: u64,
    /// Comments that are not deleted, at any depth.
    pub comments: u64,
    /// Posts that reply to it, by [`Post::counts_for`].
    pub replies: u64,
    /// Whether the counts are exact, or a recount is under way.
    pub exact: bool,
}
