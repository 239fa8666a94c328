//! Several processes of the real binary over one CQL store and one Redis.
//!
//! Needs both: `cargo xtask test cluster` starts them, tells where they are, and runs this.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod archive;
mod budgets;
mod cql;
mod mistakes;
mod operations;
mod platform;
mod rolling;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use prost::Message as _;
use social_proto::v1;
use social_proto::v1::subscribe_home_timeline_response::Event;
use social_server::config::Role;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use platform::{Platform, turn, turn_to_come};
use support::{Line, Person, Process, eventually, in_time, request_id};

/// How long a process may trust what it knows of a session.
const TRUST: Duration = Duration::from_secs(1);
/// Followers and posts of the fan-out whose worker dies.
const FOLLOWERS: usize = 24;
const POSTS: usize = 40;

/// What health says of a process.
async fn is_serving(process: &Process) -> bool {
    let Line(channel) = Line::lazily_to(process.admin_address);
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    answer.is_ok_and(|answer| answer.into_inner().status == 1)
}

async fn shows(person: &Person, line: &Line, post: &str) {
    eventually("the post in a home timeline", async || {
        let home = person.home(line).await.ok()?;
        home.iter().any(|id| id == post).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_on_two_processes_live_on_one_platform() {
    let _turn = turn_to_come().await;
    let platform = Platform::migrated();
    let (one, other) = (
        platform.start("api-1", &[Role::Api]),
        platform.start("api-2", &[Role::Api]),
    );
    let workers = [
        platform.start("worker-1", &[Role::Worker]),
        platform.start("worker-2", &[Role::Worker]),
    ];
    for process in [&one, &other].into_iter().chain(&workers) {
        process.serving().await;
    }
    let (here, there) = (Line::to(one.address).await, Line::to(other.address).await);
    let alice = Person::register(&here, "alice").await;
    let bob = Person::register(&there, "bob").await;
    // A token of one process is good at the other, and so is what it stands for.
    alice.follow(&there, &bob).await;
    for line in [&here, &there] {
        assert_eq!(alice.home(line).await.unwrap(), Vec::<String>::new());
    }
    let post = bob.post_id(&here, "through one process").await;
    for line in [&here, &there] {
        shows(&alice, line, &post).await;
    }
    // Its author sees a post at once, wherever it went in.
    let own = alice.post_id(&here, "mine").await;
    assert!(alice.home(&there).await.unwrap().contains(&own));

    let request = v1::SubscribeHomeTimelineRequest::default().encode_to_vec();
    let path = "/social.v1.TimelineService/SubscribeHomeTimeline";
    let mut stream = there.open(path, alice.token(), vec![request]).await.unwrap();
    in_time("the first message", stream.message()).await.unwrap().unwrap();
    let asked = Instant::now();
    let watched = bob.post_id(&here, "watched elsewhere").await;
    let acked = asked.elapsed();
    in_time("the post on the stream", async {
        loop {
            let bytes = stream.message().await.unwrap().unwrap();
            let message = v1::SubscribeHomeTimelineResponse::decode(bytes.as_slice()).unwrap();
            if let Some(Event::Added(added)) = message.event {
                let ids = added
                    .items
                    .iter()
                    .map(|item| &item.item.as_ref().unwrap().post.as_ref().unwrap().id);
                if ids.into_iter().any(|id| *id == watched) {
                    return;
                }
            }
        }
    })
    .await;
    println!(
        "a post was acked after {acked:?} and came over another process's stream after {:?}",
        asked.elapsed()
    );
    drop(stream);

    for process in [one, other].into_iter().chain(workers) {
        process.signal("TERM");
        let exited = process.ended();
        assert!(exited.status.success(), "{exited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_one_process_ends_is_refused_by_the_other_within_a_second() {
    let _turn = turn_to_come().await;
    revocations_hold_everywhere(Platform::shared()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_everywhere_also_without_redis() {
    let _turn = turn_to_come().await;
    let mut platform = Platform::shared();
    platform.redis = format!("redis://{}", platform::nobody());
    revocations_hold_everywhere(platform).await;
}

async fn revocations_hold_everywhere(platform: Platform) {
    let (one, other) = (
        platform.start("api-1", &[Role::Api]),
        platform.start("api-2", &[Role::Api]),
    );
    let (here, there) = (Line::to(one.address).await, Line::to(other.address).await);
    let alice = Person::register(&here, "alice").await;
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let stolen = alice.log_in(&here).await;
        assert!(stolen.home(&there).await.is_ok());
        let request = v1::RevokeSessionRequest {
            session_id: stolen.session.clone(),
            request_id: request_id(),
        };
        let _: v1::RevokeSessionResponse = alice.call(&here, "AuthService/RevokeSession", &request).await.unwrap();
        let revoked = Instant::now();
        assert_eq!(stolen.home(&here).await.unwrap_err().reason, "SESSION_REVOKED");
        let took = loop {
            let began = revoked.elapsed();
            match stolen.home(&there).await {
                Ok(_) => assert!(began < TRUST, "a call that began {began:?} after the revocation passed"),
                Err(refusal) => {
                    assert_eq!(refusal.reason, "SESSION_REVOKED");
                    break began;
                }
            }
        };
        slowest = slowest.max(took);
    }
    assert!(alice.home(&there).await.is_ok());
    println!("5 revoked sessions: the other process refused the call that began {slowest:?} after, at the latest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_out_whose_worker_is_killed_reaches_everybody() {
    let _turn = turn_to_come().await;
    let platform = Platform::migrated();
    let api = platform.start("api", &[Role::Api]);
    let victim = platform.start("worker-1", &[Role::Worker]);
    let survivor = platform.start("worker-2", &[Role::Worker]);
    let line = Line::to(api.address).await;
    let author = Person::register(&line, "author").await;
    let mut followers = Vec::new();
    for _ in 0..FOLLOWERS {
        let follower = Person::register(&line, "follower").await;
        follower.follow(&line, &author).await;
        // A timeline that was read is kept from now on: only fan-out brings it anything.
        follower.home(&line).await.unwrap();
        followers.push(follower);
    }
    let mut posts = Vec::new();
    let mut victim = Some(victim);
    for number in 0..POSTS {
        posts.push(author.post_id(&line, &format!("post {number}")).await);
        if number == POSTS / 2 {
            victim.take().unwrap().kill();
        }
    }
    let killed = Instant::now();
    posts.reverse();
    for follower in &followers {
        eventually("all posts in a follower's timeline", async || {
            let mut home = follower.home(&line).await.ok()?;
            home.sort_unstable_by(|a, b| b.cmp(a));
            (home == posts).then_some(())
        })
        .await;
    }
    let admin = Line::to(api.admin_address).await;
    let token = platform.admin_token("api");
    eventually("no event to be pending", async || {
        let request = v1::GetStorageStatsRequest::default();
        let answer = admin
            .call::<v1::GetStorageStatsResponse>("AdminService/GetStorageStats", Some(&token), &request)
            .await;
        (answer.unwrap().pending_events == 0).then_some(())
    })
    .await;
    println!(
        "{POSTS} posts to {FOLLOWERS} followers, a worker killed after {}: each there once {:?} after the last",
        POSTS / 2,
        killed.elapsed()
    );
    drop(survivor);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_when_the_store_is_away() {
    let _turn = turn_to_come().await;
    let mut platform = Platform::shared();
    let way = cql::Way::to(&platform.cql);
    platform.cql.clone_from(&way.address);
    let both = platform.start("both", &[Role::Api, Role::Worker]);
    both.serving().await;
    way.cut(true);
    let cut = Instant::now();
    eventually("health NOT_SERVING", async || (!is_serving(&both).await).then_some(())).await;
    let noticed = cut.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    way.cut(false);
    let back = Instant::now();
    eventually("health SERVING", async || is_serving(&both).await.then_some(())).await;
    println!(
        "health said NOT_SERVING {noticed:?} after the store was away, and SERVING {:?} after it was back",
        back.elapsed()
    );
    assert!(noticed < Duration::from_secs(8), "{noticed:?}");
    let log = both.log();
    assert_eq!(log.matches("the CQL store does not answer").count(), 1, "{log}");
    assert!(log.contains("not ready") && log.contains("ready again"), "{log}");
}

#[test]
fn a_node_number_is_free_again_when_its_process_ended_in_order() {
    let _turn = turn();
    let platform = Platform::shared();
    for _ in 0..2 {
        let process = platform.start_with("api", |config| config.cluster.node = Some(8));
        process.signal("TERM");
        let exited = process.ended();
        assert!(exited.status.success(), "{exited:?}");
    }
}
