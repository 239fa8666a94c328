//! The home timeline: pages, what is new, markers, the way to the followers.

use futures::TryStreamExt as _;
use social_sdk::{Reason, v1};

use crate::house::House;
use crate::people::refused;
use crate::wait::PATIENCE;

fn post_ids(items: Vec<v1::TimelineItem>) -> Vec<String> {
    items.into_iter().map(|item| item.post.unwrap().id).collect()
}

#[tokio::test]
async fn pages_hold_everything_once_and_in_order() {
    let house = House::open().await;
    let (ann, bob, fan) = (
        house.person("ann").await,
        house.person("bob").await,
        house.person("fan").await,
    );
    fan.follow(&ann).await;
    fan.follow(&bob).await;
    let mut expected = Vec::new();
    for number in 0..23 {
        for author in [&ann, &bob] {
            expected.push(author.post_and_deliver(format!("Number {number}")).await.id);
        }
    }
    let own = fan.post("My own").await;
    expected.push(own.id.clone());
    expected.reverse();

    let timeline = fan.client.timeline();
    let pages: Vec<v1::GetHomeTimelineResponse> = timeline.home().page_size(10).pages().try_collect().await.unwrap();
    assert_eq!(pages.len(), 5);
    assert!(
        pages
            .iter()
            .all(|page| page.completeness() == v1::Completeness::Complete && !page.reset)
    );
    let reasons: Vec<_> = pages[0].items.iter().map(v1::TimelineItem::reason).collect();
    assert_eq!(reasons[0], v1::TimelineReason::OwnPost);
    assert_eq!(reasons[1], v1::TimelineReason::FollowedAuthor);
    let paged: Vec<String> = pages.iter().flat_map(|page| post_ids(page.items.clone())).collect();
    assert_eq!(paged, expected);
    assert_eq!(fan.home().await, expected);

    // While somebody reads on, what is new stays out of the pages that are left.
    let mut reading = timeline.home().page_size(10).stream();
    let first = reading.try_next().await.unwrap().unwrap();
    let later = ann.post_and_deliver("While reading").await;
    let rest = post_ids(reading.try_collect().await.unwrap());
    assert_eq!(first.post.unwrap().id, expected[0]);
    assert_eq!(rest, expected[1..]);

    let newer = timeline.home().newer_than(&pages[0].head_cursor).page().await.unwrap();
    assert!(!newer.reset);
    assert_eq!(post_ids(newer.items), [later.id]);
    let nothing = timeline.home().newer_than(newer.head_cursor).page().await.unwrap();
    assert!(nothing.items.is_empty());
}

#[tokio::test]
async fn replies_can_be_left_out() {
    let house = House::open().await;
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    let post = ann.post_and_deliver("A post").await;
    let reply = ann
        .client
        .posts()
        .create("A reply")
        .in_reply_to(&post.id)
        .await
        .unwrap();
    let timeline = ann.client.timeline();
    let waited = timeline.wait_for_fanout(reply.fanout_id.unwrap(), PATIENCE);
    assert_eq!(waited.await.unwrap().state(), v1::FanoutState::Done);

    assert_eq!(fan.home().await, [reply.post.id, post.id.clone()]);
    let timeline = fan.client.timeline();
    let without = timeline.home().exclude_replies().page().await.unwrap();
    assert_eq!(post_ids(without.items), [post.id]);
    // A cursor is good for what it was issued for.
    let error = refused(timeline.home().newer_than(without.head_cursor).page().await);
    assert_eq!(error.reason(), Reason::CursorInvalid);
    assert_eq!(error.field_violations()[0].field, "newer_than_cursor");
}

#[tokio::test]
async fn a_follow_brings_recent_posts_and_an_unfollow_takes_them() {
    let house = House::open().await;
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    assert!(fan.home().await.is_empty());
    let mut expected = vec![ann.post("One").await.id, ann.post("Two").await.id];
    expected.reverse();
    fan.follow(&ann).await;
    crate::wait::eventually("the backfill", async || (fan.home().await == expected).then_some(())).await;
    fan.client.graph().unfollow(&ann.id).await.unwrap();
    assert!(fan.home().await.is_empty());
}

#[tokio::test]
async fn markers_only_move_forward() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let (old, new) = (ann.post("Old").await, ann.post("New").await);
    let timeline = ann.client.timeline();
    assert_eq!(timeline.marker().await.unwrap().last_read_post_id, "");

    let marked = timeline.set_marker(&new.id).await.unwrap();
    assert_eq!(marked.last_read_post_id, new.id);
    let still = timeline.set_marker(&old.id).await.unwrap();
    assert_eq!(still.last_read_post_id, new.id);
    assert_eq!(timeline.marker().await.unwrap(), still);

    let newest = ann.post("Newest").await;
    timeline.set_marker(&newest.id).etag(&still.etag).await.unwrap();
    assert!(refused(timeline.set_marker(&newest.id).etag(&marked.etag).await).is_conflict());
}

#[tokio::test]
async fn a_fan_out_is_told_to_its_author() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let mut fans = Vec::new();
    for number in 0..3 {
        let fan = house.person(&format!("fan_{number}")).await;
        fan.follow(&ann).await;
        // Somebody who reads gets posts pushed; whoever never came has nothing to push into.
        fan.home().await;
        fans.push(fan);
    }
    let posted = ann.client.posts().create("To all of you").await.unwrap();
    let fanout_id = posted.fanout_id.unwrap();
    let status = ann
        .client
        .timeline()
        .wait_for_fanout(&*fanout_id, PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        (status.state(), status.mode()),
        (v1::FanoutState::Done, v1::FanoutMode::Push)
    );
    assert_eq!(status.post_id, posted.post.id);
    assert_eq!((status.delivered, status.skipped, status.pending), (3, 0, 0));
    assert!(status.last_error_class.is_empty());
    for fan in &fans {
        assert_eq!(fan.home().await, [&*posted.post.id]);
    }
    let error = refused(fans[0].client.timeline().fanout_status(&*fanout_id).await);
    assert_eq!(error.reason(), Reason::FanoutNotFound);
}
