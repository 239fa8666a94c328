//! How fred is set up: what a URL means, how long things may take, when a connection is given up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::error::ErrorKind;
use fred::interfaces::ClientLike;
use fred::types::config::{
    ConnectionConfig, PerformanceConfig, ReconnectPolicy, TlsConfig, TlsConnector, UnresponsiveConfig,
};
use fred::types::{ConnectHandle, RespVersion};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Config, Error};

/// How long a connection may take to come about, and each of its first commands.
const CONNECTION: Duration = Duration::from_secs(1);
/// How long starting waits for Redis.
const START: Duration = Duration::from_secs(2);
/// Attempts to send a command, over lost connections.
const ATTEMPTS: u32 = 3;
/// Commands that wait to be sent, at most.
const WAITING: usize = 100_000;
/// Messages of subscriptions that wait to be read, at most. Their room is taken when the client is made, several times over: fred has a channel of
/// this size for each kind of event.
const MESSAGES: usize = 4_096;

/// Reads the URL.
pub(super) fn parse(config: &Config) -> Result<fred::types::config::Config, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if config.prefix.is_empty() || !config.prefix.chars().all(plain) {
        return Err(Error::Prefix);
    }
    let Some((scheme, rest)) = config.url.split_once("://") else {
        return Err(Error::Url("it has no scheme, as in redis://host:6379".to_owned()));
    };
    let (scheme, secure) = match scheme.strip_prefix("rediss") {
        Some(form) => (format!("redis{form}"), true),
        None => (scheme.to_owned(), false),
    };
    if !["redis", "redis-cluster", "redis-sentinel"].contains(&scheme.as_str()) {
        let why = "its scheme must be redis, rediss, or either with -cluster or -sentinel";
        return Err(Error::Url(why.to_owned()));
    }
    // fred would read the system's certificates for a secure scheme, also where a file of them is given.
    let mut fred = fred::types::config::Config::from_url(&format!("{scheme}://{rest}"))
        .map_err(|error| Error::Url(redacted(&error)))?;
    fred.fail_fast = false;
    if secure {
        fred.tls = Some(tls(config.ca_file.as_deref())?);
    }
    Ok(fred)
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, Error> {
    let Some(path) = ca_file else {
        let system = TlsConnector::default_rustls().map_err(|error| Error::Url(redacted(&error)))?;
        return Ok(system.into());
    };
    let wrong = |why: String| Error::CaFile {
        path: path.to_owned(),
        why,
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    // Names its provider, so that nothing depends on who installed which one first.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(client).into())
}

/// Asks once whether Redis takes name and password. One that is away is taken to be right.
pub(super) async fn probe(fred: &fred::types::config::Config, command: Duration) -> Result<(), Error> {
    let mut once = fred.clone();
    once.fail_fast = true;
    let client = Client::new(once, Some(performance(command)), Some(connection(command, false)), None);
    let mut task = client.connect();
    let outcome = tokio::select! {
        connected = client.wait_for_connect() => connected,
        // It failed before anyone waited.
        ended = &mut task => ended.unwrap_or(Ok(())),
        () = sleep(START) => Err(fred::error::Error::new(ErrorKind::Timeout, "it does not answer")),
    };
    tokio::spawn(end(client, task));
    outcome.or_else(|error| judged(&error))
}

fn judged(error: &fred::error::Error) -> Result<(), Error> {
    match error.kind() {
        ErrorKind::Auth => Err(Error::Refused(redacted(error))),
        ErrorKind::Config | ErrorKind::Url | ErrorKind::InvalidArgument => Err(Error::Mismatch(redacted(error))),
        // "ERR AUTH <password> called without any password configured", "ERR DB index is out of range"
        _ if error.details().starts_with("ERR ") => Err(Error::Mismatch(redacted(error))),
        // Those of fred's TLS come as errors of the connection.
        _ if error.details().contains("InvalidCertificate") => {
            let why = "its certificate is not trusted, or for another name".to_owned();
            Err(Error::Mismatch(why))
        }
        _ => {
            tracing::warn!(error = redacted(error), "Redis is away; going on without it");
            Ok(())
        }
    }
}

/// What fred says of an error, on one line. Its texts hold no passwords.
pub(super) fn redacted(error: &fred::error::Error) -> String {
    error.details().lines().next().unwrap_or_default().to_owned()
}

/// A client for commands that answer at once.
pub(super) fn commands(fred: &fred::types::config::Config, command: Duration) -> Client {
    let performance = performance(command);
    Client::new(
        fred.clone(),
        Some(performance),
        Some(connection(command, true)),
        Some(policy()),
    )
}

/// A client for reads that block: they have no time limit of fred's, and a frozen server is noticed by whoever reads.
pub(super) fn blocking(fred: &fred::types::config::Config, command: Duration) -> Client {
    let performance = performance(Duration::ZERO);
    let mut connection = connection(command, true);
    connection.unresponsive.max_timeout = None;
    Client::new(fred.clone(), Some(performance), Some(connection), Some(policy()))
}

/// A client for subscriptions.
pub(super) fn subscriber(fred: &fred::types::config::Config, command: Duration) -> SubscriberClient {
    let mut fred = fred.clone();
    // Lets other commands run on a connection that has subscriptions: that is how a dead one is noticed.
    fred.version = RespVersion::RESP3;
    let mut performance = performance(command);
    performance.broadcast_channel_capacity = MESSAGES;
    SubscriberClient::new(fred, Some(performance), Some(connection(command, true)), Some(policy()))
}

/// Starts a client and gives it a moment to connect.
pub(super) async fn begin<C: ClientLike + 'static>(client: &C, closed: &CancellationToken) {
    let task = client.connect();
    let _ = timeout(CONNECTION, client.wait_for_connect()).await;
    let (client, closed) = (client.clone(), closed.clone());
    tokio::spawn(async move {
        closed.cancelled().await;
        end(client, task).await;
    });
}

/// Ends a client. One that is about to connect does not hear of it, and is stopped.
async fn end<C: ClientLike>(client: C, task: ConnectHandle) {
    if !task.is_finished() {
        let _ = timeout(CONNECTION, client.quit()).await;
        task.abort();
    }
}

fn performance(command: Duration) -> PerformanceConfig {
    PerformanceConfig {
        default_command_timeout: command,
        ..PerformanceConfig::default()
    }
}

fn connection(command: Duration, lasting: bool) -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: CONNECTION,
        internal_command_timeout: CONNECTION,
        max_command_attempts: ATTEMPTS,
        max_command_buffer_len: WAITING,
        unresponsive: UnresponsiveConfig {
            // Sooner than commands are given up, or a frozen server is never left.
            max_timeout: Some(command * 4 / 5),
            interval: command / 5,
        },
        // A password may be changed on either side first.
        reconnect_on_auth_error: lasting,
        ..ConnectionConfig::default()
    }
}

/// For ever, from 50 ms up to 2 s apart.
fn policy() -> ReconnectPolicy {
    ReconnectPolicy::new_exponential(0, 50, 2_000, 2)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::cluster::redis::tests::{Server, free_port};
    use crate::cluster::redis::{Redis, RedisSignals};

    async fn refused(url: &str) -> Error {
        Redis::open(Config::new(url)).await.expect_err("it cannot work")
    }

    #[tokio::test]
    async fn what_cannot_work_is_said_at_once() {
        for url in [
            "",
            "localhost",
            "http://localhost",
            "redis://",
            "redis://host:port",
            "redis://localhost/a",
        ] {
            assert!(matches!(refused(url).await, Error::Url(_)), "{url}");
        }
        let mut config = Config::new("rediss://localhost");
        config.ca_file = Some("/nowhere/ca.pem".into());
        assert!(matches!(Redis::open(config).await, Err(Error::CaFile { .. })));
        let mut config = Config::new("redis://localhost");
        config.prefix = "a{b}".to_owned();
        assert!(matches!(Redis::open(config).await, Err(Error::Prefix)));
    }

    #[tokio::test]
    async fn a_redis_that_is_away_is_no_mistake() {
        let started = Instant::now();
        let url = format!("redis://127.0.0.1:{}", free_port());
        let redis = Redis::open(Config::new(url)).await.unwrap();
        let signals = RedisSignals::new(&redis, "one").await;
        assert!(!signals.is_up());
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        redis.close();
    }

    #[tokio::test]
    async fn a_wrong_password_or_database_is_said() {
        let server = Server::own(&["--requirepass", "secret"]);
        let port = server.port();
        for wrong in [
            format!("redis://127.0.0.1:{port}"),
            format!("redis://:wrong@127.0.0.1:{port}"),
        ] {
            let error = refused(&wrong).await;
            assert!(matches!(error, Error::Refused(_)), "{error}");
            assert!(!error.to_string().contains("wrong@"), "{error}");
        }
        let error = refused(&format!("redis://:secret@127.0.0.1:{port}/77")).await;
        assert!(matches!(error, Error::Mismatch(_)), "{error}");
        let right = Config::new(format!("redis://:secret@127.0.0.1:{port}/3"));
        Redis::open(right).await.unwrap();
        let error = refused(&format!("redis-cluster://:secret@127.0.0.1:{port}")).await;
        assert!(matches!(error, Error::Mismatch(_)), "{error}");
    }
}
