//! Redis: what there is, or one that is started here. It holds only derived data, so it stores nothing.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{Folder, Handle, Server, docker, random};
use super::{ports, probe, software};

/// Where the address of a Redis that is there already is looked for.
pub const VARIABLE: &str = "SOCIAL_TEST_REDIS";

const HOST: &str = "127.0.0.1";
const IMAGE: &str = "docker.io/library/redis:7";
const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_WITH_DOCKER: Duration = Duration::from_secs(300);
/// Hash slots of Redis Cluster.
const SLOTS: usize = 16_384;

/// What kind of Redis is to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A Redis Cluster of three masters instead of one server.
    pub cluster: bool,
    /// What the default user has to show.
    pub password: Option<String>,
}

/// A Redis. What was started here ends with it.
#[derive(Debug)]
pub struct Redis {
    what: String,
    url: String,
    password: Option<String>,
    nodes: Vec<Node>,
    // After the nodes, which live in it.
    folder: Option<Folder>,
}

/// A server of a Redis.
#[derive(Debug)]
pub struct Node {
    address: String,
    password: Option<String>,
    patience: Duration,
    server: Server,
}

/// What tests that start a Redis of their own look for in their environment: the program.
pub const PROGRAM: &str = "SOCIAL_TEST_REDIS_SERVER";

/// The program `redis-server`: the one on `PATH`, or else one that is installed for the tests.
pub fn program() -> Result<PathBuf, String> {
    if let Some(program) = software::on_path("redis-server") {
        return Ok(program);
    }
    if software::install(&["redis-server"])
        && let Some(program) = software::on_path("redis-server")
    {
        return Ok(program);
    }
    software::embedded_redis()
        .map_err(|error| format!("install redis-server (Debian: apt-get install redis-server), or else: {error}"))
}

/// Ways to a Redis, in the order of preference.
enum Way {
    Program(PathBuf),
    Docker,
}

impl Way {
    fn find() -> Result<Self, String> {
        if let Some(program) = software::on_path("redis-server") {
            return Ok(Self::Program(program));
        }
        if software::docker_answers() {
            return Ok(Self::Docker);
        }
        program().map(Self::Program)
    }

    fn name(&self) -> String {
        match self {
            Self::Program(program) => format!("Redis, {}", program.display()),
            Self::Docker => format!("Redis, {IMAGE}"),
        }
    }
}

impl Redis {
    /// The Redis whose URL the environment gives, when it gives one; it must answer.
    pub fn given() -> Result<Option<Self>, String> {
        let Ok(url) = env::var(VARIABLE) else {
            return Ok(None);
        };
        let redis = Self {
            what: format!("given by {VARIABLE}"),
            url,
            password: None,
            nodes: Vec::new(),
            folder: None,
        };
        redis.check().map_err(|error| format!("{VARIABLE}: {error}"))?;
        Ok(Some(redis))
    }

    /// Starts a Redis of our own.
    pub fn start(options: &Options) -> Result<Self, String> {
        let way = Way::find()?;
        let folder = Folder::new()?;
        let ports = ports::free::<3>(&[HOST])?;
        let ports = if options.cluster { &ports[..] } else { &ports[..1] };
        let mut nodes = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let name = format!("redis-{}", number + 1);
            let inside = folder.inside(&name)?;
            let mut node = Node::new(&way, &name, *port, options, inside);
            node.start()?;
            nodes.push(node);
        }
        let redis = Self {
            what: way.name(),
            url: url(ports, options),
            password: options.password.clone(),
            nodes,
            folder: Some(folder),
        };
        if options.cluster {
            redis.join()?;
        }
        Ok(redis)
    }

    /// What it is, for people.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Its URL: `redis://host:port`, or `redis-cluster://host:port?node=host:port&node=…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its servers, to be killed, frozen and started again. None when they were not started here.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// An error when one of its servers does not answer.
    pub fn check(&self) -> Result<(), String> {
        let addresses = addresses(&self.url)?;
        for address in addresses {
            if self.url.starts_with("rediss") {
                // Whoever connects with TLS learns the rest.
                probe::listens(&address)?;
                continue;
            }
            match probe::redis(&address, self.password.as_deref(), &["PING"]) {
                Ok(_) => {}
                // It wants a name or a password that only its owner knows: it answers.
                Err(error) if error.starts_with("NOAUTH") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes one cluster of three servers, as `redis-cli --cluster create` does.
    fn join(&self) -> Result<(), String> {
        let share = SLOTS.div_ceil(self.nodes.len());
        for (number, node) in self.nodes.iter().enumerate() {
            let slots = number * share..((number + 1) * share).min(SLOTS);
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let mut command = vec!["CLUSTER", "ADDSLOTS"];
            command.extend(slots.iter().map(String::as_str));
            node.ask(&command)?;
            // Otherwise all claim the same epoch, and argue about it first.
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
            if number > 0 {
                let (host, port) = node.address.split_once(':').unwrap_or_default();
                self.nodes[0].ask(&["CLUSTER", "MEET", host, port])?;
            }
        }
        let start = Instant::now();
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in &self.nodes {
            loop {
                let state = node.ask(&["CLUSTER", "INFO"])?;
                if state.contains("cluster_state:ok") && state.contains(&known) {
                    break;
                }
                if start.elapsed() > PATIENCE {
                    return Err(format!("the Redis Cluster does not come together: {state}"));
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Vec<Server>, Option<Folder>) {
        (self.nodes.into_iter().map(|node| node.server).collect(), self.folder)
    }
}

impl Node {
    fn new(way: &Way, name: &str, port: u16, options: &Options, folder: PathBuf) -> Self {
        let (mut command, handle) = match way {
            Way::Program(program) => {
                let mut command = Command::new(program);
                command.current_dir(&folder).args(["--bind", HOST]);
                (command, Handle::Process)
            }
            Way::Docker => {
                let container = format!("social-services-{:016x}", random());
                let mut command = docker(&["run", "--name", &container]);
                if options.cluster {
                    // Its servers tell clients each other's addresses.
                    command.args(["--network", "host", IMAGE, "redis-server", "--bind", HOST]);
                } else {
                    let published = format!("{HOST}:{port}:{port}");
                    command.args(["--publish", &published, IMAGE, "redis-server"]);
                }
                (command, Handle::Container(container))
            }
        };
        command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        if options.cluster {
            command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
        }
        if let Some(password) = &options.password {
            command.args(["--requirepass", password, "--masterauth", password]);
        }
        Self {
            address: format!("{HOST}:{port}"),
            password: options.password.clone(),
            patience: match handle {
                Handle::Process => PATIENCE,
                Handle::Container(_) => PATIENCE_WITH_DOCKER,
            },
            server: Server::new(name, command, handle, folder),
        }
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server, to be killed, frozen and thawed.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Starts it, empty, and waits until it answers.
    pub fn start(&mut self) -> Result<(), String> {
        self.server.launch()?;
        let (address, password) = (self.address.clone(), self.password.clone());
        self.server.wait(self.patience, || {
            probe::redis(&address, password.as_deref(), &["PING"]).map(drop)
        })
    }

    /// Sends it one command, such as FLUSHALL, and gives the answer as text.
    pub fn ask(&self, command: &[&str]) -> Result<String, String> {
        probe::redis(&self.address, self.password.as_deref(), command)
    }
}

fn url(ports: &[u16], options: &Options) -> String {
    let scheme = if options.cluster { "redis-cluster" } else { "redis" };
    let login = options.password.as_ref().map(|password| format!(":{password}@"));
    let mut url = format!("{scheme}://{}{HOST}:{}", login.unwrap_or_default(), ports[0]);
    for (number, port) in ports.iter().enumerate().skip(1) {
        url.push(if number == 1 { '?' } else { '&' });
        url.push_str(&format!("node={HOST}:{port}"));
    }
    url
}

/// The addresses in a URL of Redis.
pub(super) fn addresses(url: &str) -> Result<Vec<String>, String> {
    let (_, rest) = url
        .split_once("://")
        .ok_or("it has to be a URL, as redis://host:port")?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let first = place.rsplit('@').next().unwrap_or(place);
    let first = first.split('/').next().unwrap_or(first);
    let others = query.split('&').filter_map(|pair| pair.strip_prefix("node="));
    let complete = |address: &str| match address.contains(':') {
        true => address.to_owned(),
        false => format!("{address}:6379"),
    };
    Ok(std::iter::once(first).chain(others).map(complete).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_written_and_read() {
        let mut options = Options::default();
        assert_eq!(url(&[1], &options), "redis://127.0.0.1:1");
        options.cluster = true;
        options.password = Some("secret".to_owned());
        let url = url(&[1, 2, 3], &options);
        assert_eq!(
            url,
            "redis-cluster://:secret@127.0.0.1:1?node=127.0.0.1:2&node=127.0.0.1:3"
        );
        let expected = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(str::to_owned);
        assert_eq!(addresses(&url), Ok(expected.to_vec()));
        assert_eq!(addresses("rediss://u:p@host/3"), Ok(vec!["host:6379".to_owned()]));
        assert!(addresses("host:6379").is_err());
    }
}
