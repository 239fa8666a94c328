//! Whether what the server shows is what it acknowledged.

use std::collections::{HashMap, HashSet};

use futures::StreamExt as _;
use social_proto::v1;

use crate::crowd::{CLIENTS, Counts, Crowd, Posted};
use crate::support::{Person, eventually, request_id};

/// Calls under way at once.
const AT_ONCE: usize = 16;

/// What is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) homes: usize,
}

impl Found {
    pub(crate) fn add(&mut self, other: Found) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.homes += other.homes;
    }

    /// Counts what of `owed` is not shown, and what is shown twice.
    fn compare<'a>(&mut self, what: &str, owed: impl Iterator<Item = &'a str>, shown: &[String]) {
        let distinct: HashSet<&str> = shown.iter().map(String::as_str).collect();
        let lost: Vec<&str> = owed.filter(|id| !distinct.contains(id)).collect();
        let doubled = shown.len() - distinct.len();
        if !lost.is_empty() || doubled > 0 {
            let first: Vec<_> = lost.iter().take(5).collect();
            println!("{what}: {} lost, {doubled} doubled; {first:?}", lost.len());
        }
        self.lost += lost.len();
        self.doubled += doubled;
    }
}

/// Checks everything; answers what of the posts is lost or doubled.
pub(crate) async fn everything(crowd: &Crowd) -> Found {
    fanouts(crowd).await;
    let mut found = homes(crowd).await;
    found.add(lists(crowd).await);
    counts(crowd).await;
    recounts(crowd).await;
    people(crowd).await;
    found
}

fn posts(crowd: &Crowd) -> Vec<Posted> {
    crowd.truth.lock().unwrap().posts.clone()
}

/// Every fan-out ends, and none is given up.
async fn fanouts(crowd: &Crowd) {
    let posts = posts(crowd);
    let checks = posts.iter().map(|post| async move {
        let author = &crowd.clients[post.author];
        let request = v1::GetFanoutStatusRequest {
            fanout_id: post.fanout.clone(),
        };
        let status = eventually("a fan-out to be done", async || {
            let method = "TimelineService/GetFanoutStatus";
            let status: v1::GetFanoutStatusResponse = crowd.call(author, method, &request).await;
            assert_ne!(status.state(), v1::FanoutState::DeadLettered, "{status:?}");
            (status.state() == v1::FanoutState::Done).then_some(status)
        })
        .await;
        assert_eq!((status.post_id.as_str(), status.pending), (post.id.as_str(), 0));
    });
    futures::stream::iter(checks)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    let stats: v1::GetStorageStatsResponse = eventually("an empty queue", async || {
        let request = v1::GetStorageStatsRequest {};
        let stats: v1::GetStorageStatsResponse = crowd.operate("AdminService/GetStorageStats", &request).await;
        (stats.pending_events == 0).then_some(stats)
    })
    .await;
    assert_eq!(stats.oldest_pending_age_ms, 0);
    let request = v1::ListDeadLettersRequest::default();
    let dead: v1::ListDeadLettersResponse = crowd.operate("AdminService/ListDeadLetters", &request).await;
    assert!(dead.dead_letters.is_empty(), "{dead:?}");
}

/// Every post is in the home of everybody who followed its author before it was begun, once.
pub(crate) async fn homes(crowd: &Crowd) -> Found {
    let posts = posts(crowd);
    let mut found = Found::default();
    // Clients have their own posts in their homes, too.
    let owed: Vec<&str> = posts.iter().map(|post| post.id.as_str()).collect();
    for person in crowd.clients.iter().chain(&crowd.readers) {
        let home = home(crowd, person).await;
        found.compare(&format!("home of {}", person.handle), owed.iter().copied(), &home);
        // A post that nobody was told of would be a second one of a repeated call.
        let known: HashSet<&str> = owed.iter().copied().collect();
        found.doubled += home.iter().filter(|id| !known.contains(id.as_str())).count();
        found.homes += 1;
    }
    let late = crowd.truth.lock().unwrap().late.clone();
    for (reader, follows) in late {
        let home = home(crowd, &crowd.late[reader]).await;
        let since: HashMap<usize, u64> = follows.into_iter().collect();
        let owed = posts
            .iter()
            .filter(|post| since.get(&post.author).is_some_and(|since| post.begun > *since));
        found.compare(
            &format!("home of late reader {reader}"),
            owed.map(|post| post.id.as_str()),
            &home,
        );
        let theirs: HashSet<&str> = posts
            .iter()
            .filter(|post| since.contains_key(&post.author))
            .map(|post| post.id.as_str())
            .collect();
        assert!(
            home.iter().all(|id| theirs.contains(id.as_str())),
            "only whom they follow"
        );
        found.homes += 1;
    }
    found
}

/// A whole home timeline, which must be ordered.
async fn home(crowd: &Crowd, person: &Person) -> Vec<String> {
    let home = person.home(&crowd.ports().public).await.unwrap();
    assert!(
        home.windows(2).all(|two| two[0] >= two[1]),
        "newest first: {}",
        person.handle
    );
    home
}

/// Every post is in its author's list, once, and nothing else is.
async fn lists(crowd: &Crowd) -> Found {
    let posts = posts(crowd);
    let mut found = Found::default();
    for client in 0..CLIENTS {
        let author = &crowd.clients[client];
        let listed = author.posts_of(&crowd.ports().public, &author.id).await.unwrap();
        let contents: HashSet<&str> = listed.iter().map(|post| post.content.as_str()).collect();
        let ids: Vec<String> = listed.iter().map(|post| post.id.clone()).collect();
        let own = posts.iter().filter(|post| post.author == client);
        let owed: Vec<&str> = own.map(|post| post.id.as_str()).collect();
        found.compare(&format!("posts of {}", author.handle), owed.iter().copied(), &ids);
        // A repeated call that wrote a second post would show here, under another id.
        found.doubled += ids.len().saturating_sub(owed.len());
        assert_eq!(contents.len(), listed.len(), "each text was sent once");
    }
    found
}

/// The counts of every post are those of the acknowledgements.
async fn counts(crowd: &Crowd) {
    let truth = crowd.truth.lock().unwrap().counts.clone();
    let ids: Vec<String> = truth.keys().cloned().collect();
    for hundred in ids.chunks(100) {
        let request = v1::BatchGetCountsRequest {
            post_ids: hundred.to_vec(),
        };
        let answer: v1::BatchGetCountsResponse = crowd
            .call(&crowd.readers[0], "LikeService/BatchGetCounts", &request)
            .await;
        assert_eq!((answer.counts.len(), answer.not_found_ids.len()), (hundred.len(), 0));
        for entry in answer.counts {
            assert_eq!(read(entry.counts), truth[&entry.post_id], "counts of {}", entry.post_id);
        }
    }
}

fn read(counts: Option<v1::PostCounts>) -> Counts {
    let counts = counts.unwrap();
    assert!(counts.exact);
    Counts {
        likes: counts.likes,
        comments: counts.comments,
        replies: counts.replies,
    }
}

/// Counting anew changes no count.
async fn recounts(crowd: &Crowd) {
    let truth = crowd.truth.lock().unwrap().counts.clone();
    let checks = truth.iter().map(|(post, expected)| async move {
        let request = v1::RecountPostRequest {
            post_id: post.clone(),
            request_id: request_id(),
        };
        let answer: v1::RecountPostResponse = crowd.operate("AdminService/RecountPost", &request).await;
        assert_eq!(
            (read(answer.before), read(answer.after)),
            (*expected, *expected),
            "counts of {post}"
        );
    });
    futures::stream::iter(checks)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

/// The counts of everybody are those of the acknowledgements, and the lists are as long.
async fn people(crowd: &Crowd) {
    let posts = posts(crowd);
    for (person, (followers, following)) in crowd.everybody().zip(crowd.graph()) {
        let request = v1::GetUserRequest {
            user: Some(v1::get_user_request::User::Id(person.id.clone())),
        };
        let answer: v1::GetUserResponse = crowd.call(person, "UserService/GetUser", &request).await;
        let counts = answer.user.unwrap().counts.unwrap();
        let written = posts.iter().filter(|post| crowd.clients[post.author].id == person.id);
        let expected = (written.count() as i64, followers, following);
        assert_eq!(
            (counts.posts, counts.followers, counts.following),
            expected,
            "{}",
            person.handle
        );
        let request = v1::ListFollowersRequest {
            user_id: person.id.clone(),
            page_size: 200,
            ..Default::default()
        };
        let answer: v1::ListFollowersResponse = crowd.call(person, "GraphService/ListFollowers", &request).await;
        assert_eq!(answer.followers.len() as i64, followers, "{}", person.handle);
    }
}
