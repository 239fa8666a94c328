//! A backend under test, and short words for what most cases begin with.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use social_core::auth::{NewSession, PasswordHash, RefreshHash, Session};
use social_core::backend::{Counters, Signals, Store, Timelines};
use social_core::comments::{Comment, CommentDraft};
use social_core::fanout::{Policy, Progress, Strategy};
use social_core::graph::{EdgeChange, EdgeKind, Relation};
use social_core::posts::{Post, PostCounts, PostDraft, PostEdit, Visibility};
use social_core::request::RequestKey;
use social_core::users::{NewUser, UserCounts};
use social_core::{Backend, Clock, EventId, PostId, Reason, Result, Time, UserId};
use social_store::embedded::{self, Embedded};
use social_store::memory::Memory;
use tempfile::TempDir;

use super::keyspaces::{self, Keyspace};

/// When every case begins: some day in 2023. A day of the past, since a store may refuse write timestamps of the future.
const START: Time = Time::from_unix_ms(1_700_000_000_000);

/// How often a count that is not exact yet is read again.
const RECOUNTED: Duration = Duration::from_millis(20);

/// The backends that the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The reference model.
    Memory,
    /// A data folder of one process.
    Embedded,
    /// A real CQL store and a real Redis.
    Cluster,
}

impl Kind {
    /// Each that can be run here: the cluster where its services are.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Memory, Self::Embedded];
        if keyspaces::are_there() {
            all.push(Self::Cluster);
        }
        all
    }

    /// What the summary calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Embedded => "embedded",
            Self::Cluster => "cluster",
        }
    }
}

/// Where the data are while the backend is closed.
enum Home {
    Memory(Memory),
    Embedded(Folder),
    Cluster(Keyspace),
}

/// A data folder, and who holds it.
struct Folder {
    dir: TempDir,
    holder: Mutex<Option<Embedded>>,
}

impl Folder {
    fn open(&self, clock: Clock) -> Backend {
        let mut config = embedded::Config::new(self.dir.path(), clock);
        // Little, so that rows are read from disk as well.
        config.cache_bytes = 1 << 20;
        config.block_cache_bytes = 4 << 20;
        config.on_fatal = Arc::new(|why| panic!("{why}"));
        let opened = embedded::open(config).expect("the folder opens");
        let backend = opened.backend();
        *self.holder.lock() = Some(opened);
        backend
    }

    fn close(&self) {
        if let Some(opened) = self.holder.lock().take() {
            opened.close().expect("the folder closes");
        }
    }
}

/// A backend under test.
pub(crate) struct Subject {
    kind: Kind,
    home: Home,
    backend: RwLock<Option<Backend>>,
    clock: Clock,
    serial: AtomicU64,
}

impl Subject {
    /// A new, empty backend.
    pub(crate) async fn open(kind: Kind) -> Self {
        let clock = Clock::manual(START);
        let home = match kind {
            Kind::Memory => Home::Memory(Memory::new(clock.clone())),
            Kind::Embedded => {
                let dir = tempfile::tempdir().expect("a temporary folder");
                Home::Embedded(Folder {
                    dir,
                    holder: Mutex::new(None),
                })
            }
            Kind::Cluster => Home::Cluster(Keyspace::take().await),
        };
        let subject = Self {
            kind,
            home,
            backend: RwLock::new(None),
            clock,
            serial: AtomicU64::new(1),
        };
        subject.start().await;
        subject
    }

    async fn start(&self) {
        let backend = match &self.home {
            Home::Memory(memory) => memory.backend(),
            Home::Embedded(folder) => folder.open(self.clock.clone()),
            Home::Cluster(keyspace) => keyspace.open(self.clock.clone()).await,
        };
        *self.backend.write() = Some(backend);
    }

    /// Which backend it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What the backend calls itself.
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Closes the backend and opens it again: truth stays, what is derived may be gone. Cases let go of its parts
    /// before, since whoever holds one holds the data folder.
    pub(crate) async fn reopen(&self) {
        drop(self.backend.write().take());
        match &self.home {
            Home::Memory(_) => {}
            Home::Embedded(folder) => folder.close(),
            Home::Cluster(keyspace) => keyspace.close().await,
        }
        self.start().await;
    }

    fn part<T>(&self, take: impl FnOnce(&Backend) -> T) -> T {
        take(self.backend.read().as_ref().expect("the backend is open"))
    }

    /// All parts of the backend.
    pub(crate) fn backend(&self) -> Backend {
        self.part(Backend::clone)
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.part(|backend| Arc::clone(&backend.store))
    }

    pub(crate) fn timelines(&self) -> Arc<dyn Timelines> {
        self.part(|backend| Arc::clone(&backend.timelines))
    }

    pub(crate) fn counters(&self) -> Arc<dyn Counters> {
        self.part(|backend| Arc::clone(&backend.counters))
    }

    pub(crate) fn signals(&self) -> Arc<dyn Signals> {
        self.part(|backend| Arc::clone(&backend.signals))
    }

    /// The time now.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.set(self.now().plus(by));
    }

    /// Moves the clock back.
    pub(crate) fn step_back(&self, by: Duration) {
        self.clock
            .set(Time::from_unix_ms(self.now().unix_ms() - by.as_millis() as u64));
    }

    fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The key of a new request.
    pub(crate) fn key(&self) -> RequestKey {
        RequestKey {
            key: u128::from(self.next()).to_be_bytes(),
            fingerprint: [1; 16],
        }
    }

    /// A hash of a new refresh token.
    pub(crate) fn token(&self) -> RefreshHash {
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&self.next().to_be_bytes());
        RefreshHash(hash)
    }

    pub(crate) async fn user(&self, handle: &str) -> UserId {
        self.store()
            .create_user(new_user(handle), self.key())
            .await
            .unwrap()
            .value
            .id
    }

    /// So many users, called `<prefix>_0` and so on.
    pub(crate) async fn users(&self, prefix: &str, count: usize) -> Vec<UserId> {
        let mut users = Vec::new();
        for number in 0..count {
            users.push(self.user(&format!("{prefix}_{number}")).await);
        }
        users
    }

    pub(crate) async fn login(&self, user: UserId) -> Session {
        let session = NewSession {
            user,
            device: "phone".into(),
            address: None,
            refresh: self.token(),
        };
        let opened = self.store().create_session(session, self.key()).await.unwrap();
        opened.value.session
    }

    pub(crate) async fn post(&self, author: UserId, content: &str) -> PostId {
        self.write(draft(author, content)).await
    }

    pub(crate) async fn reply(&self, author: UserId, to: PostId) -> PostId {
        self.write(PostDraft {
            in_reply_to: Some(to),
            ..draft(author, "a reply")
        })
        .await
    }

    pub(crate) async fn write(&self, draft: PostDraft) -> PostId {
        self.store()
            .create_post(draft, self.key(), None)
            .await
            .unwrap()
            .value
            .post
            .id
    }

    /// So many posts of an author, oldest first.
    pub(crate) async fn posts(&self, author: UserId, count: usize) -> Vec<PostId> {
        let mut posts = Vec::new();
        for number in 0..count {
            posts.push(self.post(author, &format!("post {number}")).await);
        }
        posts
    }

    pub(crate) async fn edit(&self, post: PostId, content: &str) -> Arc<Post> {
        self.store()
            .edit_post(post, text(content), None, self.key(), None)
            .await
            .unwrap()
            .value
    }

    pub(crate) async fn delete(&self, post: PostId) -> Arc<Post> {
        self.store().delete_post(post, None, self.key()).await.unwrap().value
    }

    pub(crate) async fn undelete(&self, post: PostId) -> Arc<Post> {
        self.store()
            .undelete_post(post, None, self.key(), None)
            .await
            .unwrap()
            .value
    }

    /// A post's row.
    pub(crate) async fn row(&self, post: PostId) -> Arc<Post> {
        self.store()
            .posts(&[post])
            .await
            .unwrap()
            .remove(0)
            .expect("the post exists")
    }

    pub(crate) async fn comment(&self, author: UserId, post: PostId) -> Comment {
        let draft = comment_draft(author, post, None);
        self.store().create_comment(draft, self.key()).await.unwrap().value
    }

    pub(crate) async fn answer(&self, author: UserId, parent: &Comment) -> Comment {
        let draft = comment_draft(author, parent.post, Some(parent));
        self.store().create_comment(draft, self.key()).await.unwrap().value
    }

    pub(crate) async fn like(&self, user: UserId, post: PostId, active: bool) -> bool {
        self.store().set_like(user, post, active).await.unwrap().changed
    }

    pub(crate) async fn set(&self, kind: EdgeKind, from: UserId, to: UserId, active: bool) -> EdgeChange {
        self.store().set_edge(kind, from, to, active, None).await.unwrap()
    }

    pub(crate) async fn follow(&self, from: UserId, to: UserId) -> EdgeChange {
        self.set(EdgeKind::Follow, from, to, true).await
    }

    pub(crate) async fn unfollow(&self, from: UserId, to: UserId) -> EdgeChange {
        self.set(EdgeKind::Follow, from, to, false).await
    }

    pub(crate) async fn block(&self, from: UserId, to: UserId) -> EdgeChange {
        self.set(EdgeKind::Block, from, to, true).await
    }

    pub(crate) async fn relation(&self, viewer: UserId, other: UserId) -> Relation {
        self.store().relations(viewer, &[other]).await.unwrap()[0]
    }

    /// A post's counts, once they are exact.
    pub(crate) async fn post_counts(&self, post: PostId) -> PostCounts {
        loop {
            let counts = self.counters().posts(&[post]).await.unwrap()[0];
            if counts.exact {
                return counts;
            }
            tokio::time::sleep(RECOUNTED).await;
        }
    }

    /// A user's counts, once they are exact.
    pub(crate) async fn user_counts(&self, user: UserId) -> UserCounts {
        loop {
            let counts = self.counters().users(&[user]).await.unwrap()[0];
            if counts.exact {
                return counts;
            }
            tokio::time::sleep(RECOUNTED).await;
        }
    }

    pub(crate) async fn set_strategy(&self, strategy: Strategy, celebrity_threshold: u64) {
        let policy = Policy {
            strategy,
            celebrity_threshold,
            ..Policy::default()
        };
        self.store().set_policy(policy, None).await.unwrap();
    }

    /// Ids of every pending event.
    pub(crate) async fn pending(&self) -> Vec<EventId> {
        let events = self.store().pending_events(None, usize::MAX).await.unwrap();
        events.into_iter().map(|event| event.id).collect()
    }

    /// Ends every pending event.
    pub(crate) async fn settle(&self) {
        for event in self.pending().await {
            self.store().finish(event, Progress::default()).await.unwrap();
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        drop(self.backend.write().take());
        if let Home::Embedded(folder) = &self.home {
            folder.close();
        }
    }
}

/// An account without a password.
pub(crate) fn new_user(handle: &str) -> NewUser {
    NewUser {
        handle: handle.parse().unwrap(),
        display_name: handle.to_uppercase(),
        bio: String::new(),
        password: None,
        created_at: None,
    }
}

/// Something that looks like a password's hash.
pub(crate) fn password(text: &str) -> PasswordHash {
    serde_json::from_value(serde_json::json!(format!("$argon2id${text}"))).unwrap()
}

/// A public post.
pub(crate) fn draft(author: UserId, content: &str) -> PostDraft {
    PostDraft {
        author,
        title: None,
        content: content.into(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
    }
}

/// An edit of nothing but the text.
pub(crate) fn text(content: &str) -> PostEdit {
    PostEdit {
        content: Some((content.into(), Vec::new())),
        ..PostEdit::default()
    }
}

pub(crate) fn comment_draft(author: UserId, post: PostId, parent: Option<&Comment>) -> CommentDraft {
    CommentDraft {
        post,
        parent: parent.map(|parent| parent.id),
        depth: parent.map_or(0, |parent| parent.depth + 1),
        author,
        content: "a comment".into(),
        facets: Vec::new(),
    }
}

/// Holds a result against the reason that it must be refused for.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, reason: Reason) {
    match result {
        Ok(_) => panic!("was done, and should have been refused as {reason:?}"),
        Err(error) => assert_eq!(error.reason, reason),
    }
}

/// Starts so many tasks at the same moment; their outcomes, in the order of their numbers.
pub(crate) async fn at_once<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(count));
    let spawned: Vec<_> = (0..count)
        .map(|number| {
            let (start, work) = (Arc::clone(&start), task(number));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in spawned {
        outcomes.push(task.await.expect("the task ran to its end"));
    }
    outcomes
}
