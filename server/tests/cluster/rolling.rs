//! All processes are restarted one after the other, while people use the platform by the SDK: none of its callers notices.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use social_sdk::{Client, HomeEvent, TryStreamExt as _};
use social_server::config::Role;
use tokio::task::JoinSet;

use super::platform::{Platform, turn_to_come};
use super::support::people::PASSWORD;
use super::support::{Process, eventually};

/// Who writes and reads all the time.
const AUTHORS: usize = 6;
/// Who follows all of them, and watches the home timeline live.
const WATCHERS: usize = 6;
/// Between two operations of an author.
const PAUSE: Duration = Duration::from_millis(40);
/// Operations before the first restart, and after the last one.
const AROUND: u64 = 60;

/// A process that can be started again where it was.
struct Member {
    name: &'static str,
    role: Role,
    process: Process,
}

impl Member {
    async fn start(platform: &Platform, name: &'static str, role: Role) -> Self {
        let process = platform.start(name, &[role]);
        process.serving().await;
        Self { name, role, process }
    }

    /// Ends it in order, starts it again on the same ports, and waits until it serves.
    async fn restart(self, platform: &Platform) -> Self {
        let Self { name, role, process } = self;
        let (listen, admin_listen) = (process.address, process.admin_address);
        process.signal("TERM");
        let exited = process.ended();
        assert!(exited.status.success(), "{exited:?}");
        let process = platform.start_with(name, |config| {
            config.cluster.roles = vec![role];
            config.admin.listen = admin_listen;
            if role == Role::Api {
                config.listen = listen;
            }
        });
        process.serving().await;
        Self { name, role, process }
    }
}

/// Somebody with a client that knows both api processes, and is as the SDK makes it in everything else.
#[derive(Clone)]
struct User {
    client: Client,
    id: String,
}

impl User {
    async fn register(endpoints: &[String], handle: String) -> Self {
        let builder = endpoints
            .iter()
            .fold(Client::builder(), |builder, url| builder.endpoint(url));
        let client = builder.build().unwrap();
        let user = client.auth().register(handle, PASSWORD).await.unwrap();
        Self { client, id: user.id }
    }
}

/// What callers of the SDK saw.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    operations: AtomicU64,
    failed: AtomicU64,
    longest: Mutex<Duration>,
    /// Ids of acknowledged posts.
    posts: Mutex<Vec<String>>,
}

impl Seen {
    /// Makes one call, and notes how it went.
    async fn note<T>(&self, what: &str, call: impl Future<Output = Result<T, social_sdk::Error>>) -> Option<T> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let answer = call.await;
        let took = began.elapsed();
        let mut longest = self.longest.lock().unwrap();
        *longest = took.max(*longest);
        answer
            .inspect_err(|error| {
                println!("{what} failed after {took:?}: {error:?}");
                self.failed.fetch_add(1, Ordering::Relaxed);
            })
            .ok()
    }

    async fn further(&self, operations: u64) {
        let target = self.operations.load(Ordering::Relaxed) + operations;
        eventually("further operations", async || {
            (self.operations.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }

    fn some_post(&self) -> Option<String> {
        let posts = self.posts.lock().unwrap();
        (!posts.is_empty()).then(|| posts[rand::random_range(0..posts.len())].clone())
    }
}

/// Writes and reads until it is over.
async fn work(author: User, star: String, seen: Arc<Seen>) {
    for number in 0.. {
        if seen.is_over.load(Ordering::Relaxed) {
            return;
        }
        act(&author, &star, number, &seen).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn act(author: &User, star: &str, number: usize, seen: &Seen) {
    let client = &author.client;
    match (number % 8, seen.some_post()) {
        (1, Some(post)) => drop(seen.note("like", client.likes().like(post).into_future()).await),
        (2, Some(post)) => drop(seen.note("unlike", client.likes().unlike(post).into_future()).await),
        (3, Some(post)) => drop(seen.note("get post", client.posts().get(post).into_future()).await),
        (4, _) => drop(
            seen.note("home", client.timeline().home().page_size(20).page().into_future())
                .await,
        ),
        (5, _) => drop(seen.note("follow", client.graph().follow(star).into_future()).await),
        (6, _) => drop(seen.note("unfollow", client.graph().unfollow(star).into_future()).await),
        _ => {
            let content = format!("post {number} of {}", author.id);
            let posted = seen.note("post", client.posts().create(content).into_future()).await;
            seen.posts.lock().unwrap().extend(posted.map(|posted| posted.post.id));
        }
    }
}

/// What one subscription gave.
#[derive(Default)]
struct Watched {
    posts: HashSet<String>,
    repeats: usize,
    connected: usize,
    gaps: usize,
    resets: usize,
}

impl Watched {
    fn note(&mut self, event: HomeEvent) {
        match event {
            HomeEvent::Connected { .. } => self.connected += 1,
            HomeEvent::Added { item, .. } => self.repeats += usize::from(!self.posts.insert(item.post.unwrap().id)),
            HomeEvent::Gap => self.gaps += 1,
            HomeEvent::Reset => self.resets += 1,
            _ => {}
        }
    }
}

/// Watches a home timeline; the task ends with an error only.
fn watch(watcher: &User, tasks: &mut JoinSet<()>) -> Arc<Mutex<Watched>> {
    let watched = Arc::new(Mutex::new(Watched::default()));
    let notes = Arc::clone(&watched);
    let mut stream = watcher.client.timeline().subscribe().stream();
    tasks.spawn(async move {
        while let Some(event) = stream.try_next().await.expect("the subscription goes on") {
            notes.lock().unwrap().note(event);
        }
    });
    watched
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_is_noticed_by_no_caller() {
    let _turn = turn_to_come().await;
    let platform = Platform::migrated();
    let mut members = Vec::new();
    for (name, role) in [
        ("api-1", Role::Api),
        ("api-2", Role::Api),
        ("worker-1", Role::Worker),
        ("worker-2", Role::Worker),
    ] {
        members.push(Member::start(&platform, name, role).await);
    }
    let endpoints = [0, 1].map(|api: usize| format!("http://{}", members[api].process.address));
    let mut authors = Vec::new();
    for number in 0..AUTHORS {
        authors.push(User::register(&endpoints, format!("author_{number}")).await);
    }
    let star = User::register(&endpoints, "star".to_owned()).await;
    let mut watchers = Vec::new();
    for number in 0..WATCHERS {
        let watcher = User::register(&endpoints, format!("watcher_{number}")).await;
        for author in &authors {
            watcher.client.graph().follow(&author.id).await.unwrap();
        }
        // Calls take turns, so that every other one's stream is at the other process.
        for _ in 0..number % 2 {
            watcher.client.users().get(&watcher.id).await.unwrap();
        }
        watchers.push(watcher);
    }
    let mut tasks = JoinSet::new();
    let watched: Vec<_> = watchers.iter().map(|watcher| watch(watcher, &mut tasks)).collect();
    eventually("all subscriptions to be connected", async || {
        let is_there = |watched: &Arc<Mutex<Watched>>| watched.lock().unwrap().connected > 0;
        watched.iter().all(is_there).then_some(())
    })
    .await;

    let seen = Arc::new(Seen::default());
    let mut working = JoinSet::new();
    for author in authors {
        working.spawn(work(author, star.id.clone(), Arc::clone(&seen)));
    }
    seen.further(AROUND).await;
    let restarts = members.len();
    let began = Instant::now();
    let mut restarted = Vec::new();
    for member in members {
        restarted.push(member.restart(&platform).await);
        seen.further(AROUND / 4).await;
    }
    let took = began.elapsed();
    seen.further(AROUND).await;
    seen.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = working.join_next().await {
        ended.unwrap();
    }

    let posts: HashSet<String> = seen.posts.lock().unwrap().iter().cloned().collect();
    let missing = || {
        let missed = |watched: &Arc<Mutex<Watched>>| posts.difference(&watched.lock().unwrap().posts).count();
        watched.iter().map(missed).sum::<usize>()
    };
    let ended = Instant::now();
    while missing() > 0 && ended.elapsed() < super::support::PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let streams_whole = ended.elapsed();
    let doubled = AtomicUsize::new(0);
    for watcher in &watchers {
        let items = watcher.client.timeline().home().page_size(100).stream();
        let home: Vec<String> = items.map_ok(|item| item.post.unwrap().id).try_collect().await.unwrap();
        let distinct: HashSet<&String> = home.iter().collect();
        assert_eq!(distinct, posts.iter().collect(), "the home timeline is whole");
        doubled.fetch_add(home.len() - distinct.len(), Ordering::Relaxed);
    }
    let sum = |of: &dyn Fn(&Watched) -> usize| {
        watched
            .iter()
            .map(|watched| of(&watched.lock().unwrap()))
            .sum::<usize>()
    };
    let (resumes, repeats) = (sum(&|watched| watched.connected - 1), sum(&|watched| watched.repeats));
    let (gaps, resets) = (sum(&|watched| watched.gaps), sum(&|watched| watched.resets));
    let (operations, failed) = (
        seen.operations.load(Ordering::Relaxed),
        seen.failed.load(Ordering::Relaxed),
    );
    let longest = *seen.longest.lock().unwrap();
    println!(
        "rolling restart: operations {operations}, failed {failed}, restarts {restarts} in {took:.1?}, longest call {longest:.1?}; {} posts to \
         {WATCHERS} subscribers: missing {}, repeated {repeats}, stream resumes {resumes}, gaps {gaps}, resets {resets}, all there \
         {streams_whole:.1?} after the last call; doubled at home {}",
        posts.len(),
        missing(),
        doubled.load(Ordering::Relaxed),
    );
    assert_eq!(failed, 0, "calls that failed");
    assert_eq!(missing(), 0, "posts that a subscriber did not see");
    assert_eq!((resets, doubled.load(Ordering::Relaxed)), (0, 0));
    assert!(resumes >= WATCHERS, "each stream was cut off");
    assert!(tasks.try_join_next().is_none(), "no subscription ended");
}
