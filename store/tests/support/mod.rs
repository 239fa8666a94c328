//! What tests of the backends share: users and posts, made over a store.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use social_core::posts::{PostDraft, Visibility};
use social_core::request::RequestKey;
use social_core::users::NewUser;
use social_core::{Backend, PostId, UserId};

/// A new request key.
pub fn key() -> RequestKey {
    RequestKey {
        key: rand::random(),
        fingerprint: [0; 16],
    }
}

/// A public post, before it is made.
pub fn draft(author: UserId, content: &str) -> PostDraft {
    PostDraft {
        author,
        title: None,
        content: content.to_owned(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
    }
}

/// A user, before it is made.
pub fn new_user(handle: &str) -> NewUser {
    NewUser {
        handle: handle.parse().unwrap(),
        display_name: handle.to_owned(),
        bio: String::new(),
        password: None,
        created_at: None,
    }
}

/// Makes a user.
pub async fn user(backend: &Backend, handle: &str) -> UserId {
    let made = backend.store.create_user(new_user(handle), key()).await;
    made.unwrap().value.id
}

/// Makes a public post.
pub async fn post(backend: &Backend, author: UserId, content: &str) -> PostId {
    let created = backend.store.create_post(draft(author, content), key(), None).await;
    created.unwrap().value.post.id
}
