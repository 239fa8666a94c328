//! `kill -9` in the middle of 1,000 posts by 8 clients with retries, ten times over, on one data folder. Whatever was acknowledged is
//! there afterwards, once: in every follower's home, in its author's list, in every count.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod crowd;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use social_proto::v1;
use support::{Process, eventually, process, request_id};

use crowd::{CLIENTS, Crowd, Ports};

const ROUNDS: usize = 10;
const POSTS_A_ROUND: usize = 1_000;
/// How long a crashed server may take to serve again.
const RECOVERY: Duration = Duration::from_secs(5);

/// The server, and what starts it again.
struct Site {
    _folder: tempfile::TempDir,
    config: PathBuf,
    process: Option<Process>,
    recoveries: Vec<Duration>,
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = process::write_config(folder.path(), |_| {});
        let mut site = Self {
            _folder: folder,
            config,
            process: None,
            recoveries: Vec::new(),
        };
        site.start().await;
        site
    }

    /// Starts the server; the time until it serves.
    async fn start(&mut self) -> Duration {
        let began = Instant::now();
        let process = Process::start(&self.config);
        process.serving().await;
        self.process = Some(process);
        began.elapsed()
    }

    fn ports(&self) -> Ports {
        let process = self.process.as_ref().unwrap();
        Ports::of(process.address, process.admin_address)
    }

    fn admin_token(&self) -> String {
        let path = self.config.parent().unwrap().join("data/admin.token");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Kills the server, and starts it again at once.
    async fn crash(&mut self) {
        self.process.take().unwrap().kill();
        let took = self.start().await;
        self.recoveries.push(took);
    }

    /// Ends the server in order, and starts it again: all that memory held is made anew.
    async fn restart(&mut self) {
        let process = self.process.take().unwrap();
        process.signal("TERM");
        let exited = process.ended();
        assert!(exited.status.success(), "{exited:?}");
        self.start().await;
    }
}

/// Modes of fan-out, changed under load.
const MODES: [(v1::FanoutMode, i64); 3] = [
    (v1::FanoutMode::Hybrid, 10_000),
    (v1::FanoutMode::Pull, 10_000),
    // Some of the authors have fewer followers, some more.
    (v1::FanoutMode::Hybrid, 10),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled() {
    let began = Instant::now();
    let mut site = Site::open().await;
    let crowd = Arc::new(Crowd::gather(site.ports(), site.admin_token()).await);
    for round in 0..ROUNDS {
        a_round(&mut site, &crowd, round).await;
    }
    let worked = began.elapsed();
    let mut found = check::everything(&crowd).await;
    site.restart().await;
    crowd.moved_to(site.ports());
    found.add(check::homes(&crowd).await);

    let mut recoveries = site.recoveries.clone();
    recoveries.sort();
    // A single one may have been held up by what else the machine does.
    let usual = recoveries[recoveries.len() / 2];
    let totals = crowd.totals();
    println!(
        "acked posts: {}, kills: {}, lost: {}, doubled: {}",
        totals.posts,
        site.recoveries.len(),
        found.lost,
        found.doubled
    );
    println!(
        "acked beside them: {} likes set or taken back, {} comments written or deleted, {} follows; repeated calls: {}; recovery: \
         usually {} ms, {} ms at the most; homes read: {}; {} s of work, {} s with all checks",
        totals.likes,
        totals.comments,
        totals.follows,
        totals.repeats,
        usual.as_millis(),
        recoveries[recoveries.len() - 1].as_millis(),
        found.homes,
        worked.as_secs(),
        began.elapsed().as_secs()
    );
    assert_eq!(totals.posts, ROUNDS * POSTS_A_ROUND);
    assert_eq!((found.lost, found.doubled), (0, 0));
    assert!(
        totals.repeats > 0,
        "no call was ever cut off: the kills came at the wrong moments"
    );
    assert!(usual < RECOVERY, "{:?}", site.recoveries);
}

/// 1,000 posts, and a kill in their middle.
async fn a_round(site: &mut Site, crowd: &Arc<Crowd>, round: usize) {
    let target = (round + 1) * POSTS_A_ROUND;
    let kill_at = target - rand::random_range(100..POSTS_A_ROUND - 100);
    let (mode, threshold) = MODES[round % MODES.len()];
    let policy = v1::SetFanoutPolicyRequest {
        mode: mode.into(),
        celebrity_threshold: threshold,
        request_id: request_id(),
        ..Default::default()
    };
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let crowd = Arc::clone(crowd);
        tasks.spawn(async move { crowd.write(client, POSTS_A_ROUND / CLIENTS).await });
    }
    let late = Arc::clone(crowd);
    tasks.spawn(async move {
        late.until_acked(kill_at - rand::random_range(0..80)).await;
        // The policy changes and a reader comes in while posts are on their way, and may be cut off themselves.
        late.set_policy(policy).await;
        late.come_late(round).await;
    });
    tokio::select! {
        () = crowd.until_acked(kill_at) => {}
        ended = failed(&mut tasks) => panic!("a client failed: {ended}"),
    }
    tokio::time::sleep(Duration::from_micros(rand::random_range(0..10_000))).await;
    site.crash().await;
    crowd.moved_to(site.ports());
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    eventually("all acks of the round", async || {
        (crowd.acked.load(Ordering::Relaxed) == target).then_some(())
    })
    .await;
}

/// Why a task failed; waits for ever where none does.
async fn failed(tasks: &mut tokio::task::JoinSet<()>) -> String {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            return error.to_string();
        }
    }
    std::future::pending().await
}
