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

#[tokio::test]
async fn a_process_alone_is_shown_with_everything() {
    let house = House::open().await;
    let admin = house.admin();
    let cluster = admin.cluster().await.unwrap();
    assert_eq!(cluster.backend, "embedded");
    let [only] = cluster.processes.as_slice() else {
        panic!("{cluster:?}");
    };
    assert!(only.answered && !only.name.is_empty() && only.start_time.is_some());
    assert_eq!(only.state(), v1::ProcessState::Live);
    let roles: Vec<_> = only.roles().collect();
    assert_eq!(roles, [v1::ProcessRole::Api, v1::ProcessRole::Worker]);
    let held: Vec<i32> = cluster
        .shards
        .iter()
        .filter(|shard| shard.held)
        .map(|shard| shard.number)
        .collect();
    assert_eq!(
        (only.shards.as_slice(), held.as_slice(), cluster.shards.len()),
        ([0].as_slice(), [0].as_slice(), 1)
    );
}

#[tokio::test]
async fn an_idle_outbox_is_empty() {
    let house = House::open().await;
    let admin = house.admin();
    let (ann, fan) = (house.person("ann").await, house.person("fan").await);
    fan.follow(&ann).await;
    ann.post_and_deliver("On its way.").await;
    let page = eventually("an empty outbox", async || {
        let page = admin.list_outbox_events().page().await.unwrap();
        page.events.is_empty().then_some(page)
    })
    .await;
    let counts = page.counts.expect("the first page counts");
    assert_eq!((counts.pending, counts.stalled, counts.dead), (0, 0, 0));
    assert!(counts.exact && counts.oldest_pending_age_ms == 0 && page.next_page_token.is_empty());
}

#[tokio::test]
async fn a_backup_comes_piece_by_piece_to_its_end() {
    let house = House::open().await;
    let admin = house.admin();
    let ann = house.person("ann").await;
    for number in 0..50 {
        ann.post(format!("Number {number}")).await;
    }
    let pieces: Vec<v1::StreamBackupResponse> = admin.back_up().try_collect().await.unwrap();
    let last = pieces.last().expect("there is one");
    assert!(last.last && last.create_time.is_some());
    let bytes: usize = pieces.iter().map(|piece| piece.data.len()).sum();
    assert_eq!(last.bytes_sent, i64::try_from(bytes).unwrap());
    assert!(last.rows_sent > 150 && pieces[0].data.starts_with(b"SOCIALBK"));
    let printed = format!("{last:?}");
    assert!(printed.contains("redacted") && printed.len() < 500, "{printed}");
}

#[tokio::test]
async fn a_backup_that_the_server_leaves_is_an_error_and_not_an_end() {
    let mut house = House::open().await;
    let ann = house.person("ann").await;
    // More than the buffers on the way hold.
    let text = "\u{1d54f}".repeat(5_000);
    for _ in 0..400 {
        ann.post(text.as_str()).await;
    }
    let mut pieces = house.admin().back_up();
    pieces.try_next().await.unwrap().expect("a first piece");
    house.kill().await;
    let mut last = false;
    let error = loop {
        match pieces.try_next().await {
            Ok(Some(piece)) => last |= piece.last,
            Ok(None) => panic!("it ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(!last && !error.to_string().is_empty());
    assert!(pieces.try_next().await.unwrap().is_none(), "nothing follows an error");
}
