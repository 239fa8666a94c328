//! Likes and counts.

use futures::TryStreamExt as _;
use social_sdk::v1;

use crate::house::House;

#[tokio::test]
async fn a_like_counts_once() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let post = ann.post("Like this.").await;
    let mut fans = Vec::new();
    for name in ["bob", "cat", "dan"] {
        let fan = house.person(name).await;
        for _ in 0..2 {
            assert!(fan.client.likes().like(&post.id).await.unwrap().liked);
        }
        fans.push(fan);
    }

    let likers = ann.client.likes().list_likers(&post.id).page_size(2).stream();
    let likers: Vec<v1::PostLiker> = likers.try_collect().await.unwrap();
    let handles: Vec<_> = likers.into_iter().map(|liker| liker.user.unwrap().handle).collect();
    assert_eq!(handles, ["dan", "cat", "bob"]);

    let taken_back = fans[0].client.likes().unlike(&post.id).await.unwrap();
    assert!(!taken_back.liked);
    let missing = "0000000000000";
    let counts = house
        .anonymous()
        .likes()
        .batch_get_counts([post.id.as_str(), missing])
        .await
        .unwrap();
    assert_eq!(counts.not_found_ids, [missing]);
    let counted = counts.counts[0].counts.unwrap();
    assert_eq!((counted.likes, counted.exact), (2, true));
    assert!(
        !fans[0]
            .client
            .posts()
            .get(&post.id)
            .await
            .unwrap()
            .viewer
            .unwrap()
            .liked
    );
    assert!(
        fans[1]
            .client
            .posts()
            .get(&post.id)
            .await
            .unwrap()
            .viewer
            .unwrap()
            .liked
    );
}

#[tokio::test]
async fn likes_of_a_user_are_listed() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let mut expected = Vec::new();
    for number in 0..5 {
        let post = ann.post(format!("Number {number}")).await;
        bob.client.likes().like(&post.id).await.unwrap();
        expected.insert(0, post.id);
    }
    let likes = ann.client.likes().list_by_user(&bob.id).page_size(2).stream();
    let likes: Vec<v1::UserLike> = likes.try_collect().await.unwrap();
    let liked: Vec<_> = likes.into_iter().map(|like| like.post.unwrap().id).collect();
    assert_eq!(liked, expected);
}
