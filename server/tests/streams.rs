//! Live streams over the wire: what happens comes in time, nothing is missed across a crash, and who may no longer watch is cut off.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use prost::Message as _;
use social_core::limits;
use social_proto::v1;
use social_proto::v1::subscribe_home_timeline_response::Event;
use social_proto::v1::{subscribe_counts_response, subscribe_post_response};
use support::{
    Failure, House, Line, PATIENCE, Person, Process, assert_refused, eventually, in_time, process, refused, request_id,
};
use tonic::{Code, Streaming};

const SUBSCRIBE: &str = "/social.v1.TimelineService/SubscribeHomeTimeline";
/// How long a push may take on a slow machine; what it took is printed.
const SOON: Duration = Duration::from_secs(2);

/// An open home stream, and what came over it.
struct Home {
    stream: Streaming<Vec<u8>>,
    cursor: String,
    posts: Vec<String>,
    resets: usize,
}

impl Home {
    async fn open(line: &Line, person: &Person, resume_cursor: &str) -> Result<Self, Failure> {
        let request = v1::SubscribeHomeTimelineRequest {
            resume_cursor: resume_cursor.to_owned(),
            exclude_replies: false,
        };
        let stream = line
            .open(SUBSCRIBE, person.token(), vec![request.encode_to_vec()])
            .await?;
        let mut home = Self {
            stream,
            cursor: String::new(),
            posts: Vec::new(),
            resets: 0,
        };
        match home.next().await? {
            Event::Checkpoint(_) => Ok(home),
            other => panic!("the first message is a checkpoint: {other:?}"),
        }
    }

    /// The next event, noted as a client would: a cursor is kept after what came before it.
    async fn next(&mut self) -> Result<Event, Failure> {
        let message = match in_time("a message", self.stream.message()).await? {
            Some(bytes) => v1::SubscribeHomeTimelineResponse::decode(bytes.as_slice()).unwrap(),
            None => panic!("the stream ended without a reason"),
        };
        let event = message.event.unwrap();
        match &event {
            Event::Added(added) => {
                assert!(!added.items.is_empty());
                let posts = added
                    .items
                    .iter()
                    .map(|item| item.item.as_ref().unwrap().post.as_ref().unwrap());
                self.posts.extend(posts.map(|post| post.id.clone()));
            }
            Event::Checkpoint(checkpoint) => {
                assert!(checkpoint.interval_ms > 0 && !checkpoint.cursor.is_empty());
                self.cursor.clone_from(&checkpoint.cursor);
            }
            Event::Reset(_) => self.resets += 1,
            Event::Removed(_) | Event::CountsUpdated(_) | Event::Gap(_) => {}
        }
        Ok(event)
    }

    /// Reads until something is as wanted.
    async fn until(&mut self, what: &str, mut wanted: impl FnMut(&Event, &[String]) -> bool) {
        let began = Instant::now();
        loop {
            let event = self.next().await.unwrap();
            if wanted(&event, &self.posts) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        }
    }

    /// Reads to the end: why it ended.
    async fn end(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.next().await {
                return failure;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_come_and_go_as_they_are_written_and_deleted() {
    let house = House::open().await;
    let line = &house.line;
    let (alice, bob) = tokio::join!(house.person("alice"), house.person("bob"));
    alice.follow(line, &bob).await;
    let mut home = Home::open(line, &alice, "").await.unwrap();

    let mut slowest = Duration::ZERO;
    let mut posts = Vec::new();
    for _ in 0..20 {
        let asked = Instant::now();
        let post = bob.post_id(line, "hello").await;
        home.until("the post", |_, posts| posts.contains(&post)).await;
        slowest = slowest.max(asked.elapsed());
        posts.push(post);
    }
    assert!(slowest < SOON, "{slowest:?}");
    println!(
        "20 posts of another user, each on the stream {} ms after the call began at the latest",
        slowest.as_millis()
    );

    let liked = posts[3].clone();
    alice.like(line, &liked).await;
    home.until("the count", |event, _| match event {
        Event::CountsUpdated(updated) => updated
            .counts
            .iter()
            .any(|entry| entry.post_id == liked && entry.counts.is_some_and(|counts| counts.likes == 1)),
        _ => false,
    })
    .await;
    bob.delete(line, &posts[5]).await;
    home.until("the removal", |event, _| match event {
        Event::Removed(removed) => removed.post_ids == [posts[5].clone()],
        _ => false,
    })
    .await;
    // A block takes effect on the open stream: everything of bob's goes, and nothing more comes.
    alice.block(line, &bob).await;
    let mut gone = BTreeSet::from([posts[5].clone()]);
    home.until("all removals", |event, _| {
        if let Event::Removed(removed) = event {
            gone.extend(removed.post_ids.iter().cloned());
        }
        gone.len() == posts.len()
    })
    .await;
    bob.post_id(line, "unseen").await;
    let own = alice.post_id(line, "on my own").await;
    home.until("an own post", |_, posts| posts.contains(&own)).await;
    posts.push(own);
    assert_eq!(home.posts, posts, "each once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_resumes_after_a_crash_and_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |_| {});
    let mut server = Process::start(&config);
    let mut line = Line::to(server.address).await;
    let (alice, bob) = (
        Person::register(&line, "alice").await,
        Person::register(&line, "bob").await,
    );
    alice.follow(&line, &bob).await;
    let mut home = Home::open(&line, &alice, "").await.unwrap();
    let (mut written, mut seen) = (Vec::new(), BTreeSet::new());
    let mut resumed = 0;
    for crash in 0..3 {
        for _ in 0..10 {
            written.push(bob.post_id(&line, "before the crash").await);
        }
        // Seen some of it, and a checkpoint behind that; in one of the rounds the very first one only.
        if crash != 1 {
            home.until("a post and a checkpoint", |event, posts| {
                matches!(event, Event::Checkpoint(_)) && !posts.is_empty()
            })
            .await;
        }
        server.kill();
        let failure = home.end().await;
        assert!(failure.is_unknown_outcome(), "{failure}");
        // What had come before the end counts, and so does its cursor.
        seen.extend(home.posts.drain(..));
        let cursor = home.cursor.clone();
        server = Process::start(&config);
        line = Line::to(server.address).await;
        // Written while nobody listens: only the cursor can bring it.
        for _ in 0..5 {
            written.push(bob.post_id(&line, "after the crash").await);
        }
        home = Home::open(&line, &alice, &cursor).await.unwrap();
        resumed += 1;
        let last = written.last().unwrap().clone();
        home.until("the newest post", |_, posts| posts.contains(&last)).await;
    }
    seen.extend(home.posts.drain(..));
    assert_eq!(home.resets, 0, "the cursor stayed good");
    assert_eq!(seen, written.iter().cloned().collect(), "at least once, all of them");
    println!(
        "{} posts, {resumed} crashes and resumptions: none missed",
        written.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_loses_its_streams_at_once() {
    let house = House::open().await;
    let line = &house.line;
    let alice = house.person("alice").await;
    let post = alice.post_id(line, "watched").await;
    let mut slowest = Duration::ZERO;
    for way in ["revoked", "logged out", "password changed"] {
        let device = alice.log_in(line).await;
        let mut home = Home::open(line, &device, "").await.unwrap();
        let watch = v1::SubscribePostRequest { post_id: post.clone() };
        let path = "/social.v1.PostService/SubscribePost";
        let mut watched = line
            .open(path, device.token(), vec![watch.encode_to_vec()])
            .await
            .unwrap();
        let counts = v1::SubscribeCountsRequest {
            post_ids: vec![post.clone()],
        };
        let path = "/social.v1.LikeService/SubscribeCounts";
        let mut counted = line
            .open(path, device.token(), vec![counts.encode_to_vec()])
            .await
            .unwrap();
        for stream in [&mut watched, &mut counted] {
            in_time("a snapshot", stream.message()).await.unwrap().unwrap();
        }
        let asked = Instant::now();
        revoke(line, &alice, &device, way).await;
        assert_refused(&home.end().await, Code::Unauthenticated, "SESSION_REVOKED");
        for stream in [&mut watched, &mut counted] {
            let ended = in_time("the end", async {
                loop {
                    match stream.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("it ended without a reason"),
                        Err(status) => return Failure::from(status),
                    }
                }
            });
            assert_refused(&ended.await, Code::Unauthenticated, "SESSION_REVOKED");
        }
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(1), "{way}: {took:?}");
        slowest = slowest.max(took);
        let refusal = refused(Home::open(line, &device, "").await.map(drop));
        assert_refused(&refusal, Code::Unauthenticated, "SESSION_REVOKED");
    }
    // The session that asked goes on.
    Home::open(line, &alice, "").await.unwrap();
    println!(
        "3 streams ended {} ms after a session's end was asked for, at the latest",
        slowest.as_millis()
    );
}

async fn revoke(line: &Line, alice: &Person, device: &Person, way: &str) {
    match way {
        "revoked" => {
            let request = v1::RevokeSessionRequest {
                session_id: device.session.clone(),
                request_id: request_id(),
            };
            let _: v1::RevokeSessionResponse = alice.call(line, "AuthService/RevokeSession", &request).await.unwrap();
        }
        "logged out" => {
            let request = v1::LogoutRequest {
                request_id: request_id(),
            };
            let _: v1::LogoutResponse = device.call(line, "AuthService/Logout", &request).await.unwrap();
        }
        _ => {
            let request = v1::ChangePasswordRequest {
                current_password: support::people::PASSWORD.to_owned(),
                new_password: "another horse".to_owned(),
                request_id: request_id(),
            };
            let answer: v1::ChangePasswordResponse =
                alice.call(line, "AuthService/ChangePassword", &request).await.unwrap();
            assert_eq!(answer.revoked_sessions, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_all_are_bounded_as_configured() {
    let house = House::open_with(|config| config.connection.max_streams = 2, async |_| {}).await;
    let line = &house.line;
    let (alice, bob) = tokio::join!(house.person("alice"), house.person("bob"));
    let open = Home::open(line, &alice, "").await.unwrap();
    let _open = Home::open(line, &bob, "").await.unwrap();
    let refusal = refused(Home::open(line, &bob, "").await.map(drop));
    assert_refused(&refusal, Code::ResourceExhausted, "OVERLOADED");
    drop(open);
    eventually("room", async || Home::open(line, &bob, "").await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_for_each_user_and_given_back() {
    let house = House::open().await;
    let line = &house.line;
    let (alice, bob) = tokio::join!(house.person("alice"), house.person("bob"));
    let mut open = Vec::new();
    for _ in 0..limits::STREAMS_PER_USER {
        open.push(Home::open(line, &alice, "").await.unwrap());
    }
    let refusal = refused(Home::open(line, &alice, "").await.map(drop));
    assert_refused(&refusal, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    // Another session of hers is hers, too; another user is not.
    let device = alice.log_in(line).await;
    let refusal = refused(Home::open(line, &device, "").await.map(drop));
    assert_refused(&refusal, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    Home::open(line, &bob, "").await.unwrap();
    // Those that are closed make room, however often.
    for _ in 0..5 {
        open.truncate(limits::STREAMS_PER_USER / 2);
        let room = eventually("room", async || Home::open(line, &alice, "").await.ok()).await;
        open.push(room);
    }
    // And the others still live.
    let post = alice.post_id(line, "to all of them").await;
    for home in &mut open {
        home.until("the post", |_, posts| posts.contains(&post)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_post_and_its_counts_are_watched_live() {
    let house = House::open().await;
    let line = &house.line;
    let (alice, bob) = tokio::join!(house.person("alice"), house.person("bob"));
    let post = alice.post_id(line, "watch me").await;
    // Nobody in particular may watch what is public.
    let watch = v1::SubscribePostRequest { post_id: post.clone() };
    let path = "/social.v1.PostService/SubscribePost";
    let mut watched = line.open(path, None, vec![watch.encode_to_vec()]).await.unwrap();
    let counts = v1::SubscribeCountsRequest {
        post_ids: vec![post.clone()],
    };
    let path = "/social.v1.LikeService/SubscribeCounts";
    let mut counted = line.open(path, None, vec![counts.encode_to_vec()]).await.unwrap();
    assert!(
        matches!(post_event(&mut watched).await, subscribe_post_response::Event::Snapshot(snapshot) if snapshot.id == post)
    );
    in_time("a snapshot", counted.message()).await.unwrap().unwrap();

    bob.like(line, &post).await;
    let comment = bob.comment(line, &post, "I do").await;
    let mut wanted = BTreeSet::from(["like", "comment"]);
    while !wanted.is_empty() {
        match post_event(&mut watched).await {
            subscribe_post_response::Event::Counts(counts) if counts.likes == 1 && counts.comments == 1 => {
                wanted.remove("like");
            }
            subscribe_post_response::Event::CommentCreated(created) if created.id == comment => {
                wanted.remove("comment");
            }
            _ => {}
        }
    }
    loop {
        let message = in_time("counts", counted.message()).await.unwrap().unwrap();
        let message = v1::SubscribeCountsResponse::decode(message.as_slice()).unwrap();
        if let Some(subscribe_counts_response::Event::Changed(changed)) = message.event {
            let counts = changed.counts[0].counts.unwrap();
            if (counts.likes, counts.comments) == (1, 1) {
                break;
            }
        }
    }
    alice.delete(line, &post).await;
    while !matches!(
        post_event(&mut watched).await,
        subscribe_post_response::Event::PostDeleted(_)
    ) {}
    loop {
        let message = in_time("the removal", counted.message()).await.unwrap().unwrap();
        let message = v1::SubscribeCountsResponse::decode(message.as_slice()).unwrap();
        if let Some(subscribe_counts_response::Event::Changed(changed)) = message.event
            && changed.removed_post_ids == [post.clone()]
        {
            break;
        }
    }
}

async fn post_event(stream: &mut Streaming<Vec<u8>>) -> subscribe_post_response::Event {
    let message = in_time("a message", stream.message()).await.unwrap().unwrap();
    let message = v1::SubscribePostResponse::decode(message.as_slice()).unwrap();
    message.event.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_streams_all_the_time_keeps_the_connection() {
    let house = House::open().await;
    let line = &house.line;
    let alice = house.person("alice").await;
    let mut steady = Home::open(line, &alice, "").await.unwrap();
    for _ in 0..2_000 {
        let opened = eventually("room", async || Home::open(line, &alice, "").await.ok()).await;
        drop(opened);
    }
    let post = alice.post_id(line, "still here").await;
    steady.until("the post", |_, posts| posts.contains(&post)).await;
}
