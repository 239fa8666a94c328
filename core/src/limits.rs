//! Every bound of the platform, in one place.
//!
//! "Characters" are what a person calls a character (Unicode extended grapheme clusters); a bound in
//! bytes stands beside each, since one grapheme may be arbitrarily long.

use std::time::Duration;

/// A post's content, in characters.
pub const POST_CONTENT_CHARS: usize = 5_000;
/// A post's content, in UTF-8 bytes.
pub const POST_CONTENT_BYTES: usize = 40_000;
/// A post's title, in characters.
pub const POST_TITLE_CHARS: usize = 200;
/// A post's title, in UTF-8 bytes.
pub const POST_TITLE_BYTES: usize = 1_600;
/// Facets (mentions and hashtags) of one text; what comes after is left as plain text.
pub const FACETS: usize = 50;
/// A hashtag without its `#`, in characters.
pub const HASHTAG_CHARS: usize = 100;
/// Revisions kept of one post; the oldest go first.
pub const POST_REVISIONS: usize = 100;
/// How long a deleted post can be undeleted.
pub const UNDELETE_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

/// A comment's content, in characters.
pub const COMMENT_CHARS: usize = 2_000;
/// A comment's content, in UTF-8 bytes.
pub const COMMENT_BYTES: usize = 16_000;
/// How deep comments nest.
pub const COMMENT_DEPTH: u32 = 32;

/// The shortest handle, in characters.
pub const HANDLE_MIN: usize = 3;
/// The longest handle, in characters.
pub const HANDLE_MAX: usize = 30;
/// A display name, in characters.
pub const DISPLAY_NAME_CHARS: usize = 50;
/// A display name, in UTF-8 bytes.
pub const DISPLAY_NAME_BYTES: usize = 400;
/// A bio, in characters.
pub const BIO_CHARS: usize = 500;
/// A bio, in UTF-8 bytes.
pub const BIO_BYTES: usize = 4_000;
/// The shortest password, in bytes.
pub const PASSWORD_MIN_BYTES: usize = 8;
/// The longest password, in bytes.
pub const PASSWORD_MAX_BYTES: usize = 256;
/// A session's device label, in characters.
pub const DEVICE_CHARS: usize = 50;
/// A session's device label, in UTF-8 bytes.
pub const DEVICE_BYTES: usize = 400;

/// Live sessions of one user; the oldest is revoked to make room.
pub const SESSIONS: usize = 50;
/// How long an access token lives.
pub const ACCESS_TOKEN_TTL: Duration = Duration::from_secs(600);
/// How long a session lives without being refreshed.
pub const REFRESH_TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the same refresh with the same request_id may be repeated.
pub const REFRESH_REPEAT: Duration = Duration::from_secs(30);
/// Password hashes computed at once.
pub const PASSWORD_HASHERS: usize = 2;
/// Password hashes waiting for a hasher; beyond that the answer is OVERLOADED.
pub const PASSWORD_QUEUE: usize = 64;
/// Password hashes of one client address that are computed or wait; beyond that the answer is OVERLOADED.
pub const PASSWORD_PLACES_PER_ADDRESS: usize = 4;
/// Refused logins of one account from one address that go unthrottled.
pub const LOGIN_FAILURES_FREE: u32 = 5;
/// The longest pause that throttled logins are asked to keep.
pub const LOGIN_THROTTLE_MAX: Duration = Duration::from_secs(300);
/// (account, address) pairs whose refused logins are remembered.
pub const LOGIN_THROTTLE_ENTRIES: usize = 100_000;

/// Users that one user can follow.
pub const FOLLOWING: u64 = 10_000;
/// Users that one user can block.
pub const BLOCKS: u64 = 10_000;
/// Users that one user can mute.
pub const MUTES: u64 = 10_000;

/// Ids in one batch call.
pub const BATCH: usize = 100;
/// Items on a page where the caller names no size.
pub const PAGE_DEFAULT: usize = 20;
/// Items on a page at the most.
pub const PAGE_MAX: usize = 100;
/// Users on a page where the caller names no size.
pub const USER_PAGE_DEFAULT: usize = 50;
/// Users on a page at the most.
pub const USER_PAGE_MAX: usize = 200;
/// Rows that one page may read to fill itself before it is handed out short.
pub const PAGE_SCAN: usize = 2_000;
/// A page token or cursor, in bytes.
pub const TOKEN_BYTES: usize = 512;

/// Entries of a home timeline that are kept ready; what is older is merged from truth.
pub const TIMELINE_ENTRIES: usize = 800;
/// Followees from which on a merge from truth is bounded: few merges at once in a process, one of a viewer.
pub const DEEP_READ_FOLLOWEES: usize = 100;
/// How long such a merge waits for its turn; beyond that the answer is OVERLOADED.
pub const DEEP_READ_WAIT: Duration = Duration::from_secs(1);
/// Home timelines kept ready; the ones not read for longest are dropped first.
pub const TIMELINES_LIVE: usize = 200_000;
/// Viewers whose last first page a process of the cluster remembers, so as to ask sooner for what the next one needs: some 500 bytes each.
pub const READ_AHEAD_VIEWERS: usize = 100_000;
/// Stretches of pulled posts remembered for one author; beyond that the two oldest are merged.
pub const PULLED_STRETCHES: usize = 64;

/// Followers that one fan-out step serves.
pub const FANOUT_STEP: usize = 1_000;
/// Events that a worker holds at once.
pub const WORKER_EVENTS: usize = 1_024;
/// Deterministic failures after which an event is a dead letter.
pub const EVENT_ATTEMPTS: u32 = 5;
/// An event without progress for this long is picked up by the sweep.
pub const EVENT_STALE: Duration = Duration::from_secs(2);
/// How long a finished event can be asked about.
pub const EVENT_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Pending events that operators' counts look at one by one; where there are more, the counts are lower bounds.
pub const OUTBOX_COUNTED: usize = 10_000;
/// How long a process that vanished is shown to operators.
pub const PROCESS_SHOWN: Duration = Duration::from_secs(3600);
/// How long the outcome of a request_id is kept.
pub const REQUEST_KEPT: Duration = Duration::from_secs(48 * 3600);

/// Posts that one SubscribeCounts stream watches.
pub const COUNT_SUBSCRIPTIONS: usize = 100;
/// Posts that a home stream sent lately and watches for edits and removal.
pub const STREAM_WINDOW: usize = 500;
/// Messages waiting for a slow subscriber before it is told of a gap.
pub const STREAM_BUFFER: usize = 256;
/// Open streams of one user.
pub const STREAMS_PER_USER: usize = 20;
/// Open streams of one address, whoever they belong to.
pub const STREAMS_PER_ADDRESS: usize = 2_000;
/// Open streams of a port, unless the configuration says otherwise.
pub const STREAMS: usize = 20_000;
/// The most that it may say.
pub const STREAMS_MAX: usize = 1_000_000;
/// How often an idle stream says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often counts that changed are sent at the most.
pub const COUNTS_INTERVAL: Duration = Duration::from_millis(500);
/// Followers in one message of StreamFollowers.
pub const STREAM_CHUNK: usize = 1_000;

/// Items in one message of an import.
pub const IMPORT_BATCH: usize = 1_000;
/// Rejected items that an import names.
pub const IMPORT_REJECTED: usize = 100;

/// Backups of a process under way at once.
pub const BACKUPS: usize = 1;
/// A piece of a backup, in bytes, about: it may be longer by one row.
pub const BACKUP_PIECE_BYTES: usize = 256 << 10;
/// How far the newest id of an archive may be ahead of the clock of the platform that it is brought into.
pub const ARCHIVE_AHEAD: Duration = Duration::from_secs(10);
/// The position of an export, in bytes.
pub const ARCHIVE_POSITION_BYTES: usize = 4 << 10;
/// The records of one message of an export, in bytes, unless one alone has more.
pub const ARCHIVE_MESSAGE_BYTES: usize = 768 << 10;

/// A request message, in bytes.
pub const MESSAGE_BYTES: usize = 1 << 20;
/// An answer, in bytes.
pub const ANSWER_BYTES: usize = 8 << 20;
/// A request's header list, in bytes.
pub const HEADER_BYTES: u32 = 16 << 10;
/// Requests and streams at once on one connection.
pub const STREAMS_PER_CONNECTION: u32 = 200;
/// Requests in work at once in a process; beyond that the answer is OVERLOADED.
pub const REQUESTS_IN_FLIGHT: usize = 1_024;
/// Requests at once of one user, or of one address without a token; beyond that the answer is OVERLOADED.
pub const REQUESTS_PER_CALLER: usize = 64;
/// The longest pause within a request's message before the call is given up.
pub const MESSAGE_PAUSE: Duration = Duration::from_secs(5);
/// Open connections of one address on one port; further ones are closed at once.
pub const CONNECTIONS_PER_ADDRESS: usize = 1_000;
/// The longest a unary call may take, whatever the caller asks for.
pub const DEADLINE_MAX: Duration = Duration::from_secs(30);
/// How long a unary call may take where the caller names no deadline.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
