//! A small world in which everything has happened that can happen, and everything that can be read of it.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use social_core::auth::{NewSession, PasswordHash, RefreshHash};
use social_core::comments::{Comment, CommentDraft};
use social_core::cursor::PageRequest;
use social_core::fanout::{Policy, Strategy};
use social_core::graph::{Direction, EdgeKind};
use social_core::page::{Order, Range};
use social_core::posts::{PostDraft, PostEdit, Visibility};
use social_core::request::{Caller, Viewer};
use social_core::timeline::{self, HomeRequest};
use social_core::users::ProfileEdit;
use social_core::{Backend, CommentId, EventId, PostId, Result, SessionId, UserId};

use crate::support::{draft, key, new_user, user};

const ALL: Range = Range {
    order: Order::OldestFirst,
    after: None,
    until: None,
    limit: 10_000,
};

/// How long counts may take to be exact again.
const PATIENCE: Duration = Duration::from_secs(30);

fn text(content: &str) -> PostEdit {
    PostEdit {
        content: Some((content.into(), Vec::new())),
        ..PostEdit::default()
    }
}

fn comment_draft(author: UserId, post: PostId, parent: Option<&Comment>) -> CommentDraft {
    CommentDraft {
        post,
        parent: parent.map(|parent| parent.id),
        depth: parent.map_or(0, |parent| parent.depth + 1),
        author,
        content: "a comment".into(),
        facets: Vec::new(),
    }
}

fn password(text: &str) -> PasswordHash {
    serde_json::from_value(serde_json::json!(format!("$argon2id${text}"))).unwrap()
}

fn session(user: UserId) -> NewSession {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut refresh = [7; 32];
    refresh[..8].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    NewSession {
        user,
        device: "phone".into(),
        address: None,
        refresh: RefreshHash(refresh),
    }
}

pub(crate) async fn post(backend: &Backend, draft: PostDraft) -> PostId {
    let made = backend.store.create_post(draft, key(), None).await;
    let id = made.unwrap().value.post.id;
    // As the call that wrote it does.
    backend.signals.offer(id.into());
    id
}

pub(crate) async fn edge(backend: &Backend, kind: EdgeKind, from: UserId, to: UserId, active: bool) {
    backend.store.set_edge(kind, from, to, active, None).await.unwrap();
}

/// Everybody and everything.
pub(crate) struct World {
    pub(crate) users: Vec<UserId>,
    pub(crate) posts: Vec<PostId>,
    /// A follow that a block has ended since.
    pub(crate) blocked: EventId,
    comments: Vec<CommentId>,
}

impl World {
    /// Has everything happen: what is made, changed, taken back and made again, in all nouns, under each way of fan-out.
    pub(crate) async fn rich(backend: &Backend) -> Self {
        let store = &backend.store;
        let mut users = Vec::new();
        for handle in ["ann", "bob", "cat", "dan", "eve"] {
            users.push(user(backend, handle).await);
        }
        let &[ann, bob, cat, dan, eve] = users.as_slice() else {
            panic!("five users")
        };
        for name in ["Ann A.", "Ann B."] {
            let edit = ProfileEdit {
                display_name: Some(name.to_owned()),
                ..ProfileEdit::default()
            };
            store.update_profile(ann, edit, None, key()).await.unwrap();
        }
        store.create_session(session(bob), key()).await.unwrap();
        store.set_password(bob, password("first"), None, key()).await.unwrap();
        store.set_password(bob, password("second"), None, key()).await.unwrap();
        store.create_session(session(bob), key()).await.unwrap();

        let follow = EdgeKind::Follow;
        for (from, to) in [(bob, ann), (cat, ann), (dan, ann), (eve, ann), (ann, bob), (dan, cat)] {
            edge(backend, follow, from, to, true).await;
        }
        let blocked = store.set_edge(follow, cat, bob, true, None).await.unwrap().event;
        let mut posts = vec![post(backend, draft(ann, "first")).await];
        // Left and come back to: the old edge, its end, and a new edge with another time.
        edge(backend, follow, bob, ann, false).await;
        edge(backend, follow, bob, ann, true).await;
        edge(backend, follow, eve, ann, false).await;
        edge(backend, EdgeKind::Mute, dan, ann, true).await;
        edge(backend, EdgeKind::Mute, cat, ann, true).await;
        edge(backend, EdgeKind::Mute, cat, ann, false).await;
        // A block ends the follow.
        edge(backend, EdgeKind::Block, bob, cat, true).await;
        edge(backend, EdgeKind::Block, eve, dan, true).await;
        edge(backend, EdgeKind::Block, eve, dan, false).await;

        for number in 0..3 {
            posts.push(post(backend, draft(bob, &format!("bob's {number}"))).await);
        }
        set_strategy(backend, Strategy::Pull).await;
        for number in 0..3 {
            posts.push(post(backend, draft(ann, &format!("pulled {number}"))).await);
        }
        set_strategy(backend, Strategy::Push).await;
        posts.push(post(backend, draft(ann, "ends the stretch")).await);
        set_strategy(backend, Strategy::Pull).await;
        posts.push(post(backend, draft(ann, "a second stretch")).await);
        set_strategy(backend, Strategy::Hybrid).await;
        let reply = PostDraft {
            in_reply_to: Some(posts[0]),
            ..draft(bob, "a reply")
        };
        posts.push(post(backend, reply.clone()).await);
        posts.push(post(backend, reply).await);
        let replies = posts[posts.len() - 2..].to_vec();
        let hidden = PostDraft {
            visibility: Visibility::Private,
            ..draft(cat, "hidden")
        };
        posts.push(post(backend, hidden).await);

        for content in ["edited", "edited again"] {
            store
                .edit_post(posts[0], text(content), None, key(), None)
                .await
                .unwrap();
        }
        store.delete_post(posts[1], None, key()).await.unwrap();
        store.delete_post(posts[2], None, key()).await.unwrap();
        store.undelete_post(posts[2], None, key(), None).await.unwrap();
        store.delete_post(replies[0], None, key()).await.unwrap();
        let widened = PostEdit {
            visibility: Some(Visibility::Followers),
            ..PostEdit::default()
        };
        store.edit_post(posts[3], widened, None, key(), None).await.unwrap();

        let mut comments = Vec::new();
        for author in [bob, dan] {
            let root = comment_draft(author, posts[0], None);
            let root = store.create_comment(root, key()).await.unwrap().value;
            for answerer in [ann, eve] {
                let answer = comment_draft(answerer, posts[0], Some(&root));
                comments.push(store.create_comment(answer, key()).await.unwrap().value.id);
            }
            comments.push(root.id);
        }
        let edited = "edited".to_owned();
        store
            .edit_comment(comments[0], edited, Vec::new(), None, key())
            .await
            .unwrap();
        store.delete_comment(comments[1], None, key()).await.unwrap();
        store.delete_comment(comments[2], None, key()).await.unwrap();

        for user in [bob, cat, dan, eve] {
            store.set_like(user, posts[0], true).await.unwrap();
        }
        for active in [false, true, false, true] {
            store.set_like(bob, posts[0], active).await.unwrap();
        }
        store.set_like(cat, posts[0], false).await.unwrap();
        store.set_like(bob, posts[3], true).await.unwrap();
        Self {
            users,
            posts,
            blocked: blocked.unwrap(),
            comments,
        }
    }

    /// Everything that can be read, a line each. Counts are waited for until they are exact.
    pub(crate) async fn answers(&self, backend: &Backend) -> Vec<String> {
        let (store, mut told) = (&backend.store, Told::default());
        told.line("users", store.users(&self.users).await);
        for user in &self.users {
            self.of_user(backend, *user, &mut told).await;
        }
        told.line("posts", store.posts(&self.posts).await);
        for post in &self.posts {
            told.line("revisions", store.post_revisions(*post, ALL).await);
            told.line("likers", store.likers(*post, ALL).await);
            told.line("comments", store.list_comments(*post, None, ALL).await);
            let counts = exact(async || {
                let counts = backend.counters.posts(&[*post]).await.unwrap().remove(0);
                (counts.exact, counts)
            });
            told.line("counts", Ok(counts.await));
        }
        for comment in store.comments(&self.comments).await.unwrap().into_iter().flatten() {
            told.line(
                "answers",
                store.list_comments(comment.post, Some(comment.id), ALL).await,
            );
            told.line("comment", Ok(comment));
        }
        let handles: Vec<_> = ["ann", "bob", "cat", "dan", "eve", "nobody"]
            .iter()
            .map(|handle| handle.parse().unwrap())
            .collect();
        told.line("handles", store.user_ids(&handles).await);
        told.line("dead letters", store.dead_letters(ALL).await);
        told.0
    }

    async fn of_user(&self, backend: &Backend, user: UserId, told: &mut Told) {
        let store = &backend.store;
        for (kind, direction) in [
            (EdgeKind::Follow, Direction::Outgoing),
            (EdgeKind::Follow, Direction::Incoming),
            (EdgeKind::Block, Direction::Outgoing),
            (EdgeKind::Mute, Direction::Outgoing),
        ] {
            let edges = store.edges(kind, direction, user, ALL).await;
            told.line(&format!("{kind:?} {direction:?}"), edges);
        }
        told.line("relations", store.relations(user, &self.users).await);
        let following = store.following(user).await.unwrap();
        let mut followees: Vec<_> = following.followees.iter().collect();
        followees.sort();
        told.line("followees", Ok(followees));
        let mut followers = store.fanout_followers(user, None, 100).await.unwrap();
        followers.sort();
        told.line("fan-out", Ok(followers));
        told.line("own posts", store.user_posts(user, ALL).await);
        told.line("all posts", store.all_user_posts(user, ALL).await);
        told.line("liked", store.liked(user, &self.posts).await);
        told.line("likes", store.user_likes(user, ALL).await);
        told.line("account", store.account(user).await);
        told.line("sessions", store.sessions(user).await);
        let pulled = store.sources(user).await.unwrap().pulled;
        let mut pulled: Vec<_> = pulled.iter().map(|of| (of.author, of.stretches.clone())).collect();
        pulled.sort();
        told.line("pulled", Ok(pulled));
        told.line("home", Ok(home(backend, user).await));
        let counts = exact(async || {
            let counts = backend.counters.users(&[user]).await.unwrap().remove(0);
            (counts.exact, counts)
        });
        told.line("counts", Ok(counts.await));
    }
}

#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn line<T: Debug>(&mut self, what: &str, answer: Result<T>) {
        self.0.push(format!("{what}: {:?}", answer.unwrap()));
    }
}

/// Answers that are not the same, for a panic that can be read.
pub(crate) fn differences(before: &[String], after: &[String]) -> Vec<String> {
    let pairs = before.iter().zip(after).filter(|(before, after)| before != after);
    let mut found: Vec<String> = pairs
        .map(|(before, after)| format!("was {before}\n now {after}"))
        .collect();
    if before.len() != after.len() {
        found.push(format!("{} lines, now {}", before.len(), after.len()));
    }
    found
}

/// Asks until counts are exact.
async fn exact<T>(ask: impl AsyncFn() -> (bool, T)) -> T {
    let began = Instant::now();
    loop {
        let (is_exact, counts) = ask().await;
        if is_exact {
            return counts;
        }
        assert!(began.elapsed() < PATIENCE, "counts are never exact");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A viewer's home timeline.
pub(crate) async fn home(backend: &Backend, viewer: UserId) -> Vec<PostId> {
    let caller = Caller {
        viewer: Viewer::User {
            id: viewer,
            session: SessionId(1),
        },
        ..Caller::default()
    };
    let request = HomeRequest {
        page: PageRequest { size: 100, token: "" },
        ..HomeRequest::default()
    };
    let page = timeline::home(backend, &caller, request).await.unwrap();
    assert!(page.next_page_token.is_empty() && !page.rebuilding);
    page.items.iter().map(|view| view.post.id).collect()
}

async fn set_strategy(backend: &Backend, strategy: Strategy) {
    let policy = Policy {
        strategy,
        ..Policy::default()
    };
    backend.store.set_policy(policy, None).await.unwrap();
}

/// A mutation, and what it is called.
pub(crate) struct Deed {
    pub(crate) name: &'static str,
    run: Box<dyn Fn(Backend) -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

impl Deed {
    fn new<F>(name: &'static str, run: impl Fn(Backend) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            name,
            run: Box::new(move |backend| Box::pin(run(backend))),
        }
    }

    /// Does it; an error where it was not acknowledged.
    pub(crate) async fn run(&self, backend: &Backend) -> Result<()> {
        (self.run)(backend.clone()).await
    }
}

/// Every mutation of more than one row, each once, on a world of its own. Each files one event.
pub(crate) async fn deeds(backend: &Backend, names: &str) -> Vec<Deed> {
    let store = &backend.store;
    let (one, other) = (
        user(backend, &format!("{names}_one")).await,
        user(backend, &format!("{names}_other")).await,
    );
    let new = Arc::new(new_user(&format!("{names}_new")));
    let (edited, deleted) = (
        post(backend, draft(one, "x")).await,
        post(backend, draft(one, "x")).await,
    );
    let gone = post(backend, draft(one, "x")).await;
    store.delete_post(gone, None, key()).await.unwrap();
    let comment = async || {
        let made = store.create_comment(comment_draft(other, edited, None), key()).await;
        made.unwrap().value.id
    };
    let (kept, removed) = (comment().await, comment().await);
    store.set_like(other, edited, true).await.unwrap();
    edge(backend, EdgeKind::Follow, one, other, true).await;
    let set = |name, kind, from, to, active| {
        Deed::new(name, move |backend: Backend| async move {
            backend.store.set_edge(kind, from, to, active, None).await.map(drop)
        })
    };
    let like = |name, user, active| {
        Deed::new(name, move |backend: Backend| async move {
            backend.store.set_like(user, edited, active).await.map(drop)
        })
    };
    vec![
        Deed::new("create a user", move |backend: Backend| {
            let new = (*new).clone();
            async move { backend.store.create_user(new, key()).await.map(drop) }
        }),
        Deed::new("edit a profile", move |backend: Backend| async move {
            let edit = ProfileEdit {
                bio: Some("edited".to_owned()),
                ..ProfileEdit::default()
            };
            backend.store.update_profile(one, edit, None, key()).await.map(drop)
        }),
        Deed::new("set a password", move |backend: Backend| async move {
            let set = backend.store.set_password(one, password("x"), None, key());
            set.await.map(drop)
        }),
        Deed::new("log in", move |backend: Backend| async move {
            backend.store.create_session(session(one), key()).await.map(drop)
        }),
        Deed::new("create a post", move |backend: Backend| async move {
            backend.store.create_post(draft(one, "x"), key(), None).await.map(drop)
        }),
        Deed::new("edit a post", move |backend: Backend| async move {
            let edit = backend.store.edit_post(edited, text("y"), None, key(), None);
            edit.await.map(drop)
        }),
        Deed::new("delete a post", move |backend: Backend| async move {
            backend.store.delete_post(deleted, None, key()).await.map(drop)
        }),
        Deed::new("undelete a post", move |backend: Backend| async move {
            backend.store.undelete_post(gone, None, key(), None).await.map(drop)
        }),
        Deed::new("create a comment", move |backend: Backend| async move {
            let made = backend.store.create_comment(comment_draft(one, edited, None), key());
            made.await.map(drop)
        }),
        Deed::new("edit a comment", move |backend: Backend| async move {
            let edit = backend.store.edit_comment(kept, "y".into(), Vec::new(), None, key());
            edit.await.map(drop)
        }),
        Deed::new("delete a comment", move |backend: Backend| async move {
            backend.store.delete_comment(removed, None, key()).await.map(drop)
        }),
        like("like", one, true),
        like("unlike", other, false),
        set("follow", EdgeKind::Follow, other, one, true),
        set("unfollow", EdgeKind::Follow, one, other, false),
        set("mute", EdgeKind::Mute, other, one, true),
        set("block", EdgeKind::Block, one, other, true),
    ]
}
