//! A backup of the real server while it serves, and a server on what was made of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message as _;
use social_proto::v1;
use support::{
    Exited, Failure, House, Line, Person, Process, assert_refused, eventually, in_time, process, refused, request_id,
};
use tonic::Code;

const BACKUP: &str = "/social.v1.AdminService/StreamBackup";
/// Posts of each writer before the backup begins.
const POSTS_BEFORE: usize = 40;

/// A server and its folder.
struct Site {
    folder: tempfile::TempDir,
    process: Process,
    line: Line,
    admin: Line,
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(&process::write_config(folder.path(), |_| {}));
        Self {
            line: Line::to(process.address).await,
            admin: Line::to(process.admin_address).await,
            process,
            folder,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.data().join("admin.token"))
            .unwrap()
            .trim()
            .to_owned()
    }
}

/// The messages of a whole backup.
async fn back_up(admin: &Line, token: &str) -> Result<Vec<v1::StreamBackupResponse>, Failure> {
    let mut stream = admin.open(BACKUP, Some(token), vec![Vec::new()]).await?;
    let mut pieces = Vec::new();
    while let Some(bytes) = in_time("a piece", stream.message()).await? {
        pieces.push(v1::StreamBackupResponse::decode(bytes.as_slice()).unwrap());
    }
    Ok(pieces)
}

fn file_of(pieces: &[v1::StreamBackupResponse]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.data.iter().copied()).collect()
}

fn restore(from: &Path, to: &Path) -> Exited {
    let mut command = process::command();
    process::run(command.arg("restore").arg("--from").arg(from).arg("--data-dir").arg(to))
}

/// Writes a configuration for a folder of data beside others.
fn config_for(folder: &Path, data: &Path) -> PathBuf {
    let below = folder.join(format!("config-{}", data.file_name().unwrap().display()));
    std::fs::create_dir(&below).unwrap();
    process::write_config(&below, |config| config.data_dir = data.to_owned())
}

fn copy_keys(from: &Path, to: &Path) {
    let (from, to) = (from.join("keys"), to.join("keys"));
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(&from)
        .arg(&to)
        .status()
        .unwrap();
    assert!(copied.success());
}

#[track_caller]
fn assert_refuses(exited: &Exited, says: &[&str]) {
    assert_eq!(exited.status.code(), Some(1), "{exited:?}");
    let lines: Vec<&str> = exited.stderr.lines().collect();
    assert!(
        lines.len() == 1 && lines[0].starts_with("social-server: "),
        "{exited:?}"
    );
    for text in says {
        assert!(exited.stderr.contains(text), "{text}: {exited:?}");
    }
}

/// Posts and likes until it is told to stop; the ids of what was acknowledged.
async fn write(line: Line, author: Person, stop: Arc<AtomicBool>, acked: Arc<std::sync::Mutex<Vec<String>>>) {
    while !stop.load(Ordering::Relaxed) {
        let id = author.post_id(&line, "written while it was backed up").await;
        author.like(&line, &id).await;
        acked.lock().unwrap().push(id);
    }
}

/// What became visible in a home timeline after a cursor, newest first.
async fn newer_than(line: &Line, person: &Person, cursor: String) -> Vec<String> {
    let mut ids = Vec::new();
    let mut request = v1::GetHomeTimelineRequest {
        newer_than_cursor: cursor,
        page_size: 100,
        ..Default::default()
    };
    loop {
        let asked = person.call(line, "TimelineService/GetHomeTimeline", &request).await;
        let page: v1::GetHomeTimelineResponse = asked.unwrap();
        assert!(!page.reset);
        ids.extend(page.items.into_iter().map(|item| item.post.unwrap().id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

/// Writes more than the buffers on the way to a client hold: a backup whose client does not read on stands still.
async fn fill(line: &Line, person: &Person) {
    let text = "\u{1d54f}".repeat(5_000);
    for _ in 0..400 {
        person.post_id(line, &text).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_a_restored_folder_goes_on_as_at_that_instant() {
    let site = Site::open().await;
    let author = Person::register(&site.line, "author").await;
    let fan = Person::register(&site.line, "fan").await;
    fan.follow(&site.line, &author).await;
    let first = author.post_id(&site.line, "the first").await;
    eventually("the first post to arrive", async || {
        let home = fan.home(&site.line).await.ok()?;
        (home == [first.clone()]).then_some(())
    })
    .await;
    let page: v1::GetHomeTimelineResponse = fan
        .call(
            &site.line,
            "TimelineService/GetHomeTimeline",
            &v1::GetHomeTimelineRequest::default(),
        )
        .await
        .unwrap();
    let cursor = page.head_cursor;

    let (stop, acked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(std::sync::Mutex::new(Vec::new())),
    );
    let writer = tokio::spawn(write(
        site.line.clone(),
        author.clone(),
        Arc::clone(&stop),
        Arc::clone(&acked),
    ));
    eventually("posts", async || {
        (acked.lock().unwrap().len() >= POSTS_BEFORE).then_some(())
    })
    .await;
    let before = acked.lock().unwrap().clone();
    let pieces = back_up(&site.admin, &site.token()).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let file = file_of(&pieces);
    let last = pieces.last().unwrap();
    assert!(last.last && pieces.iter().filter(|piece| piece.last).count() == 1);
    assert_eq!(
        (last.bytes_sent, last.create_time),
        (file.len() as i64, pieces[0].create_time)
    );
    assert!(last.rows_sent > 0 && pieces[0].estimated_rows > 0);

    let backup = site.folder.path().join("social.backup");
    std::fs::write(&backup, &file).unwrap();
    let new = site.folder.path().join("new");
    let restored = restore(&backup, &new);
    assert!(restored.status.success(), "{restored:?}");
    let says = format!("restored {} rows", last.rows_sent);
    assert!(
        restored.stdout.contains(&says) && restored.stdout.contains("keys"),
        "{restored:?}"
    );
    // Another is not restored over it.
    assert_refuses(&restore(&backup, &new), &["is not empty", &new.display().to_string()]);

    // Without the keys it does not start, and says what to do; with them everything goes on.
    let config = config_for(site.folder.path(), &new);
    let start = || process::run(process::command().arg("--config").arg(&config));
    assert_refuses_to_start(&start(), &["holds no keys", "rotate-keys"]);
    copy_keys(&site.data(), &new);
    site.process.kill();
    let process = Process::start(&config);
    let line = Line::to(process.address).await;

    let posts = author.posts_of(&line, &author.id).await.unwrap();
    let ids: Vec<&str> = posts.iter().rev().map(|post| post.id.as_str()).collect();
    let owed: Vec<&str> = std::iter::once(&first).chain(&before).map(String::as_str).collect();
    assert!(
        ids.starts_with(&owed),
        "{} posts, {} acknowledged before",
        ids.len(),
        owed.len()
    );
    let liked = posts
        .iter()
        .filter(|post| post.counts.is_some_and(|counts| counts.likes == 1))
        .count();
    assert!(liked >= before.len(), "{liked} of {} liked", before.len());
    // Fan-outs that had not come to their end do so now, and the fan's old cursor gives all that became visible after it.
    let mut all: Vec<String> = posts.iter().map(|post| post.id.clone()).collect();
    eventually("all posts in the fan's home", async || {
        let home = fan.home(&line).await.unwrap();
        (home == all).then_some(())
    })
    .await;
    all.retain(|id| *id != first);
    assert_eq!(newer_than(&line, &fan, cursor).await, all);
    // The session goes on: its refresh token is exchanged.
    let request = v1::RefreshTokenRequest {
        refresh_token: fan.refresh.clone(),
        request_id: request_id(),
    };
    let refreshed: v1::RefreshTokenResponse = line.call("AuthService/RefreshToken", None, &request).await.unwrap();
    assert_eq!(refreshed.tokens.unwrap().session_id, fan.session);
    let next = author.post_id(&line, "afterwards").await;
    assert!(
        acked.lock().unwrap().iter().all(|id| *id < next),
        "ids go on behind those that were lost"
    );
    println!(
        "{} posts acknowledged before the backup, {} in it, {} too late for it; {} rows, {} bytes in {} pieces",
        owed.len(),
        ids.len(),
        acked.lock().unwrap().len() + 1 - ids.len(),
        last.rows_sent,
        file.len(),
        pieces.len()
    );
}

/// Asserts that a start ended with one clear line, among those of the log.
#[track_caller]
fn assert_refuses_to_start(exited: &Exited, says: &[&str]) {
    assert_eq!(exited.status.code(), Some(1), "{exited:?}");
    let lines: Vec<&str> = exited
        .stderr
        .lines()
        .filter(|line| line.starts_with("social-server: "))
        .collect();
    assert_eq!(lines.len(), 1, "{exited:?}");
    for text in says {
        assert!(lines[0].contains(text), "{text}: {exited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_old_keys_everybody_logs_in_again() {
    let site = Site::open().await;
    let alice = Person::register(&site.line, "alice").await;
    let post = alice.post_id(&site.line, "still mine").await;
    let pieces = back_up(&site.admin, &site.token()).await.unwrap();
    let backup = site.folder.path().join("social.backup");
    std::fs::write(&backup, file_of(&pieces)).unwrap();
    let new = site.folder.path().join("new");
    assert!(restore(&backup, &new).status.success());
    let config = config_for(site.folder.path(), &new);
    let rotated = process::run(process::command().arg("--config").arg(&config).arg("rotate-keys"));
    assert!(rotated.status.success(), "{rotated:?}");
    let process = Process::start(&config);
    let line = Line::to(process.address).await;
    let stale = refused(alice.home(&line).await);
    assert_refused(&stale, Code::Unauthenticated, "TOKEN_INVALID");
    let again = alice.log_in(&line).await;
    assert_eq!(again.id, alice.id);
    assert_eq!(again.home(&line).await.unwrap(), [post]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_restores_nothing() {
    let site = Site::open().await;
    Person::register(&site.line, "alice").await;
    let pieces = back_up(&site.admin, &site.token()).await.unwrap();
    let mut file = file_of(&pieces);
    let middle = file.len() / 2;
    file[middle] ^= 1;
    let (backup, new) = (site.folder.path().join("social.backup"), site.folder.path().join("new"));
    std::fs::write(&backup, &file).unwrap();
    assert_refuses(&restore(&backup, &new), &["damaged", &backup.display().to_string()]);
    assert!(!new.exists(), "nothing is made");
    let nothing = site.folder.path().join("nothing");
    assert_refuses(&restore(&nothing, &new), &["cannot be read"]);
    // A slip of the hand must not restore over a running server.
    std::fs::write(&backup, file_of(&pieces)).unwrap();
    assert_refuses(&restore(&backup, &site.data()), &["is not empty"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backup_at_a_time_and_one_that_is_left_makes_room() {
    let house = House::open().await;
    let token = house.admin_token.clone();
    fill(&house.line, &house.person("writer").await).await;
    let mut open = house.admin.open(BACKUP, Some(&token), vec![Vec::new()]).await.unwrap();
    in_time("the first piece", open.message()).await.unwrap().unwrap();
    let second = refused(back_up(&house.admin, &token).await.map(|pieces| pieces.len()));
    assert_refused(&second, Code::ResourceExhausted, "OVERLOADED");
    drop(open);
    let pieces = eventually("a place for another", async || back_up(&house.admin, &token).await.ok()).await;
    assert!(
        pieces.len() > 4 && pieces.last().unwrap().last,
        "{} pieces",
        pieces.len()
    );
    for (number, piece) in pieces.iter().enumerate() {
        assert!(
            piece.data.len() < 1 << 20,
            "piece {number} of {} bytes",
            piece.data.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_ends_a_backup_without_its_end() {
    let mut house = House::open().await;
    let token = house.admin_token.clone();
    fill(&house.line, &house.person("writer").await).await;
    let mut open = house.admin.open(BACKUP, Some(&token), vec![Vec::new()]).await.unwrap();
    in_time("the first piece", open.message()).await.unwrap().unwrap();
    house.begin_stop();
    let mut last = false;
    let end = loop {
        match in_time("the end", open.message()).await {
            Ok(Some(bytes)) => last |= v1::StreamBackupResponse::decode(bytes.as_slice()).unwrap().last,
            Ok(None) => panic!("it ended as if it were whole"),
            Err(status) => break Failure::from(status),
        }
    };
    assert!(!last);
    assert_refused(&end, Code::Unavailable, "SHUTTING_DOWN");
    assert!(house.stop().await);
}
