//! The client and how it is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::core::{Core, Identity};
use crate::retry::RetryPolicy;
use crate::rpc::Rpc;
use crate::session::{Session, bearer};
use crate::transport::{HeaderHook, Transport};
use crate::{
    AdminClient, Auth, Call, Comments, Credentials, Error, Graph, Likes, MemoryTokenStore, Posts, Timeline, TokenStore,
    UserId, Users,
};

/// Where a server listens unless it is told otherwise.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:50051";
/// Where a server listens for operators unless it is told otherwise.
pub const DEFAULT_ADMIN_ENDPOINT: &str = "http://127.0.0.1:50052";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection with calls or streams on it is probed this often, so that one that died without a word is noticed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: usize = 256;

/// A client of the platform, for one user or for nobody. Cheap to clone; clones share connections and session.
///
/// ```no_run
/// # async fn f() -> Result<(), social_sdk::Error> {
/// let client = social_sdk::Client::builder().endpoint("https://social.example").build()?;
/// client.auth().login("ann", "correct horse battery").await?;
/// let posted = client.posts().create("Hello!").await?;
/// println!("{}", posted.post.id);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// Starts to make a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A client for another session on the same connections, timeouts and retry budget.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn with_token_store(&self, store: impl TokenStore) -> Result<Self, Error> {
        let session = Session::open(Arc::new(store))?;
        let transport = self.core.transport.clone();
        Ok(Self {
            core: Arc::new(Core {
                transport,
                identity: Identity::User(Arc::new(session)),
            }),
        })
    }

    /// Who is logged in; None when nobody is.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        self.core.session().ok()?.credentials()
    }

    /// Id of the user who is logged in; None when nobody is.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.credentials().map(|credentials| credentials.user_id())
    }

    /// Registration, login, sessions.
    #[must_use]
    pub fn auth(&self) -> Auth {
        Auth::new(&self.core)
    }

    /// Profiles.
    #[must_use]
    pub fn users(&self) -> Users {
        Users::new(&self.core)
    }

    /// Posts.
    #[must_use]
    pub fn posts(&self) -> Posts {
        Posts::new(&self.core)
    }

    /// Comments on posts.
    #[must_use]
    pub fn comments(&self) -> Comments {
        Comments::new(&self.core)
    }

    /// Likes and counts.
    #[must_use]
    pub fn likes(&self) -> Likes {
        Likes::new(&self.core)
    }

    /// Follows, blocks, mutes.
    #[must_use]
    pub fn graph(&self) -> Graph {
        Graph::new(&self.core)
    }

    /// The home timeline.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        Timeline::new(&self.core)
    }

    /// Any unary method of the contract, by its request message, with everything that the other methods do: credentials,
    /// request_id, retries.
    pub fn call<M: Rpc>(&self, request: M) -> Call<M> {
        Call::new(&self.core, request, Ok)
    }
}

/// Makes a [`Client`] or an [`AdminClient`].
#[derive(Clone, Default)]
#[must_use = "`build` makes the client"]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    connections: Option<usize>,
    ca_pem: Option<Vec<u8>>,
    tls_domain: Option<String>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    user_agent: Option<String>,
    retry: RetryPolicy,
    hook: Option<HeaderHook>,
    store: Option<Arc<dyn TokenStore>>,
}

impl ClientBuilder {
    /// Adds a server (`http://host:port` or `https://host:port`, also as `grpc://` and `grpcs://`). Default: [`DEFAULT_ENDPOINT`].
    ///
    /// With several servers of one platform, calls take turns. One that cannot be reached or answers UNAVAILABLE is passed over for 2 s, and
    /// what failed there is repeated at another one: so a client outlives the loss and the restart of any of them. One that answers nothing
    /// until a call's deadline, of 1 s or more, is passed over too; that call itself fails.
    ///
    /// ```no_run
    /// # fn f() -> Result<(), social_sdk::Error> {
    /// let client = social_sdk::Client::builder()
    ///     .endpoint("https://one.social.example")
    ///     .endpoint("https://two.social.example")
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoints.push(url.into());
        self
    }

    /// Connections to each endpoint, 1 to 256; calls take turns on them. Default 1, which is enough but for heavy load.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = Some(connections);
        self
    }

    /// Trusts these certificates (PEM) and no others, for `https` endpoints. Default: those of the system.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Expects this name in the server's certificate instead of the endpoint's host.
    pub fn tls_domain(mut self, name: impl Into<String>) -> Self {
        self.tls_domain = Some(name.into());
        self
    }

    /// Bounds each call, retries and waits between them included. Default 10 s. For so long a server is waited for that is
    /// away or asks to come back later; see [`RetryPolicy`] to fail sooner. Streams are not bounded, only their opening is.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Bounds the making of a connection. Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Names the program, in front of the SDK's own name: `my-app/1.0`.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = Some(name.into());
        self
    }

    /// How calls are retried.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Adds headers to every attempt of every call, such as `traceparent`. Runs on the caller's task, and must not block.
    pub fn headers(mut self, add: impl Fn(&mut MetadataMap) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(add));
        self
    }

    /// Where the tokens are kept. Default: in memory.
    pub fn token_store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Makes the client. It connects with its first call, in the background of the Tokio runtime that this must be called
    /// in.
    ///
    /// # Errors
    /// When an endpoint is no URL, a certificate cannot be read, or the token store cannot.
    pub fn build(self) -> Result<Client, Error> {
        let store = self.store.clone().unwrap_or_else(|| Arc::new(MemoryTokenStore::new()));
        let session = Session::open(store)?;
        let transport = self.transport(DEFAULT_ENDPOINT)?;
        Ok(Client {
            core: Arc::new(Core {
                transport,
                identity: Identity::User(Arc::new(session)),
            }),
        })
    }

    /// Makes a client for operators, with the token of the server's `admin.token` file. The default endpoint is
    /// [`DEFAULT_ADMIN_ENDPOINT`]; the token store is not used.
    ///
    /// # Errors
    /// When an endpoint is no URL, or a certificate or the token cannot be read.
    pub fn build_admin(self, admin_token: impl AsRef<str>) -> Result<AdminClient, Error> {
        let identity = Identity::Admin(bearer(admin_token.as_ref().trim())?);
        let transport = self.transport(DEFAULT_ADMIN_ENDPOINT)?;
        Ok(AdminClient::new(Arc::new(Core { transport, identity })))
    }

    fn transport(self, default: &str) -> Result<Arc<Transport>, Error> {
        let urls = if self.endpoints.is_empty() {
            vec![default.to_owned()]
        } else {
            self.endpoints.clone()
        };
        let connections = self.connections.unwrap_or(1);
        if !(1..=MAX_CONNECTIONS).contains(&connections) {
            return Err(Error::invalid("connections", format!("must be 1 to {MAX_CONNECTIONS}")));
        }
        let endpoints = urls
            .iter()
            .map(|url| self.configure(url))
            .collect::<Result<Vec<_>, _>>()?;
        // Neighbours in turn are different servers, so that a retry goes to another one.
        let channels: Vec<Channel> = (0..connections)
            .flat_map(|_| endpoints.iter().map(Endpoint::connect_lazy))
            .collect();
        let timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(Arc::new(Transport::new(channels, self.retry, timeout, self.hook)))
    }

    fn configure(&self, url: &str) -> Result<Endpoint, Error> {
        let invalid = |error: tonic::transport::Error| Error::invalid("endpoint", format!("{url}: {}", cause(&error)));
        // As servers print their address, and other tools take it.
        let plain = url.strip_prefix("grpc://").map(|rest| format!("http://{rest}"));
        let secured = url.strip_prefix("grpcs://").map(|rest| format!("https://{rest}"));
        let endpoint = Endpoint::from_shared(plain.or(secured).unwrap_or_else(|| url.to_owned())).map_err(invalid)?;
        let https = match endpoint.uri().scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => {
                return Err(Error::invalid(
                    "endpoint",
                    format!("{url}: must begin with http:// or https://"),
                ));
            }
        };
        let endpoint = endpoint
            .user_agent(self.agent())
            .map_err(invalid)?
            .connect_timeout(self.connect_timeout.unwrap_or(CONNECT_TIMEOUT))
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_secs(60)))
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if https {
            endpoint.tls_config(self.tls()?).map_err(invalid)
        } else {
            Ok(endpoint)
        }
    }

    fn tls(&self) -> Result<ClientTlsConfig, Error> {
        let tls = match &self.ca_pem {
            Some(pem) => ClientTlsConfig::new().ca_certificate(certificate(pem)?),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        Ok(match &self.tls_domain {
            Some(name) => tls.domain_name(name),
            None => tls,
        })
    }

    fn agent(&self) -> String {
        let own = concat!("social-sdk-rust/", env!("CARGO_PKG_VERSION"));
        self.user_agent
            .as_ref()
            .map_or_else(|| own.to_owned(), |name| format!("{name} {own}"))
    }
}

/// Refuses what holds no certificate, which otherwise shows only as a connection that cannot be made.
fn certificate(pem: &[u8]) -> Result<Certificate, Error> {
    let mut found = CertificateDer::pem_slice_iter(pem).peekable();
    if found.peek().is_none() || found.any(|one| one.is_err()) {
        return Err(Error::invalid("ca_pem", "must hold certificates in PEM form"));
    }
    Ok(Certificate::from_pem(pem))
}

fn cause(error: &dyn std::error::Error) -> String {
    let innermost = std::iter::successors(Some(error), |error| error.source()).last();
    innermost.map(ToString::to_string).unwrap_or_default()
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoints", &self.endpoints)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
