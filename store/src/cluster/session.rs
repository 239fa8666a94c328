//! Connects to the CQL store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use super::{CqlConfig, Error, db, schema};

/// How long one connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How often a connection is asked whether anybody is there, and how long that may take: then it is given up, and its node is asked nothing
/// until it takes another one.
const ASK_EVERY: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(5);
/// How long a start waits for the store in all.
const START: Duration = Duration::from_secs(8);

/// Connects, and uses no keyspace yet.
pub(super) async fn connect(config: &CqlConfig) -> Result<Session, Error> {
    let contact_points = config.contact_points.join(", ");
    let failed = |reason: String| Error::Connect {
        contact_points: contact_points.clone(),
        reason,
    };
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.contact_points)
        .connection_timeout(CONNECT)
        .keepalive_interval(ASK_EVERY)
        .keepalive_timeout(SILENCE)
        .tcp_nodelay(true)
        .auto_await_schema_agreement(true)
        .schema_agreement_timeout(Duration::from_secs(30))
        .fetch_schema_metadata(false)
        .default_execution_profile_handle(db::profile(config.datacenter.as_deref()).into_handle());
    if let Some((user, password)) = &config.login {
        builder = builder.user(user, password);
    }
    if let Some(ca_file) = &config.ca_file {
        builder = builder.tls_context(Some(Arc::new(trust(ca_file)?)));
    }
    match tokio::time::timeout(START, builder.build()).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => Err(failed(reason(&error.to_string()))),
        Err(_) => Err(failed(format!("no answer within {} s", START.as_secs()))),
    }
}

/// What the driver says; where it speaks of its own settings, what ours are.
fn reason(said: &str) -> String {
    match said.contains("Authentication is required") {
        true => "it asks for a login: set cluster.cql.user and cluster.cql.password_file".to_owned(),
        false => said.to_owned(),
    }
}

/// Connects to a keyspace that has the schema of this program.
pub(super) async fn open(config: &CqlConfig) -> Result<Session, Error> {
    let session = connect(config).await?;
    schema::check(&session, &config.keyspace).await?;
    let used = session.use_keyspace(&config.keyspace, false).await;
    used.map_err(|error| Error::schema(&error))?;
    Ok(session)
}

fn trust(ca_file: &Path) -> Result<ClientConfig, Error> {
    let unusable = |reason: String| Error::Setting {
        setting: "cluster.cql.ca_file",
        reason: format!("{}: {reason}", ca_file.display()),
    };
    let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".into()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
