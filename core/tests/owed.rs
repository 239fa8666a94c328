//! What timelines and cursors owe after races, cut calls and changed relations.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod world;

use social_core::fanout::Strategy;
use social_core::graph::EdgeKind;
use social_core::import::{self, PostItem, Who};
use social_core::posts::{self, PostDraft, PostPatch, Visibility};
use social_core::request::RequestKey;
use social_core::timeline::HomeEvent;
use social_core::{Time, comments};
use uuid::Uuid;
use world::{Person, World, ids, request_id};

#[tokio::test]
async fn a_follow_made_again_owes_its_posts_again() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    world.home(&ann).await;
    let post = world.post(&bob, "text").await;
    world.settle().await;
    world.edge(EdgeKind::Follow, &ann, &bob, false).await;
    let cursor = world.head(&ann).await;
    assert!(world.home(&ann).await.is_empty());
    world.follow(&ann, &bob).await;
    world.settle().await;
    assert_eq!(ids(&world.newer(&ann, &cursor).await), [post]);
    assert_eq!(world.home(&ann).await, [post]);
}

#[tokio::test]
async fn a_follow_whose_backfill_is_pending_is_owed_after_a_loss() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    let post = world.post(&bob, "text").await;
    world.settle().await;
    world.home(&ann).await;
    world.follow(&ann, &bob).await;
    let cursor = world.head(&ann).await;
    assert!(world.home(&ann).await.is_empty(), "the backfill is pending");
    world.backend.timelines.forget_all().await.unwrap();
    world.settle().await;
    assert_eq!(ids(&world.newer(&ann, &cursor).await), [post]);
}

#[tokio::test]
async fn a_follow_brings_all_of_a_long_past() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.home(&ann).await;
    for _ in 0..150 {
        world.post(&bob, "text").await;
    }
    world.settle().await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    assert_eq!(world.walk(&ann, 50, "", async || ()).await.len(), 150);
}

#[tokio::test]
async fn a_pulled_post_of_a_call_that_was_cut_off_reaches_its_author() {
    let world = World::new();
    let ann = world.user("ann").await;
    world.strategy(Strategy::Pull, 1).await;
    world.home(&ann).await;
    let key = RequestKey::new(&ann.caller, "CreatePost", &request_id(), &[]).unwrap();
    let draft = PostDraft {
        author: ann.id,
        title: None,
        content: "durable, not announced".into(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: vec![],
    };
    let created = world.backend.store.create_post(draft, key, None).await.unwrap();
    world.settle().await;
    assert_eq!(world.home(&ann).await, [created.value.post.id]);
}

#[tokio::test]
async fn a_private_post_comes_back_to_its_author() {
    let world = World::new();
    let ann = world.user("ann").await;
    let post = world.publish(&ann, "mine", Visibility::Private, None).await.unwrap();
    world.settle().await;
    posts::delete(&world.backend, &ann.caller, post, None, &request_id())
        .await
        .unwrap();
    assert!(world.home(&ann).await.is_empty());
    let cursor = world.head(&ann).await;
    posts::undelete(&world.backend, &ann.caller, post, None, &request_id())
        .await
        .unwrap();
    world.settle().await;
    assert_eq!(world.home(&ann).await, [post]);
    assert_eq!(ids(&world.newer(&ann, &cursor).await), [post]);
}

#[tokio::test]
async fn an_unmute_resets_cursors_and_open_streams() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    world.edge(EdgeKind::Mute, &ann, &bob, true).await;
    let post = world.post(&bob, "unheard").await;
    world.settle().await;
    let cursor = world.head(&ann).await;
    let mut watch = world.subscribe(&ann, "").await;
    watch.checkpoint().await;
    world.edge(EdgeKind::Mute, &ann, &bob, false).await;
    let page = world.newer(&ann, &cursor).await;
    assert!(page.reset);
    assert_eq!(ids(&page), [post]);
    assert!(matches!(watch.next().await, HomeEvent::Reset));
}

#[tokio::test]
async fn a_cursor_taken_while_an_import_ends_owes_what_it_brought() {
    let world = World::new();
    let ann = world.user("ann").await;
    world.home(&ann).await;
    let before = world.head(&ann).await;
    let item = PostItem {
        author: Ok(Who::Id(ann.id)),
        title: String::new(),
        content: "old".into(),
        visibility: Ok(Visibility::Public),
        in_reply_to: Ok(None),
        created_at: Some(Time::from_unix_ms(1_700_000_000_000)),
    };
    import::posts(&world.backend, Uuid::new_v4(), 0, vec![item])
        .await
        .unwrap();
    world.backend.timelines.forget_all().await.unwrap();
    let between = world.head(&ann).await;
    world.backend.store.seal_imports().await.unwrap();
    for cursor in [before, between] {
        let page = world.newer(&ann, &cursor).await;
        assert!(page.reset || page.items.len() == 1);
    }
}

#[tokio::test]
async fn replays_answer_after_the_world_has_moved_on() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    let post = world.post(&ann, "text").await;
    let on = world.post(&bob, "comment here").await;
    let (edit, comment) = (request_id(), request_id());
    let patch = || PostPatch {
        content: Some("hi @bob".into()),
        ..PostPatch::default()
    };
    posts::update(&world.backend, &ann.caller, post, patch(), None, &edit)
        .await
        .unwrap();
    let write = || comments::create(&world.backend, &ann.caller, on, None, "hello".into(), &comment);
    let written = write().await.unwrap().comment;
    comments::delete(&world.backend, &ann.caller, written.id, None, &request_id())
        .await
        .unwrap();
    world.edge(EdgeKind::Block, &bob, &ann, true).await;
    posts::update(&world.backend, &ann.caller, post, patch(), None, &edit)
        .await
        .unwrap();
    assert_eq!(write().await.unwrap().comment.id, written.id);
}

async fn two(world: &World) -> [Person; 2] {
    [world.user("ann").await, world.user("bob").await]
}
