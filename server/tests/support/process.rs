//! The real binary, started and ended as operators and accidents do.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use social_server::Config;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{Line, PATIENCE, eventually};

/// A running server. Dropping it kills it.
pub struct Process {
    /// The public port; of a process that has none, the operators' port.
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    child: Child,
    out: Reading,
    err: Reading,
}

/// A server that ended, and all that it printed.
#[derive(Debug)]
pub struct Exited {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// The command of the binary, without anything of the environment that could change its configuration.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_social-server"));
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("SOCIAL_") || name_text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Writes a configuration to `server.toml` in `folder`: that of tests, on its data folder `data`, with changes.
pub fn write_config(folder: &Path, change: impl FnOnce(&mut Config)) -> PathBuf {
    let mut config = Config::for_tests(&folder.join("data"));
    change(&mut config);
    let path = folder.join("server.toml");
    std::fs::write(&path, config.to_toml()).unwrap();
    path
}

/// Runs the binary to its end.
pub fn run(command: &mut Command) -> Exited {
    run_within(PATIENCE, command)
}

/// Runs the binary to its end, which may take so long.
pub fn run_within(patience: Duration, command: &mut Command) -> Exited {
    let mut child = command.spawn().unwrap();
    let (mut out, mut err) = readings(&mut child, None);
    let status = wait(&mut child, patience);
    Exited {
        status,
        stdout: out.whole(),
        stderr: err.whole(),
    }
}

impl Process {
    /// Starts the binary with a configuration file, and waits until it says where it listens.
    pub fn start(config: &Path) -> Self {
        Self::start_by(command().arg("--config").arg(config))
    }

    /// Starts a command of the binary, and waits until it says where it listens.
    pub fn start_by(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (said, announced) = mpsc::channel();
        let (mut out, mut err) = readings(&mut child, Some(said));
        match announced.recv_timeout(PATIENCE) {
            Ok((address, admin_address)) => Self {
                address,
                admin_address,
                child,
                out,
                err,
            },
            Err(_) => {
                let _ = child.kill();
                let status = child.wait().unwrap();
                panic!("it does not listen ({status}): {}{}", out.whole(), err.whole());
            }
        }
    }

    /// Waits until health says SERVING.
    pub async fn serving(&self) {
        let Line(channel) = Line::lazily_to(self.address);
        let mut health = HealthClient::new(channel);
        eventually("health SERVING", async || {
            let answer = health.check(HealthCheckRequest::default()).await.ok()?;
            (answer.into_inner().status == 1).then_some(())
        })
        .await;
    }

    /// Ends it as a power cut would: SIGKILL. Waits until it is gone, so that its folder is free.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name, as in `TERM`.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success(), "{script}");
    }

    /// Waits for its end, which something else brings about.
    pub fn ended(mut self) -> Exited {
        let status = wait(&mut self.child, PATIENCE);
        Exited {
            status,
            stdout: self.out.whole(),
            stderr: self.err.whole(),
        }
    }

    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        self.err.text.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > patience {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

type Announced = mpsc::Sender<(SocketAddr, SocketAddr)>;

fn readings(child: &mut Child, announced: Option<Announced>) -> (Reading, Reading) {
    let out = child.stdout.take().unwrap();
    let err = child.stderr.take().unwrap();
    (Reading::of(out, announced), Reading::of(err, None))
}

/// What comes out of a pipe, read all the time so that the writer never waits.
struct Reading {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    fn of(pipe: impl Read + Send + 'static, announced: Option<Announced>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
                let read = String::from_utf8_lossy(&line).into_owned();
                if let (Some(announced), Some(addresses)) = (&announced, addresses(&read)) {
                    let _ = announced.send(addresses);
                }
                written.lock().unwrap().push_str(&read);
                line.clear();
            }
        });
        Self {
            text,
            thread: Some(thread),
        }
    }

    fn whole(&mut self) -> String {
        // The pipe ends with the process.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.text.lock().unwrap().clone()
    }
}

/// Both addresses of `listening on grpc://127.0.0.1:1 (admin grpc://127.0.0.1:2)`; that of `working (admin grpc://127.0.0.1:2)` twice.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (serves, admin) = line.trim_end().strip_suffix(')')?.split_once(" (admin ")?;
    let address = |text: &str| text.split_once("://")?.1.parse().ok();
    let admin = address(admin)?;
    match serves.strip_prefix("listening on ") {
        Some(public) => Some((address(public)?, admin)),
        None => (serves == "working").then_some((admin, admin)),
    }
}
