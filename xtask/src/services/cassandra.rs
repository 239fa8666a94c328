//! Apache Cassandra as a quick store for tests: one node, or a ring of three, by its jars alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::cql::Seat;
use super::process::write;
use super::software;

/// Packages of the JDK that Cassandra 5.0 reaches into on Java 17, by module.
const EXPORTS: &[(&str, &[&str])] = &[
    (
        "java.base",
        &["jdk.internal.misc", "jdk.internal.ref", "sun.nio.ch", "java.lang.ref"],
    ),
    ("java.management.rmi", &["com.sun.jmx.remote.internal.rmi"]),
    ("java.rmi", &["sun.rmi.registry", "sun.rmi.server"]),
    ("java.sql", &["java.sql"]),
    ("jdk.unsupported", &["sun.misc"]),
    ("jdk.attach", &["sun.tools.attach"]),
];
const OPENS: &[(&str, &[&str])] = &[
    (
        "java.base",
        &[
            "java.lang.module",
            "jdk.internal.loader",
            "jdk.internal.ref",
            "jdk.internal.reflect",
            "jdk.internal.math",
            "jdk.internal.module",
            "jdk.internal.util.jar",
            "sun.nio.ch",
            "java.io",
            "java.nio",
            "java.util",
            "java.util.concurrent",
            "java.util.concurrent.atomic",
            "java.lang",
        ],
    ),
    ("jdk.management", &["com.sun.management.internal"]),
];

const LOGBACK: &str = r#"<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level [%thread] %F:%L %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"#;

/// What runs it: a Java, and the folders of its jars.
#[derive(Debug)]
pub(super) struct Software {
    name: String,
    java: PathBuf,
    jars: Vec<PathBuf>,
}

impl Software {
    /// The installation that a `cassandra` on `PATH` belongs to.
    pub(super) fn installed(program: &Path) -> Result<Self, String> {
        let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        let home = program.ancestors().nth(2).unwrap_or(Path::new("/"));
        // The layout of the archive, and that of the Debian package.
        let layouts = [
            vec![home.join("lib")],
            vec![
                PathBuf::from("/usr/share/cassandra"),
                PathBuf::from("/usr/share/cassandra/lib"),
            ],
        ];
        let jars = layouts.into_iter().find(|folders| holds_cassandra(&folders[0]));
        let jars = jars.ok_or_else(|| format!("{} has no jars of Cassandra near it", program.display()))?;
        Ok(Self {
            name: format!("Apache Cassandra, {}", program.display()),
            java: software::java()?,
            jars,
        })
    }

    /// The version that we fetch.
    pub(super) fn fetched() -> Result<Self, String> {
        Ok(Self {
            name: format!("Apache Cassandra {}, Maven artifacts", software::CASSANDRA),
            java: software::java()?,
            jars: vec![software::cassandra()?],
        })
    }

    /// What it is, for people.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// How a node is started; writes its configuration.
    pub(super) fn node(&self, seat: &Seat<'_>) -> Result<Command, String> {
        let configuration = seat.folder.join("cassandra.yaml");
        let logback = seat.folder.join("logback.xml");
        write(&configuration, &yaml(seat))?;
        write(&logback, LOGBACK)?;
        let mut class_path = vec![seat.folder.display().to_string()];
        class_path.extend(self.jars.iter().map(|folder| format!("{}/*", folder.display())));

        let mut command = Command::new(&self.java);
        for (option, modules) in [("--add-exports", EXPORTS), ("--add-opens", OPENS)] {
            for (module, packages) in modules {
                for package in *packages {
                    command.args([option, &format!("{module}/{package}=ALL-UNNAMED")]);
                }
            }
        }
        command
            .args(tuning(seat.nodes()))
            .arg("-Djdk.attach.allowAttachSelf=true")
            .args(["-cp", &class_path.join(":")])
            .arg(format!("-Dcassandra.config=file:{}", configuration.display()))
            .arg(format!("-Dcassandra.storagedir={}", seat.folder.display()))
            .arg(format!("-Dlogback.configurationFile={}", logback.display()))
            .arg(format!(
                "-Dcassandra.initial_token={}",
                token(seat.number, seat.nodes())
            ))
            .arg("-Dcassandra.skip_wait_for_gossip_to_settle=0")
            .arg("-Dcassandra.ring_delay_ms=1000")
            .arg("-Dcassandra.superuser_setup_delay_ms=0")
            .arg("-Dcassandra.jmx.local.port=0")
            .arg("org.apache.cassandra.service.CassandraDaemon")
            .current_dir(seat.folder);
        Ok(command)
    }
}

/// How a node is to spend memory and time. Tests make and empty hundreds of tables: one node has room for them, and leaves to its log what else it
/// would write to disk after each of these steps; nobody kills it. Nodes of a ring are killed, and share the machine: they are to be small and soon
/// there, not quick in the long run.
fn tuning(nodes: usize) -> &'static [&'static str] {
    match nodes {
        1 => &[
            "-Xmx2g",
            "-XX:+UseParallelGC",
            "-Dcassandra.test.flush_local_schema_changes=false",
            "-Dcassandra.unsafesystem=true",
        ],
        _ => &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
    }
}

fn holds_cassandra(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .any(|name| name.contains("cassandra") && name.ends_with(".jar"))
}

/// Where a node's share of the ring begins, all shares alike.
fn token(number: usize, nodes: usize) -> i64 {
    if nodes == 1 {
        return 0;
    }
    let share = (1_i128 << 64) / nodes as i128;
    i64::try_from(share * number as i128 - (1_i128 << 63)).unwrap_or_default()
}

fn yaml(seat: &Seat<'_>) -> String {
    let Seat {
        storage_port,
        cql_port,
        folder,
        ..
    } = seat;
    let (host, folder) = (seat.host(), folder.display());
    let (authenticator, authorizer) = if seat.passwords {
        ("PasswordAuthenticator", "CassandraAuthorizer")
    } else {
        ("AllowAllAuthenticator", "AllowAllAuthorizer")
    };
    format!(
        "cluster_name: social-test
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: \"{seed}:{storage_port}\"
listen_address: {host}
rpc_address: {host}
storage_port: {storage_port}
ssl_storage_port: {storage_port}
native_transport_port: {cql_port}
# Durable before the answer, as the platform expects of its store.
commitlog_sync: batch
# A table with a few rows takes no megabyte.
memtable_allocation_type: unslabbed_heap_buffers
# A machine that builds beside the tests is slow at times.
read_request_timeout: 10s
range_request_timeout: 20s
write_request_timeout: 10s
cas_contention_timeout: 10s
truncate_request_timeout: 60s
# Tests empty tables all the time.
auto_snapshot: false
# Nodes of a new ring have nothing to hand over.
auto_bootstrap: false
authenticator: {authenticator}
authorizer: {authorizer}
role_manager: CassandraRoleManager
# What a test grants or takes away holds at once.
roles_validity: 100ms
permissions_validity: 100ms
credentials_validity: 100ms
data_file_directories: [\"{folder}/data\"]
commitlog_directory: {folder}/commitlog
saved_caches_directory: {folder}/saved_caches
hints_directory: {folder}/hints
cdc_raw_directory: {folder}/cdc_raw
",
        seed = seat.hosts[0],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_shared_evenly() {
        assert_eq!(token(0, 1), 0);
        let tokens = [0, 1, 2].map(|number| token(number, 3));
        assert_eq!(
            tokens,
            [i64::MIN, -3_074_457_345_618_258_603, 3_074_457_345_618_258_602]
        );
    }
}
