//! A worker dies in the middle of fan-outs to many, and another takes over.

use std::collections::HashSet;
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _};
use prost::Message;
use social_core::cursor::PageRequest;
use social_core::request::{Caller, Viewer};
use social_core::timeline::{self, HomeRequest};
use social_core::{Backend, SessionId, UserId};
use social_proto::v1;
use social_server::config::Role;
use social_server::{Config, Server};

use crate::Site;
use crate::check::Found;
use crate::site::eventually;
use crate::support::wire::PACKAGE;
use crate::support::{Line, Person, Process, request_id};

/// Followers: ten steps of a fan-out.
const FOLLOWERS: usize = 10_000;
/// One of so many has a timeline.
const WITH_TIMELINE: usize = 5;
/// Posts at once, so that each worker has some.
const POSTS: usize = 6;
/// Users and follows of a message of an import.
const IMPORTED: usize = 1_000;
/// Timelines at once.
const AT_ONCE: usize = 32;

pub(crate) async fn worker_killed(site: &mut Site) {
    let began = Instant::now();
    let line = site.crowd.line(0);
    let author = Person::register(&line, "star_author").await;
    push_always(site).await;
    follow_in_numbers(site, &author).await;
    let imported = began.elapsed();
    let reader = Server::open(reader_config(site)).await.unwrap();
    let backend = reader.backend();
    let followers = followers(backend, &author).await;
    assert_eq!(followers.len(), FOLLOWERS);
    let with_timeline: Vec<UserId> = followers.into_iter().step_by(WITH_TIMELINE).collect();
    make_timelines(backend, &with_timeline).await;
    let prepared = began.elapsed();

    let posts = futures::future::join_all((0..POSTS).map(|number| {
        let (author, line) = (&author, &line);
        async move { author.post(line, &format!("post {number} to many")).await }
    }))
    .await;
    let victim = site.workers.remove(0);
    let in_hand = until_half_way(&victim, &posts).await;
    victim.kill();
    let killed = Instant::now();
    let delivered = until_done(&line, &author, &posts).await;
    let healed = killed.elapsed();
    let found = found(backend, &with_timeline, &posts).await;
    println!(
        "worker killed in a fan-out: operations {POSTS}, acked {}, lost {}, doubled {}, healed in {:.1} s (followers {FOLLOWERS}, imported in \
         {:.1} s; timelines {}, made in {:.1} s; fan-outs that it had begun {in_hand}; delivered {delivered:?})",
        posts.len(),
        found.lost,
        found.doubled,
        healed.as_secs_f64(),
        imported.as_secs_f64(),
        with_timeline.len(),
        (prepared - imported).as_secs_f64(),
    );
    assert_eq!((found.lost, found.doubled), (0, 0), "lost and doubled");
    site.settled().await;
}

/// So many followers would be left to pull.
async fn push_always(site: &Site) {
    let (admin, token) = admin(site);
    let policy = v1::SetFanoutPolicyRequest {
        mode: v1::FanoutMode::Push.into(),
        request_id: request_id(),
        ..Default::default()
    };
    ask(&admin, &token, "SetFanoutPolicy", &policy).await;
}

/// Imports the followers, and that they follow.
async fn follow_in_numbers(site: &Site, author: &Person) {
    let (admin, token) = admin(site);
    let handle = |number: usize| format!("fan_{number}");
    let chunks = || (0..FOLLOWERS).step_by(IMPORTED);
    let import_id = request_id();
    for offset in chunks() {
        let users = v1::ImportUsersRequest {
            import_id: import_id.clone(),
            offset: offset as i64,
            users: (offset..FOLLOWERS.min(offset + IMPORTED))
                .map(|number| v1::ImportUser {
                    handle: handle(number),
                    ..Default::default()
                })
                .collect(),
        };
        let answer = ask(&admin, &token, "ImportUsers", &users).await;
        let answer = v1::ImportUsersResponse::decode(answer.as_slice()).unwrap();
        assert_eq!(answer.progress.unwrap().imported, (offset + users.users.len()) as i64);
    }
    let import_id = request_id();
    for offset in chunks() {
        let follows = v1::ImportFollowsRequest {
            import_id: import_id.clone(),
            offset: offset as i64,
            follows: (offset..FOLLOWERS.min(offset + IMPORTED))
                .map(|number| v1::ImportFollow {
                    follower: Some(v1::import_follow::Follower::FollowerHandle(handle(number))),
                    followee: Some(v1::import_follow::Followee::FolloweeId(author.id.clone())),
                    ..Default::default()
                })
                .collect(),
        };
        let answer = ask(&admin, &token, "ImportFollows", &follows).await;
        let answer = v1::ImportFollowsResponse::decode(answer.as_slice()).unwrap();
        assert_eq!(
            answer.progress.unwrap().imported,
            (offset + follows.follows.len()) as i64
        );
    }
}

fn admin(site: &Site) -> (Line, String) {
    let line = Line::lazily_to(site.apis.member(0).admin_address);
    (line, site.platform.admin_token("api-1"))
}

/// One call a message, since a call is bounded in time.
async fn ask(admin: &Line, token: &str, method: &str, message: &impl Message) -> Vec<u8> {
    let path = format!("{PACKAGE}AdminService/{method}");
    admin
        .raw(&path, Some(token), vec![message.encode_to_vec()])
        .await
        .unwrap()
}

/// A process that serves nobody: timelines of thousands are read through it, without a login for each.
fn reader_config(site: &Site) -> Config {
    let mut own = None;
    site.platform.command("reader", |config| {
        config.cluster.roles = vec![Role::Api];
        own = Some(config.clone());
    });
    own.unwrap()
}

async fn followers(backend: &Backend, author: &Person) -> Vec<UserId> {
    let author = author.id.parse().unwrap();
    let mut followers: Vec<UserId> = Vec::new();
    loop {
        let after = followers.last().copied();
        let page = backend.store.fanout_followers(author, after, IMPORTED).await.unwrap();
        followers.extend(&page);
        if page.len() < IMPORTED {
            return followers;
        }
    }
}

/// From now on only fan-out brings anything to their timelines.
async fn make_timelines(backend: &Backend, followers: &[UserId]) {
    let made = futures::stream::iter(followers).map(|follower| timeline::rebuild(backend, *follower));
    let made = made.buffer_unordered(AT_ONCE);
    made.try_for_each(async |entries| {
        assert_eq!(entries, 0);
        Ok(())
    })
    .await
    .unwrap();
}

/// Waits until a worker has done a part of some fan-outs, as its log tells; how many.
async fn until_half_way(worker: &Process, posts: &[v1::CreatePostResponse]) -> usize {
    eventually("a fan-out to be half done", async || {
        let log = worker.log();
        let says = |what: &str, id: &str| log.lines().any(|line| line.contains(what) && line.contains(id));
        let ids = posts.iter().map(|post| post.fanout_id.as_str());
        let half_way = ids.filter(|id| says("fan-out step done", id) && !says("fan-out done", id));
        Some(half_way.count()).filter(|half_way| *half_way > 0)
    })
    .await
}

/// Waits until all fan-outs are done; how many timelines each says it reached.
async fn until_done(line: &Line, author: &Person, posts: &[v1::CreatePostResponse]) -> Vec<i64> {
    let mut delivered = Vec::new();
    for post in posts {
        let request = v1::GetFanoutStatusRequest {
            fanout_id: post.fanout_id.clone(),
        };
        let status = eventually("a fan-out to be done", async || {
            let answer = author.call::<v1::GetFanoutStatusResponse>(line, "TimelineService/GetFanoutStatus", &request);
            let status = answer.await.unwrap();
            assert_ne!(status.state(), v1::FanoutState::DeadLettered, "{status:?}");
            (status.state() == v1::FanoutState::Done).then_some(status)
        })
        .await;
        delivered.push(status.delivered);
    }
    delivered
}

/// Reads every follower's home timeline.
async fn found(backend: &Backend, followers: &[UserId], posts: &[v1::CreatePostResponse]) -> Found {
    let owed: HashSet<&str> = posts.iter().map(|post| post.fanout_id.as_str()).collect();
    let homes = futures::stream::iter(followers).map(|follower| async {
        let caller = Caller {
            viewer: Viewer::User {
                id: *follower,
                session: SessionId(1),
            },
            ..Caller::default()
        };
        let request = HomeRequest {
            page: PageRequest { size: 100, token: "" },
            ..HomeRequest::default()
        };
        let page = timeline::home(backend, &caller, request).await.unwrap();
        assert!(page.next_page_token.is_empty() && !page.rebuilding);
        let shown: Vec<String> = page.items.iter().map(|view| view.post.id.to_string()).collect();
        Found::compare(&owed, &shown)
    });
    let all = homes.buffer_unordered(AT_ONCE).collect::<Vec<Found>>().await;
    let mut found = Found::default();
    all.into_iter().for_each(|one| found.add(one));
    found
}
