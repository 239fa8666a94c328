//! The server of the social platform: wires, serves, drains.
//!
//! [`Server::open`] takes a [`Config`] and opens everything that can fail; [`Server::bind`] opens the ports and tells their addresses;
//! [`Bound::serve`] serves until it is told to stop, and then drains. The binary and tests in one process use the same three steps.

mod auth;
pub mod config;
pub mod dev;
pub mod grpc;
mod health;
mod janitor;
mod listen;
mod ports;
mod proxies;
mod ratelimit;
mod routes;
mod shares;
mod stall;
mod tls;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use social_core::auth::{Auth, KeyError, Keys, Passwords};
use social_core::{Backend, Clock};
use social_observability::event;
use social_store::embedded::{self, Embedded};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use crate::auth::TokenError;
use crate::auth::{AdminToken, Door};
pub use crate::config::Config;
use crate::grpc::layers::{self, Rules};
use crate::grpc::{Drain, Streams};
use crate::health::Health;
use crate::janitor::{Janitor, Signing};
use crate::ports::{Listening, Reserved, Secured};
use crate::ratelimit::Limits;
pub use crate::tls::{Error as TlsError, install_provider};

/// How long what was cut off at the end of the grace time gets to be gone.
const AFTER_CUT: Duration = Duration::from_secs(1);
/// How long the store gets to close. What was acked is durable before; closing only makes the next start short.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data folder cannot be used: it is in use, of a newer format, or cannot be read.
    #[error(transparent)]
    Store(#[from] embedded::Error),
    /// The keys that tokens are signed with cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A data folder that was used before has lost its keys.
    #[error("{keys} holds no keys, but {dir} was used before: restore them from a backup; or, to end all sessions on purpose, run \
             `social-server rotate-keys` on this folder, which makes new ones, and start again", keys = keys.display(), dir = dir.display())]
    KeysLost {
        /// Where the keys should be.
        keys: PathBuf,
        /// The data folder.
        dir: PathBuf,
    },
    /// The operators' token cannot be used.
    #[error(transparent)]
    AdminToken(#[from] TokenError),
    /// TLS files cannot be used.
    #[error("{section}: {reason}")]
    Tls {
        /// The section of the configuration.
        section: &'static str,
        /// What is wrong with them.
        reason: Box<tls::Error>,
    },
    /// A port cannot be opened.
    #[error("{key}: cannot listen on {address}: {reason}; choose another address, or port 0 for a free one")]
    Bind {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// There is no data folder whose keys could be rotated.
    #[error("{dir} is no data folder: keys are added to one that a server has started on before; check `data_dir`", dir = dir.display())]
    NoDataFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// The contract that was built in cannot be described.
    #[error("the contract cannot be described: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The world of dev mode cannot be made.
    #[error("the demo world cannot be made: {0}")]
    Seed(Box<social_core::Error>),
    /// A file of dev mode cannot be written.
    #[error("cannot write {path}: {reason}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
}

/// Whether a server has started on the data folder before.
fn was_used(config: &Config) -> bool {
    config.data_dir.join("FORMAT").is_file()
}

/// Adds a signing key to the keys of a data folder, whether a server runs on it or not. Tokens signed before stay valid until they expire.
/// A folder that lost its keys gets new ones, and all of its sessions are over.
///
/// # Errors
/// When there is no data folder yet, or its keys cannot be used.
pub fn rotate_keys(config: &Config) -> Result<(), Error> {
    if !was_used(config) {
        return Err(Error::NoDataFolder {
            dir: config.data_dir.clone(),
        });
    }
    let now = Clock::system().now();
    Ok(Keys::open(&config.keys_dir(), now)?.rotate(now)?)
}

/// A server whose parts are open, and which listens nowhere yet.
pub struct Server {
    config: Config,
    store: Embedded,
    parts: Parts,
    public: Reserved,
    admin: Reserved,
}

/// What the services are made of. Each gets only what it needs of it.
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    pub(crate) auth: Arc<Auth>,
    pub(crate) streams: Streams,
    pub(crate) health: Health,
    pub(crate) reflection: bool,
}

impl Server {
    /// Takes the ports, and opens the data folder and everything in it. What is missing on a first start is made: keys, the admin token, an empty store.
    ///
    /// # Errors
    /// When something of it cannot be used; the text says what, and what to do.
    pub async fn open(config: Config) -> Result<Self, Error> {
        install_provider();
        // First what needs no folder, so that a mistake in the configuration leaves none behind.
        let public = Reserved::open("listen", config.listen, Secured::open("tls", &config.tls)?)?;
        let admin_tls = Secured::open("admin.tls", &config.admin.tls)?;
        let admin = Reserved::open("admin.listen", config.admin.listen, admin_tls)?;
        let clock = Clock::system();
        let had_data = was_used(&config);
        // Then what locks the folder: what follows is ours alone.
        let store = embedded::open(embedded::Config::new(&config.data_dir, clock.clone()))?;
        let backend = store.backend();
        // New keys in place of lost ones would end all sessions without a word.
        if had_data && Keys::are_missing(&config.keys_dir())? {
            return Err(Error::KeysLost {
                keys: config.keys_dir(),
                dir: config.data_dir,
            });
        }
        let keys = Keys::open(&config.keys_dir(), clock.now())?;
        let auth = Arc::new(Auth::new(keys, Passwords::default(), clock));
        let streams = Streams {
            drain: Drain::new(),
            heartbeat: config.heartbeat(),
        };
        let parts = Parts {
            backend,
            auth,
            streams,
            health: Health::starting().await,
            reflection: config.reflection,
        };
        Ok(Self {
            config,
            store,
            parts,
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

    /// Listens on both ports.
    ///
    /// # Errors
    /// When an address cannot be listened on, or the admin token cannot be used.
    pub async fn bind(self) -> Result<Bound, Error> {
        let Self {
            config,
            store,
            parts,
            public,
            admin,
        } = self;
        let limits = Arc::new(Limits::new(&config.rate_limits));
        let admin_token = AdminToken::open(&config.admin_token_file())?;
        let users = Door::Public {
            backend: parts.backend.clone(),
            auth: Arc::clone(&parts.auth),
        };
        let rules = |door| Arc::new(Rules::new(door, Arc::clone(&limits), parts.streams.drain.clone()));
        let public_stack = layers::stack(&config.cors_origins, rules(users), routes::public(&parts)?);
        // No page has any business at the operators' port.
        let admin_stack = layers::stack(&[], rules(Door::Admin(admin_token)), routes::admin(&parts)?);
        Ok(Bound {
            public: public.listen(public_stack, &config)?,
            admin: admin.listen(admin_stack, &config)?,
            config,
            store,
            parts,
            limits,
        })
    }
}

/// A server whose ports are open.
pub struct Bound {
    config: Config,
    store: Embedded,
    parts: Parts,
    limits: Arc<Limits>,
    public: Listening,
    admin: Listening,
}

impl Bound {
    /// The public port's address, with the number that is really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.public.address()
    }

    /// The operators' port's address, with the number that is really bound.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The public port as a client is to be given it: `grpc://127.0.0.1:50051`, or `grpcs://` with TLS.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.public.endpoint()
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
            limits,
            public,
            admin,
        } = self;
        let (drain, health) = (parts.streams.drain.clone(), parts.health.clone());
        let cut = CancellationToken::new();
        let (address, admin_address) = (public.address(), admin.address());
        public.warn_if_clear();
        let mut ports = JoinSet::new();
        let mut rounds = JoinSet::new();
        for listening in [public, admin] {
            let (serving, secured) = listening.into_parts(&drain, &cut);
            ports.spawn(serving);
            if let Some(secured) = secured {
                rounds.spawn(secured.watch(drain.clone()));
            }
        }
        rounds.spawn(worker::run(parts.backend.clone(), config.workers, drain.clone()));
        let janitor = Janitor {
            backend: parts.backend.clone(),
            auth: Arc::clone(&parts.auth),
            limits,
            drain: drain.clone(),
            signing: Signing::default(),
        };
        janitor::spawn(janitor, &mut rounds);
        health.ready().await;
        event::server_started(env!("CARGO_PKG_VERSION"), &address, &admin_address);

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

/// Closes the store, which waits for its disk; whether that went well.
async fn close(store: Embedded) -> bool {
    let began = Instant::now();
    match timeout(CLOSE_TIME, tokio::task::spawn_blocking(move || store.close())).await {
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
            tracing::error!("the store did not close in time; the next start looks through its journal");
            false
        }
    }
}
