//! The real server, on free ports and a folder of its own, and ways to stop and start it there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use social_sdk::{AdminClient, Client, ClientBuilder, RetryPolicy};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::people::Person;
use crate::wait::{PATIENCE, in_time};

/// Bound of a call, on a machine with more to do.
const CALL: Duration = Duration::from_secs(30);
/// Lines of the server's log that a failed test shows.
const LOG_LINES: usize = 30;

/// A server, and its folder. Dropping it kills the server.
pub(crate) struct House {
    folder: TempDir,
    settings: BTreeMap<String, String>,
    process: Option<Child>,
    /// URL of the public port.
    pub(crate) endpoint: String,
    /// URL of the operators' port.
    pub(crate) admin_endpoint: String,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// With settings that differ from those of tests, by their flags (`heartbeat-ms`).
    pub(crate) async fn open_with(settings: &[(&str, &str)]) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), settings).await
    }

    /// In a folder that holds something already. The data is below `data` in it.
    pub(crate) async fn open_in(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        let mut all: BTreeMap<String, String> = ["read", "write", "auth", "stream"]
            .iter()
            .flat_map(|class| ["user", "address"].map(|whose| format!("rate-limits-{class}-{whose}-per-second")))
            .map(|flag| (flag, "0".to_owned()))
            .collect();
        let defaults = [
            ("listen", "127.0.0.1:0"),
            ("admin-listen", "127.0.0.1:0"),
            ("drain-grace-ms", "5000"),
            ("heartbeat-ms", "1000"),
        ];
        let changes = defaults.iter().chain(settings);
        all.extend(changes.map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned())));
        let mut house = Self {
            folder,
            settings: all,
            process: None,
            endpoint: String::new(),
            admin_endpoint: String::new(),
        };
        house.start().await;
        house
    }

    /// Starts it again, on the same folder and the same ports.
    pub(crate) async fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = self.command();
        let log = self.log();
        let (process, announced) = spawn_blocking(move || launch(&mut command, &log)).await.unwrap();
        self.process = Some(process);
        let (public, admin) = announced
            .trim_end_matches(')')
            .split_once(" (admin ")
            .expect("both addresses");
        for (setting, url) in [("listen", public), ("admin-listen", admin)] {
            let (_, address) = url.split_once("://").expect("a URL");
            self.settings.insert(setting.to_owned(), address.to_owned());
        }
        public.clone_into(&mut self.endpoint);
        admin.clone_into(&mut self.admin_endpoint);
    }

    /// Asks it to stop, and waits until it has drained and is gone.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let script = format!("kill -TERM {}", process.id());
        let stopped = spawn_blocking(move || {
            assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
            let deadline = Instant::now() + PATIENCE;
            loop {
                if let Some(status) = process.try_wait().unwrap() {
                    return status.success();
                }
                if Instant::now() > deadline {
                    let _ = process.kill();
                    return false;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        assert!(in_time("the server's end", stopped).await.unwrap(), "it ended badly");
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let killed = spawn_blocking(move || process.kill().and_then(|()| process.wait()));
        killed.await.unwrap().unwrap();
    }

    /// Where the server's data and the test's own files are.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What makes a client of it; patient, since tests share two cores.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder().endpoint(&self.endpoint).timeout(CALL)
    }

    /// A client that nobody is logged in with.
    pub(crate) fn anonymous(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// A client of the operator.
    pub(crate) fn admin(&self) -> AdminClient {
        let builder = AdminClient::builder().endpoint(&self.admin_endpoint).timeout(CALL);
        builder.retry(stubborn()).build_admin(self.admin_token()).unwrap()
    }

    /// The operator's token.
    pub(crate) fn admin_token(&self) -> String {
        fs::read_to_string(self.path("data/admin.token")).unwrap()
    }

    /// Registers somebody whose handle is `handle`.
    pub(crate) async fn person(&self, handle: &str) -> Person {
        Person::register(self.anonymous(), handle).await
    }

    /// Registers somebody whose client puts up with a server that is away for a while.
    pub(crate) async fn stubborn_person(&self, handle: &str) -> Person {
        let client = self.builder().retry(stubborn()).build().unwrap();
        Person::register(client, handle).await
    }

    fn command(&self) -> Command {
        let binary = binary();
        assert!(
            binary.exists(),
            "{} is not there: run `cargo build -p social-server`",
            binary.display()
        );
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SOCIAL_") || name == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command.arg("serve").arg("--data-dir").arg(self.path("data"));
        for (flag, value) in &self.settings {
            command.arg(format!("--{flag}")).arg(value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn log(&self) -> PathBuf {
        self.path("server.log")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the server said last:\n{}",
                lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
            );
        }
    }
}

/// Retries for as long as the call may take.
pub(crate) fn stubborn() -> RetryPolicy {
    RetryPolicy::default()
        .max_attempts(1_000)
        .backoff(Duration::from_millis(50), Duration::from_millis(500))
        .budget(1.0, 10_000, 100.0)
}

/// Beside the folder that this test was built into: a crate cannot ask cargo for the binary of another.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).expect("it is in a folder of a folder");
    built.join("social-server")
}

/// Starts it and waits for the line that says where it listens.
fn launch(command: &mut Command, log: &Path) -> (Child, String) {
    let stderr: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut child = command.stderr(stderr).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let announced = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
    let Some(announced) = announced else {
        let _ = child.wait();
        panic!("it does not listen: {}", fs::read_to_string(log).unwrap_or_default());
    };
    // Read on, so that the server never waits for a reader of its output.
    std::thread::spawn(move || lines.for_each(drop));
    (child, announced)
}
