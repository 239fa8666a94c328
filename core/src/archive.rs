//! Archives: a whole platform as records, taken from one and brought into another, whatever backends the two are on.
//!
//! An archive holds truth, under the ids that it has: users with their credentials and markers, posts with their revisions, comments, likes,
//! edges, the policy. Who was logged in logs in again, and what is derived (counts, timelines, stretches of pulled posts, work of fan-outs)
//! is made anew from truth: a home timeline that is rebuilt holds each post of everybody whom the viewer follows, pushed or pulled or
//! neither yet.

mod export;
mod position;
mod restore;

pub use export::{Export, ExportPage};
pub use restore::{finish, progress, restore};

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::Account;
use crate::clock::Time;
use crate::comments::Comment;
use crate::error::{Error, Reason, Result};
use crate::fanout::Policy;
use crate::graph::EdgeKind;
use crate::id::{PostId, UserId};
use crate::likes::Like;
use crate::posts::{Post, Revision};
use crate::timeline::Marker;
use crate::users::User;

/// The format of archives that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What an archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Names the archive, also in all parts of an export that was cut short and resumed.
    pub archive: Uuid,
    /// The format of its records.
    pub format: u32,
    /// The backend that it was taken from: `memory`, `embedded`, `cluster`.
    pub source: String,
    /// Every id in the archive is below this: what came into being after the export began is left out.
    pub bound: u64,
    /// When the export began.
    pub created_at: Time,
}

/// The parts of an archive, in their order: what a record points to comes before it. Comments alone may come before the one that they answer,
/// and posts before the one that they reply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Part {
    /// The fan-out policy.
    Policy = 1,
    /// Users.
    Users = 2,
    /// Posts, deleted ones included.
    Posts = 3,
    /// Earlier revisions of posts.
    Revisions = 4,
    /// Comments, deleted ones included.
    Comments = 5,
    /// Likes.
    Likes = 6,
    /// Follows, blocks and mutes.
    Edges = 7,
}

impl Part {
    /// All parts, in their order.
    pub const ALL: [Self; 7] = [
        Self::Policy,
        Self::Users,
        Self::Posts,
        Self::Revisions,
        Self::Comments,
        Self::Likes,
        Self::Edges,
    ];

    /// The part behind this one.
    fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|part| *part > self)
    }

    /// Rows that one page is read from: as many as are small together.
    fn page_rows(self) -> usize {
        match self {
            Self::Policy => 1,
            Self::Users => 250,
            Self::Posts | Self::Revisions => 100,
            Self::Comments => 200,
            Self::Likes | Self::Edges => 1_000,
        }
    }
}

/// A row of truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The fan-out policy.
    Policy(Policy),
    /// A user.
    User(Box<Person>),
    /// A post as it is now.
    Post(Arc<Post>),
    /// What a post was before an edit.
    Revision {
        /// The post.
        post: PostId,
        /// What it was.
        revision: Revision,
    },
    /// A comment. Its `replies` say nothing: they are counted anew.
    Comment(Comment),
    /// A like.
    Like(Like),
    /// A follow, block or mute.
    Edge(EdgeRecord),
}

/// A user, and what only the user and the store know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The profile.
    pub user: User,
    /// The credentials.
    pub account: Account,
    /// How far the user has read.
    pub marker: Marker,
}

/// An edge from one user to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeRecord {
    /// What it is.
    pub kind: EdgeKind,
    /// Who follows, blocks or mutes.
    pub from: UserId,
    /// Whom.
    pub to: UserId,
    /// Since when, as a time-ordered key.
    pub since: u64,
}

impl Record {
    /// The part that it belongs to.
    pub fn part(&self) -> Part {
        match self {
            Self::Policy(_) => Part::Policy,
            Self::User(_) => Part::Users,
            Self::Post(_) => Part::Posts,
            Self::Revision { .. } => Part::Revisions,
            Self::Comment(_) => Part::Comments,
            Self::Like(_) => Part::Likes,
            Self::Edge(_) => Part::Edges,
        }
    }

    /// Names the row for people.
    pub fn name(&self) -> String {
        match self {
            Self::Policy(_) => "the policy".to_owned(),
            Self::User(person) => format!("user {}", person.user.id),
            Self::Post(post) => format!("post {}", post.id),
            Self::Revision { post, revision } => format!("revision {} of post {post}", revision.number),
            Self::Comment(comment) => format!("comment {}", comment.id),
            Self::Like(like) => format!("the like of post {} by user {}", like.post, like.user),
            Self::Edge(edge) => format!("the {} of user {} by user {}", edge.kind.label(), edge.to, edge.from),
        }
    }

    /// The largest id in it: its own, or of what it points to.
    fn newest_id(&self) -> u64 {
        match self {
            Self::Policy(_) => 0,
            Self::User(person) => person.user.id.0,
            Self::Post(post) => post.id.0.max(post.author.0),
            Self::Revision { post, .. } => post.0,
            Self::Comment(comment) => comment.id.0.max(comment.author.0).max(comment.post.0),
            Self::Like(like) => like.since.max(like.user.0).max(like.post.0),
            Self::Edge(edge) => edge.since.max(edge.from.0).max(edge.to.0),
        }
    }
}

/// Consecutive records of an archive, to be stored.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The archive.
    pub header: Header,
    /// Index of the first record in the whole archive.
    pub offset: u64,
    /// The records. One that is none any more (its target was left out) keeps its place as `None`, so that offsets hold.
    pub records: Vec<Option<Record>>,
    /// Whether the archive ends with them.
    pub last: bool,
}

/// How far the import of an archive has come; durable, and never ahead of what it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The archive.
    pub header: Header,
    /// Index of the first record that is not stored yet: where to resume.
    pub next_offset: u64,
    /// Whether all of it is stored.
    pub complete: bool,
    /// When its first batch was stored.
    pub begun_at: Time,
    /// When its last batch was stored.
    pub updated_at: Time,
}

impl Progress {
    /// An archive of which nothing is stored.
    pub fn new(header: Header, now: Time) -> Self {
        Self {
            header,
            next_offset: 0,
            complete: false,
            begun_at: now,
            updated_at: now,
        }
    }

    /// How many leading records of a batch an earlier attempt stored. PLATFORM_NOT_EMPTY where the batch is of another archive, INVALID_FIELD
    /// `header` where that says something else of the same one, `offset` where the batch leaves a hole or goes on behind the end.
    pub fn skip(&self, batch: &Batch) -> Result<usize> {
        if batch.header.archive != self.header.archive {
            return Err(not_empty());
        }
        if batch.header != self.header {
            return Err(Error::field(
                "header",
                "must be the one that this import was begun with: the file is another one",
            ));
        }
        if batch.offset > self.next_offset {
            let hint = format!("leaves a hole: resume at {}", self.next_offset);
            return Err(Error::field("offset", hint));
        }
        let skipped = batch.records.len().min((self.next_offset - batch.offset) as usize);
        if self.complete && skipped < batch.records.len() {
            return Err(Error::field(
                "offset",
                "lies behind the end of the archive, which is complete",
            ));
        }
        Ok(skipped)
    }

    /// Notes that a batch is stored up to its end.
    pub fn note(&mut self, batch: &Batch, now: Time) {
        let end = batch.offset + batch.records.len() as u64;
        self.next_offset = self.next_offset.max(end);
        self.complete |= batch.last && self.next_offset == end;
        self.updated_at = now;
    }
}

/// What storing a batch came to.
#[derive(Debug, Clone)]
pub struct Restored {
    /// How far the archive is stored with it.
    pub progress: Progress,
    /// Records that an earlier attempt had stored.
    pub skipped: u64,
}

/// The refusal of an archive by a platform that holds something else.
pub fn not_empty() -> Error {
    Error::new(
        Reason::PlatformNotEmpty,
        "this platform holds users, or another archive: import into one that is new and empty",
    )
}

/// The refusal of a record that stands against a row that is there.
pub fn conflict(what: impl std::fmt::Display) -> Error {
    Error::new(
        Reason::ArchiveConflict,
        format!("{what} is there already, and another one than in the archive: begin anew with an empty platform"),
    )
}
