//! What only the inside can show: groups, races of caches with the writer, failing disks, rows of the future.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use social_core::backend::{Counters, EventStore, GraphStore, LikeStore, PostStore};
use social_core::fanout::{Policy, Progress, State, Strategy};
use social_core::graph::EdgeKind;
use social_core::page::Range;
use social_core::posts::{PostDraft, Visibility};
use social_core::request::RequestKey;
use social_core::users::{NewUser, ProfileEdit, User};
use social_core::{Clock, Error, PostId, Reason, Time, UserId, limits};

use super::tables::Table;
use super::{Config, Embedded, keys, open};

const START: Time = Time::from_unix_ms(1_800_000_000_000);

fn key() -> RequestKey {
    RequestKey {
        key: rand::random(),
        fingerprint: [7; 16],
    }
}

fn config(dir: &tempfile::TempDir) -> Config {
    Config::new(dir.path().join("data"), Clock::system())
}

fn draft(author: UserId) -> PostDraft {
    PostDraft {
        author,
        title: None,
        content: "hello".to_owned(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
    }
}

async fn user(store: &Embedded, handle: &str) -> UserId {
    let new = NewUser {
        handle: handle.parse().unwrap(),
        display_name: handle.to_owned(),
        bio: String::new(),
        password: None,
        created_at: None,
    };
    store.backend.store.create_user(new, key()).await.unwrap().value.id
}

async fn post(store: &Embedded, author: UserId) -> PostId {
    store
        .truth
        .create_post(draft(author), key(), None)
        .await
        .unwrap()
        .value
        .post
        .id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(config(&dir)).unwrap());
    let author = user(&store, "author").await;
    // While the writer is held, everybody else queues up.
    let (held, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (held2, release2, truth) = (held.clone(), release.clone(), store.truth.clone());
    let holder = tokio::spawn(async move {
        truth
            .writer
            .run(move |_| {
                held2.wait();
                release2.wait();
                Ok(())
            })
            .await
    });
    tokio::task::spawn_blocking(move || held.wait()).await.unwrap();
    let before = store.group_stats();
    let posts: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { post(&store, author).await })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    tokio::task::spawn_blocking(move || release.wait()).await.unwrap();
    holder.await.unwrap().unwrap();
    for post in posts {
        post.await.unwrap();
    }
    let after = store.group_stats();
    assert_eq!(after.commands - before.commands, 65);
    assert!(after.syncs - before.syncs <= 4, "{before:?} {after:?}");
    assert_eq!(store.backend.counters.users(&[author]).await.unwrap()[0].posts, 64);
}

#[tokio::test]
async fn progress_alone_is_not_synced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(&dir)).unwrap();
    let author = user(&store, "author").await;
    let event = post(&store, author).await.into();
    let before = store.group_stats();
    store
        .truth
        .record_progress(
            event,
            Progress {
                steps: 1,
                ..Progress::default()
            },
        )
        .await
        .unwrap();
    store
        .truth
        .finish(
            event,
            Progress {
                steps: 2,
                ..Progress::default()
            },
        )
        .await
        .unwrap();
    let after = store.group_stats();
    assert_eq!((after.commits - before.commits, after.syncs - before.syncs), (2, 0));
    let event = store.truth.event(event).await.unwrap().unwrap();
    assert_eq!((event.state, event.progress.steps), (State::Done, 2));
}

#[tokio::test]
async fn a_failing_or_panicking_command_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(&dir)).unwrap();
    let author = user(&store, "author").await;
    let write = move |tx: &mut super::tx::Tx<'_>| super::posts::insert(tx, draft(author).into_post(PostId(5), START));
    let failed = store
        .truth
        .writer
        .run(move |tx| write(tx).and(Err::<(), _>(Error::internal())))
        .await;
    assert_eq!(failed.unwrap_err().reason, Reason::Internal);
    let panicked = store.truth.writer.run::<()>(move |tx| {
        write(tx)?;
        panic!("as a test")
    });
    assert_eq!(panicked.await.unwrap_err().reason, Reason::Internal);
    assert_eq!(store.truth.posts(&[PostId(5)]).await.unwrap(), [None]);
    assert_eq!(store.backend.counters.users(&[author]).await.unwrap()[0].posts, 0);
    post(&store, author).await;
    assert_eq!(store.backend.counters.users(&[author]).await.unwrap()[0].posts, 1);
}

#[tokio::test]
async fn a_failed_commit_is_told_once_and_ends_writing() {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let telling = told.clone();
    let mut config = config(&dir);
    config.on_fatal = Arc::new(move |_| {
        telling.fetch_add(1, Ordering::Relaxed);
    });
    let disk_fails: Arc<AtomicBool> = config.disk_fails.clone();
    let store = open(config).unwrap();
    let author = user(&store, "author").await;
    disk_fails.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let error = store.truth.create_post(draft(author), key(), None).await.unwrap_err();
        assert_eq!(error.reason, Reason::StoreUnavailable);
    }
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert_eq!(
        store.truth.user_posts(author, Range::newest(None, 9)).await.unwrap(),
        []
    );
    assert_eq!(store.truth.pending_events(None, 9).await.unwrap(), []);
}

/// Readers with caches that hold next to nothing, so that they load all the time, never see less than was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn caches_are_never_behind_an_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(
        open(Config {
            cache_bytes: 16 << 10,
            ..config(&dir)
        })
        .unwrap(),
    );
    let (me, other) = (user(&store, "writer").await, user(&store, "other").await);
    let mut crowd = Vec::new();
    for n in 0..40 {
        crowd.push(user(&store, &format!("crowd{n}")).await);
    }
    let liked = post(&store, other).await;
    let rounds = 300;
    let (acked, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, acked, done, crowd) = (store.clone(), acked.clone(), done.clone(), crowd.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::Acquire) {
                    check_not_behind(&store, &acked, me, liked).await;
                    // Others push the one row out of memory.
                    store.backend.store.users(&crowd).await.unwrap();
                    for viewer in &crowd[..8] {
                        store.truth.following(*viewer).await.unwrap();
                        store.truth.liked(*viewer, &[liked]).await.unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 1..=rounds {
        let edit = ProfileEdit {
            bio: Some(round.to_string()),
            ..ProfileEdit::default()
        };
        store.backend.store.update_profile(me, edit, None, key()).await.unwrap();
        store.truth.set_like(me, liked, round % 2 == 1).await.unwrap();
        store
            .truth
            .set_edge(EdgeKind::Follow, me, other, round % 2 == 1, None)
            .await
            .unwrap();
        acked.store(round, Ordering::Release);
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn check_not_behind(store: &Embedded, acked: &AtomicU64, me: UserId, liked: PostId) {
    let before = acked.load(Ordering::Acquire);
    let row: Arc<User> = store.backend.store.users(&[me]).await.unwrap()[0].clone().unwrap();
    let is_liked = store.truth.liked(me, &[liked]).await.unwrap()[0];
    let follows = !store.truth.following(me).await.unwrap().followees.is_empty();
    let after = acked.load(Ordering::Acquire);
    let round: u64 = row.bio.parse().unwrap_or(0);
    assert!(
        (before..=after + 1).contains(&round),
        "{before} <= {round} <= {after} + 1"
    );
    // Where the next round was not under way, the answer is the one of this round.
    if before == after && round == before {
        let counts = super::counts::Counts(store.truth.clone())
            .posts(&[liked])
            .await
            .unwrap()[0];
        let settled = acked.load(Ordering::Acquire) == before && {
            let row = store.backend.store.users(&[me]).await.unwrap()[0].clone().unwrap();
            row.bio.parse().unwrap_or(0) == before
        };
        if settled {
            assert_eq!(
                (is_liked, follows, counts.likes),
                (before % 2 == 1, before % 2 == 1, before % 2)
            );
        }
    }
}

#[tokio::test]
async fn an_event_of_a_newer_format_stays_pending_and_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(&dir)).unwrap();
    let author = user(&store, "author").await;
    let (future, present) = (post(&store, author).await, post(&store, author).await);
    let bytes = store
        .truth
        .tables
        .of(Table::Events)
        .get(keys::id(future.0))
        .unwrap()
        .unwrap();
    let mut newer = bytes.to_vec();
    newer[0] += 1;
    let place = keys::id(future.0);
    store
        .truth
        .writer
        .run(move |tx| {
            tx.put(Table::Events, place, newer);
            Ok(())
        })
        .await
        .unwrap();
    let pending = store.truth.pending_events(None, 1).await.unwrap();
    assert_eq!(
        pending.iter().map(|event| event.id).collect::<Vec<_>>(),
        [present.into()]
    );
    store.truth.finish(present.into(), Progress::default()).await.unwrap();
    assert_eq!(store.truth.horizon().await.unwrap().settled, future.into());
    assert_eq!(store.truth.stats().await.unwrap().pending_events, 1);
}

#[tokio::test]
async fn a_wrong_count_is_put_right_while_it_moves() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(&dir)).unwrap();
    let (author, fan) = (user(&store, "author").await, user(&store, "fan").await);
    let id = post(&store, author).await;
    store.truth.set_like(fan, id, true).await.unwrap();
    let spoil = move |tx: &mut super::tx::Tx<'_>| super::counts::move_post(tx, id, |counts| counts.likes = 41);
    store.truth.writer.run(spoil).await.unwrap();
    let (was, is) = store.backend.counters.recount_post(id).await.unwrap();
    assert_eq!((was.likes, is.likes), (41, 1));
    assert_eq!(store.backend.counters.posts(&[id]).await.unwrap()[0].likes, 1);
}

#[tokio::test]
async fn stretches_and_pending_events_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(&dir)).unwrap();
    let (author, fan) = (user(&store, "author").await, user(&store, "fan").await);
    store
        .truth
        .set_edge(EdgeKind::Follow, fan, author, true, None)
        .await
        .unwrap();
    let policy = Policy {
        strategy: Strategy::Pull,
        ..Policy::default()
    };
    store.truth.set_policy(policy, None).await.unwrap();
    let (first, last) = (post(&store, author).await, post(&store, author).await);
    let before = store.truth.horizon().await.unwrap();
    store.close().unwrap();

    let store = open(config(&dir)).unwrap();
    assert_eq!(store.truth.policy().await.unwrap().strategy, Strategy::Pull);
    let pulled = store.truth.sources(fan).await.unwrap().pulled;
    assert_eq!(pulled[0].stretches, [(first, last)]);
    let after = store.truth.horizon().await.unwrap();
    assert_eq!(after.settled, before.settled);
    assert!(after.visible >= before.visible);
    assert_eq!(store.truth.pending_events(None, 9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_past_its_time_goes_in_bounded_steps() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = open(Config::new(dir.path(), clock.clone())).unwrap();
    let author = user(&store, "author").await;
    let request = key();
    let created = store
        .truth
        .create_post(draft(author), request, None)
        .await
        .unwrap()
        .value
        .post
        .id;
    store.truth.finish(created.into(), Progress::default()).await.unwrap();
    clock.set(START.plus(limits::REQUEST_KEPT));
    assert_eq!(store.truth.expire(100).await.unwrap(), 0);
    assert!(
        store
            .truth
            .create_post(draft(author), request, None)
            .await
            .unwrap()
            .replayed
    );
    clock.set(START.plus(limits::REQUEST_KEPT).plus_ms(1));
    assert_eq!(store.truth.expire(1).await.unwrap(), 1);
    assert_eq!(
        store.truth.expire(100).await.unwrap(),
        1,
        "the user's request and the post's"
    );
    assert!(!store.truth.was_committed(request).await.unwrap());
    clock.set(START.plus(limits::EVENT_KEPT).plus_ms(1));
    assert_eq!(store.truth.expire(100).await.unwrap(), 1);
    assert_eq!(store.truth.event(created.into()).await.unwrap(), None);
}

#[tokio::test]
async fn a_command_sees_pending_rows_over_committed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(&dir)).unwrap();
    let put = |tx: &mut super::tx::Tx<'_>, id: u64, value: u64| tx.put_number(Table::Imports, keys::id(id), value);
    let committed = move |tx: &mut super::tx::Tx<'_>| {
        for id in [2, 4, 6, 8] {
            put(tx, id, 1);
        }
        Ok(())
    };
    store.truth.writer.run(committed).await.unwrap();
    let pending = move |tx: &mut super::tx::Tx<'_>| {
        put(tx, 1, 2);
        put(tx, 4, 2);
        put(tx, 9, 2);
        tx.delete(Table::Imports, keys::id(6));
        tx.delete(Table::Imports, keys::id(7));
        let rows = |low, high, limit| -> Vec<(u64, u64)> {
            let rows = tx
                .range(Table::Imports, &keys::id(low), &keys::id(high), limit)
                .unwrap();
            rows.into_iter()
                .map(|(key, value)| (keys::last(&key), super::rows::decode_u64(&value).unwrap()))
                .collect()
        };
        assert_eq!(rows(0, 99, 99), [(1, 2), (2, 1), (4, 2), (8, 1), (9, 2)]);
        for limit in 0..5 {
            assert_eq!(rows(0, 99, limit), rows(0, 99, 99)[..limit], "the first {limit}");
        }
        assert_eq!(rows(5, 7, 9), []);
        assert_eq!(rows(9, 9, 9), [(9, 2)]);
        let last = |high| {
            tx.last_key(Table::Imports, &keys::id(0), &keys::id(high))
                .unwrap()
                .map(|key| keys::last(&key))
        };
        assert_eq!((last(99), last(8), last(0)), (Some(9), Some(8), None));
        Err::<(), _>(Error::internal())
    };
    store.truth.writer.run(pending).await.unwrap_err();
    let left = move |tx: &mut super::tx::Tx<'_>| tx.range(Table::Imports, &keys::id(0), &keys::id(99), 99);
    assert_eq!(
        store.truth.writer.run(left).await.unwrap().len(),
        4,
        "the failed command left nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_writes_than_can_wait_are_refused_and_the_rest_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(config(&dir)).unwrap());
    let (held, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (held2, release2) = (held.clone(), release.clone());
    let write = |store: &Arc<Embedded>, job: Box<dyn FnOnce() + Send>| {
        let truth = store.truth.clone();
        tokio::spawn(async move {
            let job = move |_: &mut super::tx::Tx<'_>| {
                job();
                Ok(())
            };
            truth.writer.run(job).await
        })
    };
    let hold = move || {
        held2.wait();
        release2.wait();
    };
    let holder = write(&store, Box::new(hold));
    tokio::task::spawn_blocking(move || held.wait()).await.unwrap();
    let surplus = 10;
    let waiting: Vec<_> = (0..super::writer::QUEUE + surplus)
        .map(|_| write(&store, Box::new(|| ())))
        .collect();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    tokio::task::spawn_blocking(move || release.wait()).await.unwrap();
    holder.await.unwrap().unwrap();
    let mut refused = 0;
    for write in waiting {
        match write.await.unwrap() {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.reason, Reason::Overloaded);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, surplus);
}
