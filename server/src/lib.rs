//! The server of the social platform: wires, serves, drains.
//!
//! [`Server::open`] takes a [`Config`] and opens everything that can fail; [`Server::bind`] opens the ports and tells their addresses;
//! [`Bound::serve`] serves until it is told to stop, and then drains. The binary and tests in one process use the same three steps.

mod auth;
pub mod cluster;
pub mod config;
pub mod dev;
mod error;
pub mod grpc;
mod health;
mod janitor;
mod listen;
mod ports;
mod proxies;
mod ratelimit;
mod readiness;
mod restore;
mod routes;
mod shares;
mod stall;
mod tls;
mod worker;

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use social_core::auth::{Auth, Keys, Passwords};
use social_core::{Backend, Clock};
use social_observability::event;
use social_store::{Opened, embedded};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use crate::auth::TokenError;
use crate::auth::{AdminToken, Door};
pub use crate::config::Config;
use crate::config::{Role, Store};
pub use crate::error::Error;
use crate::grpc::layers::{self, Rules};
use crate::grpc::{Drain, Streams};
use crate::health::Health;
use crate::janitor::{Janitor, Signing};
use crate::ports::{Listening, Reserved, Secured};
use crate::ratelimit::{Limits, Untold};
pub use crate::restore::restore;
pub use crate::tls::{Error as TlsError, install_provider};

/// How long what was cut off at the end of the grace time gets to be gone.
const AFTER_CUT: Duration = Duration::from_secs(1);
/// How long the store gets to close. What was acked is durable before; closing only makes the next start short.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long a process of a cluster trusts what it knows of a session, which any other may end.
const SESSION_TRUST: Duration = Duration::from_secs(1);

/// Whether a server has started on the data folder before.
fn was_used(config: &Config) -> bool {
    config.data_dir.join("FORMAT").is_file()
}

/// Adds a signing key to the keys of a platform, whether a server runs on it or not. Tokens signed before stay valid until they expire.
/// A data folder that lost its keys gets new ones, and all of its sessions are over.
///
/// # Errors
/// When there are no keys yet, or they cannot be used.
pub fn rotate_keys(config: &Config) -> Result<(), Error> {
    let dir = config.keys_dir();
    match config.store {
        Store::Embedded if !was_used(config) => {
            return Err(Error::NoDataFolder {
                dir: config.data_dir.clone(),
            });
        }
        Store::Cluster if !dir.is_dir() => return Err(Error::NoKeys { dir }),
        _ => {}
    }
    let now = Clock::system().now();
    Ok(Keys::open(&dir, now)?.rotate(now)?)
}

/// A server whose parts are open, and which listens nowhere yet.
pub struct Server {
    config: Config,
    store: Opened,
    parts: Parts,
    access: Access,
    /// Absent where no clients are served.
    public: Option<Reserved>,
    admin: Reserved,
}

/// What the services are made of. Each gets only what it needs of it.
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    pub(crate) streams: Streams,
    pub(crate) health: Health,
    pub(crate) reflection: bool,
}

/// Who is let in.
struct Access {
    /// Users; absent where no clients are served.
    users: Option<Arc<Auth>>,
    /// Operators.
    admin: AdminToken,
}

impl Access {
    /// Opens keys and the admin token, and makes what is missing.
    fn open(config: &Config, had_data: bool, clock: Clock) -> Result<Self, Error> {
        make_folder(&config.data_dir)?;
        // New keys in place of lost ones would end all sessions without a word.
        if had_data && Keys::are_missing(&config.keys_dir())? {
            return Err(Error::KeysLost {
                keys: config.keys_dir(),
                dir: config.data_dir.clone(),
            });
        }
        let users = match config.has(Role::Api) {
            true => Some(Arc::new(auth(config, clock)?)),
            false => None,
        };
        let admin = AdminToken::open(&config.admin_token_file())?;
        Ok(Self { users, admin })
    }
}

fn auth(config: &Config, clock: Clock) -> Result<Auth, Error> {
    let keys = Keys::open(&config.keys_dir(), clock.now())?;
    let auth = Auth::new(keys, Passwords::default(), clock);
    Ok(match config.store {
        Store::Embedded => auth,
        Store::Cluster => auth.trusting_for(SESSION_TRUST),
    })
}

/// Makes the data folder, which an embedded store has made already.
fn make_folder(path: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|reason| Error::Write {
        path: path.to_owned(),
        reason,
    })
}

impl Server {
    /// Takes the ports, and opens the store and what else is on disk. What is missing on a first start is made: keys, the admin token, an
    /// empty data folder.
    ///
    /// # Errors
    /// When something of it cannot be used; the text says what, and what to do.
    pub async fn open(config: Config) -> Result<Self, Error> {
        install_provider();
        // First what needs no store, so that a mistake in the configuration leaves nothing behind.
        let public = match config.has(Role::Api) {
            true => Some(Reserved::open(
                "listen",
                config.listen,
                Secured::open("tls", &config.tls)?,
            )?),
            false => None,
        };
        let admin_tls = Secured::open("admin.tls", &config.admin.tls)?;
        let admin = Reserved::open("admin.listen", config.admin.listen, admin_tls)?;
        let clock = Clock::system();
        let had_data = config.store == Store::Embedded && was_used(&config);
        let store = social_store::open(store_config(&config, clock)?).await?;
        let backend = store.backend();
        // Then what is in the folder, which an embedded store has locked: it is ours alone.
        let access = match Access::open(&config, had_data, backend.clock.clone()) {
            Ok(access) => access,
            Err(error) => {
                drop(backend);
                close(store).await;
                return Err(error);
            }
        };
        let streams = Streams {
            drain: Drain::new(),
            heartbeat: config.heartbeat(),
        };
        let parts = Parts {
            backend,
            streams,
            health: Health::starting().await,
            reflection: config.reflection,
        };
        Ok(Self {
            config,
            store,
            parts,
            access,
            public,
            admin,
        })
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parts of the store, for whoever works on it before it is served.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.parts.backend
    }

    /// Closes the store of a server that is not to be served after all; whether that went well.
    pub async fn close(self) -> bool {
        drop(self.parts);
        close(self.store).await
    }

    /// Listens on the ports.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn bind(self) -> Result<Bound, Error> {
        let Self {
            config,
            store,
            parts,
            access,
            public,
            admin,
        } = self;
        let (limits, untold) = match config.store {
            Store::Cluster if config.has(Role::Api) => {
                let (limits, untold) = Limits::shared(&config.rate_limits);
                (limits, Some(untold))
            }
            _ => (Limits::new(&config.rate_limits), None),
        };
        let limits = Arc::new(limits);
        let users = access.users.clone();
        match listen(&config, &parts, access, &limits, (public, admin)) {
            Ok((public, admin)) => Ok(Bound {
                config,
                store,
                parts,
                users,
                limits,
                untold,
                public,
                admin,
            }),
            Err(error) => {
                drop(parts);
                close(store).await;
                Err(error)
            }
        }
    }
}

/// Listens on the ports that were taken.
fn listen(
    config: &Config,
    parts: &Parts,
    access: Access,
    limits: &Arc<Limits>,
    (public, admin): (Option<Reserved>, Reserved),
) -> Result<(Option<Listening>, Listening), Error> {
    let max_streams = config.connection.max_streams;
    let rules = |door| {
        let drain = parts.streams.drain.clone();
        Arc::new(Rules::new(door, Arc::clone(limits), max_streams, drain))
    };
    let public = match public.zip(access.users) {
        Some((port, auth)) => {
            let services = routes::public(parts, &auth)?;
            let door = Door::Public {
                backend: parts.backend.clone(),
                auth,
            };
            let stack = layers::stack(&config.cors_origins, rules(door), services);
            Some(port.listen(stack, config)?)
        }
        None => None,
    };
    // No page has any business at the operators' port.
    let stack = layers::stack(&[], rules(Door::Admin(access.admin)), routes::admin(parts)?);
    Ok((public, admin.listen(stack, config)?))
}

/// A server whose ports are open.
pub struct Bound {
    config: Config,
    store: Opened,
    parts: Parts,
    users: Option<Arc<Auth>>,
    limits: Arc<Limits>,
    /// Of a process of a cluster: what it takes of budgets, to be told to others.
    untold: Option<Untold>,
    public: Option<Listening>,
    admin: Listening,
}

impl Bound {
    /// The public port's address, with the number that is really bound; none where no clients are served.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.public.as_ref().map(Listening::address)
    }

    /// The operators' port's address, with the number that is really bound.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The public port as a client is to be given it: `grpc://127.0.0.1:50051`, or `grpcs://` with TLS; none where no clients are served.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        self.public.as_ref().map(Listening::endpoint)
    }

    /// The operators' port as a client is to be given it.
    #[must_use]
    pub fn admin_endpoint(&self) -> String {
        self.admin.endpoint()
    }

    /// The file that holds the operators' token.
    #[must_use]
    pub fn admin_token_file(&self) -> PathBuf {
        self.config.admin_token_file()
    }

    /// Serves until `shutdown` is ready, then drains: no further connections, health says NOT_SERVING, streams end UNAVAILABLE, calls
    /// in hand finish, at most for the grace time. The store is closed last. All of it takes at most the grace time and some seconds.
    ///
    /// A task of the server that ends by itself begins the drain, too. Answers whether that did not happen, everything in hand could
    /// finish, and the store was closed.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> bool {
        let Self {
            config,
            store,
            parts,
            users,
            limits,
            untold,
            public,
            admin,
        } = self;
        let (drain, health) = (parts.streams.drain.clone(), parts.health.clone());
        let cut = CancellationToken::new();
        let (address, admin_address) = (public.as_ref().map(Listening::address), admin.address());
        if let Some(public) = &public {
            public.warn_if_clear();
        }
        let mut ports = JoinSet::new();
        let mut rounds = JoinSet::new();
        for listening in public.into_iter().chain([admin]) {
            let (serving, secured) = listening.into_parts(&drain, &cut);
            ports.spawn(serving);
            if let Some(secured) = secured {
                rounds.spawn(secured.watch(drain.clone()));
            }
        }
        let works = config.has(Role::Worker);
        if works {
            let fitness = health.fitness();
            rounds.spawn(worker::run(
                parts.backend.clone(),
                config.workers,
                fitness,
                drain.clone(),
            ));
        }
        let sharing = Arc::clone(&limits);
        let janitor = Janitor {
            backend: parts.backend.clone(),
            auth: users,
            works,
            limits,
            drain: drain.clone(),
            signing: Signing::default(),
        };
        janitor::spawn(janitor, &mut rounds);
        health.ready().await;
        if let Opened::Cluster(cluster) = &store {
            if let Some(untold) = untold {
                rounds.spawn(ratelimit::share(sharing, untold, cluster.budgets(), drain.clone()));
            }
            rounds.spawn(readiness::watch(cluster.probe(), health.clone(), drain.clone()));
            event::cluster_joined(
                &cluster::own_name(&config),
                cluster.node(),
                &cluster::roles(&config.cluster.roles),
            );
        }
        started(address, admin_address);

        let healthy = tokio::select! {
            () = shutdown => true,
            Some(ended) = ports.join_next() => ended_early(ended),
            Some(ended) = rounds.join_next() => ended_early(ended),
        };

        let began = Instant::now();
        event::drain_started(config.drain_grace());
        health.draining().await;
        drain.begin();
        let served = timeout(config.drain_grace(), all_of(&mut ports)).await.unwrap_or(false);
        cut.cancel();
        let _ = timeout(AFTER_CUT, all_of(&mut ports)).await;
        // Each stops after its step, and had the grace time for it; one that hangs in the store must not keep the process.
        let left = (config.drain_grace() + AFTER_CUT).saturating_sub(began.elapsed());
        let rested = timeout(left.max(AFTER_CUT), all_of(&mut rounds)).await.unwrap_or(false);
        rounds.abort_all();
        drop(parts);
        let closed = close(store).await;
        let clean = healthy && served && rested && closed;
        event::drain_finished(began.elapsed(), clean);
        clean
    }
}

/// Waits for all of the tasks, and says so where one ended by a panic; whether none did.
async fn all_of(tasks: &mut JoinSet<()>) -> bool {
    let mut clean = true;
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the server ended by a panic");
            clean = false;
        }
    }
    clean
}

/// Says that the server cannot go on: a part of it is missing.
fn ended_early(ended: Result<(), JoinError>) -> bool {
    let why = ended.err().map(tracing::field::display);
    tracing::error!(why, "a task of the server ended before its time; the server stops");
    false
}

fn started(address: Option<SocketAddr>, admin_address: SocketAddr) {
    let version = env!("CARGO_PKG_VERSION");
    match address {
        Some(address) => event::server_started(version, &address, &admin_address),
        None => event::server_started(version, &"no public port", &admin_address),
    }
}

fn store_config(config: &Config, clock: Clock) -> Result<social_store::Config, Error> {
    Ok(match config.store {
        Store::Embedded => {
            let mut embedded = embedded::Config::new(&config.data_dir, clock);
            embedded.name = cluster::own_name(config);
            social_store::Config::Embedded(embedded)
        }
        Store::Cluster => social_store::Config::Cluster(Box::new(cluster::store_config(config, clock)?)),
    })
}

/// Closes the store, which may wait for its disk; whether that went well.
async fn close(store: Opened) -> bool {
    let began = Instant::now();
    let runtime = tokio::runtime::Handle::current();
    let closing = tokio::task::spawn_blocking(move || runtime.block_on(store.close()));
    match timeout(CLOSE_TIME, closing).await {
        Ok(Ok(Ok(()))) => {
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(took_ms, "store closed");
            true
        }
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "the store could not be closed");
            false
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "closing the store ended by a panic");
            false
        }
        Err(_) => {
            tracing::error!("the store did not close in time; what was acknowledged is durable all the same");
            false
        }
    }
}
