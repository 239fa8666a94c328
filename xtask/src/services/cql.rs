//! The CQL store: what there is, or one that is started here.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cassandra::Software;
use super::probe::{self, Consistency, Login};
use super::process::{Folder, Handle, Server, random};
use super::{scylla, software};

/// Where the address of a store that is there already is looked for.
pub const VARIABLE: &str = "SOCIAL_TEST_CQL";
/// User and password of a store that was started with passwords.
pub const LOGIN: (&str, &str) = ("cassandra", "cassandra");

const HOSTS: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
/// A store starts in 5 to 20 s on a quiet machine of two cores; an image may have to be fetched first.
const PATIENCE: Duration = Duration::from_secs(180);
const PATIENCE_WITH_DOCKER: Duration = Duration::from_secs(600);
/// Both stores have this table, replicated three times where there are three nodes: so a read at ALL succeeds where a node
/// sees all others, and only there.
const EVERYBODY: &str =
    "SELECT * FROM system_distributed.view_build_status WHERE keyspace_name = 'x' AND view_name = 'x'";
pub(super) const ITSELF: &str = "SELECT release_version FROM system.local";

/// What kind of store is to be started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A ring of three nodes, on 127.0.0.1, .2 and .3, instead of one node.
    pub ring: bool,
    /// Asks for [`LOGIN`], and keeps rights.
    pub passwords: bool,
}

/// One node's place in its ring.
#[derive(Debug)]
pub(super) struct Seat<'a> {
    pub(super) number: usize,
    /// Of all nodes.
    pub(super) hosts: &'a [&'a str],
    pub(super) storage_port: u16,
    pub(super) cql_port: u16,
    pub(super) folder: &'a Path,
    pub(super) passwords: bool,
}

impl Seat<'_> {
    pub(super) fn host(&self) -> &str {
        self.hosts[self.number]
    }

    pub(super) fn nodes(&self) -> usize {
        self.hosts.len()
    }
}

/// A CQL store. What was started here ends with it.
#[derive(Debug)]
pub struct Cql {
    what: String,
    nodes: Vec<Node>,
    // After the nodes, which live in it.
    folder: Option<Folder>,
}

/// A node of the store.
#[derive(Debug)]
pub struct Node {
    address: String,
    passwords: bool,
    patience: Duration,
    server: Option<Server>,
}

/// Ways to a store, in the order of preference.
enum Way {
    Scylla(PathBuf),
    Cassandra(Software),
    Docker,
}

impl Way {
    fn find() -> Result<Self, String> {
        if let Some(program) = software::on_path("scylla") {
            return Ok(Self::Scylla(program));
        }
        if let Some(program) = software::on_path("cassandra") {
            return Software::installed(&program).map(Self::Cassandra);
        }
        if software::docker_answers() {
            return Ok(Self::Docker);
        }
        Software::fetched().map(Self::Cassandra)
    }

    fn name(&self) -> String {
        match self {
            Self::Scylla(program) => format!("ScyllaDB, {}", program.display()),
            Self::Cassandra(software) => software.name(),
            Self::Docker => format!("ScyllaDB, {}", scylla::IMAGE),
        }
    }

    fn node(&self, seat: &Seat<'_>) -> Result<(Command, Handle), String> {
        Ok(match self {
            Self::Scylla(program) => (scylla::program(program, seat)?, Handle::Process),
            Self::Cassandra(software) => (software.node(seat)?, Handle::Process),
            Self::Docker => {
                let name = format!("social-services-{:016x}", random());
                (scylla::container(&name, seat), Handle::Container(name))
            }
        })
    }
}

impl Cql {
    /// The store whose addresses the environment gives, when it gives any; it must answer.
    pub fn given() -> Result<Option<Self>, String> {
        let Ok(addresses) = env::var(VARIABLE) else {
            return Ok(None);
        };
        let node = |address: &str| Node {
            address: address.trim().to_owned(),
            passwords: false,
            patience: Duration::ZERO,
            server: None,
        };
        let cql = Self {
            what: format!("given by {VARIABLE}"),
            nodes: addresses.split(',').map(node).collect(),
            folder: None,
        };
        for node in &cql.nodes {
            node.check()
                .map_err(|error| format!("{VARIABLE}={addresses}: {error}"))?;
        }
        Ok(Some(cql))
    }

    /// Starts a store of our own: to kill its nodes, or to be alone with it.
    pub fn start(options: Options) -> Result<Self, String> {
        let way = Way::find()?;
        let hosts = if options.ring { &HOSTS[..] } else { &HOSTS[..1] };
        let folder = Folder::new()?;
        let [storage_port, cql_port] = super::ports::free(hosts).map_err(|error| match cfg!(target_os = "macos") {
            true => format!("{error} (sudo ifconfig lo0 alias 127.0.0.2, and .3, adds them)"),
            false => error,
        })?;
        let mut cql = Self {
            what: way.name(),
            nodes: Vec::new(),
            folder: None,
        };
        for (number, host) in hosts.iter().enumerate() {
            let name = format!("cql-{}", number + 1);
            let inside = folder.inside(&name)?;
            let seat = Seat {
                number,
                hosts,
                storage_port,
                cql_port,
                folder: &inside,
                passwords: options.passwords,
            };
            let (command, handle) = way.node(&seat)?;
            let mut node = Node {
                address: format!("{host}:{cql_port}"),
                passwords: options.passwords,
                patience: match handle {
                    Handle::Process => PATIENCE,
                    Handle::Container(_) => PATIENCE_WITH_DOCKER,
                },
                server: Some(Server::new(name, command, handle, inside)),
            };
            // One after another: each greets those that are there already.
            node.start()?;
            cql.nodes.push(node);
        }
        cql.folder = Some(folder);
        cql.wait_whole()?;
        Ok(cql)
    }

    /// What it is, for people.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Its addresses `host:port`, with commas between them.
    pub fn addresses(&self) -> String {
        let addresses: Vec<&str> = self.nodes.iter().map(Node::address).collect();
        addresses.join(",")
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Its nodes, to be killed and started again.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Waits until every node sees every other, as after a node was started again.
    pub fn wait_whole(&mut self) -> Result<(), String> {
        if self.nodes.len() == 1 {
            return Ok(());
        }
        for node in &mut self.nodes {
            let (address, login) = (node.address.clone(), node.login());
            if let Some(server) = &mut node.server {
                let whole = || probe::cql(&address, login, EVERYBODY, Consistency::All);
                server.wait(PATIENCE, whole)?;
            }
        }
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Vec<Server>, Option<Folder>) {
        let servers = self.nodes.into_iter().filter_map(|node| node.server);
        (servers.collect(), self.folder)
    }
}

impl Node {
    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An error when it does not answer a query.
    pub fn check(&self) -> Result<(), String> {
        match probe::cql(&self.address, self.login(), ITSELF, Consistency::One) {
            // It may want a password that only its owner knows: it answers.
            Err(error) if self.server.is_none() && error == probe::PASSWORD => Ok(()),
            other => other,
        }
    }

    /// The server, to be killed, frozen and thawed. None when it was not started here.
    pub fn server(&mut self) -> Option<&mut Server> {
        self.server.as_mut()
    }

    /// Starts it, with the data that it had, and waits until it answers.
    pub fn start(&mut self) -> Result<(), String> {
        let (address, login) = (self.address.clone(), self.login());
        let Some(server) = &mut self.server else {
            return Err(format!("{} was not started here", self.address));
        };
        server.launch()?;
        server.wait(self.patience, || probe::cql(&address, login, ITSELF, Consistency::One))
    }

    fn login(&self) -> Option<Login<'static>> {
        self.passwords.then_some(LOGIN)
    }
}
