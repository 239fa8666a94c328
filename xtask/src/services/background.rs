//! Services that stay when the command ends: `up`, `down`, `status`. What is up is written down in a file.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{self, FOLDER, Handle};
use super::{Options, Services, cql, probe, redis, software};

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `up` started, a line each: a word, and what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    shape: String,
    cql: String,
    redis: String,
    folders: Vec<PathBuf>,
    processes: Vec<Process>,
    containers: Vec<String>,
}

/// A process, told by its start from a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    name: String,
    pid: u32,
    started: String,
}

impl Process {
    fn lives(&self) -> bool {
        process::started(self.pid).as_ref() == Some(&self.started)
    }
}

impl State {
    fn path() -> PathBuf {
        software::cache().join("state")
    }

    fn read() -> Result<Option<Self>, String> {
        let path = Self::path();
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text)
                .map(Some)
                .ok_or_else(|| format!("{} cannot be read", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn write(&self) -> Result<(), String> {
        let folder = software::cache();
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        process::write(&Self::path(), &self.text())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut state = Self::default();
        for line in text.lines() {
            let (word, value) = line.split_once('\t')?;
            match word {
                "shape" => value.clone_into(&mut state.shape),
                "cql" => value.clone_into(&mut state.cql),
                "redis" => value.clone_into(&mut state.redis),
                "folder" => state.folders.push(value.into()),
                "container" => state.containers.push(value.to_owned()),
                "process" => {
                    let mut parts = value.splitn(3, '\t');
                    state.processes.push(Process {
                        name: parts.next()?.to_owned(),
                        pid: parts.next()?.parse().ok()?,
                        started: parts.next()?.to_owned(),
                    });
                }
                _ => return None,
            }
        }
        Some(state)
    }

    fn text(&self) -> String {
        let mut text = format!("shape\t{}\ncql\t{}\nredis\t{}\n", self.shape, self.cql, self.redis);
        for folder in &self.folders {
            text.push_str(&format!("folder\t{}\n", folder.display()));
        }
        for name in &self.containers {
            text.push_str(&format!("container\t{name}\n"));
        }
        for Process { name, pid, started } in &self.processes {
            text.push_str(&format!("process\t{name}\t{pid}\t{started}\n"));
        }
        text
    }

    fn exports(&self) -> String {
        let Self { cql, redis, .. } = self;
        format!("export {}='{cql}'\nexport {}='{redis}'", cql::VARIABLE, redis::VARIABLE)
    }

    /// The address of each server, and what is wrong with it.
    fn check(&self) -> Vec<(String, Result<(), String>)> {
        let cql = self.cql.split(',').map(|address| {
            let answer = probe::cql(address, None, cql::ITSELF, probe::Consistency::One);
            (format!("CQL {address}"), answer)
        });
        let redis = redis::addresses(&self.redis).unwrap_or_default();
        let redis = redis.into_iter().map(|address| {
            let answer = probe::redis(&address, None, &["PING"]);
            (format!("Redis {address}"), answer.map(drop))
        });
        cql.chain(redis).collect()
    }

    fn answers(&self) -> bool {
        self.check().iter().all(|(_, answer)| answer.is_ok())
    }
}

fn shape(options: Options) -> String {
    let nodes = if options.ring { "3 CQL nodes" } else { "1 CQL node" };
    let redis = if options.redis_cluster {
        "Redis Cluster"
    } else {
        "Redis"
    };
    format!("{nodes}, {redis}")
}

/// Starts services that stay until `down`, and prints their addresses on stdout as a shell takes them.
pub fn up(options: Options) -> Result<(), String> {
    let shape = shape(options);
    if let Some(state) = State::read()? {
        if state.shape == shape && state.answers() {
            eprintln!("up already: {shape}");
            println!("{}", state.exports());
            return Ok(());
        }
        if state.processes.iter().any(Process::lives) || !state.containers.is_empty() {
            let other = "something else is up, or does not answer: `cargo xtask services down` first";
            return Err(format!("{other} ({})", state.shape));
        }
        down()?;
    }
    let start = Instant::now();
    let services = Services::start(options)?;
    let took = start.elapsed().as_secs_f64();
    eprintln!("{}\n{}", services.cql.what(), services.redis.what());
    let state = keep(services, shape)?;
    eprintln!("up in {took:.1} s; `cargo xtask services down` ends them");
    println!("{}", state.exports());
    Ok(())
}

/// Lets the services live on, and writes down what they are.
fn keep(services: Services, shape: String) -> Result<State, String> {
    let mut state = State {
        shape,
        cql: services.cql.addresses(),
        redis: services.redis.url().to_owned(),
        ..State::default()
    };
    let Services { cql, redis } = services;
    let (mut servers, cql_folder) = cql.into_parts();
    let (more, redis_folder) = redis.into_parts();
    servers.extend(more);
    let mut folders: Vec<_> = cql_folder.into_iter().chain(redis_folder).collect();
    for server in &servers {
        match (server.handle(), server.pid()) {
            (Handle::Container(name), _) => state.containers.push(name.clone()),
            (Handle::Process, Some(pid)) => state.processes.push(Process {
                name: server.name().to_owned(),
                pid,
                started: process::started(pid).ok_or_else(|| format!("{} ended", server.name()))?,
            }),
            (Handle::Process, None) => return Err(format!("{} ended", server.name())),
        }
    }
    state.folders = folders.iter().map(|folder| folder.path().to_owned()).collect();
    // From here on the file knows them; what fails before ends them all.
    state.write()?;
    folders.iter_mut().for_each(process::Folder::keep);
    servers.into_iter().for_each(process::Server::detach);
    Ok(state)
}

/// Ends what `up` started, and nothing else, with its data.
pub fn down() -> Result<(), String> {
    let Some(state) = State::read()? else {
        eprintln!("nothing is up");
        return Ok(());
    };
    for container in &state.containers {
        process::remove(container);
    }
    for process in state.processes.iter().filter(|process| process.lives()) {
        process::signal(process.pid, "KILL");
    }
    let start = Instant::now();
    while let Some(left) = state.processes.iter().find(|process| process.lives()) {
        if start.elapsed() > PATIENCE {
            return Err(format!("{} (process {}) does not end", left.name, left.pid));
        }
        thread::sleep(Duration::from_millis(50));
    }
    for folder in &state.folders {
        let ours = folder
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(FOLDER));
        if ours && folder.is_dir() {
            fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
    }
    let path = State::path();
    fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("down: {}", state.shape);
    Ok(())
}

/// Prints what is up, whether it answers, and its memory. Answers whether all is well.
pub fn status() -> Result<bool, String> {
    let Some(state) = State::read()? else {
        println!("nothing is up");
        return Ok(false);
    };
    println!("{}", state.shape);
    let mut well = true;
    for (address, answer) in state.check() {
        match answer {
            Ok(()) => println!("{address} answers"),
            Err(error) => {
                well = false;
                println!("{address} does not answer: {error}");
            }
        }
    }
    for process in &state.processes {
        let memory = process.lives().then(|| process::memory_mb(process.pid)).flatten();
        let memory = memory.map_or_else(|| "ended".to_owned(), |memory| format!("{memory} MB resident"));
        println!("{} is process {}: {memory}", process.name, process.pid);
    }
    for container in &state.containers {
        println!("container {container}");
    }
    println!("{}", state.exports());
    Ok(well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let state = State {
            shape: shape(Options {
                ring: true,
                redis_cluster: false,
            }),
            cql: "127.0.0.1:1,127.0.0.2:1".to_owned(),
            redis: "redis://127.0.0.1:2".to_owned(),
            folders: vec!["/tmp/a b".into()],
            processes: vec![Process {
                name: "cql-1".to_owned(),
                pid: 7,
                started: "Sat Nov 21 13:40:28 2026".to_owned(),
            }],
            containers: vec!["c".to_owned()],
        };
        assert_eq!(State::parse(&state.text()), Some(state));
        assert_eq!(State::parse("rubbish"), None);
    }

    #[test]
    fn another_process_of_the_same_number_is_let_alone() {
        let pid = std::process::id();
        let started = process::started(pid).expect("we run");
        let us = Process {
            name: "us".to_owned(),
            pid,
            started,
        };
        assert!(us.lives());
        let other = Process {
            started: "Thu Jan  1 00:00:00 1970".to_owned(),
            ..us
        };
        assert!(!other.lives());
    }
}
