//! What can be configured: one TOML file, over it `SOCIAL_*` variables, over those flags; validated once.
//!
//! Bounds that belong to the contract are no settings: they stand in [`social_core::limits`]. No setting is a secret
//! itself; secrets are files that a setting names.

mod check;
pub mod cluster;
mod networks;
mod settings;
mod source;
mod variables;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use cluster::{Cluster, Role, Store};
pub use networks::{Network, ParseNetworkError};
pub use settings::{Kind, SETTINGS, Setting};
pub use source::{Invocation, Mode, from_args};

/// Why a configuration was refused. The text says which key, what is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {reason}")]
    Unreadable {
        /// The file as given.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that is not known.
    #[error("in the configuration file {path}: {reason}")]
    File {
        /// The file as given.
        path: PathBuf,
        /// Where in it, and what is wrong.
        reason: String,
    },
    /// A value from the environment or the command line cannot be read.
    #[error("`{key}` (from {origin}): {reason}; expected {expected}")]
    Value {
        /// The setting.
        key: &'static str,
        /// The variable or flag.
        origin: String,
        /// What is wrong.
        reason: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A variable that looks like one of ours and is none.
    #[error("{name} is no setting; did you mean {nearest}? `social-server --help` names all of them")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The setting's variable that it is most like.
        nearest: String,
    },
    /// Values that can be read, and cannot be used.
    #[error("the configuration cannot be used:\n  - {}", .0.join("\n  - "))]
    Unusable(Vec<String>),
}

/// Everything that can be configured, in force for one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the public port: gRPC and grpc-web. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// What holds everything: the data folder, or a cluster's stores.
    pub store: Store,
    /// The folder that holds everything that must not be lost, keys included, for one process at a time. Of a process of a cluster only
    /// its keys and its admin token.
    pub data_dir: PathBuf,
    /// The folder of the keys that tokens are signed with; `keys` in the data folder when left out. The api processes of a cluster need the
    /// same keys: they share the folder, or each has a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_dir: Option<PathBuf>,
    /// Whether clients may ask for the contract (gRPC server reflection).
    pub reflection: bool,
    /// Web origins whose scripts may call, as in `https://app.example.org`; `http://localhost:*` allows every port.
    pub cors_origins: Vec<String>,
    /// Networks of the proxies before the server, as in `10.0.0.0/8`. A call that comes from one counts for the right-most address of its
    /// `x-forwarded-for` that is in none of them, in rate limits and in the throttle of logins. Empty where clients connect themselves.
    pub trusted_proxies: Vec<Network>,
    /// Tasks that drive fan-out.
    pub workers: usize,
    /// Milliseconds between two signs of life on an idle stream.
    pub heartbeat_ms: u64,
    /// Milliseconds that work in hand gets to finish when the server stops.
    pub drain_grace_ms: u64,
    /// The cluster that the process belongs to, where `store` says so.
    pub cluster: Cluster,
    /// TLS of the public port.
    pub tls: Tls,
    /// The operators' port.
    pub admin: Admin,
    /// Bounds of connections, on both ports.
    pub connection: Connection,
    /// How often methods may be called.
    pub rate_limits: RateLimits,
    /// Logs and metrics.
    pub telemetry: social_observability::Config,
    /// What `social-server dev` seeds on its first start.
    pub dev: Dev,
}

/// TLS of a port. Both files or none; changed files are taken into use within seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of the certificate chain, leaf first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// The operators' port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Its address. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The file of its bearer token, made on first start; `admin.token` in the data folder when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// TLS of it.
    pub tls: Tls,
}

/// Bounds of connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connection {
    /// Open connections of a port; further ones are closed at once.
    pub max: usize,
    /// Open streams of a port; further ones are refused. An idle one takes about 15 kB.
    pub max_streams: usize,
    /// Seconds after which a connection is asked to end once its calls are done, so that clients spread anew.
    pub max_age_s: u64,
    /// Seconds without a frame after which the client is asked for a sign of life.
    pub keepalive_interval_s: u64,
    /// Seconds that the client gets to give it.
    pub keepalive_timeout_s: u64,
    /// Seconds that a new connection gets for its TLS handshake, and again for its first request head.
    pub handshake_timeout_s: u64,
    /// Seconds that a client may leave an answer untaken; then its connection is closed.
    pub stall_timeout_s: u64,
}

/// How often methods may be called, by class of method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Methods that read.
    pub read: Rate,
    /// Methods that write.
    pub write: Rate,
    /// Methods that check or make credentials.
    pub auth: Rate,
    /// Methods that open a stream.
    pub stream: Rate,
}

/// A token bucket a user and one an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rate {
    /// Calls a second that one user may go on making; 0 for no bound.
    pub user_per_second: u32,
    /// Calls that one user may make at once.
    pub user_burst: u32,
    /// Calls a second from one address (of IPv6, one /64); 0 for no bound.
    pub address_per_second: u32,
    /// Calls at once from one address.
    pub address_burst: u32,
}

/// What dev mode seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dev {
    /// People in the world.
    pub users: u32,
    /// The same seed gives the same world.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 50051).into(),
            store: Store::default(),
            data_dir: "./social-data".into(),
            keys_dir: None,
            reflection: false,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            workers: 2,
            heartbeat_ms: millis(social_core::limits::HEARTBEAT),
            drain_grace_ms: 20_000,
            cluster: Cluster::default(),
            tls: Tls::default(),
            admin: Admin::default(),
            connection: Connection::default(),
            rate_limits: RateLimits::default(),
            telemetry: social_observability::Config::default(),
            dev: Dev::default(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 50052).into(),
            token_file: None,
            tls: Tls::default(),
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            max: 20_000,
            max_streams: social_core::limits::STREAMS,
            max_age_s: 3_600,
            keepalive_interval_s: 15,
            keepalive_timeout_s: 10,
            handshake_timeout_s: 10,
            stall_timeout_s: 40,
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        let rate = |user_per_second, address_per_second| Rate {
            user_per_second,
            user_burst: 5 * user_per_second,
            address_per_second,
            address_burst: 5 * address_per_second,
        };
        // An address may be a whole office, so it gets a multiple of what one user gets.
        Self {
            read: rate(200, 5_000),
            write: rate(50, 2_000),
            auth: rate(5, 50),
            stream: rate(5, 200),
        }
    }
}

impl Default for Dev {
    fn default() -> Self {
        Self { users: 1_000, seed: 42 }
    }
}

impl Config {
    /// What `social-server dev` starts from: a folder of its own, the contract open, pages of this machine let in.
    #[must_use]
    pub fn dev() -> Self {
        Self {
            data_dir: "./social-dev".into(),
            reflection: true,
            cors_origins: ["http://localhost:*", "http://127.0.0.1:*", "https://localhost:*"]
                .map(str::to_owned)
                .into(),
            ..Self::default()
        }
    }

    /// For tests: every port free and unbounded rates, so that a test may do what it wants on any machine.
    #[must_use]
    pub fn for_tests(data_dir: &Path) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let unbounded = Rate {
            user_per_second: 0,
            user_burst: 0,
            address_per_second: 0,
            address_burst: 0,
        };
        Self {
            listen: free,
            data_dir: data_dir.to_owned(),
            reflection: true,
            drain_grace_ms: 5_000,
            admin: Admin {
                listen: free,
                ..Admin::default()
            },
            rate_limits: RateLimits {
                read: unbounded,
                write: unbounded,
                auth: unbounded,
                stream: unbounded,
            },
            ..Self::default()
        }
    }

    /// The effective configuration as TOML. Holds no secret: settings name files, never what is in them.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// How long work in hand gets to finish when the server stops.
    #[must_use]
    pub fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }

    /// The time between two signs of life on an idle stream.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    /// The folder of the keys that tokens are signed with.
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.keys_dir.clone().unwrap_or_else(|| self.data_dir.join("keys"))
    }

    /// Whether the process has a role. On a data folder it has all.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.store == Store::Embedded || self.cluster.has(role)
    }

    /// The file of the admin port's token.
    #[must_use]
    pub fn admin_token_file(&self) -> PathBuf {
        self.admin
            .token_file
            .clone()
            .unwrap_or_else(|| self.data_dir.join("admin.token"))
    }
}

impl Tls {
    /// Both files, where TLS is asked for.
    #[must_use]
    pub fn files(&self) -> Option<(&Path, &Path)> {
        Some((self.cert.as_deref()?, self.key.as_deref()?))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
