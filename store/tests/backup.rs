//! Backups of a data folder that is being written to, and what stands in one that was made of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use social_core::auth::{NewSession, RefreshHash};
use social_core::backend::Backend;
use social_core::comments::CommentDraft;
use social_core::fanout::{self, Policy, Progress, State, Step, Strategy};
use social_core::graph::EdgeKind;
use social_core::page::Range;
use social_core::{Clock, EventId, PostId, Time, UserId, admin, limits};
use social_store::embedded::{self, Config, Embedded, Error, backup::Problem};
use tempfile::TempDir;

use support::{draft, key, post, user};

const START: Time = Time::from_unix_ms(1_800_000_000_000);
const WRITERS: usize = 8;
/// Posts of each writer before the backup begins.
const POSTS_BEFORE: usize = 150;

fn open(dir: &Path, clock: &Clock) -> Embedded {
    embedded::open(Config::new(dir, clock.clone())).unwrap()
}

fn close(store: Embedded, backend: Backend) {
    drop(backend);
    store.close().unwrap();
}

async fn follow(backend: &Backend, from: UserId, to: UserId) {
    let store = &backend.store;
    store.set_edge(EdgeKind::Follow, from, to, true, None).await.unwrap();
}

/// The whole file of a backup that begins now. `pause` lies between two pieces.
async fn back_up(backend: &Backend, pause: Duration) -> Vec<u8> {
    let mut backup = backend.store.back_up().await.unwrap();
    let mut file = Vec::new();
    while let Some(piece) = backup.next().await.unwrap() {
        file.extend(piece.data);
        tokio::time::sleep(pause).await;
    }
    file
}

/// A folder with a backup in it.
fn kept(file: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("social.backup");
    std::fs::write(&path, file).unwrap();
    (folder, path)
}

/// What one writer was told: its posts in their order.
async fn write(backend: Backend, author: UserId, stop: Arc<AtomicBool>, acked: Arc<Acked>) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = post(&backend, author, &number.to_string()).await;
        backend.store.set_like(author, id, true).await.unwrap();
        let comment = CommentDraft {
            post: id,
            parent: None,
            depth: 0,
            author,
            content: "so it is".to_owned(),
            facets: Vec::new(),
        };
        backend.store.create_comment(comment, key()).await.unwrap();
        acked.note(author, id);
        number += 1;
    }
}

/// What was acknowledged, by author.
#[derive(Default)]
struct Acked(Mutex<BTreeMap<UserId, Vec<PostId>>>);

impl Acked {
    fn note(&self, author: UserId, post: PostId) {
        self.0.lock().unwrap().entry(author).or_default().push(post);
    }

    fn all(&self) -> BTreeMap<UserId, Vec<PostId>> {
        self.0.lock().unwrap().clone()
    }

    /// How many posts the author has who has the fewest.
    fn least(&self, authors: usize) -> usize {
        let acked = self.all();
        let least = acked.values().map(Vec::len).min().unwrap_or(0);
        if acked.len() < authors { 0 } else { least }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_under_writers_is_of_one_instant_and_misses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("old"), &Clock::system());
    let backend = store.backend();
    let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(Acked::default()));
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let author = user(&backend, &format!("writer_{number}")).await;
        writers.push(tokio::spawn(write(
            backend.clone(),
            author,
            Arc::clone(&stop),
            Arc::clone(&acked),
        )));
    }
    while acked.least(WRITERS) < POSTS_BEFORE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = acked.all();
    let file = back_up(&backend, Duration::from_millis(20)).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let after = acked.all();
    close(store, backend);

    let (_kept, path) = kept(&file);
    let new = dir.path().join("new");
    let contents = embedded::restore(&path, &new).unwrap();
    let store = open(&new, &Clock::system());
    let backend = store.backend();
    let (mut found, mut later) = (0, 0);
    for (author, posts) in &before {
        let there = check_author(&backend, *author).await;
        assert!(there.len() >= posts.len() && there.starts_with(posts), "{author:?}");
        found += there.len();
        later += after[author].len() - there.len().min(after[author].len());
    }
    let newest = after.values().flatten().max().copied().unwrap();
    let author = *before.keys().next().unwrap();
    assert!(post(&backend, author, "afterwards").await > newest, "ids go on");
    close(store, backend);
    println!(
        "{} posts acknowledged before the backup began, {found} in it, {later} came too late for it; {} rows, {} bytes",
        before.values().map(Vec::len).sum::<usize>(),
        contents.rows,
        file.len()
    );
    assert!(later > 0, "nobody wrote while it was taken");
}

/// Holds what belongs to each other against each other; the author's posts, oldest first.
async fn check_author(backend: &Backend, author: UserId) -> Vec<PostId> {
    let store = &backend.store;
    let ids = store.user_posts(author, Range::oldest(None, usize::MAX)).await.unwrap();
    let counts = backend.counters.users(&[author]).await.unwrap()[0];
    assert_eq!(counts.posts, ids.len() as u64);
    let rows = store.posts(&ids).await.unwrap();
    let counts = backend.counters.posts(&ids).await.unwrap();
    for (number, (row, counts)) in rows.into_iter().zip(counts).enumerate() {
        let row = row.expect("a post that is listed is there");
        assert_eq!(row.content, number.to_string(), "none is left out");
        assert!(
            store.event(row.id.into()).await.unwrap().is_some(),
            "it came with its event"
        );
        let likers = store.likers(row.id, Range::newest(None, 9)).await.unwrap();
        let comments = store.list_comments(row.id, None, Range::newest(None, 9)).await.unwrap();
        assert_eq!(
            (counts.likes, counts.comments),
            (likers.len() as u64, comments.len() as u64)
        );
    }
    ids
}

#[tokio::test]
async fn a_backup_of_what_was_restored_is_the_same_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = open(&dir.path().join("old"), &clock);
    let backend = store.backend();
    let (ann, bob) = (user(&backend, "ann").await, user(&backend, "bob").await);
    follow(&backend, bob, ann).await;
    let request = key();
    let created = backend
        .store
        .create_post(draft(ann, "once"), request, None)
        .await
        .unwrap();
    let dead = post(&backend, ann, "never gets there").await;
    for _ in 0..limits::EVENT_ATTEMPTS {
        backend.store.record_failure(dead.into(), "internal").await.unwrap();
    }
    let session = NewSession {
        user: bob,
        device: "a phone".to_owned(),
        address: None,
        refresh: RefreshHash([7; 32]),
    };
    let opened = backend.store.create_session(session, key()).await.unwrap().value;
    let policy = Policy {
        strategy: Strategy::Pull,
        celebrity_threshold: 9,
        ..Policy::default()
    };
    let policy = backend.store.set_policy(policy, None).await.unwrap();
    backend.store.set_marker(bob, dead, None).await.unwrap();
    let pulled = post(&backend, ann, "pulled").await;
    let horizon = backend.store.horizon().await.unwrap();
    let file = back_up(&backend, Duration::ZERO).await;
    close(store, backend);

    let (_kept, path) = kept(&file);
    let new = dir.path().join("new");
    assert_eq!(embedded::restore(&path, &new).unwrap().taken_at, START);
    let store = open(&new, &clock);
    let backend = store.backend();
    assert!(
        back_up(&backend, Duration::ZERO).await == file,
        "all rows are as they were"
    );

    let session = backend.store.session(opened.session.id).await.unwrap().unwrap();
    assert_eq!(session, opened.session);
    assert_eq!(backend.store.policy().await.unwrap(), policy);
    assert_eq!(backend.store.marker(bob).await.unwrap().last_read, Some(dead));
    let again = backend
        .store
        .create_post(draft(ann, "once"), request, None)
        .await
        .unwrap();
    assert!(again.replayed && again.value.post.id == created.value.post.id);
    let letters = backend.store.dead_letters(Range::oldest(None, 9)).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].id, EventId::from(dead));
    let sources = backend.store.sources(bob).await.unwrap();
    assert_eq!(sources.pulled[0].stretches, [(pulled, pulled)]);
    // What a cursor of before was owed, it is owed still.
    let now = backend.store.horizon().await.unwrap();
    assert_eq!((now.settled, now.imports), (horizon.settled, horizon.imports));
    assert!(now.visible >= horizon.visible);
    close(store, backend);
}

#[tokio::test]
async fn a_fan_out_that_was_under_way_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = open(&dir.path().join("old"), &clock);
    let backend = store.backend();
    let author = user(&backend, "author").await;
    let mut fans = Vec::new();
    for number in 0..limits::FANOUT_STEP + 20 {
        let fan = user(&backend, &format!("fan_{number}")).await;
        follow(&backend, fan, author).await;
        fans.push(fan);
    }
    let id = post(&backend, author, "to all of you").await;
    let event = backend.store.event(id.into()).await.unwrap().unwrap();
    let Step::More(progress) = fanout::step(&backend, &event, Progress::default()).await.unwrap() else {
        panic!("it is one step for more followers than fit into one");
    };
    backend.store.record_progress(event.id, progress.clone()).await.unwrap();
    let file = back_up(&backend, Duration::ZERO).await;
    close(store, backend);

    let (_kept, path) = kept(&file);
    let new = dir.path().join("new");
    embedded::restore(&path, &new).unwrap();
    let store = open(&new, &clock);
    let backend = store.backend();
    let event = backend.store.event(id.into()).await.unwrap().unwrap();
    assert_eq!((event.state, &event.progress), (State::Pending, &progress));
    assert!(
        backend
            .store
            .pending_events(None, usize::MAX)
            .await
            .unwrap()
            .contains(&event)
    );
    // One of those who are served in the second step reads their timeline first.
    let late = backend.store.fanout_followers(author, progress.after, 1).await.unwrap()[0];
    admin::rebuild_timeline(&backend, late, "6ba7b810-9dad-41d1-80b4-00c04fd430c8")
        .await
        .unwrap();
    let Step::Done(done) = fanout::step(&backend, &event, event.progress.clone()).await.unwrap() else {
        panic!("the rest fits into one step");
    };
    assert_eq!((done.delivered + done.skipped, done.steps), (fans.len() as u64, 2));
    backend.store.finish(event.id, done).await.unwrap();
    let home = backend.timelines.read(late, None, 9).await.unwrap().unwrap();
    assert_eq!(home.posts, [id]);
    close(store, backend);
}

/// A small backup.
async fn a_file() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Clock::manual(START));
    let backend = store.backend();
    let ann = user(&backend, "ann").await;
    for number in 0..20 {
        post(&backend, ann, &format!("post {number}")).await;
    }
    let file = back_up(&backend, Duration::ZERO).await;
    close(store, backend);
    file
}

fn refused(file: &[u8]) -> Error {
    let (folder, path) = kept(file);
    let new = folder.path().join("new");
    let error = embedded::restore(&path, &new).expect_err("it is refused");
    assert!(!new.exists(), "nothing is made");
    let text = error.to_string();
    assert!(
        text.contains(&path.display().to_string()) && !text.contains('\n'),
        "{text}"
    );
    error
}

#[tokio::test]
async fn a_damaged_backup_is_refused_wherever_the_damage_is() {
    let whole = a_file().await;
    let (mut changed, mut cut) = (0, 0);
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        let error = refused(&damaged);
        assert!(matches!(error, Error::Backup { .. }), "byte {at}: {error}");
        changed += 1;
    }
    for at in (0..whole.len()).step_by(61) {
        assert!(matches!(refused(&whole[..at]), Error::Backup { .. }), "cut at {at}");
        cut += 1;
    }
    assert!(matches!(
        refused(&[whole.clone(), whole.clone()].concat()),
        Error::Backup {
            problem: Problem::Damaged,
            ..
        }
    ));
    println!(
        "{} bytes: refused with each of {changed} bytes changed, and cut at each of {cut} places",
        whole.len()
    );
}

#[tokio::test]
async fn a_backup_of_a_later_program_and_what_is_none_are_told_apart() {
    let mut newer = a_file().await;
    newer[11] += 1;
    let error = refused(&newer);
    assert!(error.to_string().contains("newer program"), "{error}");
    let foreign = refused(b"{\"handle\":\"ada\",\"display_name\":\"Ada Lovelace\"}\n");
    assert!(foreign.to_string().contains("is no backup"), "{foreign}");
    let (folder, _) = kept(b"");
    let missing = embedded::restore(&folder.path().join("nothing"), &folder.path().join("new"));
    let text = missing.expect_err("there is none").to_string();
    assert!(text.contains("cannot be read"), "{text}");
}

#[tokio::test]
async fn a_folder_that_holds_something_is_left_as_it_is() {
    let (folder, path) = kept(&a_file().await);
    let full = folder.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine"), "precious").unwrap();
    let error = embedded::restore(&path, &full).expect_err("it is not empty");
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    let entries: Vec<_> = std::fs::read_dir(&full)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(entries, ["mine"]);

    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    embedded::restore(&path, &empty).unwrap();
    open(&empty, &Clock::manual(START)).close().unwrap();
    let error = embedded::restore(&path, &empty).expect_err("now it holds data");
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_whose_restore_was_killed_is_not_served() {
    let (folder, path) = kept(&a_file().await);
    let new = folder.path().join("new");
    embedded::restore(&path, &new).unwrap();
    // As it stands before the last step.
    std::fs::rename(new.join("FORMAT"), new.join("RESTORING")).unwrap();
    let error = embedded::open(Config::new(&new, Clock::system()))
        .err()
        .expect("it is refused");
    assert!(matches!(error, Error::HalfRestored { .. }), "{error}");
    assert!(error.to_string().contains("restore` again"), "{error}");
    assert!(embedded::restore(&path, &new).is_err());
    std::fs::remove_dir_all(&new).unwrap();
    embedded::restore(&path, &new).unwrap();
    open(&new, &Clock::system()).close().unwrap();
}
