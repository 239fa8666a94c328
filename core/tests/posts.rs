//! Posts as their authors and others find them.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod world;

use social_core::cursor::PageRequest;
use social_core::graph::EdgeKind;
use social_core::posts::{self, PostPatch, UserPostsFilter, Visibility};
use social_core::request::Viewer;
use social_core::text::FacetKind;
use social_core::{PostId, Reason, Result, fanout};
use world::{Person, World, request_id};

/// A user's posts as a viewer lists them, two a page.
async fn list(world: &World, viewer: Viewer, author: &Person, filter: UserPostsFilter) -> Result<Vec<PostId>> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = PageRequest { size: 2, token: &token };
        let listed = posts::list_by_user(&world.backend, viewer, author.id, filter, page).await?;
        all.extend(listed.items.iter().map(|view| view.post.id));
        token = listed.next_page_token;
        if token.is_empty() {
            return Ok(all);
        }
    }
}

async fn delete(world: &World, author: &Person, post: PostId) {
    posts::delete(&world.backend, &author.caller, post, None, &request_id())
        .await
        .unwrap();
}

#[tokio::test]
async fn lines_of_every_kind_are_stored_as_one() {
    let world = World::new();
    let ann = world.user("ann").await;
    let id = world.post(&ann, "\u{FEFF}one\r\n#two\rthree").await;
    let stored = world.backend.store.posts(&[id]).await.unwrap().remove(0).unwrap();
    assert_eq!(stored.content, "one\n#two\nthree");
    assert_eq!(
        (stored.facets[0].start, stored.facets[0].end),
        (4, 8),
        "of the stored text"
    );
    assert_eq!(stored.facets[0].kind, FacetKind::Hashtag("two".into()));
    let patch = PostPatch {
        content: Some("one\n#two\r\nthree".into()),
        ..PostPatch::default()
    };
    let edited = posts::update(&world.backend, &ann.caller, id, patch, None, &request_id())
        .await
        .unwrap();
    assert_eq!(edited.view.post.version, stored.version, "nothing was changed");
}

#[tokio::test]
async fn an_author_lists_deleted_posts_and_nobody_else_does() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let target = world.post(&bob, "target").await;
    let mut written = Vec::new();
    for nth in 0..5 {
        let reply = (nth == 3).then_some(target);
        written.push(world.publish(&ann, "text", Visibility::Public, reply).await.unwrap());
    }
    for nth in [0, 3, 4] {
        delete(&world, &ann, written[nth]).await;
    }
    let all = UserPostsFilter {
        include_deleted: true,
        ..UserPostsFilter::default()
    };
    let newest: Vec<_> = written.iter().rev().copied().collect();
    assert_eq!(list(&world, ann.caller.viewer, &ann, all).await.unwrap(), newest);
    let no_replies = UserPostsFilter {
        exclude_replies: true,
        ..all
    };
    let own = list(&world, ann.caller.viewer, &ann, no_replies).await.unwrap();
    assert_eq!(own, [written[4], written[2], written[1], written[0]]);
    for viewer in [bob.caller.viewer, Viewer::Anonymous] {
        let seen = list(&world, viewer, &ann, all).await.unwrap();
        assert_eq!(seen, [written[2], written[1]]);
    }
}

#[tokio::test]
async fn only_the_author_learns_that_a_post_was_deleted() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let post = world.post(&ann, "text").await;
    delete(&world, &ann, post).await;
    let message = async |viewer, include_deleted| {
        let refused = posts::get(&world.backend, viewer, post, include_deleted)
            .await
            .unwrap_err();
        assert_eq!(refused.reason, Reason::PostNotFound);
        refused.message
    };
    let own = message(ann.caller.viewer, false).await;
    assert!(own.contains("UndeletePost") && own.contains("include_deleted"), "{own}");
    assert!(posts::get(&world.backend, ann.caller.viewer, post, true).await.is_ok());
    let never = posts::get(&world.backend, bob.caller.viewer, PostId(7), false).await;
    let never = never.unwrap_err().message;
    for viewer in [bob.caller.viewer, Viewer::Anonymous] {
        for include_deleted in [false, true] {
            assert_eq!(message(viewer, include_deleted).await, never);
        }
    }
}

/// What the author is told of a new post: into how many timelines it went, and how many followers have none in use.
async fn receipt(world: &World, author: &Person) -> (u64, u64) {
    let post = world.post(author, "text").await;
    world.settle().await;
    let status = fanout::status(&world.backend, &author.caller, post.into())
        .await
        .unwrap();
    (status.event.progress.delivered, status.event.progress.skipped)
}

#[tokio::test]
async fn an_author_cannot_tell_a_mute_from_the_receipt() {
    let world = World::new();
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.follow(&bob, &ann).await;
    world.settle().await;
    // The follow drops the timeline, which the next read makes anew.
    assert_eq!(receipt(&world, &ann).await, (0, 1));
    world.edge(EdgeKind::Mute, &bob, &ann, true).await;
    assert_eq!(receipt(&world, &ann).await, (0, 1), "absent, and mutes");
    world.home(&bob).await;
    assert_eq!(receipt(&world, &ann).await, (1, 0), "present, and mutes");
    world.edge(EdgeKind::Mute, &bob, &ann, false).await;
    assert_eq!(receipt(&world, &ann).await, (1, 0), "present, and mutes no more");
}
