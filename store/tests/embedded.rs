//! The embedded backend as a process meets it: its folder, and what stands in it after a restart.
#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

mod support;

use std::path::Path;

use social_core::backend::RowCount;
use social_core::{Clock, Reason, Time};
use social_store::embedded::{self, Config, Error};

use support::{draft, key, post, user};

const START: Time = Time::from_unix_ms(1_800_000_000_000);

fn open(dir: &Path) -> Result<embedded::Embedded, Error> {
    embedded::open(Config::new(dir, Clock::system()))
}

#[test]
fn a_folder_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, Error::InUse { .. }));
    let text = error.to_string();
    assert!(text.contains("another social-server uses the data folder"), "{text}");
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    first.close().unwrap();
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().close().unwrap();
    let newer = embedded::FORMAT + 1;
    std::fs::write(dir.path().join("FORMAT"), newer.to_string()).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, Error::Newer { found, .. } if found == newer), "{error}");
    assert!(error.to_string().contains("newer program"), "{error}");
    std::fs::write(dir.path().join("FORMAT"), embedded::FORMAT.to_string()).unwrap();
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn a_missing_format_is_refused_where_there_is_data() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().close().unwrap();
    std::fs::remove_file(dir.path().join("FORMAT")).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Unmarked { .. })));
}

#[test]
fn a_folder_whose_making_was_cut_short_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().close().unwrap();
    // As a crash leaves it: the mark of an unfinished folder, and an engine without its version.
    std::fs::rename(dir.path().join("FORMAT"), dir.path().join("FORMAT.new")).unwrap();
    std::fs::remove_file(dir.path().join("db").join("version")).unwrap();
    open(dir.path()).unwrap().close().unwrap();
    assert!(dir.path().join("FORMAT").exists());
}

#[cfg(unix)]
#[test]
fn the_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a").join("b");
    open(&data).unwrap().close().unwrap();
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn everything_acknowledged_stands_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let backend = store.backend();
    let author = user(&backend, "ada").await;
    let request = key();
    let first = backend
        .store
        .create_post(draft(author, "one"), request, None)
        .await
        .unwrap()
        .value
        .post;
    post(&backend, author, "two").await;
    backend.store.set_like(author, first.id, true).await.unwrap();
    drop(backend);
    store.close().unwrap();

    let store = open(dir.path()).unwrap();
    let backend = store.backend();
    assert_eq!(
        backend.store.posts(&[first.id]).await.unwrap()[0].as_deref(),
        Some(&*first)
    );
    assert_eq!(backend.counters.users(&[author]).await.unwrap()[0].posts, 2);
    assert_eq!(backend.counters.posts(&[first.id]).await.unwrap()[0].likes, 1);
    assert_eq!(backend.store.liked(author, &[first.id]).await.unwrap(), [true]);
    assert_eq!(
        backend.store.user_ids(&["ada".parse().unwrap()]).await.unwrap(),
        [Some(author)]
    );
    let again = backend
        .store
        .create_post(draft(author, "one"), request, None)
        .await
        .unwrap();
    assert_eq!((again.replayed, again.value.post.id), (true, first.id));
}

#[tokio::test]
async fn ids_ascend_across_a_restart_with_the_clock_stepped_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = embedded::open(Config::new(dir.path(), Clock::manual(START))).unwrap();
    let author = user(&store.backend(), "ada").await;
    let mut last = post(&store.backend(), author, "before").await;
    let horizon = store.backend().store.horizon().await.unwrap();
    store.close().unwrap();
    for hours in 1..4u64 {
        let clock = Clock::manual(Time::from_unix_ms(START.unix_ms() - hours * 3_600_000));
        let store = embedded::open(Config::new(dir.path(), clock)).unwrap();
        let backend = store.backend();
        assert!(backend.store.horizon().await.unwrap().visible >= horizon.visible);
        let next = post(&backend, author, "after").await;
        assert!(next > last, "{next} after {last}");
        last = next;
        drop(backend);
        store.close().unwrap();
    }
}

#[tokio::test]
async fn after_closing_writes_are_refused_and_reads_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let backend = store.backend();
    let author = user(&backend, "ada").await;
    store.close().unwrap();
    let error = backend
        .store
        .create_post(draft(author, "late"), key(), None)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::ShuttingDown);
    assert!(backend.store.users(&[author]).await.unwrap()[0].is_some());
    assert!(matches!(open(dir.path()), Err(Error::InUse { .. })), "still read from");
}

#[tokio::test]
async fn operators_see_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let backend = store.backend();
    let author = user(&backend, "ada").await;
    post(&backend, author, "one").await;
    let stats = backend.store.stats().await.unwrap();
    assert_eq!(
        (stats.backend, stats.pending_events, stats.dead_letters),
        ("embedded", 1, 0)
    );
    assert!(stats.disk_bytes > 0 && stats.oldest_pending.is_some());
    assert!(
        stats
            .tables
            .iter()
            .any(|table| table.name == "posts" && table.rows == RowCount::About(1)),
        "{stats:?}"
    );
}
