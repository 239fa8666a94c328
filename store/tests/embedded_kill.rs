//! `kill -9` at any moment: a child process writes and prints what was acknowledged, is killed, and what it left is held
//! against what it printed.
#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use social_core::backend::Backend;
use social_core::comments::CommentDraft;
use social_core::fanout::{Progress, State};
use social_core::graph::{Direction, EdgeKind};
use social_core::page::Range;
use social_core::posts::{PostDraft, Visibility};
use social_core::request::RequestKey;
use social_core::users::{NewUser, ProfileEdit};
use social_core::{Clock, PostId, UserId};
use social_store::embedded::{self, Config};

const DIR: &str = "EMBEDDED_KILL_DIR";
const ROUND: &str = "EMBEDDED_KILL_ROUND";
const ROUNDS: u64 = 10;
const WRITERS: u64 = 8;
const BOUND: Duration = Duration::from_secs(20);

/// What one writer of the child was told before the end.
#[derive(Debug, Default, Clone)]
struct Acked {
    /// Post of each step.
    posts: BTreeMap<u64, PostId>,
    /// The last step of which everything was acknowledged.
    step: Option<u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut highest = 0;
    let mut total = 0;
    for round in 0..ROUNDS {
        if began.elapsed() > BOUND {
            break;
        }
        let acked = write_and_kill(dir.path(), round);
        total += acked.values().map(|writer| writer.posts.len()).sum::<usize>();
        let opened = Instant::now();
        let store = embedded::open(Config::new(dir.path(), Clock::system())).unwrap();
        assert!(
            opened.elapsed() < Duration::from_secs(5),
            "recovery took {:?}",
            opened.elapsed()
        );
        let backend = store.backend();
        for (writer, acked) in &acked {
            check_writer(&backend, round, *writer, acked).await;
        }
        highest = check_whole(&backend, round, highest).await;
        drop(backend);
        store.close().unwrap();
    }
    println!("{total} acknowledged posts survived");
    assert!(total > 0, "the child was killed before it wrote anything");
}

/// Runs the child for a random while; what it had printed when it died.
fn write_and_kill(dir: &Path, round: u64) -> BTreeMap<u64, Acked> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_writes", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let lives = Duration::from_millis(rand::rng().random_range(150..900));
    wait_then_kill(&mut child, lives);
    let mut acked = BTreeMap::<u64, Acked>::new();
    for line in reader.join().unwrap() {
        note(&mut acked, &line);
    }
    acked
}

fn wait_then_kill(child: &mut Child, lives: Duration) {
    std::thread::sleep(lives);
    // SIGKILL on Unix.
    child.kill().unwrap();
    child.wait().unwrap();
}

fn note(acked: &mut BTreeMap<u64, Acked>, line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    // The last line may be cut short by the kill, without its final word.
    match words[..] {
        ["post", writer, step, id, "."] => {
            let posts = &mut acked.entry(writer.parse().unwrap()).or_default().posts;
            posts.insert(step.parse().unwrap(), id.parse().unwrap());
        }
        ["step", writer, step, "."] => acked.entry(writer.parse().unwrap()).or_default().step = step.parse().ok(),
        _ => {}
    }
}

#[test]
#[ignore = "the child of the test above"]
fn child_writes() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIR), std::env::var(ROUND)) else {
        return;
    };
    let round: u64 = round.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = embedded::open(Config::new(dir, Clock::system())).unwrap();
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write_forever(store.backend(), round, writer)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

fn request(round: u64, writer: u64, step: u64, what: u8) -> RequestKey {
    let mut key = [what; 16];
    key[..5].copy_from_slice(&round.to_be_bytes()[3..]);
    key[5] = writer as u8;
    key[6..14].copy_from_slice(&step.to_be_bytes());
    RequestKey {
        key,
        fingerprint: [what; 16],
    }
}

fn handle(round: u64, writer: u64) -> String {
    format!("writer_{round}_{writer}")
}

fn draft(author: UserId, writer: u64, step: u64) -> PostDraft {
    PostDraft {
        author,
        title: None,
        content: format!(
            "step {step} of writer {writer} {}",
            "x".repeat((step % 7) as usize * 100)
        ),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
    }
}

async fn write_forever(backend: Backend, round: u64, writer: u64) {
    let new = NewUser {
        handle: handle(round, writer).parse().unwrap(),
        display_name: "writer".to_owned(),
        bio: String::new(),
        password: None,
        created_at: None,
    };
    let me = backend
        .store
        .create_user(new, request(round, writer, 0, b'u'))
        .await
        .unwrap()
        .value
        .id;
    for step in 0.. {
        let created = backend
            .store
            .create_post(draft(me, writer, step), request(round, writer, step, b'p'), None)
            .await;
        let post = created.unwrap().value.post.id;
        println!("post {writer} {step} {post} .");
        backend.store.set_like(me, post, true).await.unwrap();
        comment(&backend, me, post, request(round, writer, step, b'c')).await;
        let edit = ProfileEdit {
            bio: Some(step.to_string()),
            ..ProfileEdit::default()
        };
        backend
            .store
            .update_profile(me, edit, None, request(round, writer, step, b'e'))
            .await
            .unwrap();
        follow_another(&backend, me, step).await;
        if step % 3 == 0 {
            backend.store.finish(post.into(), Progress::default()).await.unwrap();
        }
        println!("step {writer} {step} .");
    }
}

async fn comment(backend: &Backend, author: UserId, post: PostId, request: RequestKey) {
    let draft = CommentDraft {
        post,
        parent: None,
        depth: 0,
        author,
        content: "said".to_owned(),
        facets: Vec::new(),
    };
    backend.store.create_comment(draft, request).await.unwrap();
}

/// Toggles a follow of a user of this or an earlier round.
async fn follow_another(backend: &Backend, me: UserId, step: u64) {
    let other: Vec<_> = backend
        .store
        .user_ids(&[handle(0, step % WRITERS).parse().unwrap()])
        .await
        .unwrap();
    if let Some(other) = other[0].filter(|other| *other != me) {
        backend
            .store
            .set_edge(EdgeKind::Follow, me, other, (step / WRITERS).is_multiple_of(2), None)
            .await
            .unwrap();
    }
}

/// Everything that this writer was told is there, and a repeated request finds it.
async fn check_writer(backend: &Backend, round: u64, writer: u64, acked: &Acked) {
    let me = backend
        .store
        .user_ids(&[handle(round, writer).parse().unwrap()])
        .await
        .unwrap()[0]
        .unwrap();
    let listed = backend
        .store
        .user_posts(me, Range::oldest(None, usize::MAX))
        .await
        .unwrap();
    for (step, id) in &acked.posts {
        assert!(listed.contains(id), "post {id} of step {step} is lost");
        let again = backend
            .store
            .create_post(draft(me, writer, *step), request(round, writer, *step, b'p'), None)
            .await;
        let again = again.unwrap();
        assert_eq!((again.replayed, again.value.post.id), (true, *id));
    }
    assert!(
        listed.len() <= acked.posts.len() + 1,
        "one post can be under way at a time"
    );
    let Some(step) = acked.step else { return };
    let liked = backend
        .store
        .liked(me, &acked.posts.range(..=step).map(|(_, id)| *id).collect::<Vec<_>>())
        .await;
    assert!(liked.unwrap().into_iter().all(|liked| liked));
    let row = backend.store.users(&[me]).await.unwrap()[0].clone().unwrap();
    let bio: u64 = row.bio.parse().unwrap();
    assert!(
        (step..=step + 1).contains(&bio),
        "profile of step {bio}, acknowledged was {step}"
    );
}

/// No half commits: rows, indexes, events and counts agree for everybody; ids go on above all of before.
async fn check_whole(backend: &Backend, round: u64, highest_before: u64) -> u64 {
    let mut highest = highest_before;
    let horizon = backend.store.horizon().await.unwrap();
    for writer in 0..WRITERS {
        let Some(user) = backend
            .store
            .user_ids(&[handle(round, writer).parse().unwrap()])
            .await
            .unwrap()[0]
        else {
            continue;
        };
        assert!(
            user.0 > highest_before,
            "{user} was minted below an id of an earlier run"
        );
        let posts = backend
            .store
            .user_posts(user, Range::oldest(None, usize::MAX))
            .await
            .unwrap();
        let follows = backend
            .store
            .edges(EdgeKind::Follow, Direction::Outgoing, user, Range::oldest(None, 100))
            .await;
        let counts = backend.counters.users(&[user]).await.unwrap()[0];
        assert_eq!(
            (counts.posts, counts.following),
            (posts.len() as u64, follows.unwrap().len() as u64)
        );
        for post in posts {
            check_post(backend, post).await;
            highest = highest.max(post.0);
        }
    }
    assert!(horizon.visible.0 >= highest);
    check_pending(backend).await;
    highest
}

async fn check_post(backend: &Backend, id: PostId) {
    assert!(backend.store.posts(&[id]).await.unwrap()[0].is_some());
    assert!(
        backend.store.event(id.into()).await.unwrap().is_some(),
        "post {id} has no event"
    );
    let likers = backend.store.likers(id, Range::oldest(None, 100)).await.unwrap().len() as u64;
    let comments = backend
        .store
        .list_comments(id, None, Range::oldest(None, 100))
        .await
        .unwrap()
        .len() as u64;
    let counts = backend.counters.posts(&[id]).await.unwrap()[0];
    assert_eq!((counts.likes, counts.comments), (likers, comments));
    let (was, is) = backend.counters.recount_post(id).await.unwrap();
    assert_eq!(was, is);
}

async fn check_pending(backend: &Backend) {
    let pending = backend.store.pending_events(None, usize::MAX).await.unwrap();
    assert!(pending.iter().all(|event| event.state == State::Pending));
    let settled = backend.store.horizon().await.unwrap().settled;
    assert_eq!(pending.first().map_or(settled, |event| event.id), settled);
}
