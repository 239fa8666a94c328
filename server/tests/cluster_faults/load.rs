//! Clients that write while a fault comes and goes, and the truth that their acknowledgements make.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use prost::Message;
use social_core::PostId;
use social_proto::v1;
use tokio::task::JoinSet;

use crate::crowd::{Answered, CLIENTS, Crowd, STARS};
use crate::site::PATIENCE;
use crate::support::request_id;

/// Acknowledgements before a fault, and after everything is there again.
pub(crate) const BEFORE: u64 = 80;
pub(crate) const AFTER: u64 = 40;
/// Between two operations of a client, where the fault is short and where it is long.
pub(crate) const BRISK: Duration = Duration::from_millis(20);
pub(crate) const CALM: Duration = Duration::from_millis(250);
/// What each client does at least.
const OPERATIONS: usize = 38;

/// A post that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) id: String,
    pub(crate) author: usize,
}

/// One load, and what its acknowledgements say.
pub(crate) struct Load {
    crowd: Arc<Crowd>,
    /// Between two operations of a client.
    pause: Duration,
    is_over: AtomicBool,
    begun: AtomicU64,
    acked: AtomicU64,
    repeats: AtomicU64,
    /// Posts that were repeated, and had been written by then.
    caught: AtomicU64,
    /// How far the id of a post was before its call and behind its answer at most, in milliseconds.
    off: [AtomicU64; 2],
    slowest: Mutex<Duration>,
    posts: Mutex<Vec<Posted>>,
    likes: Mutex<HashMap<(usize, String), bool>>,
}

/// How much a load was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    pub(crate) operations: u64,
    pub(crate) acked: u64,
    pub(crate) repeats: u64,
    pub(crate) caught: u64,
    /// The longest that a client waited for an answer, repetitions included.
    pub(crate) slowest: Duration,
}

/// A load under way.
pub(crate) struct Working {
    pub(crate) load: Arc<Load>,
    tasks: JoinSet<()>,
}

impl Working {
    /// Has all clients begin.
    pub(crate) fn begin(crowd: &Arc<Crowd>, pause: Duration) -> Self {
        let load = Arc::new(Load {
            crowd: Arc::clone(crowd),
            pause,
            is_over: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            caught: AtomicU64::new(0),
            off: Default::default(),
            slowest: Mutex::default(),
            posts: Mutex::default(),
            likes: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for client in 0..CLIENTS {
            let load = Arc::clone(&load);
            tasks.spawn(async move { load.work(client).await });
        }
        Self { load, tasks }
    }

    /// Waits for so many further acknowledgements. What fails a client fails the test.
    pub(crate) async fn further(&mut self, acks: u64) {
        let target = self.load.acked.load(Ordering::Relaxed) + acks;
        self.until(|load| load.acked.load(Ordering::Relaxed) >= target).await;
    }

    /// Waits until a call that was cut off turned out to have been written, or for so long.
    pub(crate) async fn caught_within(&mut self, patience: Duration) -> bool {
        let waiting = self.until(|load| load.caught.load(Ordering::Relaxed) > 0);
        tokio::time::timeout(patience, waiting).await.is_ok()
    }

    async fn until(&mut self, reached: impl Fn(&Load) -> bool) {
        let load = Arc::clone(&self.load);
        let reached = async {
            while !reached(&load) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            in_time = tokio::time::timeout(PATIENCE, reached) => in_time.expect("clients go on"),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(()) => panic!("a client ended early"),
                Err(error) => panic!("a client failed: {error}"),
            },
        }
    }

    /// Lets all clients end, and waits for their last acknowledgements.
    pub(crate) async fn finish(mut self) -> Arc<Load> {
        self.load.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.load
    }
}

impl Load {
    pub(crate) fn totals(&self) -> Totals {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Totals {
            operations: read(&self.begun),
            acked: read(&self.acked),
            repeats: read(&self.repeats),
            caught: read(&self.caught),
            slowest: *self.slowest.lock().unwrap(),
        }
    }

    /// How far the id of a post was before its call, and behind its answer, at most.
    pub(crate) fn off(&self) -> (Duration, Duration) {
        let [behind, ahead] = &self.off;
        let read = |figure: &AtomicU64| Duration::from_millis(figure.load(Ordering::Relaxed));
        (read(behind), read(ahead))
    }

    pub(crate) fn posts(&self) -> Vec<Posted> {
        self.posts.lock().unwrap().clone()
    }

    /// Likes of each post, as acknowledged.
    pub(crate) fn likes(&self) -> HashMap<String, i64> {
        let mut likes: HashMap<String, i64> = self.posts().into_iter().map(|post| (post.id, 0)).collect();
        for ((_, post), liked) in self.likes.lock().unwrap().iter() {
            *likes.get_mut(post).unwrap() += i64::from(*liked);
        }
        likes
    }

    async fn work(&self, client: usize) {
        let mut number = 0;
        while number < OPERATIONS || !self.is_over.load(Ordering::Relaxed) {
            self.begun.fetch_add(1, Ordering::Relaxed);
            match number % 10 {
                1 | 3 | 6 => self.toggle_like(client).await,
                8 => self.toggle_follow(client).await,
                _ => self.post(client, number).await,
            }
            self.acked.fetch_add(1, Ordering::Relaxed);
            number += 1;
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn call<A: Message + Default>(&self, client: usize, method: &str, message: &impl Message) -> Answered<A> {
        let began = Instant::now();
        let answered = self.crowd.call(client, method, message).await;
        self.repeats.fetch_add(answered.repeats, Ordering::Relaxed);
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = slowest.max(began.elapsed());
        drop(slowest);
        answered
    }

    async fn post(&self, client: usize, number: usize) {
        let id = request_id();
        let request = v1::CreatePostRequest {
            content: format!("post {number} of client {client}, {id}"),
            request_id: id,
            ..Default::default()
        };
        let called_at = SystemTime::now();
        let answered: Answered<v1::CreatePostResponse> = self.call(client, "PostService/CreatePost", &request).await;
        let post = answered.answer.post.unwrap();
        assert_eq!(post.content, request.content, "an ack is of the post that was sent");
        self.note_off(&post.id, called_at);
        if let Some(repeated_at) = answered.repeated_at {
            self.note_repeated(&post.id, repeated_at);
            let again: Answered<v1::CreatePostResponse> = self.call(client, "PostService/CreatePost", &request).await;
            assert_eq!(again.answer.post.unwrap().id, post.id, "a request is of one post");
        }
        self.crowd.posted.lock().unwrap()[client] += 1;
        self.posts.lock().unwrap().push(Posted {
            id: post.id,
            author: client,
        });
    }

    fn note_off(&self, post: &str, called_at: SystemTime) {
        let minted = post.parse::<PostId>().unwrap().time().unix_ms();
        let minted = SystemTime::UNIX_EPOCH + Duration::from_millis(minted);
        let behind = called_at.duration_since(minted).unwrap_or_default();
        let ahead = minted.duration_since(SystemTime::now()).unwrap_or_default();
        for (most, off) in self.off.iter().zip([behind, ahead]) {
            most.fetch_max(off.as_millis() as u64, Ordering::Relaxed);
        }
    }

    /// A post whose id is older than its second call was written by the first one, whose answer was lost.
    fn note_repeated(&self, post: &str, repeated_at: SystemTime) {
        let minted = post.parse::<PostId>().unwrap().time().unix_ms();
        let since_epoch = repeated_at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        if u128::from(minted) < since_epoch.as_millis() {
            self.caught.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Likes a post, or takes the like back. Nobody but this client does so for this client, so the last ack is the truth.
    async fn toggle_like(&self, client: usize) {
        let Some(post_id) = self.some_post() else { return };
        let key = (client, post_id.clone());
        let liked = self.likes.lock().unwrap().get(&key) == Some(&true);
        let request_id = request_id();
        if liked {
            let request = v1::UnlikePostRequest { post_id, request_id };
            let answered: Answered<v1::UnlikePostResponse> =
                self.call(client, "LikeService/UnlikePost", &request).await;
            assert!(!answered.answer.liked);
        } else {
            let request = v1::LikePostRequest { post_id, request_id };
            let answered: Answered<v1::LikePostResponse> = self.call(client, "LikeService/LikePost", &request).await;
            assert!(answered.answer.liked);
        }
        self.likes.lock().unwrap().insert(key, !liked);
    }

    fn some_post(&self) -> Option<String> {
        let posts = self.posts.lock().unwrap();
        let recent = posts.len().min(2 * CLIENTS);
        (recent > 0).then(|| posts[posts.len() - 1 - rand::random_range(0..recent)].id.clone())
    }

    async fn toggle_follow(&self, client: usize) {
        let star = rand::random_range(0..STARS);
        let followed = self.crowd.follows.lock().unwrap().get(&(client, star)) == Some(&true);
        let (user_id, request_id) = (self.crowd.stars[star].id.clone(), request_id());
        let relationship = if followed {
            let request = v1::UnfollowRequest { user_id, request_id };
            let answered: Answered<v1::UnfollowResponse> = self.call(client, "GraphService/Unfollow", &request).await;
            answered.answer.relationship
        } else {
            let request = v1::FollowRequest { user_id, request_id };
            let answered: Answered<v1::FollowResponse> = self.call(client, "GraphService/Follow", &request).await;
            answered.answer.relationship
        };
        assert_eq!(relationship.unwrap().following, !followed);
        self.crowd.follows.lock().unwrap().insert((client, star), !followed);
    }
}
