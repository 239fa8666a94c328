//! I1: what was acknowledged is durable, with its event.

use std::collections::HashSet;

use social_core::fanout::State;
use social_core::{EventId, PostId, UserId};
use tokio::runtime::Runtime;

use crate::site::Site;
use crate::support::{draft, key, new_user, user};
use crate::world::{deeds, post};

/// How the log is made, as the schema has it.
fn log_table() -> String {
    let schema = include_str!("../../src/cluster/schema/0001_platform.cql");
    let statement = schema.split(';').find(|part| part.contains("CREATE TABLE outbox ("));
    let lines = statement.unwrap().lines().filter(|line| !line.starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Broken where a call answers before its event is filed, or without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_nothing_is_acknowledged_before_its_event_is_in_the_log() {
    let site = Site::new().await;
    let process = site.open("api").await;
    let backend = &process.backend;
    let deeds_with_a_log = deeds(backend, "with").await;
    let deeds_without = deeds(backend, "without").await;
    for deed in &deeds_with_a_log {
        let before: HashSet<u64> = site.cql.log().await.iter().map(|logged| logged.event).collect();
        deed.run(backend).await.unwrap();
        let after: HashSet<u64> = site.cql.log().await.iter().map(|logged| logged.event).collect();
        assert_eq!(after.difference(&before).count(), 1, "events of: {}", deed.name);
    }
    // A log that takes nothing.
    site.cql.run("DROP TABLE outbox").await;
    for deed in &deeds_without {
        let done = deed.run(backend).await;
        assert!(done.is_err(), "acknowledged without an event: {}", deed.name);
    }
    let handle = "without_new".parse().unwrap();
    assert_eq!(
        backend.store.user_ids(&[handle]).await.unwrap(),
        [None],
        "nor did it happen"
    );
    site.cql.run(&log_table()).await;
    let ann = user(backend, "ann").await;
    let written = post(backend, draft(ann, "x")).await;
    assert!(backend.store.event(written.into()).await.unwrap().is_some());
    println!("{} mutations, each with its event", deeds_with_a_log.len());
    process.close().await;
    site.end().await;
}

/// What a process acknowledged before it died: the users and the post.
struct Acknowledged {
    author: UserId,
    reader: UserId,
    followed: EventId,
    post: PostId,
}

async fn acknowledge(site: &Site) -> Acknowledged {
    let process = site.open("dying").await;
    let store = &process.backend.store;
    let author = store.create_user(new_user("author"), key()).await.unwrap().value.id;
    let reader = store.create_user(new_user("reader"), key()).await.unwrap().value.id;
    let follow = social_core::graph::EdgeKind::Follow;
    let followed = store.set_edge(follow, reader, author, true, None).await.unwrap();
    let created = store
        .create_post(draft(author, "last words"), key(), None)
        .await
        .unwrap();
    let acknowledged = Acknowledged {
        author,
        reader,
        followed: followed.event.unwrap(),
        post: created.value.post.id,
    };
    // It ends here, with everything that it had still in hand: nothing is drained.
    drop(process);
    acknowledged
}

/// Broken where what a call did is only on its way when it answers.
#[test]
fn i1_what_was_acknowledged_outlives_a_process_that_dies_right_after() {
    let others = Runtime::new().unwrap();
    let site = others.block_on(Site::new());
    let dying = Runtime::new().unwrap();
    let acknowledged = dying.block_on(acknowledge(&site));
    dying.shutdown_background();
    others.block_on(async {
        let process = site.open("living").await;
        let store = &process.backend.store;
        let Acknowledged {
            author,
            reader,
            followed,
            post,
        } = acknowledged;
        for event in [followed, post.into()] {
            let event = store.event(event).await.unwrap().unwrap();
            assert_eq!(event.state, State::Pending, "it is to be worked on");
        }
        assert_eq!(store.posts(&[post]).await.unwrap()[0].as_ref().unwrap().author, author);
        assert!(store.relations(reader, &[author]).await.unwrap()[0].following);
        assert_eq!(store.fanout_followers(author, None, 9).await.unwrap(), [reader]);
        let events: HashSet<u64> = site.cql.log().await.iter().map(|logged| logged.event).collect();
        assert_eq!(events, HashSet::from([author.0, reader.0, followed.0, post.0]));
        process.close().await;
        site.end().await;
    });
}
