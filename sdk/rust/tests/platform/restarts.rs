//! Writing while the server goes away and comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use social_sdk::{Origin, Reason, RetryPolicy, Uuid, v1};
use tokio::time::sleep;

use crate::house::House;
use crate::people::{Person, assert_each_once, ids, refused};
use crate::wait::{eventually, in_time, until};

const AUTHORS: usize = 8;
const POSTS: usize = 50;
/// How long the server is away.
const ABSENCE: Duration = Duration::from_secs(1);

/// Posts one after the other; the posts as they were acknowledged.
async fn write(author: Person, done: Arc<AtomicUsize>) -> Vec<v1::Post> {
    let mut posts = Vec::with_capacity(POSTS);
    for number in 0..POSTS {
        posts.push(author.post(format!("{} {number}", author.handle)).await);
        done.fetch_add(1, Ordering::Relaxed);
    }
    posts
}

/// Has all authors post while the server goes away and comes back, once in the first half and once in the second.
async fn write_through(house: &mut House, violently: bool) {
    let fan = house.stubborn_person("fan").await;
    let mut authors = Vec::new();
    for number in 0..AUTHORS {
        let author = house.stubborn_person(&format!("author_{number}")).await;
        fan.follow(&author).await;
        authors.push(author);
    }
    let done = Arc::new(AtomicUsize::new(0));
    let writing: Vec<_> = authors
        .iter()
        .map(|author| tokio::spawn(write(author.clone(), done.clone())))
        .collect();
    for part in 1..=2 {
        let goal = part * AUTHORS * POSTS / 3;
        until("some posts", || done.load(Ordering::Relaxed) >= goal).await;
        if violently {
            house.kill().await;
        } else {
            house.stop().await;
        }
        sleep(ABSENCE).await;
        house.start().await;
    }
    let written = in_time("all posts", join_all(writing)).await;

    let mut all = Vec::new();
    for (author, posts) in authors.iter().zip(written) {
        let posts = posts.expect("every post was acknowledged");
        // Once each, by their content: an attempt that nobody was told of must not have left a second one.
        let found = author.posts_of(author).await;
        let contents: BTreeSet<&str> = found.iter().map(|post| post.content.as_str()).collect();
        assert_eq!(
            (found.len(), contents.len()),
            (POSTS, POSTS),
            "posts of {}",
            author.handle
        );
        assert_each_once(&ids(&found), &ids(&posts), &author.handle);
        all.extend(ids(&posts));
    }
    eventually("all posts at home", async || {
        (fan.home().await.len() >= all.len()).then_some(())
    })
    .await;
    assert_each_once(&fan.home().await, &all, "the follower's home");
    println!("{} posts, each there once", all.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_post_is_there_once_after_a_server_was_stopped() {
    write_through(&mut House::open().await, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_post_is_there_once_after_a_server_was_killed() {
    write_through(&mut House::open().await, true).await;
}

#[tokio::test]
async fn a_call_without_an_answer_says_so_and_can_be_repeated() {
    let mut house = House::open().await;
    let impatient = house.builder().retry(RetryPolicy::none()).build().unwrap();
    let ann = Person::register(impatient, "ann").await;
    let request_id = Uuid::new_v4();
    let create = || ann.client.posts().create("Once").request_id(request_id);
    let first = create().await.unwrap();

    house.kill().await;
    let error = in_time("the refusal", async {
        // The first error may be of the connection that broke; then none can be made.
        loop {
            let error = refused(create().await);
            assert_eq!((error.origin(), error.attempts()), (Origin::Transport, 1), "{error:?}");
            assert!(error.is_retryable());
            if !error.is_unknown_outcome() {
                return error;
            }
        }
    })
    .await;
    assert!(error.message().starts_with("cannot connect"), "{error}");

    house.start().await;
    let again = create().await.unwrap();
    assert_eq!(again.post.id, first.post.id);
    assert_eq!(again.fanout_id, first.fanout_id);
    let other = ann.client.posts().create("Another one").request_id(request_id);
    assert_eq!(refused(other.await).reason(), Reason::RequestIdReused);
}

#[tokio::test]
async fn a_login_outlives_the_server() {
    let mut house = House::open().await;
    let ann = house.stubborn_person("ann").await;
    let post = ann.post("Before").await;
    house.kill().await;
    house.start().await;
    // The same access token, and after it the same refresh token.
    assert_eq!(ann.client.posts().get(&post.id).await.unwrap().content, "Before");
    ann.client.auth().refresh().await.unwrap();
    assert_eq!(ann.home().await, [post.id]);
}
