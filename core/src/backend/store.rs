//! Truth: one trait a noun, summed up in [`Store`].
//!
//! For every method of these traits:
//! - **Durability.** When a mutation returns, it survives `kill -9` and power loss, with its event and indexes: all or nothing.
//!   [`EventStore::record_progress`] and [`EventStore::finish`] alone may be lost, and are then repeated.
//! - **Visibility.** A mutation is visible to every read that begins after it returned, and to none before it is durable.
//! - **Unknown outcomes.** STORE_UNAVAILABLE and DEADLINE_EXCEEDED from a mutation say that it may or may not have happened. Repeating it
//!   with the same [`RequestKey`] is safe.
//! - **Repetition.** Where a method takes a [`RequestKey`], the first call to commit under a key wins, also among concurrent ones; the others
//!   answer what it brought about, `replayed`. The same key with another fingerprint is REQUEST_ID_REUSED. Methods
//!   without a key are idempotent by themselves.
//! - **Batches** answer in the order of the ids asked for, `None` where there is no such row.
//! - **Time.** Stores take the time from their clock; ids that they mint ascend in commit order on one node.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::OperatorStore;
use crate::archive::{Batch, Part, Progress as ArchiveProgress, Record, Restored};
use crate::auth::{Account, NewSession, OpenedSession, PasswordHash, RefreshHash, Rotation, Session};
use crate::comments::{Comment, CommentDraft};
use crate::error::Result;
use crate::fanout::{Event, Policy, Progress};
use crate::graph::{Direction, Edge, EdgeChange, EdgeKind, Following, Relation, Sources};
use crate::id::{CommentId, EventId, PostId, SessionId, UserId};
use crate::import::{ImportBatch, ImportFollow, ImportOutcome, ImportPost, ImportProgress};
use crate::likes::{Like, LikeChange};
use crate::page::Range;
use crate::posts::{CreatedPost, Post, PostDraft, PostEdit, Revision};
use crate::request::{Outcome, RequestKey, TraceContext};
use crate::text::Facet;
use crate::timeline::Marker;
use crate::users::{Handle, NewUser, ProfileEdit, User};

/// Everything that must not be lost.
pub trait Store:
    AccountStore
    + PostStore
    + CommentStore
    + LikeStore
    + GraphStore
    + EventStore
    + ImportStore
    + OperatorStore
    + ArchiveStore
{
}

impl<T> Store for T where
    T: AccountStore
        + PostStore
        + CommentStore
        + LikeStore
        + GraphStore
        + EventStore
        + ImportStore
        + OperatorStore
        + ArchiveStore
{
}

/// Users, their credentials and their sessions.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Makes an account. HANDLE_TAKEN where the handle is another's.
    async fn create_user(&self, user: NewUser, request: RequestKey) -> Result<Outcome<Arc<User>>>;

    /// Users by id.
    async fn users(&self, ids: &[UserId]) -> Result<Vec<Option<Arc<User>>>>;

    /// Users by handle.
    async fn user_ids(&self, handles: &[Handle]) -> Result<Vec<Option<UserId>>>;

    /// Changes a profile by [`User::edited`]. USER_NOT_FOUND, ETAG_MISMATCH.
    async fn update_profile(
        &self,
        user: UserId,
        edit: ProfileEdit,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<User>>>;

    /// The credentials of an account.
    async fn account(&self, user: UserId) -> Result<Option<Account>>;

    /// Sets a password and revokes every session of the user but `keep`; answers the sessions revoked. USER_NOT_FOUND. A replay revokes nothing more.
    async fn set_password(
        &self,
        user: UserId,
        password: PasswordHash,
        keep: Option<SessionId>,
        request: RequestKey,
    ) -> Result<Outcome<Vec<SessionId>>>;

    /// Opens a session. A replay answers the same session, with `session.refresh` as its valid refresh token. Past
    /// [`limits::SESSIONS`](crate::limits::SESSIONS) live ones the one refreshed longest ago is revoked.
    async fn create_session(&self, session: NewSession, request: RequestKey) -> Result<Outcome<OpenedSession>>;

    /// A session, also a revoked one.
    async fn session(&self, id: SessionId) -> Result<Option<Session>>;

    /// Live sessions of a user, newest first.
    async fn sessions(&self, user: UserId) -> Result<Vec<Session>>;

    /// Presents a refresh token: [`Session::rotate`], applied atomically.
    async fn rotate_session(
        &self,
        id: SessionId,
        presented: RefreshHash,
        next: RefreshHash,
        request: [u8; 16],
    ) -> Result<Rotation>;

    /// Revokes a session of the user; whether there was a live one to revoke.
    async fn revoke_session(&self, user: UserId, id: SessionId) -> Result<bool>;

    /// How far a user has read the home timeline.
    async fn marker(&self, user: UserId) -> Result<Marker>;

    /// Moves the marker by [`Marker::moved`]. ETAG_MISMATCH.
    async fn set_marker(&self, user: UserId, last_read: PostId, expected_version: Option<u64>) -> Result<Marker>;
}

/// Posts and their history.
#[async_trait]
pub trait PostStore: Send + Sync {
    /// Writes a post, its event and its request row. The mode is decided here, by the policy and the author's followers at that moment, and
    /// the stretch of a pulled post is durable with it. Raises the author's post count and the reply count of the target,
    /// by [`Post::counts_for`], as does each change below.
    async fn create_post(
        &self,
        draft: PostDraft,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<CreatedPost>>;

    /// Posts by id, deleted ones included.
    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<Arc<Post>>>>;

    /// Edits a post by [`Post::edited`]. POST_NOT_FOUND.
    async fn edit_post(
        &self,
        id: PostId,
        edit: PostEdit,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>>;

    /// Deletes a post by [`Post::deleted`]. POST_NOT_FOUND. The author's post count falls.
    async fn delete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<Post>>>;

    /// Undeletes a post by [`Post::undeleted`]. POST_NOT_FOUND. The author's post count rises again.
    async fn undelete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>>;

    /// Earlier revisions of a post, keyed by number; the last [`limits::POST_REVISIONS`](crate::limits::POST_REVISIONS) of them.
    async fn post_revisions(&self, id: PostId, range: Range) -> Result<Vec<Revision>>;

    /// Ids of an author's posts that are not deleted, whatever their visibility, keyed by id.
    async fn user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>>;

    /// Ids of all of an author's posts, deleted ones included, keyed by id. One moment's view: a post that is deleted or brought back
    /// meanwhile is in it once.
    async fn all_user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>>;

    /// Like [`user_posts`](PostStore::user_posts), for readers who merge an author's pulled posts and drop what they may not see: never older
    /// than what [`sources`](GraphStore::sources) answered before, and deleted ones may be among them.
    async fn pulled_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        self.user_posts(author, range).await
    }
}

/// Comments.
#[async_trait]
pub trait CommentStore: Send + Sync {
    /// Writes a comment; raises the post's comment count and the parent's replies. COMMENT_NOT_FOUND where the parent is
    /// deleted or not of this post, POST_NOT_FOUND where the post is deleted.
    async fn create_comment(&self, draft: CommentDraft, request: RequestKey) -> Result<Outcome<Comment>>;

    /// Edits a comment by [`Comment::edited`]. COMMENT_NOT_FOUND, ETAG_MISMATCH.
    async fn edit_comment(
        &self,
        id: CommentId,
        content: String,
        facets: Vec<Facet>,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>>;

    /// Deletes a comment by [`Comment::deleted`]; the counts fall. COMMENT_NOT_FOUND, ETAG_MISMATCH. Answers the row as it is then.
    async fn delete_comment(
        &self,
        id: CommentId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>>;

    /// Comments by id, deleted ones included.
    async fn comments(&self, ids: &[CommentId]) -> Result<Vec<Option<Comment>>>;

    /// Comments on a post (without `parent`) or answers to one, deleted ones included, keyed by id.
    async fn list_comments(&self, post: PostId, parent: Option<CommentId>, range: Range) -> Result<Vec<Comment>>;
}

/// Likes.
#[async_trait]
pub trait LikeStore: Send + Sync {
    /// Sets whether a user likes a post, and moves the count if that changes anything. Setting what is set is no error.
    async fn set_like(&self, user: UserId, post: PostId, active: bool) -> Result<LikeChange>;

    /// For each post whether the user likes it.
    async fn liked(&self, user: UserId, posts: &[PostId]) -> Result<Vec<bool>>;

    /// Who likes a post, keyed by `since`.
    async fn likers(&self, post: PostId, range: Range) -> Result<Vec<Like>>;

    /// What a user likes, keyed by `since`.
    async fn user_likes(&self, user: UserId, range: Range) -> Result<Vec<Like>>;
}

/// Follows, blocks and mutes.
#[async_trait]
pub trait GraphStore: Send + Sync {
    /// Sets whether `from` follows, blocks or mutes `to`, and moves the counts if that changes anything. Setting what is set is
    /// no error.
    ///
    /// - A new follow files a [`Follow`](crate::fanout::Payload::Follow) event. BLOCKED across a block.
    /// - A new block ends follows in both directions, in the same commit.
    /// - LIMIT_REACHED past [`limits::FOLLOWING`](crate::limits::FOLLOWING), [`BLOCKS`](crate::limits::BLOCKS) and [`MUTES`](crate::limits::MUTES).
    async fn set_edge(
        &self,
        kind: EdgeKind,
        from: UserId,
        to: UserId,
        active: bool,
        trace: Option<TraceContext>,
    ) -> Result<EdgeChange>;

    /// Edges of a user, keyed by `since`.
    async fn edges(&self, kind: EdgeKind, direction: Direction, user: UserId, range: Range) -> Result<Vec<Edge>>;

    /// How the viewer stands to each of the users.
    async fn relations(&self, viewer: UserId, users: &[UserId]) -> Result<Vec<Relation>>;

    /// Whose posts the viewer's home timeline shows. Shared and cheap to ask for again: never older than the last change that was
    /// acknowledged.
    async fn following(&self, viewer: UserId) -> Result<Arc<Following>>;

    /// Whose posts the viewer's home timeline shows, as [`following`](GraphStore::following) tells, and those of them some of whose posts are
    /// pulled: never older than the last pulled post that was acknowledged.
    async fn sources(&self, viewer: UserId) -> Result<Sources>;

    /// The next `limit` followers of an author behind `after`, in an order of the store's that never changes for one follower. Fewer
    /// than `limit` is the end.
    async fn fanout_followers(&self, author: UserId, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>>;
}

/// What a cursor needs to know of the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Every event below this id is done.
    pub settled: EventId,
    /// Every post that becomes readable from now on has a larger id (imports aside, which reset cursors).
    pub visible: PostId,
    /// Raised by each import: cursors of before are reset.
    pub imports: u64,
}

/// The event log, and the policy of fan-out.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Pending events behind `after`, ascending. An event of a newer format is left out, and stays pending.
    async fn pending_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<Event>>;

    /// Pending events behind `after`, ascending, that are this process's to take up: where several share the work, those of its part that nobody
    /// has brought further for `idle`, a multiple of [`limits::EVENT_STALE`](crate::limits::EVENT_STALE), or zero: then all that are open, however young.
    /// Without `after` the store is looked through anew.
    async fn stalled_events(&self, after: Option<EventId>, limit: usize, _idle: Duration) -> Result<Vec<Event>> {
        self.pending_events(after, limit).await
    }

    /// An event, for [`limits::EVENT_KEPT`](crate::limits::EVENT_KEPT) after it ended.
    async fn event(&self, id: EventId) -> Result<Option<Event>>;

    /// Notes how far an event has come. May be lost in a crash.
    async fn record_progress(&self, id: EventId, progress: Progress) -> Result<()>;

    /// Ends an event. May be lost in a crash, and is then done again.
    async fn finish(&self, id: EventId, progress: Progress) -> Result<()>;

    /// Counts a deterministic failure; at [`limits::EVENT_ATTEMPTS`](crate::limits::EVENT_ATTEMPTS) the event is dead-lettered. Answers the event as it
    /// is then. Durable.
    async fn record_failure(&self, id: EventId, class: &str) -> Result<Event>;

    /// Dead letters, keyed by event id.
    async fn dead_letters(&self, range: Range) -> Result<Vec<Event>>;

    /// Makes a dead letter pending again with its attempts at zero, and the post's `visible_since` a new event id, so that every
    /// cursor owes it. DEAD_LETTER_NOT_FOUND.
    async fn replay_dead_letter(&self, id: EventId) -> Result<Event>;

    /// Whether an earlier call committed under this key. REQUEST_ID_REUSED for another fingerprint. Operations that look at the world
    /// before they write ask this first: the world of a replay has moved on.
    async fn was_committed(&self, request: RequestKey) -> Result<bool>;

    /// The horizon now. Read it before what a cursor is to stand for.
    async fn horizon(&self) -> Result<Horizon>;

    /// The fan-out policy.
    async fn policy(&self) -> Result<Policy>;

    /// Changes the fan-out policy for posts created from now on; `policy.version` is ignored. ETAG_MISMATCH.
    async fn set_policy(&self, policy: Policy, expected_version: Option<u64>) -> Result<Policy>;

    /// Removes up to `limit` rows that are past their time: request keys, ended events, dead sessions. Answers how many.
    async fn expire(&self, limit: usize) -> Result<usize>;

    /// What the store holds, for operators.
    async fn stats(&self) -> Result<StorageStats>;
}

/// Bulk loading. A batch is committed whole, with the import's progress; what an earlier attempt committed is skipped by offset. A batch that
/// starts behind `next_offset` is INVALID_FIELD `offset`.
#[async_trait]
pub trait ImportStore: Send + Sync {
    /// How far an import has come.
    async fn import_progress(&self, import: Uuid) -> Result<Option<ImportProgress>>;

    /// Makes accounts; an item whose handle is taken is rejected.
    async fn import_users(&self, batch: ImportBatch<NewUser>) -> Result<ImportOutcome>;

    /// Writes posts without fan-out, under ids minted from their time.
    async fn import_posts(&self, batch: ImportBatch<ImportPost>) -> Result<ImportOutcome>;

    /// Sets follows without backfill, under a `since` made from their time; one that exists counts as imported.
    async fn import_follows(&self, batch: ImportBatch<ImportFollow>) -> Result<ImportOutcome>;

    /// Ends a run of imports: raises [`Horizon::imports`], so that cursors of before are reset.
    async fn seal_imports(&self) -> Result<()>;
}

/// Records of one part of an archive.
#[derive(Debug, Clone, Default)]
pub struct Exported {
    /// The records; may be none where more follow.
    pub records: Vec<Record>,
    /// Where to go on behind them, as the store knows it; `None` at the part's end.
    pub next: Option<Vec<u8>>,
}

/// What an export begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportStart {
    /// What the backend is called: `memory`, `embedded`, `cluster`.
    pub source: &'static str,
    /// An id above those of all rows that were acknowledged before. Every row below it is readable by now, imports aside.
    pub bound: u64,
}

/// Whole platforms: truth as records, read from one store and written to another one under the same ids.
#[async_trait]
pub trait ArchiveStore: Send + Sync {
    /// Begins an export.
    async fn begin_export(&self) -> Result<ExportStart>;

    /// Records of a part, read from about `limit` rows behind `after`, in an order of the store's in which no row comes twice. Each is as it is
    /// when it is read. Good for any process of the same platform, also much later.
    async fn export(&self, part: Part, after: Option<&[u8]>, limit: usize) -> Result<Exported>;

    /// How far the archive has come that was brought in, if any was.
    async fn archive(&self) -> Result<Option<ArchiveProgress>>;

    /// Stores records under their ids, with the progress, and counts what is counted. What an earlier attempt stored is skipped by
    /// [`Progress::skip`](ArchiveProgress::skip).
    ///
    /// - The first batch of an archive needs a platform without users: PLATFORM_NOT_EMPTY. From then on every id that is minted is at or above
    ///   the archive's bound, and no imported row is given an id that is in it.
    /// - ARCHIVE_CONFLICT where a row is there that is another one, or a handle is another's. A batch that fails may be stored in part, and is
    ///   then stored whole by its repetition.
    /// - What a block and a follow between two users say together is that nobody follows, whichever comes first.
    async fn restore(&self, batch: Batch) -> Result<Restored>;
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStats {
    /// The table's name.
    pub name: &'static str,
    /// Rows.
    pub rows: RowCount,
    /// Bytes on disk, perhaps estimated.
    pub disk_bytes: u64,
}

/// How many rows a table has, as far as its store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowCount {
    /// They were counted.
    Exact(u64),
    /// The store's estimate.
    About(u64),
    /// More than are counted for this, and the store has no estimate yet.
    Unknown,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageStats {
    /// Which backend this is: `memory`, `embedded`, `cluster`.
    pub backend: &'static str,
    /// Bytes on disk in all.
    pub disk_bytes: u64,
    /// The tables.
    pub tables: Vec<TableStats>,
    /// Events to be worked on.
    pub pending_events: u64,
    /// When the oldest pending event was filed.
    pub oldest_pending: Option<crate::clock::Time>,
    /// Dead letters.
    pub dead_letters: u64,
}
