//! A platform of its own on the real services: a keyspace, a prefix in Redis, and processes with the same keys.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use social_server::Config;
use social_server::config::{Role, Store};
use tokio::sync::{Mutex, MutexGuard};

use super::support::{Exited, Process, process};

/// Where the CQL store is.
pub(crate) fn cql_address() -> String {
    variable("SOCIAL_TEST_CQL")
}

/// Where Redis is.
pub(crate) fn redis_url() -> String {
    variable("SOCIAL_TEST_REDIS")
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} says where the real service is: `cargo xtask test cluster` starts both and runs this")
    })
}

/// A URL at which nobody listens.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

static TURN: Mutex<()> = Mutex::const_new(());

/// The turn of a test: each starts up to four processes, which are to have the machine for themselves.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.blocking_lock()
}

/// The turn of an asynchronous test.
pub(crate) async fn turn_to_come() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// How long a migration may take: making tables is what a store is slowest at.
const MIGRATION: Duration = Duration::from_secs(120);

pub(crate) struct Platform {
    pub(crate) keyspace: String,
    /// Nodes of the CQL store, with commas between them.
    pub(crate) cql: String,
    /// Copies of each row, where the keyspace is made.
    pub(crate) copies: u8,
    pub(crate) redis: String,
    /// What keys in Redis begin with: no other platform's.
    prefix: String,
    folder: tempfile::TempDir,
}

impl Platform {
    /// One without a keyspace.
    pub(crate) fn bare() -> Self {
        Self::over(cql_address(), redis_url())
    }

    /// One without a keyspace, over services that it is told of.
    pub(crate) fn over(cql: String, redis: String) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let keyspace = format!("server_{}_{number}", std::process::id());
        Self {
            prefix: keyspace.clone(),
            keyspace,
            cql,
            copies: 1,
            redis,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// One that processes can be started on.
    pub(crate) fn migrated() -> Self {
        let platform = Self::bare();
        platform.make();
        platform
    }

    /// Makes the keyspace.
    pub(crate) fn make(&self) {
        let migrated = self.migrate();
        assert!(migrated.status.success(), "{migrated:?}");
    }

    /// One on a keyspace that other tests use, too: for those that look at nothing but their own.
    pub(crate) fn shared() -> Self {
        static KEYSPACE: OnceLock<String> = OnceLock::new();
        let keyspace = KEYSPACE.get_or_init(|| Self::migrated().keyspace);
        Self {
            keyspace: keyspace.clone(),
            ..Self::bare()
        }
    }

    pub(crate) fn migrate(&self) -> Exited {
        process::run_within(MIGRATION, self.command("migrate", |_| {}).arg("migrate"))
    }

    /// The binary with the configuration of a process of this name.
    pub(crate) fn command(&self, name: &str, change: impl FnOnce(&mut Config)) -> Command {
        let mut command = process::command();
        command.arg("--config").arg(self.write_config(name, change));
        command
    }

    /// Starts a process.
    pub(crate) fn start(&self, name: &str, roles: &[Role]) -> Process {
        self.start_with(name, |config| config.cluster.roles = roles.to_vec())
    }

    pub(crate) fn start_with(&self, name: &str, change: impl FnOnce(&mut Config)) -> Process {
        Process::start_by(&mut self.command(name, change))
    }

    /// A file that only its owner may read.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The operators' token of a process.
    pub(crate) fn admin_token(&self, name: &str) -> String {
        let path = self.folder.path().join(name).join("admin.token");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    fn write_config(&self, name: &str, change: impl FnOnce(&mut Config)) -> PathBuf {
        let mut config = Config::for_tests(&self.folder.path().join(name));
        config.store = Store::Cluster;
        config.keys_dir = Some(self.folder.path().join("keys"));
        config.cluster.name = Some(name.to_owned());
        config.cluster.cql.contact_points = self.cql.split(',').map(str::to_owned).collect();
        config.cluster.cql.keyspace.clone_from(&self.keyspace);
        config.cluster.cql.replication = self.copies.to_string().parse().unwrap();
        config.cluster.redis.url = Some(self.redis.clone());
        config.cluster.redis.prefix.clone_from(&self.prefix);
        change(&mut config);
        let path = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, config.to_toml()).unwrap();
        path
    }
}
