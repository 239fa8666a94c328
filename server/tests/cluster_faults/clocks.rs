//! The system's clock of one process is set back or forward, and later right again. All other clocks are right all the time.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use social_core::PostId;
use social_proto::v1;
use social_server::config::Role;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::Site;
use crate::check::{Found, conclude};
use crate::faults::works_alone;
use crate::load::{AFTER, BEFORE, CALM, Working};
use crate::site::{eventually, is_serving};
use crate::support::{Line, Person, assert_refused, request_id};

/// By how much a clock is wrong.
const STEP_S: i64 = 5;
/// For how long it is: longer than others need to take over what the process did.
const WRONG_FOR: Duration = Duration::from_secs(8);
/// Within what time a process says that it cannot serve, and that it can again.
const NOTICED: Duration = Duration::from_secs(10);
/// How far an id may be from the time of its call: clocks may be half a second from the store's, as far as that tells within 0.2 s.
const SKEW: Duration = Duration::from_millis(750);
/// Between two calls to the process.
const PAUSE: Duration = Duration::from_millis(50);

/// The clock of a process that wears it: that of the machine, and what the test adds.
struct Watch {
    library: PathBuf,
    folder: tempfile::TempDir,
}

impl Watch {
    fn right() -> Self {
        let watch = Self {
            library: xtask::services::faketime().unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        watch.set(0);
        watch
    }

    /// Gives it to a process. Clocks that count what passed stay as they are, as they do when somebody sets the time.
    fn put_on(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DISABLE_SHM", "1")
            .env("NO_FAKE_STAT", "1");
    }

    /// Sets it to so many seconds ahead of the right time.
    fn set(&self, seconds: i64) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, format!("{seconds:+}")).unwrap();
        std::fs::rename(fresh, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

pub(crate) async fn api_set_back(site: &mut Site) {
    api_set(site, -STEP_S, "clock of an api process set back 5 s").await;
}

pub(crate) async fn api_set_forward(site: &mut Site) {
    api_set(site, STEP_S, "clock of an api process set forward 5 s").await;
}

pub(crate) async fn worker_set_back(site: &mut Site) {
    worker_set(site, -STEP_S, "clock of a worker set back 5 s").await;
}

pub(crate) async fn worker_set_forward(site: &mut Site) {
    worker_set(site, STEP_S, "clock of a worker set forward 5 s").await;
}

/// An api process takes no write while its clock is wrong, and clients go to the other one.
async fn api_set(site: &mut Site, seconds: i64, fault: &str) {
    let watch = Watch::right();
    site.replace(Role::Api, |command| watch.put_on(command)).await;
    let writing = Writing::begin(site).await;
    let mut working = Working::begin(&site.crowd, CALM);
    working.further(BEFORE).await;

    watch.set(seconds);
    let wrong = Instant::now();
    let noticed = becomes(site, Role::Api, false, wrong).await;
    working.further(AFTER).await;
    tokio::time::sleep(WRONG_FOR.saturating_sub(wrong.elapsed())).await;
    watch.set(0);
    let right = Instant::now();
    let served = becomes(site, Role::Api, true, right).await;
    working.further(AFTER).await;

    let straight = writing.finish(wrong, right).await;
    let load = working.finish().await;
    let note = format!("; not ready {noticed:.1?} after the step, ready {served:.1?} after its end; {straight}");
    conclude(site, fault, &load, right, &note).await;
    let (behind, ahead) = load.off();
    println!("{fault}: ids at most {behind:?} older than their call, and {ahead:?} newer than its answer");
    assert!(behind.max(ahead) <= SKEW, "ids {behind:?} behind, {ahead:?} ahead");
    site.restore(Role::Api).await;
}

/// A worker does nothing while its clock is wrong, and the other one does all work.
async fn worker_set(site: &mut Site, seconds: i64, fault: &str) {
    let watch = Watch::right();
    site.replace(Role::Worker, |command| watch.put_on(command)).await;
    let mut working = Working::begin(&site.crowd, CALM);
    working.further(BEFORE).await;

    watch.set(seconds);
    let wrong = Instant::now();
    let noticed = becomes(site, Role::Worker, false, wrong).await;
    working.further(AFTER).await;
    tokio::time::sleep(WRONG_FOR.saturating_sub(wrong.elapsed())).await;
    let load = working.finish().await;
    let note = format!("; not ready {noticed:.1?} after the step; all of this while the clock was wrong");
    // Also nothing is left to be done: what the worker had in hand went to the other one.
    conclude(site, fault, &load, Instant::now(), &note).await;
    assert!(!is_serving(site.workers.member(0)).await, "its clock is wrong still");

    watch.set(0);
    let served = becomes(site, Role::Worker, true, Instant::now()).await;
    println!("{fault}: ready {served:.1?} after it was right again");
    works_alone(site).await;
    site.restore(Role::Worker).await;
}

/// Waits until the process says whether it can serve; how long after `since` that was.
async fn becomes(site: &Site, role: Role, serving: bool, since: Instant) -> Duration {
    let process = site.crew(role).member(0);
    eventually("health to follow the clock", async || {
        (is_serving(process).await == serving).then_some(())
    })
    .await;
    let took = since.elapsed();
    assert!(took < NOTICED, "{took:?}");
    took
}

/// Somebody who writes to the process with the wrong clock and to no other.
struct Writing {
    writer: Person,
    line: Line,
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Vec<Write>>,
}

/// One call: when it began, and the post where it was acknowledged.
struct Write {
    request: v1::CreatePostRequest,
    began: Instant,
    called_at: SystemTime,
    post: Option<String>,
}

impl Writing {
    async fn begin(site: &Site) -> Self {
        let line = site.crowd.line(0);
        let writer = Person::register(&line, "writer").await;
        let is_over = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(write(writer.clone(), line.clone(), Arc::clone(&is_over)));
        Self {
            writer,
            line,
            is_over,
            task,
        }
    }

    /// Repeats what was refused. Nothing was written that began while the clock was wrong, ids rose, and there is one post for each call.
    async fn finish(self, wrong: Instant, right: Instant) -> String {
        self.is_over.store(true, Ordering::Relaxed);
        let writes = self.task.await.unwrap();
        let refused = writes.iter().filter(|write| write.post.is_none()).count();
        let acked: Vec<&Write> = writes.iter().filter(|write| write.post.is_some()).collect();
        let while_wrong = acked.iter().filter(|write| write.began > wrong && write.began < right);
        assert_eq!(while_wrong.count(), 0, "acknowledged while the clock was wrong");
        assert!(refused > 0, "a call came while the clock was wrong");
        assert!(
            acked.iter().any(|write| write.began < wrong) && acked.iter().any(|write| write.began > right),
            "it wrote before, and again afterwards"
        );
        let ids: Vec<&String> = acked.iter().filter_map(|write| write.post.as_ref()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "ids rise: {ids:?}");
        for write in &acked {
            let id: PostId = write.post.as_ref().unwrap().parse().unwrap();
            let minted = SystemTime::UNIX_EPOCH + Duration::from_millis(id.time().unix_ms());
            let early = write.called_at.duration_since(minted).unwrap_or_default();
            assert!(early <= SKEW, "an id {early:?} older than its call");
        }
        let mut owed: Vec<String> = ids.into_iter().cloned().collect();
        for write in writes.iter().filter(|write| write.post.is_none()) {
            let answer = self
                .writer
                .call(&self.line, "PostService/CreatePost", &write.request)
                .await;
            let answer: v1::CreatePostResponse = answer.unwrap();
            owed.push(answer.post.unwrap().id);
        }
        let shown = self.writer.posts_of(&self.line, &self.writer.id).await.unwrap();
        let shown: Vec<String> = shown.into_iter().map(|post| post.id).collect();
        let owed = owed.iter().map(String::as_str).collect();
        assert_eq!(Found::compare(&owed, &shown), Found::default());
        assert_eq!(shown.len(), writes.len());
        format!(
            "straight to it {} writes, refused {refused} and later repeated",
            writes.len()
        )
    }
}

async fn write(writer: Person, line: Line, is_over: Arc<AtomicBool>) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let request = v1::CreatePostRequest {
            content: format!("straight, {}", writes.len()),
            request_id: request_id(),
            ..Default::default()
        };
        let (began, called_at) = (Instant::now(), SystemTime::now());
        let answer = writer.call(&line, "PostService/CreatePost", &request).await;
        let post = match answer {
            Ok(v1::CreatePostResponse { post, .. }) => Some(post.unwrap().id),
            Err(failure) => {
                assert_refused(&failure, Code::Unavailable, "STORE_UNAVAILABLE");
                // What is read is right all the same.
                assert!(writer.home(&line).await.is_ok());
                None
            }
        };
        writes.push(Write {
            request,
            began,
            called_at,
            post,
        });
        tokio::time::sleep(PAUSE).await;
    }
    writes
}
