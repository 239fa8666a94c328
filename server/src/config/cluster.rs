//! The cluster: which part the process takes, and where the stores are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use social_core::id::IMPORT_NODE;
use social_store::cluster;

/// The port of a CQL store where an address names none.
const CQL_PORT: u16 = 9042;
/// The longest name of a keyspace that stores take.
const KEYSPACE_CHARS: usize = 48;
/// The longest name of a process.
const NAME_CHARS: usize = 64;
/// Copies that a keyspace may have.
const COPIES: std::ops::RangeInclusive<u8> = 1..=16;

/// What holds everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// The data folder, for one process.
    #[default]
    Embedded,
    /// A CQL store and Redis, for any number of processes.
    Cluster,
}

/// A part that a process of a cluster takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Serves clients at the public port.
    Api,
    /// Drives fan-out.
    Worker,
}

impl Role {
    /// Its name, as in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// The cluster that the process belongs to, where `store` says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// What the process does.
    pub roles: Vec<Role>,
    /// Its node number, which no other process may have; left out, it leases one that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<u16>,
    /// What operators know it by; its host and process id if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The CQL store.
    pub cql: Cql,
    /// Redis.
    pub redis: Redis,
}

/// The CQL store: ScyllaDB or Apache Cassandra.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cql {
    /// Nodes to begin with, as `host:port`; the others are found through them.
    pub contact_points: Vec<String>,
    /// The keyspace that holds the platform.
    pub keyspace: String,
    /// The data centre whose nodes are asked; all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<String>,
    /// Copies of each row, where `social-server migrate` makes the keyspace.
    pub replication: Replication,
    /// The user to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file of the user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM file of the certificates to trust. With it connections are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How many copies each class of statement waits for.
    pub consistency: Consistencies,
}

/// How many copies each class of statement waits for. Truth is safe only where the copies read and those written overlap: anything below
/// the defaults is for experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consistencies {
    /// Reads of truth.
    pub truth_read: Consistency,
    /// Writes of truth.
    pub truth_write: Consistency,
    /// Reads of home timelines.
    pub timeline_read: Consistency,
    /// Writes of home timelines.
    pub timeline_write: Consistency,
}

/// Copies that a statement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// One copy.
    One,
    /// More than half of all.
    Quorum,
    /// More than half of those in the data centre.
    LocalQuorum,
    /// Every copy.
    All,
}

/// Redis, which holds what can be made again: counts, hints and wake-ups.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// Its URL, without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The file of its URL, where that holds a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// PEM file of the certificates to trust instead of the system's, for a URL of TLS (`rediss://`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What every key begins with, so that several platforms can share a Redis.
    pub prefix: String,
}

/// Copies of each row: `3` in every data centre, or `dc1:3,dc2:2`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Replication(cluster::Replication);

/// A text that says nothing of copies.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` says not how many copies: write a number from 1 to 16, as in 3, or one a data centre, as in dc1:3,dc2:3"
)]
pub struct ParseReplicationError(String);

impl Default for Cluster {
    fn default() -> Self {
        Self {
            roles: vec![Role::Api, Role::Worker],
            node: None,
            name: None,
            cql: Cql::default(),
            redis: Redis::default(),
        }
    }
}

impl Default for Cql {
    fn default() -> Self {
        Self {
            contact_points: Vec::new(),
            keyspace: "social".to_owned(),
            datacenter: None,
            replication: Replication(cluster::Replication::Factor(3)),
            user: None,
            password_file: None,
            ca_file: None,
            consistency: Consistencies::default(),
        }
    }
}

impl Default for Consistencies {
    fn default() -> Self {
        Self {
            truth_read: Consistency::Quorum,
            truth_write: Consistency::Quorum,
            timeline_read: Consistency::Quorum,
            timeline_write: Consistency::Quorum,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            ca_file: None,
            prefix: "social".to_owned(),
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password before it is refused for it.
        f.debug_struct("Redis")
            .field("url_file", &self.url_file)
            .field("ca_file", &self.ca_file)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Replication {
    /// As the store takes it.
    #[must_use]
    pub fn get(&self) -> &cluster::Replication {
        &self.0
    }
}

impl FromStr for Replication {
    type Err = ParseReplicationError;

    fn from_str(text: &str) -> Result<Self, ParseReplicationError> {
        let copies = |text: &str| text.trim().parse().ok().filter(|copies| COPIES.contains(copies));
        let of_one = |part: &str| {
            let (name, number) = part.rsplit_once(':')?;
            let name = name.trim();
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            is_name.then_some(())?;
            Some((name.to_owned(), copies(number)?))
        };
        let read = match copies(text) {
            Some(factor) => Some(cluster::Replication::Factor(factor)),
            None => text
                .split(',')
                .map(of_one)
                .collect::<Option<Vec<_>>>()
                .map(cluster::Replication::Datacenters),
        };
        read.map(Self).ok_or_else(|| ParseReplicationError(text.to_owned()))
    }
}

impl TryFrom<String> for Replication {
    type Error = ParseReplicationError;

    fn try_from(text: String) -> Result<Self, ParseReplicationError> {
        text.parse()
    }
}

impl From<Replication> for String {
    fn from(replication: Replication) -> Self {
        match replication.0 {
            cluster::Replication::Factor(factor) => factor.to_string(),
            cluster::Replication::Datacenters(all) => {
                let parts: Vec<_> = all.iter().map(|(name, copies)| format!("{name}:{copies}")).collect();
                parts.join(",")
            }
        }
    }
}

impl Cluster {
    /// Whether the process has a role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Refuses what cannot be used, where the cluster is what the process works on.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.roles.is_empty() {
            problems.push("cluster.roles: is empty; write api, worker or both".into());
        }
        if self.node.is_some_and(|node| !(1..IMPORT_NODE).contains(&node)) {
            let last = IMPORT_NODE - 1;
            problems.push(format!(
                "cluster.node: must be from 1 to {last}, and of this process alone"
            ));
        }
        let is_name = |name: &str| (1..=NAME_CHARS).contains(&name.len()) && name.chars().all(is_plain);
        if self.name.as_deref().is_some_and(|name| !is_name(name)) {
            problems.push(format!(
                "cluster.name: must be 1 to {NAME_CHARS} letters, digits, `-`, `_`, `.` or `:`"
            ));
        }
        self.cql.check(problems);
        self.redis.check(problems);
    }
}

impl Cql {
    /// The nodes to begin with, each with its port.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let points = self.contact_points.iter();
        points.filter_map(|point| address(point)).collect()
    }

    fn check(&self, problems: &mut Vec<String>) {
        if self.contact_points.is_empty() {
            problems
                .push("cluster.cql.contact_points: is empty; name a node of the CQL store, as in 10.0.0.1:9042".into());
        }
        for point in self.contact_points.iter().filter(|point| address(point).is_none()) {
            problems.push(format!(
                "cluster.cql.contact_points: `{point}` is no address; write host:port, as in 10.0.0.1:9042"
            ));
        }
        if !is_keyspace(&self.keyspace) {
            problems.push(format!(
                "cluster.cql.keyspace: `{}` must be 1 to {KEYSPACE_CHARS} of a-z, 0-9 and `_`, a letter first",
                self.keyspace
            ));
        }
        match (&self.user, &self.password_file) {
            (Some(_), None) => problems.push("cluster.cql.password_file: is missing; a user needs a password".into()),
            (None, Some(_)) => problems.push("cluster.cql.user: is missing; a password is of a user".into()),
            _ => {}
        }
    }
}

impl Redis {
    fn check(&self, problems: &mut Vec<String>) {
        match (&self.url, &self.url_file) {
            (None, None) => problems.push(
                "cluster.redis.url: is missing; set it, as in redis://10.0.0.1:6379, or cluster.redis.url_file".into(),
            ),
            (Some(_), Some(_)) => {
                problems.push("cluster.redis.url: is set beside cluster.redis.url_file; one of the two".into());
            }
            _ => {}
        }
        if self.url.as_deref().is_some_and(holds_password) {
            problems.push(
                "cluster.redis.url: holds a password, which others could read here; write the whole URL into a file that only the \
                 server's user may read, and name that in cluster.redis.url_file"
                    .into(),
            );
        }
        if self.prefix.is_empty() || !self.prefix.chars().all(is_plain) {
            problems
                .push("cluster.redis.prefix: must be of letters, digits, `-`, `_`, `.` and `:`, and not empty".into());
        }
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.:".contains(c)
}

fn is_keyspace(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.len() <= KEYSPACE_CHARS && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(rest)
}

/// A contact point with its port.
fn address(point: &str) -> Option<String> {
    let (host, port) = match point.rsplit_once(':') {
        // An address of IPv6 without a port.
        Some(_) if point.ends_with(']') => (point, CQL_PORT),
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
        None => (point, CQL_PORT),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
    };
    is_host.then(|| format!("{host}:{port}"))
}

/// Whether a URL holds a password. Rather once too often: what it holds is printed.
fn holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let login = rest.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'));
    login || rest.to_ascii_lowercase().contains("password")
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
