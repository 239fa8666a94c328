//! Imports that were cut off, or met by others.

use social_core::graph::{Direction, EdgeKind};
use social_core::import::{ImportBatch, ImportFollow};
use social_core::page::Range;
use social_core::{Time, UserId};
use uuid::Uuid;

use crate::site::Site;
use crate::support::{new_user, user};
use crate::world::edge;

/// Years ago.
const OLD: Time = Time::from_unix_ms(1_300_000_000_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_cut_off_leaves_no_handle_for_nobody() {
    let site = Site::new().await;
    let importer = site.open("importer").await;
    let batch = |handle| ImportBatch {
        import: Uuid::new_v4(),
        offset: 0,
        items: vec![Ok(new_user(handle))],
    };
    importer.backend.store.import_users(batch("ann")).await.unwrap();
    site.cql.run("DROP TABLE users").await;
    assert!(importer.backend.store.import_users(batch("bob")).await.is_err());
    importer.close().await;
    site.cql
        .run("CREATE TABLE users (id bigint PRIMARY KEY, version bigint, row blob)")
        .await;

    // Nobody repeats the batch. Whoever sweeps brings it to its end.
    let worker = site.open("worker").await;
    let store = &worker.backend.store;
    assert!(store.pending_events(None, 9).await.unwrap().is_empty());
    let handle = "bob".parse().unwrap();
    let bob = store.user_ids(&[handle]).await.unwrap()[0].unwrap();
    let found = store.users(&[bob]).await.unwrap().remove(0).unwrap();
    assert_eq!((found.id, found.display_name.as_str()), (bob, "bob"));
    worker.close().await;
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follow_that_met_an_import_of_the_same_is_listed_once() {
    let site = Site::new().await;
    let process = site.open("api").await;
    let backend = &process.backend;
    let (ann, bob) = (user(backend, "ann").await, user(backend, "bob").await);
    let follow = ImportFollow {
        follower: bob,
        followee: ann,
        created_at: OLD,
    };
    let batch = ImportBatch {
        import: Uuid::new_v4(),
        offset: 0,
        items: vec![Ok(follow)],
    };
    backend.store.import_follows(batch).await.unwrap();
    // The call that follows looked before the import wrote its row: as if that were not there.
    let written: Vec<(i64,)> = site.cql.rows("SELECT WRITETIME(active) FROM edges").await;
    let UserId(from) = bob;
    let unwrite = format!(
        "DELETE FROM edges USING TIMESTAMP {} WHERE kind = 1 AND from_user = {from} AND to_user = {}",
        written[0].0, ann.0
    );
    site.cql.run(&unwrite).await;
    edge(backend, EdgeKind::Follow, bob, ann, true).await;

    let all = Range::newest(None, 10);
    let (kind, store) = (EdgeKind::Follow, &backend.store);
    let followers = store.edges(kind, Direction::Incoming, ann, all).await.unwrap();
    let following = store.edges(kind, Direction::Outgoing, bob, all).await.unwrap();
    assert_eq!(followers.len(), 1, "{followers:?}");
    assert_eq!((followers[0].user, following[0].user), (bob, ann));
    assert_eq!(followers[0].since, following[0].since, "the row names the entry");
    assert_eq!(store.fanout_followers(ann, None, 10).await.unwrap(), [bob]);
    edge(backend, kind, bob, ann, false).await;
    assert!(
        store
            .edges(kind, Direction::Incoming, ann, all)
            .await
            .unwrap()
            .is_empty()
    );
    process.close().await;
    site.end().await;
}
