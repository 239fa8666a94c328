//! Repair and storage.

use futures::TryStreamExt as _;
use social_sdk::{Reason, Uuid, v1};

use crate::house::House;
use crate::people::refused;
use crate::wait::eventually;

const NOBODY: &str = "0000000000000";

#[tokio::test]
async fn counts_and_timelines_are_made_anew() {
    let house = House::open().await;
    let admin = house.admin();
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    let post = ann.post_and_deliver("Count me.").await;
    let newest = ann.post_and_deliver("And me.").await;
    fan.client.likes().like(&post.id).await.unwrap();
    for content in ["one", "two"] {
        fan.client.comments().create(&post.id, content).await.unwrap();
    }
    fan.client
        .posts()
        .create("A reply")
        .in_reply_to(&post.id)
        .await
        .unwrap();
    let reply = fan.posts_of(&fan).await.remove(0);

    let recount = admin.recount_post(&post.id).await.unwrap();
    let after = recount.after.unwrap();
    assert_eq!(
        (after.likes, after.comments, after.replies, after.exact),
        (1, 2, 1, true)
    );
    assert_eq!(recount.before.unwrap(), after, "they were right before");

    let expected = [reply.id, newest.id, post.id];
    assert_eq!(fan.home().await, expected);
    let rebuilt = admin.rebuild_timeline(&fan.id).await.unwrap();
    assert_eq!(rebuilt.entries, 3);
    assert_eq!(fan.home().await, expected);

    assert_eq!(refused(admin.recount_post(NOBODY).await).reason(), Reason::PostNotFound);
    assert_eq!(
        refused(admin.rebuild_timeline(NOBODY).await).reason(),
        Reason::UserNotFound
    );
}

#[tokio::test]
async fn nothing_is_given_up_in_a_healthy_house() {
    let house = House::open().await;
    let admin = house.admin();
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    for number in 0..10 {
        ann.post(format!("Number {number}")).await;
    }
    let dead: Vec<v1::DeadLetter> = admin.list_dead_letters().stream().try_collect().await.unwrap();
    assert!(dead.is_empty(), "{dead:?}");
    assert_eq!(
        refused(admin.replay_dead_letter(NOBODY).await).reason(),
        Reason::DeadLetterNotFound
    );
    let unknown = refused(admin.import_progress(Uuid::new_v4()).await);
    assert_eq!(unknown.reason(), Reason::ImportNotFound);
}

#[tokio::test]
async fn storage_is_told() {
    let house = House::open().await;
    let admin = house.admin();
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    fan.home().await;
    for number in 0..10 {
        ann.post(format!("Number {number}")).await;
    }
    let stats = eventually("an empty queue", async || {
        let stats = admin.storage_stats().await.unwrap();
        (stats.pending_events == 0).then_some(stats)
    })
    .await;
    assert_eq!((stats.backend.as_str(), stats.oldest_pending_age_ms), ("embedded", 0));
    assert!(stats.disk_bytes > 0 && stats.resident_memory_bytes > 0);
    assert!(stats.timeline_rings >= 1 && stats.timeline_entries >= 10, "{stats:?}");
    let names: Vec<&str> = stats.tables.iter().map(|table| table.name.as_str()).collect();
    assert!(names.is_sorted() && !names.is_empty());
    let rows = |name: &str| {
        stats
            .tables
            .iter()
            .find(|table| table.name == name)
            .map(|table| table.rows)
    };
    for (table, at_least) in [("posts", 10), ("users", 2)] {
        assert!(rows(table).is_some_and(|rows| rows >= at_least), "{table}: {stats:?}");
    }
}
