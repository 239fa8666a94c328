//! A backend that fails by a seeded plan, for tests of what must hold although stores fail.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use social_core::admin::{Cluster, OutboxCounts, PendingEvent};
use social_core::archive::{self, Batch, Part, Restored};
use social_core::auth::{Account, NewSession, OpenedSession, PasswordHash, RefreshHash, Rotation, Session};
use social_core::backend::{
    AccountStore, Append, ArchiveStore, Backend, Backup, Channel, CommentStore, EventStore, ExportStart, Exported,
    Filled, GraphStore, Horizon, ImportStore, LikeStore, Listener, OperatorStore, Position, PostStore, Signals, Since,
    StorageStats, Store, TimelineSlice, Timelines, WakeKind,
};
use social_core::comments::{Comment, CommentDraft};
use social_core::fanout::{Event, Policy, Progress};
use social_core::graph::{Direction, Edge, EdgeChange, EdgeKind, Following, Relation, Sources};
use social_core::import::{ImportBatch, ImportFollow, ImportOutcome, ImportPost, ImportProgress};
use social_core::likes::{Like, LikeChange};
use social_core::page::Range;
use social_core::posts::{CreatedPost, Post, PostDraft, PostEdit, Revision};
use social_core::request::{Outcome, RequestKey, TraceContext};
use social_core::text::Facet;
use social_core::timeline::Marker;
use social_core::users::{Handle, NewUser, ProfileEdit, User};
use social_core::{CommentId, Error, EventId, PostId, Result, SessionId, UserId};
use tokio::sync::Notify;
use uuid::Uuid;

/// Which calls fail, decided anew for each call; the same seed and the same calls give the same failures.
pub struct Plan {
    state: Mutex<PlanState>,
    lost: Notify,
}

struct PlanState {
    rng: ChaCha8Rng,
    rate: f64,
    poisoned: HashSet<PostId>,
    loses_offers: bool,
    given_back: Vec<EventId>,
}

impl Plan {
    /// A plan that lets everything pass until told otherwise.
    pub fn new(seed: u64) -> Self {
        let state = PlanState {
            rng: ChaCha8Rng::seed_from_u64(seed),
            rate: 0.0,
            poisoned: HashSet::new(),
            loses_offers: false,
            given_back: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            lost: Notify::new(),
        }
    }

    /// From now on this share of the calls (0.0 to 1.0) fails as STORE_UNAVAILABLE: half of them before anything was
    /// applied, half after it was, so that a caller cannot tell.
    pub fn set_rate(&self, rate: f64) {
        self.state.lock().rate = rate.clamp(0.0, 1.0);
    }

    /// From now on writing this post to timelines fails as INTERNAL, every time.
    pub fn poison(&self, post: PostId) {
        self.state.lock().poisoned.insert(post);
    }

    /// The post is sound again.
    pub fn heal(&self, post: PostId) {
        self.state.lock().poisoned.remove(&post);
    }

    /// From now on offers of events reach no worker.
    pub fn lose_offers(&self) {
        self.state.lock().loses_offers = true;
    }

    /// It is noticed that offers were lost.
    pub fn notice_loss(&self) {
        self.lost.notify_one();
    }

    /// What a worker gave back at its end.
    pub fn given_back(&self) -> Vec<EventId> {
        self.state.lock().given_back.clone()
    }

    fn strike(&self) -> Result<()> {
        let mut state = self.state.lock();
        // Rolled before and after each call, so each roll gets half of the rate.
        let rate = state.rate / 2.0;
        if state.rng.random_bool(rate) {
            Err(Error::unavailable())
        } else {
            Ok(())
        }
    }

    fn check(&self, post: PostId) -> Result<()> {
        if self.state.lock().poisoned.contains(&post) {
            Err(Error::internal())
        } else {
            Ok(())
        }
    }
}

/// The backend with a store, timelines and signals that fail by the plan. Counters are left as they are.
pub fn wrap(backend: Backend, plan: &Arc<Plan>) -> Backend {
    let Backend {
        store,
        timelines,
        signals,
        ..
    } = backend;
    Backend {
        store: Arc::new(FaultyStore {
            inner: store,
            plan: Arc::clone(plan),
        }),
        timelines: Arc::new(FaultyTimelines {
            inner: timelines,
            plan: Arc::clone(plan),
        }),
        signals: Arc::new(FaultySignals {
            inner: signals,
            plan: Arc::clone(plan),
        }),
        ..backend
    }
}

struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
}

struct FaultyTimelines {
    inner: Arc<dyn Timelines>,
    plan: Arc<Plan>,
}

struct FaultySignals {
    inner: Arc<dyn Signals>,
    plan: Arc<Plan>,
}

#[async_trait]
impl Signals for FaultySignals {
    fn offer(&self, event: EventId) {
        if !self.plan.state.lock().loses_offers {
            self.inner.offer(event);
        }
    }

    async fn next_work(&self) -> EventId {
        self.inner.next_work().await
    }

    async fn lost(&self) {
        tokio::select! {
            () = self.plan.lost.notified() => {}
            () = self.inner.lost() => {}
        }
    }

    async fn leave(&self, unfinished: &[EventId]) {
        self.plan.state.lock().given_back.extend(unfinished);
        self.inner.leave(unfinished).await;
    }

    fn wake(&self, channel: Channel, kind: WakeKind) {
        self.inner.wake(channel, kind);
    }

    fn wake_homes(&self, viewers: &[UserId], post: PostId) {
        self.inner.wake_homes(viewers, post);
    }

    fn listen(&self) -> Box<dyn Listener> {
        self.inner.listen()
    }
}

macro_rules! faulty {
    ($target:ty: $noun:ident { $($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)* }) => {
        #[async_trait]
        impl $noun for $target {
            $(async fn $name(&self, $($arg: $kind),*) -> Result<$out> {
                self.plan.strike()?;
                let answer = self.inner.$name($($arg),*).await?;
                self.plan.strike()?;
                Ok(answer)
            })*
        }
    };
}

faulty!(FaultyStore: AccountStore {
    create_user(user: NewUser, request: RequestKey) -> Outcome<Arc<User>>;
    users(ids: &[UserId]) -> Vec<Option<Arc<User>>>;
    user_ids(handles: &[Handle]) -> Vec<Option<UserId>>;
    update_profile(
        user: UserId, edit: ProfileEdit, expected_version: Option<u64>, request: RequestKey
    ) -> Outcome<Arc<User>>;
    account(user: UserId) -> Option<Account>;
    set_password(
        user: UserId, password: PasswordHash, keep: Option<SessionId>, request: RequestKey
    ) -> Outcome<Vec<SessionId>>;
    create_session(session: NewSession, request: RequestKey) -> Outcome<OpenedSession>;
    session(id: SessionId) -> Option<Session>;
    sessions(user: UserId) -> Vec<Session>;
    rotate_session(id: SessionId, presented: RefreshHash, next: RefreshHash, request: [u8; 16]) -> Rotation;
    revoke_session(user: UserId, id: SessionId) -> bool;
    marker(user: UserId) -> Marker;
    set_marker(user: UserId, last_read: PostId, expected_version: Option<u64>) -> Marker;
});

faulty!(FaultyStore: PostStore {
    create_post(draft: PostDraft, request: RequestKey, trace: Option<TraceContext>) -> Outcome<CreatedPost>;
    posts(ids: &[PostId]) -> Vec<Option<Arc<Post>>>;
    edit_post(
        id: PostId, edit: PostEdit, expected_version: Option<u64>, request: RequestKey, trace: Option<TraceContext>
    ) -> Outcome<Arc<Post>>;
    delete_post(id: PostId, expected_version: Option<u64>, request: RequestKey) -> Outcome<Arc<Post>>;
    undelete_post(
        id: PostId, expected_version: Option<u64>, request: RequestKey, trace: Option<TraceContext>
    ) -> Outcome<Arc<Post>>;
    post_revisions(id: PostId, range: Range) -> Vec<Revision>;
    user_posts(author: UserId, range: Range) -> Vec<PostId>;
    pulled_posts(author: UserId, range: Range) -> Vec<PostId>;
    all_user_posts(author: UserId, range: Range) -> Vec<PostId>;
});

faulty!(FaultyStore: CommentStore {
    create_comment(draft: CommentDraft, request: RequestKey) -> Outcome<Comment>;
    edit_comment(
        id: CommentId, content: String, facets: Vec<Facet>, expected_version: Option<u64>, request: RequestKey
    ) -> Outcome<Comment>;
    delete_comment(id: CommentId, expected_version: Option<u64>, request: RequestKey) -> Outcome<Comment>;
    comments(ids: &[CommentId]) -> Vec<Option<Comment>>;
    list_comments(post: PostId, parent: Option<CommentId>, range: Range) -> Vec<Comment>;
});

faulty!(FaultyStore: LikeStore {
    set_like(user: UserId, post: PostId, active: bool) -> LikeChange;
    liked(user: UserId, posts: &[PostId]) -> Vec<bool>;
    likers(post: PostId, range: Range) -> Vec<Like>;
    user_likes(user: UserId, range: Range) -> Vec<Like>;
});

faulty!(FaultyStore: GraphStore {
    set_edge(kind: EdgeKind, from: UserId, to: UserId, active: bool, trace: Option<TraceContext>) -> EdgeChange;
    edges(kind: EdgeKind, direction: Direction, user: UserId, range: Range) -> Vec<Edge>;
    relations(viewer: UserId, users: &[UserId]) -> Vec<Relation>;
    following(viewer: UserId) -> Arc<Following>;
    sources(viewer: UserId) -> Sources;
    fanout_followers(author: UserId, after: Option<UserId>, limit: usize) -> Vec<UserId>;
});

faulty!(FaultyStore: EventStore {
    pending_events(after: Option<EventId>, limit: usize) -> Vec<Event>;
    stalled_events(after: Option<EventId>, limit: usize, idle: Duration) -> Vec<Event>;
    event(id: EventId) -> Option<Event>;
    record_progress(id: EventId, progress: Progress) -> ();
    finish(id: EventId, progress: Progress) -> ();
    record_failure(id: EventId, class: &str) -> Event;
    dead_letters(range: Range) -> Vec<Event>;
    replay_dead_letter(id: EventId) -> Event;
    was_committed(request: RequestKey) -> bool;
    horizon() -> Horizon;
    policy() -> Policy;
    set_policy(policy: Policy, expected_version: Option<u64>) -> Policy;
    expire(limit: usize) -> usize;
    stats() -> StorageStats;
});

faulty!(FaultyStore: ImportStore {
    import_progress(import: Uuid) -> Option<ImportProgress>;
    import_users(batch: ImportBatch<NewUser>) -> ImportOutcome;
    import_posts(batch: ImportBatch<ImportPost>) -> ImportOutcome;
    import_follows(batch: ImportBatch<ImportFollow>) -> ImportOutcome;
    seal_imports() -> ();
});

faulty!(FaultyStore: OperatorStore {
    cluster() -> Cluster;
    outbox_counts() -> OutboxCounts;
    outbox_events(after: Option<EventId>, limit: usize) -> Vec<PendingEvent>;
    back_up() -> Box<dyn Backup>;
});

faulty!(FaultyStore: ArchiveStore {
    begin_export() -> ExportStart;
    export(part: Part, after: Option<&[u8]>, limit: usize) -> Exported;
    archive() -> Option<archive::Progress>;
    restore(batch: Batch) -> Restored;
});

#[async_trait]
impl Timelines for FaultyTimelines {
    async fn append(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        self.plan.check(post)?;
        self.plan.strike()?;
        let outcome = self.inner.append(viewers, post).await?;
        self.plan.strike()?;
        Ok(outcome)
    }

    async fn renew(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        self.plan.check(post)?;
        self.plan.strike()?;
        let outcome = self.inner.renew(viewers, post).await?;
        self.plan.strike()?;
        Ok(outcome)
    }

    async fn insert(&self, viewer: UserId, posts: &[PostId]) -> Result<bool> {
        self.plan.strike()?;
        let held = self.inner.insert(viewer, posts).await?;
        self.plan.strike()?;
        Ok(held)
    }

    async fn read(&self, viewer: UserId, before: Option<PostId>, limit: usize) -> Result<Option<TimelineSlice>> {
        self.plan.strike()?;
        self.inner.read(viewer, before, limit).await
    }

    async fn since(&self, viewer: UserId, position: Position) -> Result<Option<Since>> {
        self.plan.strike()?;
        self.inner.since(viewer, position).await
    }

    async fn begin(&self, viewer: UserId) -> Result<Filled> {
        self.plan.strike()?;
        self.inner.begin(viewer).await
    }

    async fn fill(&self, viewer: UserId, generation: u64, posts: &[PostId], covers_from: PostId) -> Result<()> {
        self.plan.strike()?;
        self.inner.fill(viewer, generation, posts, covers_from).await
    }

    async fn forget(&self, viewer: UserId) -> Result<()> {
        self.inner.forget(viewer).await
    }

    async fn forget_all(&self) -> Result<()> {
        self.inner.forget_all().await
    }

    async fn stats(&self) -> Result<(u64, u64)> {
        self.inner.stats().await
    }
}

#[cfg(test)]
mod tests {
    use social_core::posts::Visibility;
    use social_core::{Clock, Reason, Time};

    use super::*;

    fn draft() -> PostDraft {
        PostDraft {
            author: UserId(1),
            title: None,
            content: "x".into(),
            visibility: Visibility::Public,
            in_reply_to: None,
            facets: Vec::new(),
        }
    }

    fn broken(seed: u64, rate: f64) -> (Backend, Arc<Plan>) {
        let plan = Arc::new(Plan::new(seed));
        plan.set_rate(rate);
        let backend = crate::memory::open(Clock::manual(Time::from_unix_ms(1_800_000_000_000)));
        (wrap(backend, &plan), plan)
    }

    /// Which of 200 posts failed, and which were written although they did.
    async fn posts_written(seed: u64) -> (Vec<bool>, usize) {
        let (backend, plan) = broken(seed, 0.4);
        let mut failed = Vec::new();
        for number in 0..200u128 {
            let request = RequestKey {
                key: number.to_be_bytes(),
                fingerprint: [0; 16],
            };
            let result = backend.store.create_post(draft(), request, None).await;
            assert!(
                result
                    .as_ref()
                    .err()
                    .is_none_or(|error| error.reason == Reason::StoreUnavailable)
            );
            failed.push(result.is_err());
        }
        plan.set_rate(0.0);
        let written = backend
            .store
            .user_posts(UserId(1), Range::newest(None, 1_000))
            .await
            .unwrap()
            .len();
        (failed, written)
    }

    #[tokio::test]
    async fn outcomes_of_failed_calls_are_unknown_and_the_same_for_the_same_seed() {
        let (failed, written) = posts_written(3).await;
        let failures = failed.iter().filter(|failed| **failed).count();
        assert!((40..120).contains(&failures), "{failures} of 200 failed");
        assert!(200 - failures < written && written < 200, "{written} were written");
        assert_eq!(posts_written(3).await, (failed, written));
        assert_ne!(posts_written(4).await.0, posts_written(3).await.0);
    }

    #[tokio::test]
    async fn a_poisoned_post_fails_every_time_until_it_is_healed() {
        let (backend, plan) = broken(1, 0.0);
        plan.poison(PostId(5));
        for _ in 0..3 {
            let error = backend.timelines.append(&[UserId(1)], PostId(5)).await.unwrap_err();
            assert_eq!(error.reason, Reason::Internal);
            assert!(!error.is_transient());
            backend.timelines.append(&[UserId(1)], PostId(6)).await.unwrap();
        }
        plan.heal(PostId(5));
        backend.timelines.renew(&[UserId(1)], PostId(5)).await.unwrap();
    }
}
