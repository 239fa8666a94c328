//! Servers for tests, which can be stopped, killed and flushed.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::{Config, Redis};

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A `redis-server` of one test.
pub(super) struct Server {
    port: u16,
    options: Vec<String>,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
}

impl Server {
    /// Starts one. The program is `redis-server` on the path, or what `SOCIAL_TEST_REDIS_SERVER` names; `cargo xtask test` finds or
    /// installs it.
    pub(super) fn own(options: &[&str]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("social-redis-{}-{number}", std::process::id());
        let server = Self {
            port: free_port(),
            options: options.iter().map(ToString::to_string).collect(),
            folder: std::env::temp_dir().join(name),
            process: Mutex::default(),
        };
        fs::create_dir_all(&server.folder).unwrap();
        assert!(
            server.start(),
            "no redis-server can be started here; `cargo xtask test` brings one"
        );
        server
    }

    /// Starts it, empty.
    pub(super) fn start(&self) -> bool {
        let program = std::env::var("SOCIAL_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let port = self.port.to_string();
        let started = Command::new(program)
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(&self.options)
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = started else { return false };
        *self.process.lock() = Some(process);
        let patience = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < patience, "the server starts");
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// As `kill -9`.
    pub(super) fn kill(&self) {
        if let Some(mut process) = self.process.lock().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops it where it stands, as SIGSTOP does.
    pub(super) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.lock().as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// With patience for a busy machine.
    pub(super) fn config(&self) -> Config {
        patient(format!("redis://127.0.0.1:{}", self.port))
    }

    /// A process's way to it.
    pub(super) async fn open(&self) -> Redis {
        Redis::open(self.config()).await.unwrap()
    }

    /// A client beside what is tested.
    pub(super) async fn client(&self) -> Client {
        let config = fred::types::config::Config::from_url(&self.config().url).unwrap();
        let client = Client::new(config, None, None, None);
        client.init().await.unwrap();
        client
    }

    pub(super) async fn flush(&self) {
        self.client().await.flushall::<()>(false).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Two servers that are one Redis Cluster.
pub(super) struct ClusterOfTwo {
    servers: [Server; 2],
}

impl ClusterOfTwo {
    pub(super) async fn own() -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let servers = [Server::own(&options), Server::own(&options)];
        let (one, two) = (servers[0].client().await, servers[1].client().await);
        let port = servers[1].port().to_string();
        run(&one, "CLUSTER", &["MEET", "127.0.0.1", &port]).await;
        run(&one, "CLUSTER", &["ADDSLOTSRANGE", "0", "8191"]).await;
        run(&two, "CLUSTER", &["ADDSLOTSRANGE", "8192", "16383"]).await;
        for client in [&one, &two] {
            while !run(client, "CLUSTER", &["INFO"]).await.contains("cluster_state:ok") {
                sleep(Duration::from_millis(50)).await;
            }
            while run(client, "CLUSTER", &["NODES"]).await.lines().count() < 2 {
                sleep(Duration::from_millis(50)).await;
            }
        }
        Self { servers }
    }

    pub(super) async fn open(&self) -> Redis {
        let [one, two] = &self.servers;
        let url = format!("redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}", one.port(), two.port());
        Redis::open(patient(url)).await.unwrap()
    }
}

fn patient(url: String) -> Config {
    let mut config = Config::new(url);
    (config.patience, config.timeout) = (Duration::from_secs(3), Duration::from_secs(4));
    config
}

/// Runs a command that fred has no method for.
pub(super) async fn run(client: &Client, command: &'static str, arguments: &[&str]) -> String {
    let command = CustomCommand::new_static(command, ClusterHash::Random, false);
    let answer: Value = client.custom(command, arguments.to_vec()).await.unwrap();
    answer.into_string().unwrap_or_default()
}

/// Waits until something is so, and how long that took.
pub(super) async fn soon<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) -> Duration {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(15), "{what}");
        sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}
