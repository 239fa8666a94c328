//! Live streams: what they send, and that nothing is missed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

mod world;

use std::time::Duration;

use social_core::fanout::Strategy;
use social_core::graph::EdgeKind;
use social_core::posts::{self, PostEvent};
use social_core::timeline::HomeEvent;
use social_core::{Reason, comments, likes};
use world::{World, request_id};

const HEARTBEAT: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn a_home_stream_begins_with_a_checkpoint_and_sends_what_arrives() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.follow(&ann, &bob).await;
    world.settle().await;
    let mut watch = world.subscribe(&ann, "").await;
    watch.checkpoint().await;
    let post = world.post(&bob, "hello").await;
    world.settle().await;
    assert_eq!(watch.added().await, [(post, false)]);
    watch.checkpoint().await;
    let own = world.post(&ann, "own").await;
    assert_eq!(watch.added().await, [(own, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_late_arrival_is_flagged() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.follow(&ann, &bob).await;
    world.settle().await;
    let mut watch = world.subscribe(&ann, "").await;
    let (slow, quick) = (world.post(&bob, "slow").await, world.post(&bob, "quick").await);
    world.work(quick.into()).await;
    assert_eq!(watch.added().await, [(quick, false)]);
    world.work(slow.into()).await;
    assert_eq!(watch.added().await, [(slow, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_resume_between_two_appends_misses_neither() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.follow(&ann, &bob).await;
    world.settle().await;
    world.home(&ann).await;
    let (slow, quick) = (world.post(&bob, "slow").await, world.post(&bob, "quick").await);
    let mut watch = world.subscribe(&ann, "").await;
    watch.checkpoint().await;
    world.work(quick.into()).await;
    assert_eq!(watch.added().await, [(quick, false)]);
    let cursor = watch.checkpoint().await;
    drop(watch);
    world.work(slow.into()).await;
    let mut resumed = world.subscribe(&ann, &cursor).await;
    assert_eq!(resumed.checkpoint().await, cursor);
    assert_eq!(resumed.added().await, [(slow, false)]);
}

#[tokio::test(start_paused = true)]
async fn deletes_mutes_and_unfollows_remove_what_was_sent() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.follow(&ann, &bob).await;
    world.settle().await;
    let mut watch = world.subscribe(&ann, "").await;
    let mut send = Vec::new();
    for _ in 0..3 {
        send.push(world.post(&bob, "text").await);
        world.settle().await;
        watch.added().await;
    }
    posts::delete(&world.backend, &bob.caller, send[0], None, &request_id())
        .await
        .unwrap();
    assert_eq!(watch.removed().await, [send[0]]);
    world.edge(EdgeKind::Mute, &ann, &bob, true).await;
    assert_eq!(watch.removed().await, [send[1], send[2]]);
    posts::undelete(&world.backend, &bob.caller, send[0], None, &request_id())
        .await
        .unwrap();
    world.settle().await;
    let unseen = world.post(&bob, "muted").await;
    world.settle().await;
    world.edge(EdgeKind::Mute, &ann, &bob, false).await;
    assert!(
        matches!(watch.next().await, HomeEvent::Reset),
        "what the mute hid is back"
    );
    let seen = world.post(&bob, "heard again").await;
    world.settle().await;
    assert_eq!(watch.added().await, [(seen, false)]);
    assert!(world.home(&ann).await.contains(&unseen));
}

#[tokio::test(start_paused = true)]
async fn counts_of_posts_sent_lately_are_coalesced() {
    let world = World::new();
    let users = world.users(4).await;
    world.follow(&users[0], &users[1]).await;
    world.settle().await;
    let mut watch = world.subscribe(&users[0], "").await;
    let post = world.post(&users[1], "like me").await;
    world.settle().await;
    watch.added().await;
    watch.checkpoint().await;
    for user in &users {
        likes::set(&world.backend, &user.caller, post, true, &request_id())
            .await
            .unwrap();
    }
    match watch.next().await {
        HomeEvent::CountsUpdated(counts) => assert_eq!((counts[0].0, counts[0].1.likes), (post, 4)),
        other => panic!("expected counts, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_pulled_followee_wakes_the_stream() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.strategy(Strategy::Pull, 1).await;
    world.follow(&ann, &bob).await;
    world.post(&bob, "first").await;
    world.settle().await;
    world.home(&ann).await;
    let mut watch = world.subscribe(&ann, "").await;
    watch.checkpoint().await;
    let open = tokio::time::timeout(Duration::from_millis(100), watch.0.next()).await;
    assert!(open.is_err(), "nothing new: {open:?}");
    let post = world.post(&bob, "second").await;
    let woken = tokio::time::timeout(Duration::from_secs(1), watch.added())
        .await
        .unwrap();
    assert_eq!(woken, [(post, false)]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_says_that_it_lives_and_finds_what_no_wake_told_of() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.follow(&ann, &bob).await;
    world.settle().await;
    let mut watch = world.subscribe(&ann, "").await;
    watch.checkpoint().await;
    watch.checkpoint().await;
    let post = world.post(&bob, "silent").await;
    world.backend.timelines.append(&[ann.id], post).await.unwrap();
    assert_eq!(watch.added().await, [(post, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_too_slow_gets_a_gap_and_misses_nothing_by_resuming() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.follow(&ann, &bob).await;
    world.settle().await;
    let mut watch = world.subscribe(&ann, "").await;
    watch.checkpoint().await;
    let open = tokio::time::timeout(Duration::from_millis(100), watch.0.next()).await;
    assert!(open.is_err());
    let mut written = Vec::new();
    for _ in 0..=social_core::limits::STREAM_BUFFER {
        written.push(world.post(&bob, "flood").await);
    }
    world.settle().await;
    let HomeEvent::Gap { resume_cursor } = watch.next().await else {
        panic!("expected a gap")
    };
    assert!(watch.0.next().await.is_none(), "the stream ends");
    let mut resumed = world.subscribe(&ann, &resume_cursor).await;
    let mut got = Vec::new();
    while got.len() < written.len() {
        got.extend(resumed.added().await.into_iter().map(|(post, _)| post));
    }
    assert_eq!(got, written);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_session_ends_its_streams() {
    let world = World::new();
    let ann = world.user("ann").await;
    let mut watch = world.subscribe(&ann, "").await;
    watch.checkpoint().await;
    let session = world.backend.store.sessions(ann.id).await.unwrap()[0].id;
    world.backend.store.revoke_session(ann.id, session).await.unwrap();
    // No wake: the heartbeat finds it.
    let ended = watch.0.next().await.unwrap().unwrap_err();
    assert_eq!(ended.reason, Reason::SessionRevoked);
    assert!(watch.0.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_post_stream_tells_of_counts_comments_edits_and_deletion() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let post = world.post(&bob, "watch this").await;
    let mut stream = posts::subscribe(&world.backend, &ann.caller, post, HEARTBEAT)
        .await
        .unwrap();
    assert!(matches!(stream.next().await, Some(Ok(PostEvent::Snapshot(_)))));
    let comment = comments::create(&world.backend, &ann.caller, post, None, "nice".into(), &request_id())
        .await
        .unwrap();
    assert!(
        matches!(stream.next().await, Some(Ok(PostEvent::CommentCreated(view))) if view.comment.id == comment.comment.id)
    );
    assert!(matches!(stream.next().await, Some(Ok(PostEvent::Counts(counts))) if counts.comments == 1));
    let patch = posts::PostPatch {
        content: Some("edited".into()),
        ..posts::PostPatch::default()
    };
    posts::update(&world.backend, &bob.caller, post, patch, None, &request_id())
        .await
        .unwrap();
    assert!(matches!(stream.next().await, Some(Ok(PostEvent::Edited(view))) if view.post.content == "edited"));
    posts::delete(&world.backend, &bob.caller, post, None, &request_id())
        .await
        .unwrap();
    assert!(matches!(stream.next().await, Some(Ok(PostEvent::Deleted(_)))));
    posts::undelete(&world.backend, &bob.caller, post, None, &request_id())
        .await
        .unwrap();
    assert!(matches!(stream.next().await, Some(Ok(PostEvent::Undeleted(_)))));
    world.edge(EdgeKind::Block, &bob, &ann, true).await;
    assert!(matches!(stream.next().await, Some(Err(error)) if error.reason == Reason::PostNotFound));
}

#[tokio::test(start_paused = true)]
async fn a_counts_stream_sends_a_snapshot_then_changes() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let post = world.post(&bob, "count me").await;
    let missing = social_core::PostId(1);
    let mut stream = likes::subscribe(&world.backend, &ann.caller, vec![post, missing], HEARTBEAT)
        .await
        .unwrap();
    let Some(Ok(likes::CountsEvent::Snapshot { counts, not_found })) = stream.next().await else {
        panic!("a snapshot")
    };
    assert_eq!((counts.len(), not_found), (1, vec![missing]));
    likes::set(&world.backend, &ann.caller, post, true, &request_id())
        .await
        .unwrap();
    let Some(Ok(likes::CountsEvent::Changed { counts, .. })) = stream.next().await else {
        panic!("a change")
    };
    assert_eq!((counts[0].0, counts[0].1.likes), (post, 1));
}

#[test]
fn subscriptions_can_be_driven_by_any_thread() {
    fn sends<T: Send>(_: T) {}
    fn drive(
        mut home: social_core::timeline::HomeSubscription,
        mut post: posts::PostSubscription,
        mut counts: likes::CountsSubscription,
    ) {
        sends(async move { home.next().await });
        sends(async move { post.next().await });
        sends(async move { counts.next().await });
    }
    let _ = drive;
}
