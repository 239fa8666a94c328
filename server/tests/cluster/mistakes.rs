//! What cannot work is said in one line, soon, and with an exit code.

use std::process::Command;
use std::time::{Duration, Instant};

use social_server::Config;

use super::cql;
use super::platform::{Platform, nobody, turn};
use super::support::process;

/// How soon it is said.
const SOON: Duration = Duration::from_secs(10);

/// Asserts that it ends with one line, which says all of this.
#[track_caller]
fn assert_refuses(command: &mut Command, code: i32, says: &[&str]) {
    let began = Instant::now();
    let exited = process::run(command);
    let took = began.elapsed();
    assert_eq!(exited.status.code(), Some(code), "{exited:?}");
    let lines: Vec<&str> = exited.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one line says why: {exited:?}");
    assert!(lines[0].starts_with("social-server: "), "{exited:?}");
    for text in says {
        assert!(lines[0].contains(text), "{text}: {exited:?}");
    }
    assert!(!exited.stdout.contains("listening"), "{exited:?}");
    assert!(took < SOON, "{took:?}: {exited:?}");
    println!("exit {code} after {took:.1?}: {}", lines[0]);
}

impl Platform {
    #[track_caller]
    fn refuses(&self, code: i32, says: &[&str], change: impl FnOnce(&mut Config)) {
        assert_refuses(&mut self.command("mistaken", change), code, says);
    }
}

#[test]
fn a_keyspace_is_migrated_by_command_and_only_where_it_must_be() {
    let _turn = turn();
    let platform = Platform::bare();
    let keyspace = platform.keyspace.as_str();
    platform.refuses(1, &[keyspace, "social-server migrate"], |_| {});
    let first = platform.migrate();
    assert!(first.status.success(), "{first:?}");
    for text in [
        format!("created the keyspace {keyspace}"),
        "applied 0001_platform".to_owned(),
    ] {
        assert!(first.stdout.contains(&text), "{first:?}");
    }
    let again = platform.migrate();
    assert!(
        again.status.success() && again.stdout.contains("up to date"),
        "{again:?}"
    );
    assert!(!again.stdout.contains("applied"), "{again:?}");
    print!("{}{}", first.stdout, again.stdout);
    platform.start_with("api", |_| {});

    let newer = format!("INSERT INTO {keyspace}.migrations (number, name) VALUES (9999, 'later')");
    cql::run(&platform.cql, &newer);
    let newer = ["schema 9999", "newer program"];
    platform.refuses(1, &newer, |_| {});
    assert_refuses(platform.command("migrate", |_| {}).arg("migrate"), 1, &newer);
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let _turn = turn();
    let platform = Platform::bare();
    let address = nobody();
    let of = |address: &str| {
        let address = address.to_owned();
        move |config: &mut Config| config.cluster.cql.contact_points = vec![address]
    };
    platform.refuses(1, &["cannot connect to the CQL store", &address], of(&address));
    assert_refuses(
        platform.command("migrate", of(&address)).arg("migrate"),
        1,
        &["cannot connect to the CQL store", &address],
    );
    let silent = cql::that_is_silent();
    platform.refuses(1, &["cannot connect to the CQL store", &silent], of(&silent));
    platform.refuses(
        1,
        &["cannot connect to the CQL store", "no-such-host.invalid:9042"],
        of("no-such-host.invalid"),
    );
}

#[test]
fn a_wrong_login_is_told_without_the_password() {
    let _turn = turn();
    let platform = Platform::bare();
    let (user, password) = ("somebody", platform.secret("password", "hunter2\n"));
    let address = cql::that_refuses_logins();
    let login = |config: &mut Config| {
        config.cluster.cql.contact_points = vec![address.clone()];
        config.cluster.cql.user = Some(user.to_owned());
        config.cluster.cql.password_file = Some(password.clone());
    };
    platform.refuses(1, &["cannot connect to the CQL store", "password are incorrect"], login);
    let migrated = Platform::shared();
    let at = migrated.redis.strip_prefix("redis://").unwrap().to_owned();
    let url = migrated.secret("redis-url", &format!("redis://somebody:hunter2@{at}"));
    migrated.refuses(1, &["redis: Redis refused the user or password"], |config| {
        config.cluster.redis.url = None;
        config.cluster.redis.url_file = Some(url);
    });
}

#[test]
fn two_processes_with_one_node_number_are_kept_apart() {
    let _turn = turn();
    let platform = Platform::shared();
    let _first = platform.start_with("first", |config| config.cluster.node = Some(7));
    platform.refuses(1, &["node number 7", "first", "cluster.node"], |config| {
        config.cluster.node = Some(7);
    });
}

#[test]
fn a_configuration_that_cannot_be_used_is_exit_code_2() {
    let _turn = turn();
    let platform = Platform::bare();
    let missing = platform.secret("empty", "");
    platform.refuses(2, &["cluster.cql.password_file", "is empty"], |config| {
        config.cluster.cql.user = Some("somebody".to_owned());
        config.cluster.cql.password_file = Some(missing);
    });
    platform.refuses(2, &["cluster.cql.ca_file", "/nowhere/ca.pem"], |config| {
        config.cluster.cql.ca_file = Some("/nowhere/ca.pem".into());
    });
    platform.refuses(2, &["cluster.redis.ca_file", "rediss://"], |config| {
        config.cluster.redis.ca_file = Some("/nowhere/ca.pem".into());
    });
    let exited = process::run(platform.command("x", |_| {}).args([
        "--cluster-redis-url",
        "redis://:hunter2@host",
        "--dump-config",
    ]));
    assert_eq!(exited.status.code(), Some(2), "{exited:?}");
    assert!(exited.stderr.contains("cluster.redis.url_file"), "{exited:?}");
    assert!(
        !exited.stderr.contains("hunter2") && !exited.stdout.contains("hunter2"),
        "{exited:?}"
    );
}
