//! Home timelines: order, completeness, relations, cursors.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod world;

use std::collections::HashSet;

use social_core::fanout::Strategy;
use social_core::graph::EdgeKind;
use social_core::id::PostId;
use social_core::import::{self, PostItem, Who};
use social_core::posts::{self, Visibility};
use social_core::timeline::{self, HomeRequest};
use social_core::{Reason, Time};
use uuid::Uuid;
use world::{Person, World, ids, page, request_id};

#[tokio::test]
async fn newest_first_own_posts_at_once_others_after_fan_out() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    assert!(world.home(&ann).await.is_empty());
    let from_bob = world.post(&bob, "from bob").await;
    let own = world.post(&ann, "own").await;
    assert_eq!(world.home(&ann).await, [own], "the fan-out of bob's post has not begun");
    world.settle().await;
    assert_eq!(world.home(&ann).await, [own, from_bob]);
}

#[tokio::test]
async fn every_mode_shows_the_same_timeline() {
    for strategy in [Strategy::Push, Strategy::Pull, Strategy::Hybrid] {
        let world = World::new();
        world.strategy(strategy, 2).await;
        let users = world.users(5).await;
        for follower in &users {
            for followee in &users {
                let is_popular = followee.id == users[0].id;
                if follower.id != followee.id && (is_popular || followee.id.0 % 3 != follower.id.0 % 3) {
                    world.follow(follower, followee).await;
                }
            }
        }
        world.home(&users[1]).await;
        let mut written = Vec::new();
        for round in 0..40 {
            written.push((users[round % 5].id, world.post(&users[round % 5], "text").await));
        }
        world.settle().await;
        for viewer in &users {
            let followed = world.backend.store.following(viewer.id).await.unwrap();
            let expected: Vec<PostId> = written
                .iter()
                .rev()
                .filter(|(author, _)| *author == viewer.id || followed.followees.contains_key(author))
                .map(|(_, post)| *post)
                .collect();
            assert_eq!(world.home(viewer).await, expected, "{strategy:?}");
            assert_eq!(
                world.walk(viewer, 3, "", async || ()).await,
                expected,
                "{strategy:?} page by page"
            );
        }
    }
}

#[tokio::test]
async fn a_change_of_mode_loses_and_doubles_nothing() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.home(&ann).await;
    let mut written = Vec::new();
    for strategy in [
        Strategy::Push,
        Strategy::Pull,
        Strategy::Push,
        Strategy::Hybrid,
        Strategy::Pull,
    ] {
        world.strategy(strategy, 1).await;
        for _ in 0..3 {
            written.push(world.post(&bob, "text").await);
        }
        // Half of the fan-outs run under the policy that follows.
        if written.len() % 2 == 0 {
            world.settle().await;
        }
    }
    world.settle().await;
    written.reverse();
    assert_eq!(world.home(&ann).await, written);
    world.backend.timelines.forget_all().await.unwrap();
    assert_eq!(world.home(&ann).await, written, "rebuilt from truth");
}

#[tokio::test]
async fn pages_are_monotonic_while_others_write() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.home(&ann).await;
    let mut written: Vec<PostId> = Vec::new();
    for _ in 0..50 {
        written.push(world.post(&bob, "before").await);
    }
    world.settle().await;
    let walked = world
        .walk(&ann, 7, "", async || {
            world.post(&bob, "meanwhile").await;
            world.settle().await;
        })
        .await;
    written.reverse();
    assert_eq!(walked, written);
}

#[tokio::test]
async fn pages_go_on_below_what_is_kept_ready() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    let import = Uuid::new_v4();
    for batch in 0..3u64 {
        let items = (0..500).map(|n| old_post(&bob, batch * 500 + n)).collect();
        import::posts(&world.backend, import, batch * 500, items).await.unwrap();
    }
    import::finish(&world.backend).await.unwrap();
    let walked = world.walk(&ann, 100, "", async || ()).await;
    assert_eq!(walked.len(), 1_500);
    assert!(walked.is_sorted_by(|a, b| a > b));
}

#[tokio::test]
async fn relations_of_today_decide() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.home(&ann).await;
    let post = world.post(&bob, "text").await;
    world.settle().await;
    for kind in [EdgeKind::Mute, EdgeKind::Follow, EdgeKind::Block] {
        let hides = kind != EdgeKind::Follow;
        world.edge(kind, &ann, &bob, hides).await;
        assert!(world.home(&ann).await.is_empty(), "{kind:?}");
        world.edge(kind, &ann, &bob, !hides).await;
        world.settle().await;
        if kind == EdgeKind::Block {
            assert!(
                world.home(&ann).await.is_empty(),
                "a block ended the follow, and lifting it brings none back"
            );
        } else {
            assert_eq!(world.home(&ann).await, [post], "{kind:?}");
        }
    }
}

#[tokio::test]
async fn what_is_deleted_or_private_is_not_shown_and_undeleting_brings_it_back() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.home(&ann).await;
    let kept = world
        .publish(&bob, "for followers", Visibility::Followers, None)
        .await
        .unwrap();
    let secret = world
        .publish(&bob, "for myself", Visibility::Private, None)
        .await
        .unwrap();
    let deleted = world.post(&bob, "deleted").await;
    world.settle().await;
    assert_eq!(world.home(&ann).await, [deleted, kept]);
    posts::delete(&world.backend, &bob.caller, deleted, None, &request_id())
        .await
        .unwrap();
    assert_eq!(world.home(&ann).await, [kept]);
    world.backend.timelines.forget(ann.id).await.unwrap();
    assert_eq!(world.home(&ann).await, [kept], "nor after a rebuild");
    assert_eq!(world.home(&bob).await, [secret, kept]);
    posts::undelete(&world.backend, &bob.caller, deleted, None, &request_id())
        .await
        .unwrap();
    world.settle().await;
    assert_eq!(world.home(&ann).await, [deleted, kept]);
}

#[tokio::test]
async fn a_page_of_hidden_posts_is_filled_from_below() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.home(&ann).await;
    let shown = world.post(&bob, "shown").await;
    for _ in 0..60 {
        world
            .publish(&bob, "a reply", Visibility::Public, Some(shown))
            .await
            .unwrap();
    }
    world.settle().await;
    let request = HomeRequest {
        exclude_replies: true,
        ..page(10, "")
    };
    let first = world.home_page(&ann, request).await;
    assert_eq!((ids(&first), first.next_page_token.as_str()), (vec![shown], ""));
}

#[tokio::test]
async fn a_follow_brings_what_is_there_and_unfollow_follow_doubles_nothing() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.home(&ann).await;
    let mut written = Vec::new();
    for _ in 0..5 {
        written.insert(0, world.post(&bob, "old").await);
    }
    world.settle().await;
    for active in [true, false, true] {
        world.edge(EdgeKind::Follow, &ann, &bob, active).await;
    }
    written.insert(0, world.post(&bob, "new").await);
    world.settle().await;
    assert_eq!(world.home(&ann).await, written);
}

#[tokio::test]
async fn a_cursor_owes_what_became_visible_after_it_whatever_its_id() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    world.home(&ann).await;
    let slow = world.post(&bob, "slow").await;
    let quick = world.post(&bob, "quick").await;
    world.work(quick.into()).await;
    let between = world.newer(&ann, &world.head(&ann).await).await;
    assert!(between.items.is_empty());
    world.work(slow.into()).await;
    let late = world.newer(&ann, &between.head_cursor).await;
    assert_eq!(ids(&late), [slow], "its id is below the cursor's newest");
    assert!(ids(&world.newer(&ann, &late.head_cursor).await).is_empty());
}

#[tokio::test]
async fn a_cursor_holds_across_the_loss_of_the_timeline() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    world.post(&bob, "before").await;
    world.settle().await;
    let slow = world.post(&bob, "slow").await;
    let cursor = world.head(&ann).await;
    world.backend.timelines.forget_all().await.unwrap();
    let new = world.post(&bob, "new").await;
    world.settle().await;
    let owed: HashSet<PostId> = ids(&world.newer(&ann, &cursor).await).into_iter().collect();
    assert_eq!(owed, HashSet::from([slow, new]));
}

#[tokio::test]
async fn a_cursor_owes_posts_that_a_follow_an_undelete_or_a_replay_brought() {
    let world = World::new();
    let users = world.users(3).await;
    let [ann, bob, cid] = [users[0], users[1], users[2]];
    world.follow(&ann, &bob).await;
    world.settle().await;
    let of_cid = world.post(&cid, "written before the follow").await;
    let back = world.post(&bob, "to be deleted").await;
    let dead = world.post(&bob, "dead letter").await;
    world.work(of_cid.into()).await;
    world.work(back.into()).await;
    for _ in 0..social_core::limits::EVENT_ATTEMPTS {
        world.backend.store.record_failure(dead.into(), "test").await.unwrap();
    }
    posts::delete(&world.backend, &bob.caller, back, None, &request_id())
        .await
        .unwrap();
    for lose in [false, true] {
        let cursor = world.head(&ann).await;
        if !lose {
            world.follow(&ann, &cid).await;
            posts::undelete(&world.backend, &bob.caller, back, None, &request_id())
                .await
                .unwrap();
            world.backend.store.replay_dead_letter(dead.into()).await.unwrap();
            world.settle().await;
            let owed: HashSet<PostId> = ids(&world.newer(&ann, &cursor).await).into_iter().collect();
            assert_eq!(owed, HashSet::from([of_cid, back, dead]));
        } else {
            world.edge(EdgeKind::Follow, &ann, &cid, false).await;
            let cursor = world.head(&ann).await;
            world.follow(&ann, &cid).await;
            world.settle().await;
            world.backend.timelines.forget_all().await.unwrap();
            assert_eq!(ids(&world.newer(&ann, &cursor).await), [of_cid]);
        }
    }
}

#[tokio::test]
async fn pulled_posts_are_newer_than_a_cursor_of_before() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.strategy(Strategy::Pull, 1).await;
    world.settle().await;
    world.post(&bob, "before").await;
    let cursor = world.head(&ann).await;
    let after = world.post(&bob, "after").await;
    assert_eq!(ids(&world.newer(&ann, &cursor).await), [after]);
}

#[tokio::test]
async fn what_is_newer_comes_page_by_page_within_its_bound() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    world.post(&bob, "before").await;
    world.settle().await;
    let cursor = world.head(&ann).await;
    let mut written = Vec::new();
    for _ in 0..9 {
        written.insert(0, world.post(&bob, "after").await);
    }
    world.settle().await;
    assert_eq!(world.walk(&ann, 2, &cursor, async || ()).await, written);
}

#[tokio::test]
async fn an_import_and_an_overflow_reset_cursors() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    world.settle().await;
    let cursor = world.head(&ann).await;
    import::posts(&world.backend, Uuid::new_v4(), 0, vec![old_post(&bob, 0)])
        .await
        .unwrap();
    import::finish(&world.backend).await.unwrap();
    let page = world.newer(&ann, &cursor).await;
    assert!(page.reset);
    assert_eq!(page.items.len(), 1);
    let cursor = world.head(&ann).await;
    for _ in 0..=social_core::limits::TIMELINE_ENTRIES {
        world.post(&bob, "many").await;
        world.settle().await;
    }
    assert!(world.newer(&ann, &cursor).await.reset);
}

#[tokio::test]
async fn tokens_and_cursors_of_others_are_refused() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    for n in 0..3 {
        world.post(&ann, &format!("{n}")).await;
    }
    let first = world.home_page(&ann, page(1, "")).await;
    let refused = |caller: Person, request: HomeRequest<'static>| {
        let backend = world.backend.clone();
        async move {
            timeline::home(&backend, &caller.caller, request)
                .await
                .unwrap_err()
                .reason
        }
    };
    let token: &'static str = first.next_page_token.clone().leak();
    let cursor: &'static str = first.head_cursor.clone().leak();
    assert_eq!(refused(bob, page(1, token)).await, Reason::PageTokenInvalid);
    assert_eq!(
        refused(
            ann,
            HomeRequest {
                exclude_replies: true,
                ..page(1, token)
            }
        )
        .await,
        Reason::PageTokenInvalid
    );
    assert_eq!(refused(ann, page(1, cursor)).await, Reason::PageTokenInvalid);
    assert_eq!(
        refused(
            bob,
            HomeRequest {
                newer_than_cursor: cursor,
                ..page(1, "")
            }
        )
        .await,
        Reason::CursorInvalid
    );
    assert_eq!(
        refused(
            ann,
            HomeRequest {
                newer_than_cursor: "x",
                ..page(1, "")
            }
        )
        .await,
        Reason::CursorInvalid
    );
}

#[tokio::test]
async fn the_marker_moves_forward_only() {
    let world = World::new();
    let [ann, _] = two(&world).await;
    let (older, newer) = (world.post(&ann, "older").await, world.post(&ann, "newer").await);
    assert_eq!(
        timeline::get_marker(&world.backend, &ann.caller)
            .await
            .unwrap()
            .last_read,
        None
    );
    let marker = timeline::set_marker(&world.backend, &ann.caller, newer, None, &request_id())
        .await
        .unwrap();
    let kept = timeline::set_marker(&world.backend, &ann.caller, older, Some(marker.version), &request_id())
        .await
        .unwrap();
    assert_eq!((kept.last_read, kept.version), (Some(newer), marker.version));
    let stale = timeline::set_marker(
        &world.backend,
        &ann.caller,
        newer,
        Some(marker.version + 1),
        &request_id(),
    )
    .await;
    assert_eq!(stale.unwrap_err().reason, Reason::EtagMismatch);
}

#[tokio::test]
async fn an_unmute_gives_back_what_a_rebuild_saw_muted() {
    let world = World::new();
    let [ann, bob] = two(&world).await;
    world.follow(&ann, &bob).await;
    let post = world.post(&bob, "text").await;
    world.settle().await;
    world.edge(EdgeKind::Mute, &ann, &bob, true).await;
    assert!(world.home(&ann).await.is_empty());
    world.edge(EdgeKind::Mute, &ann, &bob, false).await;
    assert_eq!(world.home(&ann).await, [post]);
}

async fn two(world: &World) -> [Person; 2] {
    [world.user("ann").await, world.user("bob").await]
}

fn old_post(author: &Person, n: u64) -> PostItem {
    PostItem {
        author: Ok(Who::Id(author.id)),
        title: String::new(),
        content: format!("imported {n}"),
        visibility: Ok(Visibility::Public),
        in_reply_to: Ok(None),
        created_at: Some(Time::from_unix_ms(1_500_000_000_000 + n * 1_000)),
    }
}

/// More posts than are kept ready, of more followees than are merged unbounded, most of them filtered: no page repeats or misses one.
#[tokio::test]
async fn deep_pages_of_a_viewer_of_many_are_whole() {
    let world = World::new();
    let ann = world.user("ann").await;
    let authors = world.users(social_core::limits::DEEP_READ_FOLLOWEES + 5).await;
    for author in &authors {
        world.follow(&ann, author).await;
    }
    let mut expected = Vec::new();
    for author in authors.iter().cycle().take(social_core::limits::TIMELINE_ENTRIES + 400) {
        let post = match expected.last() {
            Some(target) if expected.len() % 100 != 1 && author.id.0 % 3 != 0 => {
                let reply = world.publish(author, "reply", Visibility::Public, Some(*target)).await;
                reply.unwrap();
                continue;
            }
            _ => world.post(author, "post").await,
        };
        expected.push(post);
    }
    while !world.pending().await.is_empty() {
        world.settle().await;
    }
    expected.reverse();
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let request = HomeRequest {
            exclude_replies: true,
            ..page(7, &token)
        };
        let page = world.home_page(&ann, request).await;
        found.extend(ids(&page));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, expected);
}
