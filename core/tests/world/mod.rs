//! A small world on the reference backend, whose workers run when a test says so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "helpers of tests; each test uses some of them"
)]

use std::time::Duration;

use social_core::auth::{NewSession, PasswordHash, RefreshHash};
use social_core::cursor::PageRequest;
use social_core::fanout::{Step, Strategy};
use social_core::graph::EdgeKind;
use social_core::posts::{NewPost, Visibility};
use social_core::request::{Caller, RequestKey, Viewer};
use social_core::timeline::{HomeEvent, HomePage, HomeRequest, HomeSubscribe, HomeSubscription};
use social_core::users::NewUser;
use social_core::{Backend, Clock, EventId, PostId, Result, Time, UserId, admin, fanout, graph, posts, timeline};

pub(crate) struct World {
    pub(crate) backend: Backend,
}

/// A user of the world, as the one who calls.
#[derive(Clone, Copy)]
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) caller: Caller,
}

pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            backend: social_store::memory::open(Clock::manual(Time::from_unix_ms(1_800_000_000_000))),
        }
    }

    pub(crate) async fn user(&self, handle: &str) -> Person {
        let key = RequestKey::new(&Caller::default(), "Register", &request_id(), &[]).unwrap();
        let password: Option<PasswordHash> = None;
        let new = NewUser {
            handle: handle.parse().unwrap(),
            display_name: handle.to_owned(),
            bio: String::new(),
            password,
            created_at: None,
        };
        let id = self.backend.store.create_user(new, key).await.unwrap().value.id;
        let key = RequestKey::new(&Caller::default(), "Login", &request_id(), &[]).unwrap();
        let session = NewSession {
            user: id,
            device: String::new(),
            address: None,
            refresh: RefreshHash([0; 32]),
        };
        let session = self
            .backend
            .store
            .create_session(session, key)
            .await
            .unwrap()
            .value
            .session
            .id;
        Person {
            id,
            caller: Caller {
                viewer: Viewer::User { id, session },
                ..Caller::default()
            },
        }
    }

    pub(crate) async fn users(&self, count: usize) -> Vec<Person> {
        let mut users = Vec::new();
        for n in 0..count {
            users.push(self.user(&format!("user{n}")).await);
        }
        users
    }

    pub(crate) fn tick(&self, ms: u64) {
        self.backend.clock.set(self.backend.clock.now().plus_ms(ms));
    }

    pub(crate) async fn post(&self, author: &Person, text: &str) -> PostId {
        self.publish(author, text, Visibility::Public, None).await.unwrap()
    }

    pub(crate) async fn publish(
        &self,
        author: &Person,
        text: &str,
        visibility: Visibility,
        reply: Option<PostId>,
    ) -> Result<PostId> {
        self.tick(1);
        let new = NewPost {
            content: text.to_owned(),
            title: String::new(),
            visibility,
            in_reply_to: reply,
        };
        Ok(posts::create(&self.backend, &author.caller, new, &request_id())
            .await?
            .view
            .post
            .id)
    }

    pub(crate) async fn edge(&self, kind: EdgeKind, from: &Person, to: &Person, active: bool) {
        graph::set(&self.backend, &from.caller, kind, to.id, active, &request_id())
            .await
            .unwrap();
    }

    pub(crate) async fn follow(&self, from: &Person, to: &Person) {
        self.edge(EdgeKind::Follow, from, to, true).await;
    }

    pub(crate) async fn strategy(&self, strategy: Strategy, threshold: u64) {
        admin::set_policy(&self.backend, strategy, Some(threshold), None, &request_id())
            .await
            .unwrap();
    }

    pub(crate) async fn pending(&self) -> Vec<EventId> {
        self.backend
            .store
            .pending_events(None, 1_000)
            .await
            .unwrap()
            .into_iter()
            .map(|event| event.id)
            .collect()
    }

    /// Works one event off; how many steps it took.
    pub(crate) async fn work(&self, id: EventId) -> u32 {
        let event = self.backend.store.event(id).await.unwrap().unwrap();
        let mut progress = event.progress.clone();
        let mut steps = 0;
        loop {
            steps += 1;
            match fanout::step(&self.backend, &event, progress).await.unwrap() {
                Step::More(next) => progress = next,
                Step::Done(done) => {
                    self.backend.store.finish(id, done).await.unwrap();
                    return steps;
                }
            }
        }
    }

    /// Works everything off.
    pub(crate) async fn settle(&self) {
        for id in self.pending().await {
            self.work(id).await;
        }
    }

    pub(crate) async fn home_page(&self, viewer: &Person, request: HomeRequest<'_>) -> HomePage {
        timeline::home(&self.backend, &viewer.caller, request).await.unwrap()
    }

    /// The first page of a viewer's home timeline.
    pub(crate) async fn home(&self, viewer: &Person) -> Vec<PostId> {
        ids(&self.home_page(viewer, page(100, "")).await)
    }

    /// The whole home timeline, page by page; the other party writes between pages.
    pub(crate) async fn walk(
        &self,
        viewer: &Person,
        size: i32,
        newer_than: &str,
        mut between: impl AsyncFnMut(),
    ) -> Vec<PostId> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let request = HomeRequest {
                newer_than_cursor: newer_than,
                ..page(size, &token)
            };
            let page = self.home_page(viewer, request).await;
            all.extend(ids(&page));
            token = page.next_page_token;
            if token.is_empty() {
                return all;
            }
            between().await;
        }
    }

    pub(crate) async fn head(&self, viewer: &Person) -> String {
        self.home_page(viewer, page(1, "")).await.head_cursor
    }

    pub(crate) async fn newer(&self, viewer: &Person, cursor: &str) -> HomePage {
        self.home_page(
            viewer,
            HomeRequest {
                newer_than_cursor: cursor,
                ..page(100, "")
            },
        )
        .await
    }

    pub(crate) async fn subscribe(&self, viewer: &Person, resume_cursor: &str) -> Watch {
        let request = HomeSubscribe {
            resume_cursor,
            exclude_replies: false,
            heartbeat: Duration::from_secs(15),
        };
        Watch(
            timeline::subscribe(&self.backend, &viewer.caller, request)
                .await
                .unwrap(),
        )
    }
}

pub(crate) fn page(size: i32, token: &str) -> HomeRequest<'_> {
    HomeRequest {
        page: PageRequest { size, token },
        ..HomeRequest::default()
    }
}

pub(crate) fn ids(page: &HomePage) -> Vec<PostId> {
    page.items.iter().map(|item| item.post.id).collect()
}

/// Checkpoints after which a test no longer waits for something else.
const CHECKPOINTS: usize = 8;

/// An open home stream.
pub(crate) struct Watch(pub(crate) HomeSubscription);

impl Watch {
    pub(crate) async fn next(&mut self) -> HomeEvent {
        tokio::time::timeout(Duration::from_secs(60), self.0.next())
            .await
            .expect("an event in time")
            .expect("an open stream")
            .unwrap()
    }

    pub(crate) async fn checkpoint(&mut self) -> String {
        match self.next().await {
            HomeEvent::Checkpoint { cursor, .. } => cursor,
            other => panic!("expected a checkpoint, got {other:?}"),
        }
    }

    /// The posts of the next message, each with its `late` flag; checkpoints are passed over.
    pub(crate) async fn added(&mut self) -> Vec<(PostId, bool)> {
        for _ in 0..CHECKPOINTS {
            match self.next().await {
                HomeEvent::Added(posts) => return posts.iter().map(|post| (post.view.post.id, post.late)).collect(),
                HomeEvent::Checkpoint { .. } => {}
                other => panic!("expected posts, got {other:?}"),
            }
        }
        panic!("no posts came")
    }

    pub(crate) async fn removed(&mut self) -> Vec<PostId> {
        for _ in 0..CHECKPOINTS {
            match self.next().await {
                HomeEvent::Removed(posts) => return posts,
                HomeEvent::Checkpoint { .. } => {}
                other => panic!("expected removals, got {other:?}"),
            }
        }
        panic!("no removals came")
    }
}
