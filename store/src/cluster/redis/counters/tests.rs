use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fred::interfaces::{ClientLike, HashesInterface, KeysInterface};
use futures::future::join_all;
use parking_lot::Mutex;
use social_core::Error;
use tokio::time::sleep;

use super::super::Config;
use super::super::tests::{ClusterOfTwo, Server, run, soon};
use super::*;

/// Truth in memory.
#[derive(Default)]
struct Fake {
    likes: Mutex<HashMap<PostId, u64>>,
    counted: AtomicU64,
    slow: Mutex<Duration>,
    away: std::sync::atomic::AtomicBool,
}

impl Fake {
    fn like(&self, post: PostId) {
        *self.likes.lock().entry(post).or_default() += 1;
    }

    fn likes(&self, post: PostId) -> u64 {
        self.likes.lock().get(&post).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Truth for Fake {
    async fn count_post(&self, id: PostId) -> Result<PostCounts> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::unavailable());
        }
        self.counted.fetch_add(1, Ordering::Relaxed);
        let likes = self.likes(id);
        let slow = *self.slow.lock();
        sleep(slow).await;
        Ok(PostCounts {
            likes,
            ..PostCounts::default()
        })
    }

    async fn count_user(&self, _: UserId) -> Result<UserCounts> {
        Ok(UserCounts {
            posts: 3,
            followers: 4,
            following: 5,
            exact: true,
        })
    }
}

/// A process.
struct Process {
    counters: Arc<RedisCounters>,
    truth: Arc<Fake>,
    redis: Redis,
}

impl Process {
    async fn over(redis: Redis, truth: &Arc<Fake>) -> Self {
        let counters = Arc::new(RedisCounters::new(&redis, truth.clone()).await);
        let (recounting, token) = (counters.clone(), redis.closed());
        tokio::spawn(async move { recounting.recount_dirty(token).await });
        Self {
            counters,
            truth: truth.clone(),
            redis,
        }
    }

    fn like(&self, post: PostId) {
        self.truth.like(post);
        let one = PostDelta {
            likes: 1,
            ..PostDelta::default()
        };
        self.counters.moved_post(post, one);
    }

    async fn post(&self, post: PostId) -> PostCounts {
        self.counters.posts(&[post]).await.unwrap()[0]
    }

    /// Whether the count says that it is exact; then it must be.
    async fn is_exact(&self, post: PostId) -> bool {
        let counts = self.post(post).await;
        assert!(
            !counts.exact || counts.likes == self.truth.likes(post),
            "{counts:?} of {}",
            self.truth.likes(post)
        );
        counts.exact
    }

    async fn soon_exact(&self, post: PostId) -> Duration {
        soon("the count is exact", || self.is_exact(post)).await
    }
}

async fn one() -> (Server, Process) {
    let server = Server::own(&[]);
    let process = Process::over(server.open().await, &Arc::default()).await;
    (server, process)
}

const POST: PostId = PostId(77);

#[tokio::test]
async fn a_count_is_made_once_and_kept() {
    let (_server, process) = one().await;
    process.truth.like(POST);
    for _ in 0..3 {
        let counts = process.post(POST).await;
        assert_eq!((counts.likes, counts.exact), (1, true));
    }
    assert_eq!(process.truth.counted.load(Ordering::Relaxed), 1);
    let users = process.counters.users(&[UserId(1), UserId(77)]).await.unwrap();
    assert_eq!(users.len(), 2);
    assert_eq!(
        (users[1].posts, users[1].followers, users[1].following, users[1].exact),
        (3, 4, 5, true)
    );
    assert!(process.counters.posts(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_hundred_readers_count_once() {
    let (_server, process) = one().await;
    *process.truth.slow.lock() = Duration::from_millis(100);
    let counts = join_all((0..100).map(|_| process.post(POST))).await;
    assert!(counts.iter().all(|counts| counts.exact));
    assert_eq!(process.truth.counted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_change_is_seen_at_once_and_exact_soon() {
    let (_server, process) = one().await;
    assert!(process.post(POST).await.exact);
    for likes in 1..=20 {
        process.like(POST);
        let counts = process.post(POST).await;
        assert!(counts.likes >= likes, "{counts:?}");
        assert!(!counts.exact || counts.likes == likes);
    }
    let took = process.soon_exact(POST).await;
    println!("exact after {took:?}");
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}

async fn storm(processes: [&Process; 2], posts: u64, rounds: u64) {
    let likes = (0..8).map(|task| async move {
        for round in 0..rounds {
            let post = PostId((task * 7 + round) % posts);
            processes[(task % 2) as usize].like(post);
            if round % 5 == 0 {
                processes[((task + 1) % 2) as usize].post(post).await;
            }
            tokio::task::yield_now().await;
        }
    });
    join_all(likes).await;
}

/// Every post's count is right in each process; how long that took.
async fn settle(processes: [&Process; 2], posts: u64) -> Duration {
    let started = Instant::now();
    for post in (0..posts).map(PostId) {
        for process in processes {
            soon("the count is right and exact", || process.is_exact(post)).await;
        }
    }
    started.elapsed()
}

async fn two(server: &Server) -> [Process; 2] {
    let truth = Arc::default();
    [
        Process::over(server.open().await, &truth).await,
        Process::over(server.open().await, &truth).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_after_a_storm() {
    let server = Server::own(&[]);
    let [one, two] = two(&server).await;
    let started = Instant::now();
    storm([&one, &two], 50, 2_000).await;
    let stormed = started.elapsed();
    let settled = settle([&one, &two], 50).await;
    println!("16,000 likes in {stormed:?}, all exact {settled:?} later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_in_the_middle_is_healed() {
    let server = Server::own(&[]);
    let [one, two] = two(&server).await;
    storm([&one, &two], 20, 200).await;
    let flushing = async {
        for _ in 0..5 {
            sleep(Duration::from_millis(20)).await;
            server.flush().await;
        }
    };
    tokio::join!(storm([&one, &two], 20, 1_000), flushing);
    println!("all exact after {:?}", settle([&one, &two], 20).await);
}

#[tokio::test]
async fn a_flush_between_count_and_install_is_noticed() {
    let (server, process) = one().await;
    let client = server.client().await;
    *process.truth.slow.lock() = Duration::from_millis(400);
    let (counts, ()) = tokio::join!(process.post(POST), async {
        sleep(Duration::from_millis(100)).await;
        client.flushall::<()>(false).await.unwrap();
    });
    assert!(!counts.exact, "nobody knows what came between");
    *process.truth.slow.lock() = Duration::ZERO;
    process.soon_exact(POST).await;
}

#[tokio::test]
async fn a_change_between_count_and_install_is_noticed() {
    let (server, process) = one().await;
    let other = Process::over(server.open().await, &process.truth).await;
    *process.truth.slow.lock() = Duration::from_millis(400);
    let (counts, ()) = tokio::join!(process.post(POST), async {
        sleep(Duration::from_millis(100)).await;
        other.like(POST);
    });
    assert!(!counts.exact, "{counts:?}");
    *process.truth.slow.lock() = Duration::ZERO;
    process.soon_exact(POST).await;
}

#[tokio::test]
async fn a_frozen_redis_costs_one_short_wait() {
    let server = Server::own(&[]);
    let usual = Redis::open(Config::new(server.config().url)).await.unwrap();
    let process = Process::over(usual, &Arc::default()).await;
    process.like(POST);
    process.soon_exact(POST).await;
    server.freeze();
    let started = Instant::now();
    assert!(process.post(POST).await.exact);
    let first = started.elapsed();
    let started = Instant::now();
    for _ in 0..50 {
        process.like(POST);
        assert!(process.is_exact(POST).await, "from truth");
    }
    let others = started.elapsed() / 50;
    println!("frozen: first read {first:?}, then {others:?} each");
    assert!(first < Duration::from_millis(300), "{first:?}");
    assert!(others < Duration::from_millis(5), "{others:?}");
    sleep(Duration::from_secs(3)).await;
    assert!(process.is_exact(POST).await);
    server.thaw();
    let back = soon("it is back", async || process.redis_is_used().await).await;
    println!("thawed: used again after {back:?}");
    process.soon_exact(POST).await;
    assert_eq!(process.post(POST).await.likes, 51);
}

impl Process {
    /// Whether reads come from Redis.
    async fn redis_is_used(&self) -> bool {
        let before = self.truth.counted.load(Ordering::Relaxed);
        self.post(PostId(1)).await;
        self.post(PostId(1)).await;
        self.truth.counted.load(Ordering::Relaxed) == before
    }
}

#[tokio::test]
async fn a_killed_redis_is_done_without() {
    let (server, process) = one().await;
    process.like(POST);
    process.soon_exact(POST).await;
    server.kill();
    let started = Instant::now();
    for _ in 0..20 {
        process.like(POST);
        assert!(process.is_exact(POST).await, "from truth");
    }
    println!("killed: 20 reads in {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_millis(500));
    assert!(server.start());
    let back = soon("it is back", async || process.redis_is_used().await).await;
    println!("restarted: used again after {back:?}");
    process.soon_exact(POST).await;
    soon("nothing is held", async || process.counters.unsent() == 0).await;
}

#[tokio::test]
async fn what_could_not_be_sent_is_counted_anew() {
    let (server, process) = one().await;
    let reader = Process::over(server.open().await, &process.truth).await;
    assert!(reader.post(POST).await.exact);
    server.freeze();
    for _ in 0..10 {
        process.like(POST);
    }
    sleep(Duration::from_millis(500)).await;
    server.thaw();
    soon("all is sent", async || process.counters.unsent() == 0).await;
    sleep(Duration::from_millis(50)).await;
    soon("the count is right", async || {
        reader.is_exact(POST).await && reader.post(POST).await.likes == 10
    })
    .await;
}

#[tokio::test]
async fn what_redis_refused_is_counted_anew() {
    let (server, process) = one().await;
    let reader = Process::over(server.open().await, &process.truth).await;
    assert!(reader.post(POST).await.exact);
    let client = server.client().await;
    run(&client, "CONFIG", &["SET", "maxmemory", "1"]).await;
    for _ in 0..10 {
        process.like(POST);
    }
    sleep(Duration::from_millis(300)).await;
    assert!(process.is_exact(POST).await || process.counters.unsent() == 1);
    run(&client, "CONFIG", &["SET", "maxmemory", "0"]).await;
    soon("all is sent", async || process.counters.unsent() == 0).await;
    reader.soon_exact(POST).await;
    assert_eq!(reader.post(POST).await.likes, 10);
}

#[tokio::test]
async fn too_many_doubts_drop_every_count() {
    let (_server, process) = one().await;
    assert!(process.post(POST).await.exact);
    process.truth.like(POST);
    process.counters.pending.doubt_all();
    assert!(!process.post(POST).await.exact, "nothing is sure");
    process.counters.moved_post(PostId(5), PostDelta::default());
    process.soon_exact(POST).await;
    assert_eq!(process.post(POST).await.likes, 1);
}

#[tokio::test]
async fn a_change_of_nothing_has_a_post_counted_anew() {
    let (_server, process) = one().await;
    assert!(process.post(POST).await.exact);
    // A process that died between its write and its delta.
    process.truth.like(POST);
    assert_eq!(process.post(POST).await.likes, 0);
    process.counters.moved_post(POST, PostDelta::default());
    assert!(!process.post(POST).await.exact);
    process.soon_exact(POST).await;
    assert_eq!(process.post(POST).await.likes, 1);
}

#[tokio::test]
async fn a_count_below_zero_is_never_told() {
    let (server, process) = one().await;
    process.truth.like(POST);
    assert!(process.post(POST).await.exact);
    let client = server.client().await;
    let hash = process
        .redis
        .key(format_args!("c{}", Key::post(POST).shard()), Key::post(POST));
    client.hset::<(), _, _>(&hash, ("likes", -3)).await.unwrap();
    process.truth.away.store(true, Ordering::Relaxed);
    let counts = process.post(POST).await;
    assert_eq!((counts.likes, counts.exact), (0, false), "as good as it is known");
    process.truth.away.store(false, Ordering::Relaxed);
    let counts = process.post(POST).await;
    assert_eq!((counts.likes, counts.exact), (1, true));
}

#[tokio::test]
async fn a_recount_tells_what_was_and_what_is() {
    let (server, process) = one().await;
    process.truth.like(POST);
    assert!(process.post(POST).await.exact);
    let client = server.client().await;
    let hash = process
        .redis
        .key(format_args!("c{}", Key::post(POST).shard()), Key::post(POST));
    client.hset::<(), _, _>(&hash, ("likes", 40)).await.unwrap();
    let (before, after) = process.counters.recount_post(POST).await.unwrap();
    assert_eq!((before.likes, before.exact), (40, true));
    assert_eq!((after.likes, after.exact), (1, true));
    let (before, after) = process.counters.recount_post(PostId(404)).await.unwrap();
    assert_eq!(
        (before, after),
        (
            after,
            PostCounts {
                exact: true,
                ..PostCounts::default()
            }
        )
    );
    process.like(POST);
    assert_eq!(process.counters.recount_post(POST).await.unwrap().1.likes, 2);
    assert!(
        client.ttl::<i64, _>(&hash).await.unwrap() > 3_600,
        "and it is not kept for ever"
    );
}

#[tokio::test]
async fn a_lost_set_of_dirty_ones_is_noticed() {
    let (server, process) = one().await;
    assert!(process.post(POST).await.exact);
    let client = server.client().await;
    let hash = process
        .redis
        .key(format_args!("c{}", Key::post(POST).shard()), Key::post(POST));
    // Not exact, due long ago, and in no set.
    client
        .hset::<(), _, _>(&hash, vec![("exact", 0), ("due", 1)])
        .await
        .unwrap();
    assert!(!process.post(POST).await.exact);
    process.soon_exact(POST).await;
}

#[tokio::test]
async fn one_that_is_slow_to_count_holds_up_no_other() {
    let (_server, process) = one().await;
    for post in 0..4 {
        process.post(PostId(post)).await;
    }
    *process.truth.slow.lock() = Duration::from_secs(3);
    process.like(PostId(0));
    sleep(Duration::from_millis(400)).await;
    *process.truth.slow.lock() = Duration::ZERO;
    process.like(PostId(1));
    let took = process.soon_exact(PostId(1)).await;
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_work_on_redis_cluster() {
    let cluster = ClusterOfTwo::own().await;
    let truth = Arc::default();
    let one = Process::over(cluster.open().await, &truth).await;
    let two = Process::over(cluster.open().await, &truth).await;
    storm([&one, &two], 40, 300).await;
    println!("all exact after {:?}", settle([&one, &two], 40).await);
    let before = truth.counted.load(Ordering::Relaxed);
    let posts: Vec<_> = (0..40).map(PostId).collect();
    assert!(
        one.counters
            .posts(&posts)
            .await
            .unwrap()
            .iter()
            .all(|counts| counts.exact)
    );
    assert_eq!(truth.counted.load(Ordering::Relaxed), before, "from Redis");
    truth.like(PostId(3));
    one.counters.pending.doubt_all();
    one.counters.moved_post(PostId(5), PostDelta::default());
    one.soon_exact(PostId(3)).await;
    assert_eq!(one.post(PostId(3)).await.likes, truth.likes(PostId(3)));
}
