//! Comments: nested, edited, deleted, counted.

use futures::TryStreamExt as _;
use social_sdk::{Client, Reason, v1};

use crate::house::House;
use crate::people::refused;

async fn listed(client: &Client, post_id: &str, parent: Option<&str>) -> Vec<v1::Comment> {
    let list = client.comments().list(post_id).page_size(2);
    let list = match parent {
        Some(parent) => list.parent(parent),
        None => list,
    };
    list.stream().try_collect().await.unwrap()
}

fn contents(comments: &[v1::Comment]) -> Vec<&str> {
    comments.iter().map(|comment| comment.content.as_str()).collect()
}

#[tokio::test]
async fn comments_nest() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let post = ann.post("What do you think?").await;
    let mut top = Vec::new();
    for content in ["one", "two", "three", "four", "five"] {
        top.push(bob.client.comments().create(&post.id, content).await.unwrap());
    }
    let reply = ann.client.comments().create(&post.id, "a reply").parent(&top[0].id);
    let reply = reply.await.unwrap();
    let deeper = bob.client.comments().create(&post.id, "a deeper one").parent(&reply.id);
    let deeper = deeper.await.unwrap();
    assert_eq!(
        (deeper.parent_id.as_str(), deeper.post_id.as_str()),
        (reply.id.as_str(), post.id.as_str())
    );

    // Oldest first, over three pages, for everybody.
    let anonymous = house.anonymous();
    let all = listed(&anonymous, &post.id, None).await;
    assert_eq!(contents(&all), ["one", "two", "three", "four", "five"]);
    assert_eq!(all[0].reply_count, 1);
    assert_eq!(
        contents(&listed(&anonymous, &post.id, Some(&top[0].id)).await),
        ["a reply"]
    );
    assert_eq!(
        contents(&listed(&anonymous, &post.id, Some(&reply.id)).await),
        ["a deeper one"]
    );
    let counts = ann.client.posts().get(&post.id).await.unwrap().counts.unwrap();
    assert_eq!(counts.comments, 7);

    let other = ann.post("Another one").await;
    let astray = ann.client.comments().create(&other.id, "astray").parent(&reply.id);
    assert_eq!(refused(astray.await).reason(), Reason::CommentNotFound);
}

#[tokio::test]
async fn comments_are_edited_and_deleted() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let post = ann.post("Say something.").await;
    let comments = bob.client.comments();
    let first = comments.create(&post.id, "frist").await.unwrap();

    let mended = comments.update(&first.id, "first").etag(&first.etag).await.unwrap();
    assert_eq!(mended.content, "first");
    assert!(mended.edit_time.is_some());
    assert!(refused(comments.update(&first.id, "1st").etag(&first.etag).await).is_conflict());
    assert_eq!(
        refused(ann.client.comments().delete(&first.id).await).reason(),
        Reason::PermissionDenied
    );

    // With a reply it leaves a tombstone, without one nothing.
    let reply = ann.client.comments().create(&post.id, "second").parent(&first.id);
    let reply = reply.await.unwrap();
    let alone = comments.create(&post.id, "alone").await.unwrap();
    assert!(comments.delete(&first.id).etag(&mended.etag).await.unwrap().is_some());
    comments.delete(&alone.id).await.unwrap();
    let left = listed(&ann.client, &post.id, None).await;
    assert_eq!(contents(&left), [""]);
    assert!(left[0].author.is_none() && left[0].delete_time.is_some());
    assert_eq!(
        contents(&listed(&ann.client, &post.id, Some(&first.id)).await),
        ["second"]
    );

    let batch = comments.batch_get([&reply.id, &alone.id]).await.unwrap();
    assert_eq!(contents(&batch.comments), ["second"]);
    assert_eq!(batch.not_found_ids, [alone.id]);
    let counts = bob.client.posts().get(&post.id).await.unwrap().counts.unwrap();
    assert_eq!(counts.comments, 1);
}
