//! People with a client each, and what they do all the time.

use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use social_sdk::{Client, Error, v1};

use crate::wait::PATIENCE;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody with an account, logged in.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) id: String,
    pub(crate) handle: String,
}

impl Person {
    pub(crate) async fn register(client: Client, handle: &str) -> Self {
        let user = client.auth().register(handle, PASSWORD).await.unwrap();
        Self {
            client,
            id: user.id,
            handle: user.handle,
        }
    }

    /// Publishes a post.
    pub(crate) async fn post(&self, content: impl Into<String>) -> v1::Post {
        self.client.posts().create(content).await.unwrap().post
    }

    /// Publishes a post, and waits until it is with the followers.
    pub(crate) async fn post_and_deliver(&self, content: impl Into<String>) -> v1::Post {
        let posted = self.client.posts().create(content).await.unwrap();
        let fanout_id = posted.fanout_id.expect("a post is fanned out");
        let status = self
            .client
            .timeline()
            .wait_for_fanout(fanout_id, PATIENCE)
            .await
            .unwrap();
        assert_eq!(status.state(), v1::FanoutState::Done);
        posted.post
    }

    pub(crate) async fn follow(&self, other: &Self) {
        let relationship = self.client.graph().follow(&other.id).await.unwrap();
        assert!(relationship.following);
    }

    /// The ids of the whole home timeline, newest first, across all pages.
    pub(crate) async fn home(&self) -> Vec<String> {
        let items = self.client.timeline().home().page_size(100).stream();
        let posts = items.map_ok(|item| item.post.unwrap().id);
        posts.try_collect().await.unwrap()
    }

    /// All posts of a user that this person can see, newest first.
    pub(crate) async fn posts_of(&self, other: &Self) -> Vec<v1::Post> {
        let posts = self.client.posts().list_by_user(&other.id).page_size(100).stream();
        posts.try_collect().await.unwrap()
    }
}

/// The ids of posts.
pub(crate) fn ids(posts: &[v1::Post]) -> Vec<String> {
    posts.iter().map(|post| post.id.clone()).collect()
}

/// Asserts that these are exactly those, each once, whatever their order.
#[track_caller]
pub(crate) fn assert_each_once(found: &[String], expected: &[String], whose: &str) {
    let (found_set, expected_set): (BTreeSet<_>, BTreeSet<_>) = (found.iter().collect(), expected.iter().collect());
    let lost: Vec<_> = expected_set.difference(&found_set).collect();
    let strange: Vec<_> = found_set.difference(&expected_set).collect();
    assert!(
        lost.is_empty() && strange.is_empty(),
        "{whose}: lost {lost:?}, strange {strange:?}"
    );
    assert_eq!(found.len(), found_set.len(), "{whose}: some are there twice");
}

/// The error of a call that had to be refused.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Error>) -> Error {
    match answer {
        Ok(answer) => panic!("answered {answer:?} instead of refusing"),
        Err(error) => error,
    }
}
