//! The real social-server, on free ports and a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Ctl;

/// Good enough for those who test.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server that ends with the test.
pub(crate) struct Server {
    folder: TempDir,
    child: Child,
    /// URL of the public port.
    pub(crate) endpoint: String,
    /// URL of the operators' port.
    pub(crate) admin_endpoint: String,
}

impl Server {
    /// Starts one on an empty folder.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, endpoint, admin_endpoint) = spawn(&folder.path().join("data"), "127.0.0.1:0");
        Self {
            folder,
            child,
            endpoint,
            admin_endpoint,
        }
    }

    /// Kills it without a warning, and starts it again at the same address on the same folder.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.kill_and_start_on("data");
    }

    /// Starts another one at the same address, on another folder; `data` is the first one's.
    pub(crate) fn kill_and_start_on(&mut self, folder: &str) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let address = self.endpoint.trim_start_matches("http://").to_owned();
        let (child, _, admin_endpoint) = spawn(&self.folder.path().join(folder), &address);
        self.child = child;
        self.admin_endpoint = admin_endpoint;
    }

    /// The file of the admin token.
    pub(crate) fn admin_token_file(&self) -> PathBuf {
        self.folder.path().join("data/admin.token")
    }

    /// A socialctl whose context is this server, admin included.
    pub(crate) fn ctl(&self) -> Ctl {
        let ctl = Ctl::new();
        let (token, admin) = (self.admin_token_file(), self.admin_endpoint.as_str());
        let set = [
            "context",
            "set",
            "test",
            "--endpoint",
            &self.endpoint,
            "--admin-endpoint",
            admin,
            "--admin-token-file",
        ];
        ctl.ok(set.into_iter().chain([token.to_str().unwrap()]));
        ctl
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server and waits for the line that says where it listens.
fn spawn(data: &Path, listen: &str) -> (Child, String, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_socialctl")).with_file_name("social-server");
    assert!(
        binary.exists(),
        "{} is not there: run `cargo build -p social-server`",
        binary.display()
    );
    let mut command = Command::new(binary);
    command
        .args([
            "serve",
            "--listen",
            listen,
            "--admin-listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
    let line = line
        .expect("the server ended before it listened")
        .replace("grpc://", "http://");
    // Read on, so that the server never waits for a reader of its output.
    std::thread::spawn(move || lines.for_each(drop));
    let (endpoint, admin) = line.split_once(" (admin ").unwrap();
    (child, endpoint.to_owned(), admin.trim_end_matches(')').to_owned())
}

impl Ctl {
    /// Registers a user, who is the current one then. Gives the id.
    pub(crate) fn register(&self, handle: &str) -> String {
        let mut command = self.command(["auth", "register", handle, "-o", "id"]);
        let run = super::Run::from(command.env("SOCIALCTL_PASSWORD", PASSWORD).output().unwrap());
        run.ok().trim().to_owned()
    }
}
