//! The real ScyllaDB: a program on `PATH`, or its image where a Docker daemon answers.

use std::path::Path;
use std::process::Command;

use super::cql::Seat;
use super::ports::BUS;
use super::process::{docker, write};

pub(super) const IMAGE: &str = "docker.io/scylladb/scylla:2025.1";
/// What a container on a network of its own listens on.
const CQL: u16 = 9042;

/// How a node is started by the program itself; writes its configuration.
pub(super) fn program(program: &Path, seat: &Seat<'_>) -> Result<Command, String> {
    let configuration = seat.folder.join("scylla.yaml");
    let seeds = format!(
        "seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    \
         parameters:\n      - seeds: \"{}\"\n",
        seat.hosts[0]
    );
    let settings = settings(seat).into_iter().chain(addresses(seat));
    let lines = settings.map(|(name, value)| format!("{name}: {value}\n"));
    write(&configuration, &(lines.collect::<String>() + &seeds))?;

    let mut command = Command::new(program);
    command
        .args([
            "--developer-mode",
            "1",
            "--overprovisioned",
            "--smp",
            "1",
            "--memory",
            "1G",
        ])
        .arg("--options-file")
        .arg(configuration)
        .arg("--workdir")
        .arg(seat.folder)
        .current_dir(seat.folder);
    Ok(command)
}

/// How a node is started as a container. One node is published on the loopback; a ring needs the network of the host, for
/// its nodes tell clients each other's addresses.
pub(super) fn container(name: &str, seat: &Seat<'_>) -> Command {
    let mut command = docker(&["run", "--name", name]);
    let mut options = settings(seat);
    if seat.nodes() == 1 {
        let published = format!("{}:{}:{CQL}", seat.host(), seat.cql_port);
        command.args(["--publish", &published, IMAGE]);
    } else {
        command.args(["--network", "host", IMAGE, "--seeds", seat.hosts[0]]);
        options.extend(addresses(seat));
    }
    command.args([
        "--developer-mode",
        "1",
        "--overprovisioned",
        "1",
        "--smp",
        "1",
        "--memory",
        "1G",
    ]);
    for (name, value) in options {
        command.args([format!("--{}", name.replace('_', "-")), value]);
    }
    command
}

/// What holds for every node, by its name in `scylla.yaml`; on the command line it has hyphens.
fn settings(seat: &Seat<'_>) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("commitlog_sync", "batch".to_owned()),
        ("auto_snapshot", "false".to_owned()),
        ("skip_wait_for_gossip_to_settle", "0".to_owned()),
        ("ring_delay_ms", "1000".to_owned()),
    ];
    if seat.passwords {
        settings.push(("authenticator", "PasswordAuthenticator".to_owned()));
        settings.push(("authorizer", "CassandraAuthorizer".to_owned()));
    }
    settings
}

/// A node's own address, and ports that nobody else has.
fn addresses(seat: &Seat<'_>) -> Vec<(&'static str, String)> {
    let host = seat.host();
    vec![
        ("listen_address", host.to_owned()),
        ("rpc_address", host.to_owned()),
        ("api_address", host.to_owned()),
        ("api_port", (seat.storage_port + BUS).to_string()),
        // None at all.
        ("prometheus_port", "0".to_owned()),
        ("storage_port", seat.storage_port.to_string()),
        ("native_transport_port", seat.cql_port.to_string()),
        ("native_shard_aware_transport_port", (seat.cql_port + BUS).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn one_container_is_published_on_the_loopback_alone() {
        let seat = Seat {
            number: 0,
            hosts: &["127.0.0.1"],
            storage_port: 7000,
            cql_port: 10_042,
            folder: Path::new("/nowhere"),
            passwords: false,
        };
        let words = words(&container("one", &seat));
        assert!(
            words.starts_with("run --name one --publish 127.0.0.1:10042:9042 docker.io/"),
            "{words}"
        );
        assert!(!words.contains("--listen-address"), "{words}");
    }

    #[test]
    fn containers_of_a_ring_have_an_address_each() {
        let seat = Seat {
            number: 1,
            hosts: &["127.0.0.1", "127.0.0.2", "127.0.0.3"],
            storage_port: 7000,
            cql_port: 10_042,
            folder: Path::new("/nowhere"),
            passwords: true,
        };
        let words = words(&container("two", &seat));
        for part in [
            "--network host",
            "--seeds 127.0.0.1 ",
            "--listen-address 127.0.0.2",
            "--authenticator Pass",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
    }
}
