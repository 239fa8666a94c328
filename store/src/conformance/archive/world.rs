//! A small world with one of everything.

use std::time::Duration;

use social_core::comments::Comment;
use social_core::fanout::Strategy;
use social_core::graph::EdgeKind;
use social_core::import::{ImportBatch, ImportPost};
use social_core::posts::{PostDraft, PostEdit, Visibility};
use social_core::text::{Facet, FacetKind};
use social_core::users::{NewUser, ProfileEdit};
use social_core::{CommentId, PostId, Time, UserId};
use uuid::Uuid;

use super::secret;
use crate::conformance::Subject;
use crate::conformance::subject::{draft, new_user, text};

/// What is in it.
pub(super) struct World {
    pub(super) users: Vec<UserId>,
    pub(super) handles: Vec<&'static str>,
    pub(super) posts: Vec<PostId>,
    pub(super) comments: Vec<CommentId>,
}

const HANDLES: [&str; 6] = ["ann", "bob", "cat", "dan", "eve", "fay"];

impl World {
    /// Makes it.
    pub(super) async fn rich(t: &Subject) -> Self {
        let users = users(t).await;
        let mut posts = posts(t, &users).await;
        let comments = comments(t, &users, posts[0]).await;
        likes(t, &users, &posts).await;
        edges(t, &users).await;
        posts.push(imported(t, users[3]).await);
        t.store().set_marker(users[0], posts[2], None).await.unwrap();
        t.advance(Duration::from_millis(5));
        t.store().set_marker(users[0], posts[4], None).await.unwrap();
        Self {
            users,
            handles: HANDLES.to_vec(),
            posts,
            comments,
        }
    }

    /// Changes of what is there, as clients make them.
    pub(super) async fn go_on(&self, t: &Subject) {
        let (users, posts, store) = (&self.users, &self.posts, t.store());
        store.set_password(users[0], secret(), None, t.key()).await.unwrap();
        let bio = ProfileEdit {
            bio: Some("goes on".into()),
            ..ProfileEdit::default()
        };
        store.update_profile(users[1], bio, None, t.key()).await.unwrap();
        store.set_marker(users[0], posts[5], None).await.unwrap();
        store.set_marker(users[1], posts[1], None).await.unwrap();
        for post in posts {
            let row = t.row(*post).await;
            if row.is_deleted() {
                t.undelete(*post).await;
            } else {
                t.edit(*post, "edited there").await;
            }
        }
        t.delete(posts[0]).await;
        t.delete(posts[5]).await;
        for id in &self.comments {
            let comment = store.comments(&[*id]).await.unwrap().remove(0).unwrap();
            if !comment.is_deleted() {
                let edit = store.edit_comment(*id, "edited there".into(), Vec::new(), None, t.key());
                edit.await.unwrap();
            }
        }
        store.delete_comment(self.comments[1], None, t.key()).await.unwrap();
        for user in users {
            t.like(*user, posts[1], false).await;
            t.like(*user, posts[2], true).await;
            for other in users.iter().filter(|other| *other != user) {
                t.set(EdgeKind::Block, *user, *other, false).await;
                t.unfollow(*user, *other).await;
            }
        }
        for user in &users[1..] {
            t.follow(*user, users[0]).await;
            t.set(EdgeKind::Mute, users[0], *user, false).await;
        }
    }
}

async fn users(t: &Subject) -> Vec<UserId> {
    let mut users = Vec::new();
    for handle in HANDLES {
        let new = NewUser {
            password: (handle != "dan").then(secret),
            bio: format!("I am {handle}"),
            created_at: (handle == "eve").then_some(Time::from_unix_ms(1_400_000_000_000)),
            ..new_user(handle)
        };
        users.push(t.store().create_user(new, t.key()).await.unwrap().value.id);
        t.advance(Duration::from_millis(1));
    }
    let name = ProfileEdit {
        display_name: Some("Ann the First".into()),
        ..ProfileEdit::default()
    };
    t.store().update_profile(users[0], name, None, t.key()).await.unwrap();
    // None of it is truth of the platform that lasts: nothing of it goes along.
    t.login(users[0]).await;
    users
}

async fn posts(t: &Subject, users: &[UserId]) -> Vec<PostId> {
    t.set_strategy(Strategy::Hybrid, 2).await;
    let mention = Facet {
        start: 0,
        end: 4,
        kind: FacetKind::Mention {
            user: users[1],
            handle: "bob".parse().unwrap(),
        },
    };
    let with_title = PostDraft {
        title: Some("title".into()),
        facets: vec![mention],
        ..draft(users[0], "@bob look")
    };
    let mut posts = vec![t.write(with_title).await];
    for visibility in [Visibility::Followers, Visibility::Private] {
        let draft = draft(users[0], "not for all");
        posts.push(t.write(PostDraft { visibility, ..draft }).await);
    }
    posts.push(t.reply(users[1], posts[0]).await);
    posts.push(t.reply(users[2], posts[0]).await);
    posts.push(t.post(users[2], "three times").await);
    for number in 0..3 {
        t.advance(Duration::from_millis(3));
        t.edit(posts[5], &format!("edit {number}")).await;
    }
    let narrowed = PostEdit {
        visibility: Some(Visibility::Followers),
        ..text("for followers now")
    };
    t.store()
        .edit_post(posts[4], narrowed, None, t.key(), None)
        .await
        .unwrap();
    posts.push(t.post(users[2], "deleted").await);
    posts.push(t.reply(users[3], posts[0]).await);
    posts.push(t.post(users[1], "back").await);
    t.advance(Duration::from_millis(7));
    for gone in [posts[6], posts[7], posts[8]] {
        t.delete(gone).await;
    }
    t.undelete(posts[8]).await;
    posts
}

async fn comments(t: &Subject, users: &[UserId], post: PostId) -> Vec<CommentId> {
    let mut comments: Vec<Comment> = Vec::new();
    for user in users {
        comments.push(t.comment(*user, post).await);
    }
    for parent in 0..4 {
        let parent = comments[parent].clone();
        comments.push(t.answer(users[0], &parent).await);
    }
    let deep = comments[6].clone();
    comments.push(t.answer(users[1], &deep).await);
    t.advance(Duration::from_millis(2));
    for gone in [0, 5, 7] {
        t.store()
            .delete_comment(comments[gone].id, None, t.key())
            .await
            .unwrap();
    }
    let store = t.store();
    let edit = store.edit_comment(comments[2].id, "edited".into(), Vec::new(), None, t.key());
    edit.await.unwrap();
    comments.into_iter().map(|comment| comment.id).collect()
}

async fn likes(t: &Subject, users: &[UserId], posts: &[PostId]) {
    for (number, user) in users.iter().enumerate() {
        for post in &posts[..=number] {
            t.like(*user, *post, true).await;
        }
        t.like(*user, posts[0], number % 2 == 0).await;
    }
    t.like(users[1], posts[0], true).await;
}

async fn edges(t: &Subject, users: &[UserId]) {
    for (from, to) in [(0, 1), (0, 2), (1, 0), (2, 0), (3, 0), (4, 0), (5, 4), (4, 5), (2, 3)] {
        t.follow(users[from], users[to]).await;
        t.advance(Duration::from_millis(1));
    }
    t.unfollow(users[3], users[0]).await;
    t.unfollow(users[2], users[0]).await;
    t.follow(users[2], users[0]).await;
    t.block(users[4], users[5]).await;
    t.block(users[1], users[3]).await;
    t.set(EdgeKind::Block, users[1], users[3], false).await;
    t.set(EdgeKind::Block, users[0], users[3], true).await;
    t.set(EdgeKind::Mute, users[0], users[2], true).await;
    t.set(EdgeKind::Mute, users[5], users[0], true).await;
}

async fn imported(t: &Subject, author: UserId) -> PostId {
    let post = ImportPost {
        author,
        title: None,
        content: "from elsewhere".into(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
        created_at: Time::from_unix_ms(1_350_000_000_000),
    };
    let batch = ImportBatch {
        import: Uuid::from_u128(5),
        offset: 0,
        items: vec![Ok(post)],
    };
    t.store().import_posts(batch).await.unwrap();
    let oldest = social_core::page::Range::oldest(None, 1);
    t.store().user_posts(author, oldest).await.unwrap()[0]
}
