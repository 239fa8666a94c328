//! No partition is large, however many follow an author or like a post.

use std::time::Instant;

use social_core::graph::{Direction, EdgeKind};
use social_core::import::{ImportBatch, ImportPost};
use social_core::page::Range;
use social_core::posts::Visibility;
use social_core::{PostId, Time, limits};
use uuid::Uuid;

use crate::site::Site;
use crate::support::{draft, user};
use crate::work::patiently;
use crate::world::{edge, post};

/// What the largest partition of any list may hold: a full bucket, a batch that was placed together, and what comes in until that is noticed.
const LARGEST: i64 = 12_000;
/// Entries: enough for a second generation of buckets.
const ENTRIES: usize = 15_000;
/// The day of the first one.
const OLD: Time = Time::from_unix_ms(1_300_000_000_000);
/// Lists that one post goes into: of its author, of all its author's, of replies.
const OF_A_POST: [i8; 3] = [4, 5, 6];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_tens_of_thousands_has_no_large_partition() {
    let site = Site::new().await;
    let process = site.open("importer").await;
    let (backend, store) = (&process.backend, &process.backend.store);
    let star = user(backend, "star").await;
    let target = post(backend, draft(star, "reply to this")).await;
    let (import, began, mut offset) = (Uuid::new_v4(), Instant::now(), 0);
    while offset < ENTRIES {
        let reply = |_| {
            Ok(ImportPost {
                author: star,
                title: None,
                content: "a reply".to_owned(),
                visibility: Visibility::Public,
                in_reply_to: Some(target),
                facets: Vec::new(),
                // A millisecond has room for a batch.
                created_at: OLD.plus_ms(offset as u64),
            })
        };
        let items = (0..limits::IMPORT_BATCH).map(reply).collect();
        let batch = ImportBatch {
            import,
            offset: offset as u64,
            items,
        };
        let outcome = patiently(async || store.import_posts(batch.clone()).await).await;
        assert_eq!(outcome.progress.rejected, 0);
        offset += limits::IMPORT_BATCH;
    }
    let took = began.elapsed();
    for list in OF_A_POST {
        let buckets = buckets(&site, list).await;
        let entries: i64 = buckets.iter().sum();
        let own = i64::from(list != 6);
        assert_eq!(entries, offset as i64 + own, "list {list}");
        let largest = *buckets.iter().max().unwrap();
        println!(
            "list {list}: {entries} entries, the largest of {} partitions has {largest}",
            buckets.len()
        );
        assert!(largest <= LARGEST && buckets.len() > 1, "list {list}: {buckets:?}");
        assert!(
            buckets.len() <= entries as usize / 5_000 + 1,
            "list {list}: {buckets:?}"
        );
    }
    println!("{offset} replies in {took:?}");

    // And it reads as one list.
    let began = Instant::now();
    let newest = store.user_posts(star, Range::newest(None, 50)).await.unwrap();
    println!("a page of it after {:?}", began.elapsed());
    assert!(newest.len() == 50 && newest.is_sorted_by(|one, next| one > next));
    assert_eq!(newest[0], target, "the newest one");
    let (mut after, mut read) = (None, 0);
    loop {
        let page = store.user_posts(star, Range::oldest(after, 1_000)).await.unwrap();
        let [PostId(first), .., PostId(last)] = page[..] else {
            read += page.len();
            break;
        };
        assert!(page.is_sorted_by(|one, next| one < next) && Some(first) > after);
        read += page.len();
        after = Some(last);
    }
    assert_eq!(read, offset + 1);
    process.close().await;
    site.end().await;
}

/// Entries of each partition of a list of one owner, as the store counts them.
async fn buckets(site: &Site, list: i8) -> Vec<i64> {
    let partitions: Vec<(i8, i64, i32)> = site.cql.rows("SELECT DISTINCT list, owner, bucket FROM lists").await;
    let mut entries = Vec::new();
    for (_, owner, bucket) in partitions.into_iter().filter(|(of, ..)| *of == list) {
        let count = format!("SELECT COUNT(*) FROM lists WHERE list = {list} AND owner = {owner} AND bucket = {bucket}");
        entries.push(site.cql.rows::<(i64,)>(&count).await[0].0);
    }
    entries
}

/// Buckets of a list of a million.
const OF_A_MILLION: i32 = 127;
/// Lists, as the store numbers them.
const FOLLOWERS: i8 = 1;
const LIKES: i8 = 11;
const FAN_OUT: i8 = 13;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_and_likes_of_a_million_are_spread_over_many_partitions() {
    let site = Site::new().await;
    let process = site.open("api").await;
    let (backend, store) = (&process.backend, &process.backend.store);
    let star = user(backend, "star").await;
    let grow = async |list, owner| {
        let buckets = format!("VALUES ({list}, {owner}, {OF_A_MILLION}) USING TIMESTAMP {OF_A_MILLION}");
        site.cql
            .run(&format!("INSERT INTO list_buckets (list, owner, buckets) {buckets}"))
            .await;
    };
    // Before anything is known of them.
    grow(FOLLOWERS, star.0).await;
    grow(FAN_OUT, star.0).await;
    let liked = post(backend, draft(star, "like this")).await;
    grow(LIKES, liked.0).await;
    let mut fans = Vec::new();
    for number in 0..30 {
        let fan = user(backend, &format!("fan_{number}")).await;
        edge(backend, EdgeKind::Follow, fan, star, true).await;
        store.set_like(fan, liked, true).await.unwrap();
        fans.push(fan);
    }
    let partitions: Vec<(i8, i64, i32)> = site.cql.rows("SELECT DISTINCT list, owner, bucket FROM lists").await;
    for list in [FOLLOWERS, LIKES, FAN_OUT] {
        let of_list = partitions.iter().filter(|(of, ..)| *of == list);
        let used: Vec<i32> = of_list.map(|(_, _, bucket)| *bucket).collect();
        assert!(used.len() > 15, "list {list}: {used:?}");
        // The newest generation: the older ones are full.
        let is_newest = |bucket: &i32| (63..OF_A_MILLION).contains(bucket);
        assert!(used.iter().all(is_newest), "list {list}: {used:?}");
    }
    let followers = store
        .edges(EdgeKind::Follow, Direction::Incoming, star, Range::newest(None, 20))
        .await
        .unwrap();
    let newest: Vec<_> = fans.iter().rev().take(20).copied().collect();
    assert_eq!(followers.iter().map(|edge| edge.user).collect::<Vec<_>>(), newest);
    let likers = store.likers(liked, Range::oldest(None, 20)).await.unwrap();
    assert_eq!(likers.iter().map(|like| like.user).collect::<Vec<_>>(), fans[..20]);
    let mut served = Vec::new();
    while let [.., last] = store.fanout_followers(star, served.last().copied(), 7).await.unwrap()[..] {
        let page = store.fanout_followers(star, served.last().copied(), 7).await.unwrap();
        assert_eq!(page.last(), Some(&last), "always the same order");
        served.extend(page);
    }
    served.sort();
    assert_eq!(served, fans);
    process.close().await;
    site.end().await;
}
