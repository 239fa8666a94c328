//! What cannot work is said in one line, soon, and with an exit code.

use std::process::Command;
use std::time::{Duration, Instant};

use social_server::Config;
use xtask::services::{Cql, cql::LOGIN, cql::Options as CqlOptions};
use xtask::services::{Redis, faketime, redis};

use super::cql;
use super::platform::{Platform, nobody, turn};
use super::support::{Exited, process};

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
    assert!(!exited.stderr.contains("hunter2"), "{exited:?}");
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
        "applied 0002_timeline_marks".to_owned(),
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

    cql::run(&platform.cql, &format!("DROP TABLE {keyspace}.timeline_marks"));
    cql::run(
        &platform.cql,
        &format!("DELETE FROM {keyspace}.migrations WHERE number = 2"),
    );
    platform.refuses(1, &["schema 1", "social-server migrate"], |_| {});
    let upgraded = platform.migrate();
    assert!(
        upgraded.status.success() && upgraded.stdout.contains("applied 0002_timeline_marks"),
        "{upgraded:?}"
    );
    assert!(!upgraded.stdout.contains("0001"), "{upgraded:?}");
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

/// A store that asks for passwords and keeps rights, and what works with it.
struct Guarded {
    // In this order they end.
    platform: Platform,
    store: Cql,
}

impl Guarded {
    fn start() -> Self {
        let store = Cql::start(CqlOptions {
            passwords: true,
            ..CqlOptions::default()
        });
        let store = store.unwrap();
        let mut platform = Platform::bare();
        platform.cql = store.addresses();
        Self { platform, store }
    }

    /// Runs a statement as the store's owner.
    fn run(&self, statement: &str) {
        cql::run_as(&self.store.addresses(), LOGIN, statement);
    }

    /// A configuration for a user.
    fn login(&self, user: &str, password: &str) -> impl FnOnce(&mut Config) + use<> {
        let (user, file) = (user.to_owned(), self.platform.secret(user, password));
        move |config: &mut Config| {
            config.cluster.cql.user = Some(user);
            config.cluster.cql.password_file = Some(file);
        }
    }

    fn migrate(&self, user: &str, password: &str) -> Exited {
        let mut command = self.platform.command("migrate", self.login(user, password));
        process::run_within(SOON * 12, command.arg("migrate"))
    }
}

#[test]
fn a_wrong_login_and_missing_rights_are_told_without_the_password() {
    let _turn = turn();
    let guarded = Guarded::start();
    let platform = &guarded.platform;
    let keyspace = platform.keyspace.as_str();
    let (owner, password) = LOGIN;
    let wrong = ["cannot connect to the CQL store", "password are incorrect"];
    platform.refuses(1, &wrong, guarded.login(owner, "hunter2\n"));
    platform.refuses(1, &wrong, guarded.login("somebody", "hunter2"));
    let unnamed = ["cannot connect to the CQL store", "cluster.cql.user"];
    platform.refuses(1, &unnamed, |_| {});

    for user in ["stranger", "reader", "writer", "server"] {
        guarded.run(&format!(
            "CREATE ROLE {user} WITH PASSWORD = 'hunter2' AND LOGIN = true"
        ));
    }
    let mut migrate = platform.command("migrate", guarded.login("stranger", "hunter2"));
    let may_not_create = ["the CQL store refuses the user", "CREATE", "social-server migrate"];
    assert_refuses(migrate.arg("migrate"), 1, &may_not_create);
    let migrated = guarded.migrate(owner, password);
    assert!(migrated.status.success(), "{migrated:?}");
    for (user, right) in [
        ("reader", "SELECT"),
        ("writer", "MODIFY"),
        ("server", "SELECT"),
        ("server", "MODIFY"),
    ] {
        guarded.run(&format!("GRANT {right} ON KEYSPACE {keyspace} TO {user}"));
    }
    for (user, lacks) in [("stranger", "SELECT"), ("writer", "SELECT"), ("reader", "MODIFY")] {
        let says = [
            "the CQL store refuses the user",
            user,
            lacks,
            keyspace,
            "SELECT and MODIFY on the keyspace",
        ];
        platform.refuses(1, &says, guarded.login(user, "hunter2"));
    }
    // No other right is needed.
    platform.start_with("api", guarded.login("server", "hunter2"));
}

#[test]
fn a_wrong_password_of_redis_is_told_without_it() {
    let _turn = turn();
    let platform = Platform::shared();
    let redis = Redis::start(&redis::Options {
        password: Some("right".to_owned()),
        ..redis::Options::default()
    });
    let redis = redis.unwrap();
    let at = redis.url().rsplit('@').next().unwrap();
    for (name, login) in [("none", ""), ("wrong", ":hunter2@"), ("unknown", "somebody:hunter2@")] {
        let url = platform.secret(name, &format!("redis://{login}{at}"));
        platform.refuses(1, &["redis: Redis refused the user or password"], |config| {
            config.cluster.redis.url = None;
            config.cluster.redis.url_file = Some(url);
        });
    }
}

#[test]
fn a_clock_that_is_not_the_stores_is_told() {
    let _turn = turn();
    let platform = Platform::shared();
    for (offset, says) in [("-5", "behind the CQL store's"), ("+5", "ahead of the CQL store's")] {
        let mut command = platform.command("mistaken", |_| {});
        command
            .env("LD_PRELOAD", faketime().unwrap())
            .env("FAKETIME", offset)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DISABLE_SHM", "1");
        assert_refuses(&mut command, 1, &["the system's clock is ", says, "NTP"]);
    }
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
