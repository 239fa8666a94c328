//! The cluster backend: truth and home timelines on a CQL store (ScyllaDB, Apache Cassandra), counts, hand-out of work and wake-ups in Redis.
//!
//! Any number of processes open the same keyspace. Truth is written log first ([`truth`]); everything in Redis may be lost at any moment.

mod accounts;
mod agreed;
mod archive;
mod change;
mod comments;
mod counting;
mod db;
mod docs;
mod error;
mod events;
mod fresh;
mod graph;
mod ids;
mod imports;
mod likes;
mod lists;
mod looks;
mod marks;
mod moment;
mod nodes;
mod operator;
mod outbox;
mod posts;
mod pulled;
mod ready;
pub mod redis;
mod requests;
mod schema;
mod session;
mod stats;
mod sweep;
mod timelines;
mod truth;
mod wall;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use social_core::backend::{Backend, Budgets, Signals};
use social_core::timeline::ReadAhead;
use social_core::{Clock, EventId, PostId, UserId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use db::Consistencies;
pub use error::Error;
pub use events::Timing;
pub use nodes::{Identity, PAUSED};
pub use ready::{Probe, Unready};
pub use schema::{Migrated, Replication};
pub use scylla::statement::Consistency;

use counting::Counting;
use db::Db;
use ids::Ids;
use nodes::Lease;
use redis::{PostDelta, Redis, RedisBudgets, RedisCounters, RedisSignals, UserDelta};
use timelines::CqlTimelines;
use truth::{Moves, Truth};
use wall::Wall;

/// How long what is on its way to Redis gets at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Where the CQL store is.
#[derive(Debug, Clone)]
pub struct CqlConfig {
    /// Nodes to begin with, as `host:port`.
    pub contact_points: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// How the keyspace is replicated where the migration makes it.
    pub replication: Replication,
    /// The data centre whose nodes are asked.
    pub datacenter: Option<String>,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Certificates (PEM) to trust: connections are encrypted then.
    pub ca_file: Option<PathBuf>,
    /// The consistency of each class of statement.
    pub consistencies: Consistencies,
}

impl CqlConfig {
    /// A configuration for one node without login.
    pub fn new(contact_point: impl Into<String>, keyspace: impl Into<String>) -> Self {
        Self {
            contact_points: vec![contact_point.into()],
            keyspace: keyspace.into(),
            replication: Replication::Factor(1),
            datacenter: None,
            login: None,
            ca_file: None,
            consistencies: Consistencies::default(),
        }
    }
}

/// How to open a cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// The CQL store.
    pub cql: CqlConfig,
    /// Redis.
    pub redis: redis::Config,
    /// The clock that ids are minted by. The system's is held against the store's, and not followed while the two differ.
    pub clock: Clock,
    /// What the process says of itself.
    pub identity: Identity,
    /// The node number, where it is not to be chosen.
    pub node: Option<u16>,
    /// How closely processes follow each other.
    pub timing: Timing,
}

/// An open cluster.
pub struct Cluster {
    truth: Arc<Truth>,
    lease: Arc<Lease>,
    timelines: Arc<CqlTimelines>,
    counters: Arc<RedisCounters>,
    signals: Arc<RedisSignals>,
    read_ahead: ReadAhead,
    redis: Redis,
    clock: Clock,
    tasks: JoinSet<()>,
    closing: CancellationToken,
}

/// Brings the keyspace to the newest schema.
pub async fn migrate(config: &CqlConfig) -> Result<Migrated, Error> {
    let session = session::connect(config).await?;
    schema::migrate(&session, &config.keyspace, &config.replication).await
}

/// Opens a cluster whose keyspace has been migrated.
pub async fn open(config: Config) -> Result<Cluster, Error> {
    let session = session::open(&config.cql).await?;
    let db = Arc::new(Db::new(session, &config.cql));
    let redis = Redis::open(config.redis)
        .await
        .map_err(|error| Error::Redis(error.to_string()))?;
    let wall = Arc::new(Wall::open(Arc::clone(&db)).await?);
    let clock = match config.clock.is_system() {
        true => wall.clock(),
        false => config.clock,
    };
    let clocks = (clock.clone(), wall);
    let lease = Lease::take(Arc::clone(&db), clocks, &config.identity, config.node).await?;
    let lease = Arc::new(lease);
    let closing = CancellationToken::new();
    let mut tasks = JoinSet::new();
    // From the start: what follows may take long on a busy store.
    tasks.spawn(keep_lease(Arc::clone(&lease), closing.clone()));
    let ids = Arc::new(Ids::new(clock.clone(), Arc::clone(&lease), config.timing.filing));
    if let Err(error) = agreed::agree(&db, &lease, &ids, config.timing).await {
        // So that the number need not run out.
        if let Err(error) = ids.release().await {
            tracing::debug!(?error, "the node number ends with its lease");
        }
        redis.close();
        return Err(error);
    }
    let counting = Arc::new(Counting::prepare(Arc::clone(&db)).await?);
    let counters = Arc::new(RedisCounters::new(&redis, counting).await);
    let signals = Arc::new(RedisSignals::new(&redis, &config.identity.name).await);
    let moves = Arc::new(Derived {
        counters: Arc::clone(&counters),
        signals: Arc::clone(&signals),
    });
    let truth = Box::pin(Truth::prepare(Arc::clone(&db), Arc::clone(&ids), moves, config.timing)).await?;
    let truth = Arc::new(truth);
    let timelines = CqlTimelines::prepare(db, ids, config.timing.slack).await?;
    tasks.spawn(recount(Arc::clone(&counters), closing.clone()));
    tasks.spawn(keep_fresh(Arc::clone(&truth), closing.clone()));
    Ok(Cluster {
        truth,
        lease,
        timelines: Arc::new(timelines),
        counters,
        signals,
        read_ahead: ReadAhead::new(),
        redis,
        clock,
        tasks,
        closing,
    })
}

impl Cluster {
    /// The backend. Its clones share everything.
    pub fn backend(&self) -> Backend {
        Backend {
            store: self.truth.clone(),
            timelines: self.timelines.clone(),
            counters: self.counters.clone(),
            signals: self.signals.clone() as Arc<dyn Signals>,
            read_ahead: self.read_ahead.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Opens the budgets that its processes share, over a connection of their own.
    pub fn budgets(&self) -> impl Future<Output = Arc<dyn Budgets>> + Send + use<> {
        let redis = self.redis.clone();
        async move { Arc::new(RedisBudgets::new(&redis).await) as Arc<dyn Budgets> }
    }

    /// Ends writing, gives the node number back, and ends the tasks.
    pub async fn close(mut self) {
        self.counters.drain(DRAIN).await;
        self.signals.drain(DRAIN).await;
        self.closing.cancel();
        while self.tasks.join_next().await.is_some() {}
        if let Err(error) = self.truth.ids.release().await {
            tracing::debug!(?error, "the node number ends with its lease");
        }
        self.redis.close();
    }
}

async fn keep_fresh(truth: Arc<Truth>, closing: CancellationToken) {
    let looks = async { tokio::join!(fresh::keep_horizon(Arc::clone(&truth)), fresh::keep_pulled(truth)) };
    closing.run_until_cancelled(looks).await;
}

async fn keep_lease(lease: Arc<Lease>, closing: CancellationToken) {
    closing.run_until_cancelled(lease.keep()).await;
}

async fn recount(counters: Arc<RedisCounters>, closing: CancellationToken) {
    counters.recount_dirty(closing).await;
}

/// What truth tells the parts in Redis.
struct Derived {
    counters: Arc<RedisCounters>,
    signals: Arc<RedisSignals>,
}

impl Moves for Derived {
    fn post(&self, post: PostId, delta: PostDelta) {
        self.counters.moved_post(post, delta);
    }

    fn user(&self, user: UserId, delta: UserDelta) {
        self.counters.moved_user(user, delta);
    }

    fn recount_post(&self, post: PostId) {
        self.counters.moved_post(post, PostDelta::default());
    }

    fn recount_user(&self, user: UserId) {
        self.counters.moved_user(user, UserDelta::default());
    }

    fn ended(&self, event: EventId) {
        self.signals.done(event);
    }
}
