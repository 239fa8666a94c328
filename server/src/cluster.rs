//! A cluster as the configuration tells of it and as the store takes it. What is secret is read from its files here.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use social_core::Clock;
pub use social_store::cluster::Migrated;
use social_store::cluster::{Config as StoreConfig, Consistencies, Consistency, CqlConfig, Identity, Timing, redis};

use crate::config::{self, Config, Role};
use crate::{Error, install_provider};

/// The largest file of a secret that is read.
const SECRET_BYTES: u64 = 4_096;

/// Makes the cluster's keyspace, or brings it to the newest schema.
///
/// # Errors
/// When the CQL store is not there or refuses it, or the schema is a newer program's.
pub async fn migrate(config: &Config) -> Result<Migrated, Error> {
    install_provider();
    let cql = cql_config(&config.cluster.cql)?;
    Ok(social_store::cluster::migrate(&cql)
        .await
        .map_err(social_store::Error::from)?)
}

/// What a migration did, for whoever ran it.
#[must_use]
pub fn report(keyspace: &str, migrated: &Migrated) -> String {
    let mut lines = Vec::new();
    if migrated.keyspace_created {
        lines.push(format!("created the keyspace {keyspace}"));
    }
    lines.extend(migrated.applied.iter().map(|step| format!("applied {step}")));
    let now = match migrated.applied.is_empty() {
        true => "is up to date at",
        false => "is now at",
    };
    lines.push(format!("the keyspace {keyspace} {now} schema {}", migrated.version));
    lines.join("\n")
}

/// The store of a process of the cluster.
pub(crate) fn store_config(config: &Config, clock: Clock) -> Result<StoreConfig, Error> {
    let cluster = &config.cluster;
    Ok(StoreConfig {
        cql: cql_config(&cluster.cql)?,
        redis: redis_config(&cluster.redis)?,
        clock,
        identity: Identity {
            name: own_name(config),
            roles: roles(&cluster.roles),
        },
        node: cluster.node,
        timing: Timing::default(),
    })
}

/// Roles as the register of processes shows them.
pub(crate) fn roles(roles: &[Role]) -> String {
    let all = [Role::Api, Role::Worker].into_iter();
    let names: Vec<_> = all.filter(|role| roles.contains(role)).map(Role::name).collect();
    names.join(",")
}

/// What operators know this process by.
pub(crate) fn own_name(config: &Config) -> String {
    config.cluster.name.clone().unwrap_or_else(name)
}

fn name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = host.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "-");
    format!("{plain}:{}", std::process::id())
}

fn cql_config(cql: &config::cluster::Cql) -> Result<CqlConfig, Error> {
    let login = match (&cql.user, &cql.password_file) {
        (Some(user), Some(file)) => Some((user.clone(), secret("cluster.cql.password_file", file)?)),
        _ => None,
    };
    Ok(CqlConfig {
        contact_points: cql.addresses(),
        keyspace: cql.keyspace.clone(),
        replication: cql.replication.get().clone(),
        datacenter: cql.datacenter.clone(),
        login,
        ca_file: cql.ca_file.clone(),
        consistencies: consistencies(&cql.consistency),
    })
}

fn consistencies(of: &config::cluster::Consistencies) -> Consistencies {
    Consistencies {
        truth_read: consistency(of.truth_read),
        truth_write: consistency(of.truth_write),
        timeline_read: consistency(of.timeline_read),
        timeline_write: consistency(of.timeline_write),
    }
}

fn consistency(of: config::cluster::Consistency) -> Consistency {
    match of {
        config::cluster::Consistency::One => Consistency::One,
        config::cluster::Consistency::Quorum => Consistency::Quorum,
        config::cluster::Consistency::LocalQuorum => Consistency::LocalQuorum,
        config::cluster::Consistency::All => Consistency::All,
    }
}

fn redis_config(of: &config::cluster::Redis) -> Result<redis::Config, Error> {
    let (key, url) = match (&of.url, &of.url_file) {
        (_, Some(file)) => ("cluster.redis.url_file", secret("cluster.redis.url_file", file)?),
        (url, None) => ("cluster.redis.url", url.clone().unwrap_or_default()),
    };
    if of.ca_file.is_some() && !url.starts_with("rediss") {
        let reason = format!("is of no use, since {key} names no TLS: a URL of TLS begins with rediss://");
        return Err(unusable("cluster.redis.ca_file", reason));
    }
    Ok(redis::Config {
        ca_file: of.ca_file.clone(),
        prefix: of.prefix.clone(),
        ..redis::Config::new(url)
    })
}

/// What a file holds that not everybody may read.
fn secret(key: &'static str, path: &Path) -> Result<String, Error> {
    let shown = path.display();
    let failed = |error: std::io::Error| unusable(key, format!("cannot read {shown}: {error}"));
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let reason = format!("{shown} is open to everybody (mode {mode:04o}): run `chmod o= {shown}`");
        return Err(unusable(key, reason));
    }
    let mut text = String::new();
    file.take(SECRET_BYTES).read_to_string(&mut text).map_err(failed)?;
    match text.trim() {
        "" => Err(unusable(key, format!("{shown} is empty"))),
        secret => Ok(secret.to_owned()),
    }
}

fn unusable(key: &'static str, reason: String) -> Error {
    Error::Setting { key, reason }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    fn migrated(keyspace_created: bool, applied: &[&str]) -> Migrated {
        Migrated {
            keyspace_created,
            applied: applied.iter().map(|step| (*step).to_owned()).collect(),
            version: 2,
        }
    }

    #[test]
    fn a_migration_tells_what_it_did() {
        assert_eq!(
            report("social", &migrated(false, &[])),
            "the keyspace social is up to date at schema 2"
        );
        assert_eq!(
            report("social", &migrated(true, &["0001_a", "0002_b"])),
            "created the keyspace social\napplied 0001_a\napplied 0002_b\nthe keyspace social is now at schema 2"
        );
    }

    #[test]
    fn secrets_come_from_files_that_not_everybody_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let of = config::cluster::Redis {
            url_file: Some(path.clone()),
            ..Default::default()
        };
        let refused = || redis_config(&of).err().unwrap().to_string();
        assert!(
            refused().contains("cluster.redis.url_file: cannot read"),
            "{}",
            refused()
        );
        write(&path, "redis://:hunter2@host\n").unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(
            refused().contains("chmod o= ") && !refused().contains("hunter2"),
            "{}",
            refused()
        );
        set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        assert_eq!(redis_config(&of).ok().unwrap().url, "redis://:hunter2@host");
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        write(&path, " \n").unwrap();
        assert!(refused().contains("is empty"), "{}", refused());
    }

    #[test]
    fn certificates_without_tls_are_a_mistake() {
        let of = config::cluster::Redis {
            url: Some("redis://host".to_owned()),
            ca_file: Some("ca.pem".into()),
            ..Default::default()
        };
        let refusal = redis_config(&of).err().unwrap().to_string();
        assert!(refusal.starts_with("cluster.redis.ca_file: "), "{refusal}");
    }

    #[test]
    fn a_process_without_a_name_is_told_by_its_host_and_id() {
        let name = name();
        assert!(
            name.ends_with(&format!(":{}", std::process::id())) && name.len() > 2,
            "{name}"
        );
        assert_eq!(roles(&[Role::Worker, Role::Api, Role::Worker]), "api,worker");
    }
}
