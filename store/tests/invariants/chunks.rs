//! I5: done means that every chunk is durable.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use social_core::fanout::{self, Progress, State, Step};
use social_core::import::{ImportBatch, ImportFollow};
use social_core::users::NewUser;
use social_core::{Backend, Clock, PostId, UserId, limits, timeline};
use social_store::cluster::Consistency;
use uuid::Uuid;

use crate::site::Site;
use crate::support::{draft, new_user, user};
use crate::work::{drive, patiently};
use crate::world::post;

/// More than a step serves.
const FOLLOWERS: usize = limits::FANOUT_STEP + 100;
/// Timelines that are made at once.
const AT_ONCE: usize = 16;

/// Broken where an event is done before its last chunk, or where a chunk counts although it was not written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_done_means_that_every_chunk_is_durable() {
    let site = Site::new().await;
    let first = site.open("first").await;
    let (author, followers) = crowd(&first.backend).await;
    let written = post(&first.backend, draft(author, "to many")).await;
    let event = first.backend.store.event(written.into()).await.unwrap().unwrap();

    // A process whose writes reach no quorum of timelines: it gets nowhere, and says so.
    let mut config = site.config("alone");
    config.cql.consistencies.timeline_write = Consistency::Three;
    let alone = site.open_with(config).await.unwrap();
    assert!(fanout::step(&alone.backend, &event, Progress::default()).await.is_err());
    drive(&alone.backend, &event).await;
    alone.close().await;

    // One that dies behind its first chunk.
    let Ok(Step::More(progress)) = fanout::step(&first.backend, &event, Progress::default()).await else {
        panic!("there is more to do");
    };
    first.backend.store.record_progress(event.id, progress).await.unwrap();
    let held = holders(&site, written).await;
    assert_eq!(held.len(), limits::FANOUT_STEP, "the first chunk");
    let half_way = first.backend.store.event(event.id).await.unwrap().unwrap();
    assert_eq!(half_way.state, State::Pending, "with less than all it is not done");
    first.close().await;

    let second = site.open("second").await;
    let left = second.backend.store.event(event.id).await.unwrap().unwrap();
    assert_eq!((left.progress.steps, left.state), (1, State::Pending));
    drive(&second.backend, &left).await;
    let held = holders(&site, written).await;
    let done = second.backend.store.event(event.id).await.unwrap().unwrap();
    assert_eq!(done.state, State::Done);
    assert_eq!(held, followers, "each has the post when the event is done");
    assert_eq!(done.progress.delivered, FOLLOWERS as u64);
    println!("{FOLLOWERS} followers in {} steps", done.progress.steps);
    second.close().await;
    site.end().await;
}

/// An author, and followers whose timelines are there.
async fn crowd(backend: &Backend) -> (UserId, BTreeSet<UserId>) {
    let author = user(backend, "author").await;
    let handles: Vec<String> = (0..FOLLOWERS).map(|number| format!("fan_{number}")).collect();
    let (import, follows) = (Uuid::new_v4(), Uuid::new_v4());
    let mut fans = BTreeSet::new();
    for (offset, handles) in (0..)
        .step_by(limits::IMPORT_BATCH)
        .zip(handles.chunks(limits::IMPORT_BATCH))
    {
        let items: Vec<_> = handles
            .iter()
            .map(|handle| Ok::<NewUser, _>(new_user(handle)))
            .collect();
        let batch = ImportBatch { import, offset, items };
        let outcome = patiently(async || backend.store.import_users(batch.clone()).await).await;
        assert_eq!(outcome.progress.rejected, 0);
        let handles: Vec<_> = handles.iter().map(|handle| handle.parse().unwrap()).collect();
        let ids = backend.store.user_ids(&handles).await.unwrap();
        let items = ids.iter().map(|id| {
            Ok(ImportFollow {
                follower: id.unwrap(),
                followee: author,
                created_at: Clock::system().now(),
            })
        });
        let batch = ImportBatch {
            import: follows,
            offset,
            items: items.collect(),
        };
        patiently(async || backend.store.import_follows(batch.clone()).await).await;
        fans.extend(ids.into_iter().flatten());
    }
    let made = futures::stream::iter(fans.clone())
        .map(|fan| async move { patiently(async || timeline::rebuild(backend, fan).await).await });
    let made: Vec<usize> = made.buffer_unordered(AT_ONCE).collect().await;
    assert!(
        made.iter().all(|entries| *entries == 0),
        "only a fan-out brings them anything"
    );
    (author, fans)
}

/// Whose timeline has the post, as the store says.
async fn holders(site: &Site, post: PostId) -> BTreeSet<UserId> {
    let rows: Vec<(i64, i64)> = site.cql.rows("SELECT viewer, post FROM home_timeline").await;
    let holding = rows.into_iter().filter(|(_, held)| *held as u64 == post.0);
    holding.map(|(viewer, _)| UserId(viewer as u64)).collect()
}
