//! Posts through their lives: written, replied to, edited, deleted, brought back, listed.

use futures::TryStreamExt as _;
use social_sdk::{Reason, v1};

use crate::house::House;
use crate::people::{ids, refused};
use crate::wait::PATIENCE;

#[tokio::test]
async fn what_is_written_is_read() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let posts = ann.client.posts();

    let posted = posts.create("Hello @bob, #World!").title("First").await.unwrap();
    let post = posted.post;
    assert!(posted.fanout_id.is_some());
    assert_eq!(
        (post.title.as_str(), post.content.as_str()),
        ("First", "Hello @bob, #World!")
    );
    assert_eq!(post.visibility(), v1::Visibility::Public);
    let features: Vec<_> = post.facets.iter().map(|facet| facet.feature.clone().unwrap()).collect();
    let mention = v1::Mention {
        user_id: bob.id.clone(),
        handle: "bob".into(),
    };
    assert_eq!(features[0], v1::facet::Feature::Mention(mention));
    assert!(matches!(&features[1], v1::facet::Feature::Hashtag(tag) if tag.tag.eq_ignore_ascii_case("world")));

    // Others see it, also without a login; how they stand to it is theirs alone.
    let seen = house.anonymous().posts().get(&post.id).await.unwrap();
    assert_eq!((seen.id.as_str(), seen.viewer), (post.id.as_str(), None));
    assert_eq!(seen.author.unwrap().handle, "ann");
    assert!(posts.get(&post.id).await.unwrap().viewer.unwrap().is_author);

    let reply = bob
        .client
        .posts()
        .create("Hello back.")
        .in_reply_to(&post.id)
        .await
        .unwrap();
    assert_eq!(reply.post.in_reply_to_id, post.id);
    assert_eq!(posts.get(&post.id).await.unwrap().counts.unwrap().replies, 1);
    let own = bob.client.posts().list_by_user(&bob.id);
    assert!(own.exclude_replies().page().await.unwrap().posts.is_empty());
    assert_eq!(ids(&ann.posts_of(&bob).await), [&*reply.post.id]);

    let missing = "0000000000000";
    let batch = bob
        .client
        .posts()
        .batch_get([post.id.as_str(), missing, reply.post.id.as_str()]);
    let batch = batch.await.unwrap();
    assert_eq!(ids(&batch.posts), [post.id, reply.post.id]);
    assert_eq!(batch.not_found_ids, [missing]);
}

#[tokio::test]
async fn visibility_is_kept() {
    let house = House::open().await;
    let (ann, fan, bob) = (
        house.person("ann").await,
        house.person("fan").await,
        house.person("bob").await,
    );
    fan.follow(&ann).await;
    let make = |visibility| ann.client.posts().create("For some.").visibility(visibility);
    let followers = make(v1::Visibility::Followers).await.unwrap().post;
    let private = make(v1::Visibility::Private).await.unwrap();
    let fanout_id = private.fanout_id.unwrap();
    let status = ann
        .client
        .timeline()
        .wait_for_fanout(fanout_id, PATIENCE)
        .await
        .unwrap();
    assert_eq!((status.state(), status.delivered), (v1::FanoutState::Done, 0));

    assert_eq!(fan.client.posts().get(&followers.id).await.unwrap().id, followers.id);
    for (reader, post) in [(&bob, &followers), (&bob, &private.post), (&fan, &private.post)] {
        let error = refused(reader.client.posts().get(&post.id).await);
        assert_eq!(error.reason(), Reason::PostNotFound);
        assert!(error.is_not_found());
    }
    let error = refused(house.anonymous().posts().get(&followers.id).await);
    assert!(error.is_not_found());
    assert_eq!(
        ids(&ann.posts_of(&ann).await),
        [private.post.id.clone(), followers.id.clone()]
    );
    assert_eq!(ids(&fan.posts_of(&ann).await), [&*followers.id]);

    // Opened to all, it is fanned out again.
    let opened = ann
        .client
        .posts()
        .update(&private.post.id)
        .visibility(v1::Visibility::Public);
    let opened = opened.await.unwrap();
    assert!(opened.fanout_id.is_some());
    assert_eq!(
        bob.client.posts().get(&opened.post.id).await.unwrap().content,
        "For some."
    );
}

#[tokio::test]
async fn edits_are_kept_and_guarded() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let posts = ann.client.posts();
    let first = posts.create("One").title("A title").await.unwrap().post;
    assert_eq!((first.revision_count, first.edit_time), (1, None));

    let second = posts
        .update(&first.id)
        .content("Two")
        .etag(&first.etag)
        .await
        .unwrap()
        .post;
    assert_eq!((second.content.as_str(), second.title.as_str()), ("Two", "A title"));
    assert_eq!(second.revision_count, 2);
    assert!(second.edit_time.is_some() && second.etag != first.etag);

    // Somebody edited in between, as far as this call knows.
    let error = refused(posts.update(&first.id).content("Three").etag(&first.etag).await);
    assert_eq!(error.reason(), Reason::EtagMismatch);
    assert!(error.is_conflict() && !error.is_retryable());
    assert_eq!(error.attempts(), 1);
    let error = refused(bob.client.posts().update(&first.id).content("Mine").await);
    assert_eq!(error.reason(), Reason::PermissionDenied);

    let third = posts.update(&first.id).title("").await.unwrap().post;
    assert_eq!((third.content.as_str(), third.title.as_str()), ("Two", ""));
    let revisions = bob.client.posts().list_revisions(&first.id).page_size(2).stream();
    let revisions: Vec<v1::PostRevision> = revisions.try_collect().await.unwrap();
    let told: Vec<_> = revisions
        .iter()
        .map(|revision| (revision.content.as_str(), revision.title.as_str()))
        .collect();
    assert_eq!(told, [("Two", ""), ("Two", "A title"), ("One", "A title")]);
}

#[tokio::test]
async fn a_deleted_post_comes_back_whole() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let posts = ann.client.posts();
    let post = ann.post("Here today.").await;
    bob.client.likes().like(&post.id).await.unwrap();
    bob.client.comments().create(&post.id, "Nice.").await.unwrap();

    let deleted = posts.delete(&post.id).etag(&post.etag).await.unwrap();
    let (gone_at, until) = (deleted.post.delete_time.unwrap(), deleted.undelete_expire_time.unwrap());
    assert_eq!(until.seconds - gone_at.seconds, 30 * 24 * 3600);
    assert!(refused(bob.client.posts().get(&post.id).await).is_not_found());
    assert!(bob.posts_of(&ann).await.is_empty());
    assert!(
        posts
            .get(&post.id)
            .include_deleted()
            .await
            .unwrap()
            .delete_time
            .is_some()
    );
    assert_eq!(
        refused(posts.update(&post.id).content("x").await).reason(),
        Reason::PostDeleted
    );

    let back = posts.undelete(&post.id).etag(&deleted.post.etag).await.unwrap();
    assert!(back.fanout_id.is_some());
    let seen = bob.client.posts().get(&post.id).await.unwrap();
    assert_eq!((seen.content.as_str(), seen.delete_time), ("Here today.", None));
    let counts = seen.counts.unwrap();
    assert_eq!((counts.likes, counts.comments), (1, 1));
    assert!(seen.viewer.unwrap().liked);
}

#[tokio::test]
async fn the_same_request_id_is_the_same_post() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let request_id = social_sdk::Uuid::new_v4();
    let create = |content: &str| ann.client.posts().create(content).request_id(request_id);
    let first = create("Once").await.unwrap();
    let again = create("Once").await.unwrap();
    assert_eq!((&again.post.id, &again.fanout_id), (&first.post.id, &first.fanout_id));
    assert_eq!(refused(create("Twice").await).reason(), Reason::RequestIdReused);
    assert_eq!(ann.posts_of(&ann).await.len(), 1);
}
