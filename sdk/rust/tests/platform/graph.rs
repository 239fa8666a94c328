//! Follows, blocks, mutes.

use futures::TryStreamExt as _;
use social_sdk::{Reason, v1};

use crate::house::House;
use crate::people::{Person, refused};

fn handles(edges: Vec<v1::GraphEdge>) -> Vec<String> {
    edges.into_iter().map(|edge| edge.user.unwrap().handle).collect()
}

async fn standing(viewer: &Person, other: &Person) -> v1::Relationship {
    let answer = viewer
        .client
        .users()
        .batch_get_relationships([&other.id])
        .await
        .unwrap();
    answer.relationships.into_iter().next().unwrap()
}

#[tokio::test]
async fn follows_are_listed_and_exported() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let mut expected = Vec::new();
    let mut fans = Vec::new();
    for number in 0..7 {
        let fan = house.person(&format!("fan_{number}")).await;
        fan.follow(&ann).await;
        expected.insert(0, fan.handle.clone());
        fans.push(fan);
    }
    let graph = ann.client.graph();
    let listed = graph.list_followers(&ann.id).page_size(3).stream();
    assert_eq!(handles(listed.try_collect().await.unwrap()), expected);
    let exported = graph.stream_followers(&ann.id).stream();
    assert_eq!(handles(exported.try_collect().await.unwrap()), expected);
    let following = graph.list_following(&fans[0].id).stream();
    assert_eq!(handles(following.try_collect().await.unwrap()), ["ann"]);

    let counts = ann.client.users().get_by_handle("ann").await.unwrap().counts.unwrap();
    assert_eq!((counts.followers, counts.following), (7, 0));
    let mutual = graph.follow(&fans[0].id).await.unwrap();
    assert!(mutual.following && mutual.followed_by);

    let unfollowed = fans[1].client.graph().unfollow(&ann.id).await.unwrap();
    assert!(!unfollowed.following);
    let removed = graph.remove_follower(&fans[2].id).await.unwrap();
    assert!(!removed.followed_by);
    assert!(!standing(&fans[2], &ann).await.following);
    let counts = ann.client.users().get(&ann.id).await.unwrap().counts.unwrap();
    assert_eq!((counts.followers, counts.following), (5, 1));
}

#[tokio::test]
async fn a_block_sets_two_apart() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    ann.follow(&bob).await;
    bob.follow(&ann).await;
    let post = ann.post_and_deliver("Before the block.").await;
    assert_eq!(bob.home().await, [&*post.id]);

    let blocked = ann.client.graph().block(&bob.id).await.unwrap();
    assert!(blocked.blocking && !blocked.following && !blocked.followed_by);
    assert_eq!(
        refused(bob.client.posts().get(&post.id).await).reason(),
        Reason::PostNotFound
    );
    assert!(bob.home().await.is_empty());
    assert_eq!(
        refused(bob.client.graph().follow(&ann.id).await).reason(),
        Reason::Blocked
    );
    assert!(refused(bob.client.likes().like(&post.id).await).is_not_found());
    assert!(refused(bob.client.comments().create(&post.id, "Still here").await).is_not_found());
    assert_eq!(
        refused(bob.client.posts().create("Hey @ann").await).reason(),
        Reason::Blocked
    );
    let blocks = ann.client.graph().list_blocks().stream();
    assert_eq!(handles(blocks.try_collect().await.unwrap()), ["bob"]);

    let lifted = ann.client.graph().unblock(&bob.id).await.unwrap();
    assert!(!lifted.blocking && !lifted.followed_by, "follows do not come back");
    bob.follow(&ann).await;
    assert_eq!(bob.client.posts().get(&post.id).await.unwrap().id, post.id);
    assert_eq!(
        refused(bob.client.graph().block(&bob.id).await).reason(),
        Reason::SelfReference
    );
}

#[tokio::test]
async fn a_mute_hides_and_gives_back() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    bob.follow(&ann).await;
    let post = ann.post_and_deliver("Some noise.").await;

    assert!(bob.client.graph().mute(&ann.id).await.unwrap().muting);
    assert!(bob.home().await.is_empty());
    let muted = ann.post_and_deliver("More noise.").await;
    assert!(standing(&bob, &ann).await.muting);
    assert!(!standing(&ann, &bob).await.muting, "nobody is told");
    let mutes = bob.client.graph().list_mutes().stream();
    assert_eq!(handles(mutes.try_collect().await.unwrap()), ["ann"]);
    assert_eq!(bob.client.posts().get(&post.id).await.unwrap().id, post.id);

    assert!(!bob.client.graph().unmute(&ann.id).await.unwrap().muting);
    assert_eq!(bob.home().await, [muted.id, post.id]);
}
