//! I4: each projection write is idempotent and timestamped.

use std::collections::BTreeSet;

use social_core::fanout::{self, Progress, Step};
use social_core::id::minted_at;
use social_core::{Backend, EventId};

use crate::cql::{DONE, FILED, Logged};
use crate::site::{Site, TIMING};
use crate::work::finish_all;
use crate::world::{World, differences, home};

/// Tables of plain rows, what identifies a row, and a column that tells when it was written.
const PLAIN: [(&str, &str, &str); 8] = [
    ("posts", "id", "row"),
    ("post_revisions", "post, number", "row"),
    ("comments", "id", "row"),
    ("accounts", "user", "row"),
    ("likes", "user, post", "active"),
    ("edges", "kind, from_user, to_user", "active"),
    ("lists", "list, owner, bucket, key, member, active", "active"),
    ("outbox", "shard, minute, event", "body"),
];
/// Tables of rows that are compared and set.
const CONDITIONAL: [&str; 6] = [
    "users",
    "handles",
    "post_heads",
    "comment_heads",
    "stretches",
    "sessions",
];

/// Broken where a row is written under another time than its event's, or a conditional one without regard to what was applied already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_writing_everything_again_in_another_order_changes_nothing() {
    let site = Site::new().await;
    let process = site.open("worker").await;
    let backend = &process.backend;
    let world = World::rich(backend).await;
    finish_all(backend).await;
    let (before, rows) = (world.answers(backend).await, written(&site).await);
    let log = site.cql.log().await;
    bears_the_time_of_its_event(&site, &log).await;

    let newest_first = log.iter().rev();
    // Another order, in which neighbours are far apart.
    let scattered = (0..log.len()).map(|number| &log[number * 37 % log.len()]);
    for logged in newest_first.chain(scattered) {
        site.cql.set_stage(logged, FILED).await;
        let open = backend.store.pending_events(None, usize::MAX).await.unwrap();
        assert!(open.len() <= 1, "{open:?}");
        site.cql.set_stage(logged, DONE).await;
    }
    assert_eq!(differences(&rows, &written(&site).await), [""; 0], "rows");
    let after = world.answers(backend).await;
    assert_eq!(differences(&before, &after), [""; 0], "answers");

    deliver_again(backend, &log).await;
    let after = world.answers(backend).await;
    assert_eq!(differences(&before, &after), [""; 0], "answers after deliveries");
    println!("{} events again, twice: {} rows as they were", log.len(), rows.len());
    process.close().await;
    site.end().await;
}

/// Every row that follows from events, with the time that it bears.
async fn written(site: &Site) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, key, column) in PLAIN {
        let look = format!("SELECT {key}, {column}, WRITETIME({column}) FROM {table}");
        let found = site.cql.dump(&look).await;
        rows.extend(found.into_iter().map(|row| format!("{table}: {row}")));
    }
    for table in CONDITIONAL {
        let found = site.cql.dump(&format!("SELECT * FROM {table}")).await;
        rows.extend(found.into_iter().map(|row| format!("{table}: {row}")));
    }
    rows
}

/// A row bears the time of the event that brought it, and that is when the event was filed.
async fn bears_the_time_of_its_event(site: &Site, log: &[Logged]) {
    let stamps: BTreeSet<i64> = log.iter().map(|logged| logged.stamp).collect();
    for logged in log {
        let minted_us = minted_at(logged.event).unix_ms() as i64 * 1_000;
        let within = minted_us - 1_000..minted_us + TIMING.filing.as_micros() as i64;
        assert!(within.contains(&logged.stamp), "{logged:?}");
    }
    for (table, _, column) in PLAIN {
        let written: Vec<(i64,)> = site.cql.rows(&format!("SELECT WRITETIME({column}) FROM {table}")).await;
        assert!(!written.is_empty(), "{table}");
        let strange: Vec<_> = written.iter().filter(|(stamp,)| !stamps.contains(stamp)).collect();
        assert!(strange.is_empty(), "{table} has {strange:?}, which are no event's");
    }
}

/// Has every fan-out and backfill done anew, from the last one to the first, and once more.
async fn deliver_again(backend: &Backend, log: &[Logged]) {
    let mut homes = Vec::new();
    for logged in log.iter().rev().chain(log) {
        let Some(event) = backend.store.event(EventId(logged.event)).await.unwrap() else {
            continue;
        };
        let mut progress = Progress::default();
        while let Step::More(next) = fanout::step(backend, &event, progress).await.unwrap() {
            progress = next;
        }
        if let fanout::Payload::Post { author, .. } = event.payload {
            homes.push(home(backend, author).await.len());
        }
    }
    assert!(!homes.is_empty());
}
