//! The platform under test: two api and two worker processes over a CQL store and a Redis of its own.

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use social_proto::v1;
use social_server::config::Role;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use xtask::services::redis::{Node, Options};
use xtask::services::{Redis, Server};

use crate::crowd::Crowd;
use crate::platform::Platform;
use crate::support::{Line, Process};

/// Longer than anything here takes on a busy machine; who waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is an answer, at most for [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processes of a role, and the names that they have.
pub(crate) struct Crew {
    names: [&'static str; 2],
    role: Role,
    running: [Option<Process>; 2],
    /// Whether the first one was started in another way than usual.
    is_replaced: bool,
}

impl Crew {
    fn new(names: [&'static str; 2], role: Role) -> Self {
        Self {
            names,
            role,
            running: [None, None],
            is_replaced: false,
        }
    }

    /// One that runs.
    pub(crate) fn member(&self, number: usize) -> &Process {
        self.running[number].as_ref().unwrap()
    }

    /// Takes one out, to be ended.
    pub(crate) fn remove(&mut self, number: usize) -> Process {
        self.running[number].take().unwrap()
    }

    fn start(&mut self, number: usize, platform: &Platform, change: impl FnOnce(&mut Command)) {
        let mut command = platform.command(self.names[number], |config| {
            config.cluster.roles = vec![self.role];
            // Which worker took which step is in its log.
            config.telemetry.filter = Some("info,social_observability::event=debug".to_owned());
        });
        change(&mut command);
        self.running[number] = Some(Process::start_by(&mut command));
    }

    /// Starts those that do not run, and waits until they serve.
    async fn complete(&mut self, platform: &Platform) {
        let absent: Vec<usize> = (0..2).filter(|number| self.running[*number].is_none()).collect();
        for number in &absent {
            self.start(*number, platform, |_| {});
        }
        for number in absent {
            self.member(number).serving().await;
        }
    }
}

/// What the processes take for the CQL store.
pub(crate) trait Store: Sized {
    /// It, and a platform on it whose keyspace is made.
    async fn open(redis: String) -> (Self, Platform);

    /// Brings back what a fault took away.
    fn mend(&mut self);
}

/// Everything under test.
pub(crate) struct Site<S> {
    // In this order they end.
    pub(crate) apis: Crew,
    pub(crate) workers: Crew,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) platform: Platform,
    redis: Redis,
    pub(crate) store: S,
}

impl<S: Store> Site<S> {
    pub(crate) async fn open() -> Self {
        let redis = Redis::start(&Options::default()).unwrap();
        let (store, platform) = S::open(redis.url().to_owned()).await;
        let mut apis = Crew::new(["api-1", "api-2"], Role::Api);
        let mut workers = Crew::new(["worker-1", "worker-2"], Role::Worker);
        apis.complete(&platform).await;
        workers.complete(&platform).await;
        let addresses = [0, 1].map(|number| apis.member(number).address);
        let crowd = Arc::new(Crowd::gather(addresses).await);
        Self {
            apis,
            workers,
            crowd,
            platform,
            redis,
            store,
        }
    }

    /// Brings back what a fault before took away, also one that ended early.
    pub(crate) async fn mend(&mut self) {
        self.store.mend();
        if self.redis_server().thaw().is_err() {
            self.redis_node().start().unwrap();
        }
        for number in 0..2 {
            if self.workers.running[number].is_some() {
                self.workers.member(number).signal("CONT");
            }
        }
        for crew in [&mut self.apis, &mut self.workers] {
            if std::mem::take(&mut crew.is_replaced) {
                crew.running[0] = None;
            }
        }
        self.complete().await;
    }

    /// Starts the processes that do not run, and tells clients where they are.
    pub(crate) async fn complete(&mut self) {
        self.apis.complete(&self.platform).await;
        self.workers.complete(&self.platform).await;
        for number in 0..2 {
            self.crowd.moved_to(number, self.apis.member(number).address);
        }
    }

    pub(crate) fn crew(&self, role: Role) -> &Crew {
        match role {
            Role::Api => &self.apis,
            Role::Worker => &self.workers,
        }
    }

    fn crew_mut(&mut self, role: Role) -> &mut Crew {
        match role {
            Role::Api => &mut self.apis,
            Role::Worker => &mut self.workers,
        }
    }

    /// Ends the first process of a role in order, and starts it again by a command that is changed.
    pub(crate) async fn replace(&mut self, role: Role, change: impl FnOnce(&mut Command)) {
        ended_in_order(self.crew_mut(role).remove(0));
        let (platform, crew) = match role {
            Role::Api => (&self.platform, &mut self.apis),
            Role::Worker => (&self.platform, &mut self.workers),
        };
        crew.start(0, platform, change);
        crew.is_replaced = true;
        crew.member(0).serving().await;
        self.complete().await;
    }

    /// Has the first process of a role be one like any other again.
    pub(crate) async fn restore(&mut self, role: Role) {
        let crew = self.crew_mut(role);
        crew.is_replaced = false;
        ended_in_order(crew.remove(0));
        self.complete().await;
    }

    pub(crate) fn redis_node(&mut self) -> &mut Node {
        &mut self.redis.nodes_mut()[0]
    }

    pub(crate) fn redis_server(&mut self) -> &mut Server {
        self.redis_node().server()
    }

    /// Calls a method as an operator.
    async fn operate<A: Message + Default>(&self, method: &str, message: &impl Message) -> A {
        let line = Line::lazily_to(self.apis.member(0).admin_address);
        let token = self.platform.admin_token("api-1");
        line.call(method, Some(&token), message).await.unwrap()
    }

    /// Waits until nothing is left to be done; nothing was given up.
    pub(crate) async fn settled(&self) {
        eventually("no event to be pending", async || {
            let request = v1::GetStorageStatsRequest {};
            let storage: v1::GetStorageStatsResponse = self.operate("AdminService/GetStorageStats", &request).await;
            (storage.pending_events == 0).then_some(())
        })
        .await;
        let request = v1::ListDeadLettersRequest::default();
        let dead: v1::ListDeadLettersResponse = self.operate("AdminService/ListDeadLetters", &request).await;
        assert!(dead.dead_letters.is_empty(), "{dead:?}");
    }
}

/// Asks a process to end, and waits until it is gone.
pub(crate) fn ended_in_order(process: Process) {
    process.signal("TERM");
    let exited = process.ended();
    assert!(exited.status.success(), "{exited:?}");
}

/// What health says of a process.
pub(crate) async fn is_serving(process: &Process) -> bool {
    let Line(channel) = Line::lazily_to(process.admin_address);
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    answer.is_ok_and(|answer| answer.into_inner().status == 1)
}

/// What became of a process that was frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    Goes,
    Ended,
}

/// Waits until a process serves, or has ended by itself.
pub(crate) async fn goes_or_ended(process: &Process) -> Afterwards {
    let Line(channel) = Line::lazily_to(process.admin_address);
    let mut health = HealthClient::new(channel);
    eventually("a thawed process to go on or to end", async || {
        let answer = health.check(HealthCheckRequest::default()).await;
        match answer {
            Ok(answer) if answer.get_ref().status == 1 => Some(Afterwards::Goes),
            _ => TcpStream::connect(process.admin_address)
                .is_err()
                .then_some(Afterwards::Ended),
        }
    })
    .await
}
