//! `cargo xtask cluster`: two api and two worker processes over real services, for trying out by hand.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use xtask::services::{Options, Services};

use crate::run;

/// The processes: name, role, public port, operators' port.
const PROCESSES: [(&str, &str, u16, u16); 4] = [
    ("api-1", "api", 50051, 50052),
    ("api-2", "api", 50061, 50062),
    ("worker-1", "worker", 50071, 50072),
    ("worker-2", "worker", 50081, 50082),
];
/// How often it is looked which are alive.
const LOOK: Duration = Duration::from_millis(500);

/// Starts services and processes, says how to use them, and ends them with this process.
pub(crate) fn run() -> Result<(), String> {
    build()?;
    let services = Services::start(Options::default())?;
    println!("CQL store: {} at {}", services.cql.what(), services.cql.addresses());
    println!("Redis: {} at {}", services.redis.what(), services.redis.url());
    let home = Home::make()?;
    let file = home.config(&services)?;
    migrate(&file)?;
    let mut processes = Vec::new();
    for process in PROCESSES {
        processes.push(Process::start(&file, &home, process)?);
    }
    println!("{}", welcome(&file, &home));
    while !processes.is_empty() {
        std::thread::sleep(LOOK);
        processes.retain_mut(Process::runs);
    }
    Err("no process is left".to_owned())
}

fn build() -> Result<(), String> {
    let mut build = run::cargo();
    build.args(["build", "--release", "--locked", "-p", "social-server"]);
    done(&mut build, "the server was not built")
}

fn migrate(file: &Path) -> Result<(), String> {
    let mut migrate = Command::new(server());
    migrate.arg("migrate").arg("--config").arg(file);
    done(&mut migrate, "the keyspace was not migrated")
}

fn done(command: &mut Command, otherwise: &str) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(otherwise.to_owned()),
        Err(error) => Err(format!("{otherwise}: {error}")),
    }
}

fn server() -> PathBuf {
    xtask::target().join("release/social-server")
}

/// The folder of the processes: their configuration, the keys that they share, and what each logs.
struct Home(PathBuf);

impl Home {
    fn make() -> Result<Self, String> {
        let home = xtask::target().join("cluster");
        fs::create_dir_all(&home).map_err(|error| format!("cannot make {}: {error}", home.display()))?;
        Ok(Self(home))
    }

    /// Writes the configuration that all processes begin with.
    fn config(&self, services: &Services) -> Result<PathBuf, String> {
        let points: Vec<String> = services
            .cql
            .addresses()
            .split(',')
            .map(|address| format!("{address:?}"))
            .collect();
        let mut text =
            String::from("# What every process of the cluster shares; role, ports and folder are flags of each.\n");
        let _ = write!(
            text,
            "store = \"cluster\"\nkeys_dir = {:?}\nreflection = true\n\n[cluster.cql]\ncontact_points = [{}]\nkeyspace = \"social\"\nreplication = \"1\"\n\n\
             [cluster.redis]\nurl = {:?}\n",
            self.0.join("keys"),
            points.join(", "),
            services.redis.url(),
        );
        let file = self.0.join("cluster.toml");
        fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(file)
    }
}

/// A process of the cluster; ends with its owner.
struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn start(
        file: &Path,
        home: &Home,
        (name, role, port, admin): (&'static str, &str, u16, u16),
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{name} cannot be started: {error}");
        let folder = home.0.join(name);
        fs::create_dir_all(&folder).map_err(failed)?;
        let log = fs::File::create(folder.join("log")).map_err(failed)?;
        let mut command = Command::new(server());
        command
            .arg("--config")
            .arg(file)
            .args(["--cluster-roles", role, "--cluster-name", name]);
        command.arg("--data-dir").arg(&folder);
        command.args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--admin-listen",
            &format!("127.0.0.1:{admin}"),
        ]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            // It says where it listens once it serves; nothing else follows there.
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        if line.is_empty() {
            let _ = child.wait();
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!("{name} did not start: {}", log.trim()));
        }
        println!("{name}: {}", line.trim());
        Ok(Self { name, child })
    }

    /// Whether it runs still. Says it when it does not: the others do its work.
    fn runs(&mut self) -> bool {
        match self.child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                println!("{} ended: {status}; the others go on", self.name);
                false
            }
            Err(error) => {
                println!("{} cannot be watched: {error}", self.name);
                false
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn welcome(file: &Path, home: &Home) -> String {
    let [token, other] = ["api-1", "api-2"].map(|name| home.0.join(name).join("admin.token"));
    format!(
        "
A cluster of two api and two worker processes. In another terminal, a context on each api process:

  socialctl context set one --endpoint http://127.0.0.1:50051 --admin-endpoint http://127.0.0.1:50052 --admin-token-file {token}
  socialctl context set two --endpoint http://127.0.0.1:50061 --admin-endpoint http://127.0.0.1:50062 --admin-token-file {other}
  socialctl --context one auth register alice
  socialctl --context two auth register bob
  socialctl --context one graph follow bob
  socialctl --context two post create 'Through the other process' --wait
  socialctl --context one timeline home
  socialctl --context one admin cluster

A configuration to start from: {file}
What the processes log: {logs}/*/log
Any of them may be killed: the others go on, and what was acknowledged arrives.
Ctrl-C ends all of it, and what it holds.",
        token = token.display(),
        other = other.display(),
        file = file.display(),
        logs = home.0.display(),
    )
}
