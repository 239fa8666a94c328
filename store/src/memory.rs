//! The reference model: ordered maps under one mutex, obviously right rather than fast. Other backends are held
//! against it, and tests of the domain run on it. Nothing outlives the process.

mod archive;
mod auth;
mod comments;
mod counters;
mod events;
mod graph;
mod import;
mod likes;
mod operator;
mod posts;
mod timeline;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use social_core::archive::Progress;
use social_core::auth::{Account, Session};
use social_core::backend::Backend;
use social_core::comments::Comment;
use social_core::fanout::{Event, Mode, Payload, Policy};
use social_core::id::IdSource;
use social_core::import::ImportProgress;
use social_core::page::{Order, Range};
use social_core::posts::{Post, Revision};
use social_core::request::{RequestKey, TraceContext};
use social_core::timeline::{Marker, ReadAhead};
use social_core::users::{Handle, User};
use social_core::{Clock, CommentId, Error, EventId, PostId, Result, SessionId, Time, UserId, limits};
use uuid::Uuid;

use crate::signals::LocalSignals;
use graph::Graph;
use import::PastIds;
pub use timeline::MemoryTimelines;

/// A new, empty backend.
pub fn open(clock: Clock) -> Backend {
    Memory::new(clock).backend()
}

/// Truth and exact counters. Clones share the rows.
#[derive(Clone)]
pub struct Memory {
    rows: Arc<Mutex<Rows>>,
}

impl Memory {
    /// No rows yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            rows: Arc::new(Mutex::new(Rows::new(clock))),
        }
    }

    /// A backend over these rows whose derived parts are new: what a restart of the process leaves.
    pub fn backend(&self) -> Backend {
        Backend {
            store: Arc::new(self.clone()),
            timelines: Arc::new(MemoryTimelines::new()),
            counters: Arc::new(self.clone()),
            signals: Arc::new(LocalSignals::new()),
            // Not for speed: the suite then runs both ways of reading a timeline.
            read_ahead: ReadAhead::new(),
            clock: self.rows().clock.clone(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock()
    }
}

/// What a mutation under a request key brought about.
struct Request {
    fingerprint: [u8; 16],
    /// Id of the row that the mutation was about.
    target: u64,
    at: Time,
}

struct Rows {
    clock: Clock,
    ids: IdSource,
    last_id: u64,
    requests: BTreeMap<[u8; 16], Request>,
    users: BTreeMap<UserId, Arc<User>>,
    handles: BTreeMap<Handle, UserId>,
    accounts: BTreeMap<UserId, Account>,
    markers: BTreeMap<UserId, Marker>,
    sessions: BTreeMap<SessionId, Session>,
    posts: BTreeMap<PostId, Arc<Post>>,
    modes: BTreeMap<PostId, Mode>,
    revisions: BTreeMap<(PostId, u64), Revision>,
    comments: BTreeMap<CommentId, Comment>,
    likes: BTreeMap<(UserId, PostId), u64>,
    graph: Graph,
    stretches: BTreeMap<UserId, Vec<(PostId, PostId)>>,
    events: BTreeMap<EventId, Event>,
    /// When an event was brought further, or failed, last.
    moved: BTreeMap<EventId, Time>,
    started_at: Time,
    policy: Policy,
    imports: BTreeMap<Uuid, ImportProgress>,
    past_posts: PastIds,
    past_follows: PastIds,
    import_runs: u64,
    archive: Option<Progress>,
}

impl Rows {
    fn new(clock: Clock) -> Self {
        let started_at = clock.now();
        Self {
            clock,
            ids: IdSource::new(0, 0),
            last_id: 0,
            requests: BTreeMap::new(),
            users: BTreeMap::new(),
            handles: BTreeMap::new(),
            accounts: BTreeMap::new(),
            markers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            posts: BTreeMap::new(),
            modes: BTreeMap::new(),
            revisions: BTreeMap::new(),
            comments: BTreeMap::new(),
            likes: BTreeMap::new(),
            graph: Graph::default(),
            stretches: BTreeMap::new(),
            events: BTreeMap::new(),
            moved: BTreeMap::new(),
            started_at,
            policy: Policy::default(),
            imports: BTreeMap::new(),
            past_posts: PastIds::default(),
            past_follows: PastIds::default(),
            import_runs: 0,
            archive: None,
        }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn mint(&mut self) -> u64 {
        self.last_id = self.ids.mint(self.clock.now());
        self.last_id
    }

    /// The target of the mutation that was committed under this key; `None` where there was none.
    fn earlier(&self, request: RequestKey) -> Result<Option<u64>> {
        match self.requests.get(&request.key) {
            Some(row) if self.now().since(row.at) > limits::REQUEST_KEPT => Ok(None),
            Some(row) if row.fingerprint != request.fingerprint => Err(Error::request_id_reused()),
            row => Ok(row.map(|row| row.target)),
        }
    }

    fn remember(&mut self, request: RequestKey, target: u64) {
        let row = Request {
            fingerprint: request.fingerprint,
            target,
            at: self.now(),
        };
        self.requests.insert(request.key, row);
    }

    fn file(&mut self, id: EventId, payload: Payload, trace: Option<TraceContext>) {
        self.events.insert(id, Event::new(id, payload, self.now(), trace));
    }
}

/// Those of `rows` that the range selects, in its order; the rows come ascending by key.
fn select<T>(rows: impl DoubleEndedIterator<Item = (u64, T)>, range: &Range) -> Vec<T> {
    let Some((low, high)) = range.bounds() else {
        return Vec::new();
    };
    let inside = rows.filter(|(key, _)| (low..=high).contains(key)).map(|(_, row)| row);
    match range.order {
        Order::OldestFirst => inside.take(range.limit).collect(),
        Order::NewestFirst => inside.rev().take(range.limit).collect(),
    }
}

/// [`select`] for rows that do not come in the order of their keys.
fn select_unsorted<T>(rows: impl Iterator<Item = (u64, T)>, range: &Range) -> Vec<T> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(key, _)| *key);
    select(rows.into_iter(), range)
}
