//! How posts get to followers, changed while they are on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt as _;
use futures::future::join_all;
use social_sdk::{AdminClient, v1};

use crate::house::House;
use crate::people::{Person, assert_each_once, refused};
use crate::wait::{PATIENCE, in_time, until};

const PEOPLE: usize = 3;
const POSTS: usize = 60;

/// Posts, and waits for each to be with the followers; ids, and the modes that were decided.
async fn write(author: Person, done: Arc<AtomicUsize>) -> (Vec<String>, Vec<v1::FanoutMode>) {
    let (mut ids, mut fanouts, mut modes) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..POSTS {
        let posted = author
            .client
            .posts()
            .create(format!("{} {number}", author.handle))
            .await
            .unwrap();
        ids.push(posted.post.id);
        fanouts.push(posted.fanout_id.unwrap());
        done.fetch_add(1, Ordering::Relaxed);
    }
    for fanout_id in fanouts {
        let status = author
            .client
            .timeline()
            .wait_for_fanout(fanout_id, PATIENCE)
            .await
            .unwrap();
        assert_eq!(status.state(), v1::FanoutState::Done);
        modes.push(status.mode());
    }
    (ids, modes)
}

/// Changes the policy over and over while posts are written.
async fn change_policies(admin: &AdminClient, done: &AtomicUsize) {
    let policies = [
        (v1::FanoutMode::Pull, 10_000),
        (v1::FanoutMode::Push, 10_000),
        (v1::FanoutMode::Hybrid, 2),
        (v1::FanoutMode::Hybrid, 10_000),
    ];
    let total = PEOPLE * POSTS;
    for (nth, (mode, threshold)) in policies.into_iter().cycle().enumerate().take(total / 5) {
        until("some posts", || done.load(Ordering::Relaxed) >= nth * 5).await;
        let policy = admin
            .set_fanout_policy(mode)
            .celebrity_threshold(threshold)
            .await
            .unwrap();
        assert_eq!((policy.mode(), policy.celebrity_threshold), (mode, threshold));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_loses_and_doubles_nothing() {
    let house = House::open().await;
    let admin = house.admin();
    let (mut authors, mut fans) = (Vec::new(), Vec::new());
    for number in 0..PEOPLE {
        authors.push(house.person(&format!("author_{number}")).await);
        fans.push(house.person(&format!("fan_{number}")).await);
    }
    for fan in &fans {
        for author in &authors {
            fan.follow(author).await;
        }
    }
    // One has a timeline from the start; the others get theirs when they first read.
    assert!(fans[0].home().await.is_empty());
    let mut live = fans[1].client.timeline().subscribe().stream();
    in_time("the subscription", live.try_next()).await.unwrap();

    let done = Arc::new(AtomicUsize::new(0));
    let writing: Vec<_> = authors
        .iter()
        .map(|author| tokio::spawn(write(author.clone(), done.clone())))
        .collect();
    in_time("the changes", change_policies(&admin, &done)).await;
    let (mut all, mut modes) = (Vec::new(), Vec::new());
    for written in in_time("all fan-outs", join_all(writing)).await {
        let (posts, decided) = written.unwrap();
        all.extend(posts);
        modes.extend(decided);
    }
    assert!(modes.contains(&v1::FanoutMode::Push) && modes.contains(&v1::FanoutMode::Pull));

    let mut newest_first = all.clone();
    newest_first.sort_unstable_by(|one, other| other.cmp(one));
    for fan in &fans {
        assert_each_once(&fan.home().await, &all, &fan.handle);
        assert_eq!(fan.home().await, newest_first);
    }
    let mut told = Vec::new();
    in_time("all posts on the stream", async {
        while told.len() < all.len() {
            if let Some(social_sdk::HomeEvent::Added { item, .. }) = live.try_next().await.unwrap() {
                told.push(item.post.unwrap().id);
            }
        }
    })
    .await;
    assert_each_once(&told, &all, "the subscription");
}

#[tokio::test]
async fn a_policy_survives_and_is_guarded() {
    let mut house = House::open().await;
    let admin = house.admin();
    let first = admin.fanout_policy().await.unwrap();
    assert_eq!(
        (first.mode(), first.celebrity_threshold),
        (v1::FanoutMode::Hybrid, 10_000)
    );
    let second = admin
        .set_fanout_policy(v1::FanoutMode::Pull)
        .etag(&first.etag)
        .await
        .unwrap();
    assert!(second.update_time.is_some() && second.etag != first.etag);
    let stale = admin.set_fanout_policy(v1::FanoutMode::Push).etag(&first.etag);
    assert!(refused(stale.await).is_conflict());
    let negative = admin.set_fanout_policy(v1::FanoutMode::Hybrid).celebrity_threshold(-1);
    assert_eq!(
        refused(negative.await).field_violations()[0].field,
        "celebrity_threshold"
    );

    house.kill().await;
    house.start().await;
    assert_eq!(admin.fanout_policy().await.unwrap(), second);

    // A pulled post is written nowhere, and read all the same.
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    assert!(fan.home().await.is_empty());
    let posted = ann.client.posts().create("Pull me.").await.unwrap();
    let status = ann
        .client
        .timeline()
        .wait_for_fanout(posted.fanout_id.unwrap(), PATIENCE)
        .await
        .unwrap();
    assert_eq!((status.mode(), status.delivered), (v1::FanoutMode::Pull, 0));
    assert_eq!(fan.home().await, [posted.post.id]);
}
