//! What is derived and kept in Redis: counts, the hand-out of work, wake-ups between processes.
//!
//! Redis may be away, frozen, flushed or restarted empty at any time: every use of it has a bound on what it waits for
//! and something to go on with. A call finds out by [`link::Link`] whether asking is worth it.
//!
//! Works on one server, behind Sentinels and on Redis Cluster. Keys that a script or a blocking read touches together carry one
//! hash tag.

mod budgets;
mod connect;
pub mod counters;
mod link;
pub mod signals;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use budgets::RedisBudgets;
pub use counters::{PostDelta, RedisCounters, Truth, UserDelta};
pub use signals::RedisSignals;

use link::Link;

/// Where Redis is, and how long a caller waits for it.
#[derive(Clone)]
pub struct Config {
    /// `redis://user:password@host:port/database`, or `rediss://` for TLS; `redis-cluster://host:port?node=host2:port2`;
    /// `redis-sentinel://host:port?node=host2:port2&sentinelServiceName=name`.
    pub url: String,
    /// Certificates (PEM) to trust instead of the system's, for TLS.
    pub ca_file: Option<PathBuf>,
    /// What every key and channel begins with, so that several platforms can share a Redis.
    pub prefix: String,
    /// How long a read of counts waits before it goes on without Redis.
    pub patience: Duration,
    /// How long any other command may take. A server that answers nothing for most of it is left for another connection.
    pub timeout: Duration,
}

impl Config {
    /// A configuration with the usual prefix and patience.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_file: None,
            prefix: "social".to_owned(),
            patience: Duration::from_millis(150),
            timeout: Duration::from_millis(500),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds a password.
        f.debug_struct("Config")
            .field("prefix", &self.prefix)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// A configuration of Redis that cannot work, however long one waits. Says nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none, or of no known form.
    #[error("the Redis URL cannot be used: {0}")]
    Url(String),
    /// The file of certificates cannot be used.
    #[error("the Redis CA file {path} cannot be used: {why}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The prefix has characters that Redis Cluster reads as a hash tag.
    #[error("the Redis prefix must be of letters, digits, '-', '_', '.' and ':', and not empty")]
    Prefix,
    /// Name or password are wrong, or missing.
    #[error("Redis refused the user or password: {0}")]
    Refused(String),
    /// Redis is there and is not what the URL says.
    #[error("Redis is not as configured: {0}")]
    Mismatch(String),
}

/// The ways to Redis. Clones share them.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    fred: fred::types::config::Config,
    prefix: Arc<str>,
    patience: Duration,
    timeout: Duration,
    closed: CancellationToken,
    /// Ends the tasks of whoever forgot to close.
    _ends: DropGuard,
}

impl Redis {
    /// Checks the configuration and, where Redis answers soon, name and password. That Redis is away is no error.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let fred = connect::parse(&config)?;
        connect::probe(&fred, config.timeout).await?;
        let closed = CancellationToken::new();
        Ok(Self {
            shared: Arc::new(Shared {
                fred,
                prefix: config.prefix.into(),
                patience: config.patience,
                timeout: config.timeout,
                _ends: closed.clone().drop_guard(),
                closed,
            }),
        })
    }

    /// Ends every connection and task.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    /// Whether this is Redis Cluster.
    fn is_clustered(&self) -> bool {
        self.shared.fred.server.is_clustered()
    }

    /// A key under a hash tag: keys of one tag live on one server of a Redis Cluster.
    fn key(&self, tag: impl fmt::Display, rest: impl fmt::Display) -> String {
        format!("{}:{{{tag}}}:{rest}", self.shared.prefix)
    }

    fn closed(&self) -> CancellationToken {
        self.shared.closed.clone()
    }

    /// A connection for commands that answer at once, with a watch over it. `probes` are keys, one a hash tag that
    /// is in use, so that each server of a Redis Cluster is asked.
    async fn link(&self, patience: Duration, probes: Vec<String>) -> Arc<Link> {
        let client = connect::commands(&self.shared.fred, self.shared.timeout);
        connect::begin(&client, &self.shared.closed).await;
        Link::over(client, patience, probes, self.closed())
    }

    /// A connection for reads that block for a while.
    async fn blocking(&self) -> Client {
        let client = connect::blocking(&self.shared.fred, self.shared.timeout);
        connect::begin(&client, &self.shared.closed).await;
        client
    }

    /// A connection for subscriptions.
    async fn subscriber(&self) -> SubscriberClient {
        let client = connect::subscriber(&self.shared.fred, self.shared.timeout);
        connect::begin(&client, &self.shared.closed).await;
        client
    }

    /// Runs a task until this is closed.
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closed = self.closed();
        tokio::spawn(async move { closed.run_until_cancelled_owned(task).await });
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

/// Spreads ids over a power of two of places: they ascend in their low bits and by milliseconds, and multiplying spreads
/// both over the top bits.
fn spread(id: u64, bits: u32) -> usize {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}
