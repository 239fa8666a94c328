//! The worker over the reference store, with hints lost, calls failing, and a post that cannot be delivered.

use social_core::graph::EdgeKind;
use social_core::posts::{self, NewPost, Visibility};
use social_core::request::{Caller, RequestKey, Viewer};
use social_core::users::NewUser;
use social_core::{Clock, PostId, SessionId, UserId};
use social_store::faulty::{self, Plan};
use social_store::memory;
use uuid::Uuid;

use super::*;

/// A worker under test, and a backend that never fails beside the one that the worker sees.
struct Running {
    backend: Backend,
    plan: Arc<Plan>,
    /// Says whether it can serve.
    fitness: watch::Sender<bool>,
    drain: Drain,
    worker: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(workers: usize) -> Self {
        Self::over(memory::open(Clock::system()), workers)
    }

    fn over(backend: Backend, workers: usize) -> Self {
        let plan = Arc::new(Plan::new(7));
        let drain = Drain::new();
        let fitness = watch::Sender::new(true);
        let seen = faulty::wrap(backend.clone(), &plan);
        let worker = tokio::spawn(run(seen, workers, fitness.subscribe(), drain.clone()));
        Self {
            backend,
            plan,
            fitness,
            drain,
            worker,
        }
    }

    async fn user(&self, handle: &str) -> UserId {
        let new = NewUser {
            handle: handle.parse().unwrap(),
            display_name: handle.to_owned(),
            bio: String::new(),
            password: None,
            created_at: None,
        };
        self.backend.store.create_user(new, key()).await.unwrap().value.id
    }

    async fn follow(&self, from: UserId, to: UserId) {
        self.backend
            .store
            .set_edge(EdgeKind::Follow, from, to, true, None)
            .await
            .unwrap();
    }

    async fn post(&self, author: UserId) -> PostId {
        let caller = Caller {
            viewer: Viewer::User {
                id: author,
                session: SessionId(1),
            },
            ..Caller::default()
        };
        let new = NewPost {
            content: "hello".to_owned(),
            title: String::new(),
            visibility: Visibility::Public,
            in_reply_to: None,
        };
        posts::create(&self.backend, &caller, new, &Uuid::new_v4().to_string())
            .await
            .unwrap()
            .view
            .post
            .id
    }

    /// Waits until an event is no longer pending.
    async fn ended(&self, id: impl Into<EventId>) -> Event {
        let id = id.into();
        for _ in 0..2_000 {
            let event = self.backend.store.event(id).await.unwrap().unwrap();
            if event.state != State::Pending {
                return event;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} never ends");
    }

    async fn stop(self) {
        self.drain.begin();
        tokio::time::timeout(Duration::from_secs(5), self.worker)
            .await
            .expect("it stops")
            .unwrap();
    }
}

/// A post whose event nobody hints at.
async fn silent_post(backend: &Backend, author: UserId) -> PostId {
    let draft = social_core::posts::PostDraft {
        author,
        title: None,
        content: "hello".to_owned(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
    };
    let created = backend.store.create_post(draft, key(), None).await.unwrap();
    created.value.post.id
}

fn key() -> RequestKey {
    RequestKey::new(&Caller::default(), "Test", &Uuid::new_v4().to_string(), &[]).unwrap()
}

#[tokio::test]
async fn a_worker_that_cannot_serve_takes_nothing_until_it_can() {
    let running = Running::start(2);
    let ada = running.user("ada").await;
    let before = running.post(ada).await;
    assert_eq!(running.ended(before).await.state, State::Done);
    running.fitness.send_replace(false);
    // One that is hinted at, and one that only a sweep finds.
    let posts = [running.post(ada).await, silent_post(&running.backend, ada).await];
    sleep(limits::EVENT_STALE * 2).await;
    for post in posts {
        let event = running.backend.store.event(post.into()).await.unwrap().unwrap();
        assert_eq!(event.state, State::Pending);
    }
    running.fitness.send_replace(true);
    for post in posts {
        assert_eq!(running.ended(post).await.state, State::Done);
    }
    running.fitness.send_replace(false);
    running.stop().await;
}

#[tokio::test]
async fn posts_reach_followers_also_when_hints_are_lost() {
    let running = Running::start(2);
    let (ada, grace) = (running.user("ada").await, running.user("grace").await);
    // The store files the follow's event, and nobody hints at it.
    running.follow(grace, ada).await;
    running.backend.timelines.begin(grace).await.unwrap();
    let mut posted = Vec::new();
    for _ in 0..50 {
        posted.push(running.post(ada).await);
    }
    for post in posted {
        assert_eq!(running.ended(post).await.state, State::Done);
    }
    let waiting = running.backend.store.pending_events(None, 10).await.unwrap();
    for event in waiting {
        assert_eq!(running.ended(event.id).await.state, State::Done);
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_is_driven_without_waiting_for_the_next_sweep() {
    let backend = memory::open(Clock::system());
    let mut last = PostId(0);
    for _ in 0..3 * limits::WORKER_EVENTS {
        last = silent_post(&backend, UserId(7)).await;
    }
    let running = Running::over(backend, 2);
    let started = Instant::now();
    assert_eq!(running.ended(last).await.state, State::Done);
    assert!(started.elapsed() < limits::EVENT_STALE, "{:?}", started.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_celebrity_holds_nobody_up() {
    let running = Running::start(1);
    let (star, ada) = (running.user("star").await, running.user("ada").await);
    for number in 0..3_500 {
        let fan = running.user(&format!("fan_{number}")).await;
        running.follow(fan, star).await;
    }
    let famous = running.post(star).await;
    let quiet = running.post(ada).await;
    let quiet = running.ended(quiet).await;
    let famous = running.ended(famous).await;
    assert!(quiet.finished_at <= famous.finished_at);
    assert!(famous.progress.steps >= 4, "{:?}", famous.progress);
    running.stop().await;
}

#[tokio::test]
async fn what_may_pass_is_waited_out_and_not_counted() {
    let running = Running::start(2);
    let ada = running.user("ada").await;
    running.plan.set_rate(0.15);
    let mut posted = Vec::new();
    for _ in 0..30 {
        posted.push(running.post(ada).await);
    }
    for post in posted {
        let event = running.ended(post).await;
        assert_eq!((event.state, event.attempts), (State::Done, 0));
    }
    running.stop().await;
}

#[tokio::test]
async fn what_would_repeat_ends_as_a_dead_letter_and_can_be_replayed() {
    let running = Running::start(1);
    let ada = running.user("ada").await;
    // A post is poisoned before the worker sees it: nobody hints at this one until then.
    let post = silent_post(&running.backend, ada).await;
    running.plan.poison(post);
    running.backend.signals.offer(post.into());
    let event = running.ended(post).await;
    assert_eq!(
        (event.state, event.attempts),
        (State::DeadLettered, limits::EVENT_ATTEMPTS)
    );
    assert_eq!(event.last_error.as_deref(), Some("internal"));
    let another = running.post(ada).await;
    assert_eq!(running.ended(another).await.state, State::Done, "others go on");

    running.plan.heal(post);
    let replayed = running.backend.store.replay_dead_letter(event.id).await.unwrap();
    assert_eq!(running.ended(replayed.id).await.state, State::Done);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_lost_hints_would_have_told_is_driven_at_once() {
    let running = Running::start(1);
    let ada = running.user("ada").await;
    let first = running.post(ada).await;
    running.ended(first).await;
    running.plan.lose_offers();
    // Right behind a sweep, so that the next one is far.
    sleep(limits::EVENT_STALE + Duration::from_millis(100)).await;
    let started = Instant::now();
    let unheard = running.post(ada).await;
    running.plan.notice_loss();
    running.ended(unheard).await;
    assert!(started.elapsed() < limits::EVENT_STALE / 4, "{:?}", started.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn what_is_unfinished_at_the_end_is_given_back() {
    let running = Running::start(1);
    let ada = running.user("ada").await;
    let finished = running.post(ada).await;
    running.ended(finished).await;
    let post = silent_post(&running.backend, ada).await;
    running.plan.poison(post);
    running.backend.signals.offer(post.into());
    // It failed once, and is waited out.
    while running
        .backend
        .store
        .event(post.into())
        .await
        .unwrap()
        .unwrap()
        .attempts
        == 0
    {
        sleep(Duration::from_millis(5)).await;
    }
    let plan = Arc::clone(&running.plan);
    running.stop().await;
    assert_eq!(plan.given_back(), [EventId::from(post)]);
}
