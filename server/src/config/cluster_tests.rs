use super::super::Config;
use super::*;

fn usable() -> Config {
    let mut config = Config {
        store: Store::Cluster,
        ..Config::default()
    };
    config.cluster.cql.contact_points = vec!["10.0.0.1:9042".to_owned()];
    config.cluster.redis.url = Some("redis://10.0.0.1:6379".to_owned());
    config
}

fn problems_of(change: impl FnOnce(&mut Cluster)) -> Vec<String> {
    let mut config = usable();
    change(&mut config.cluster);
    match config.validate() {
        Ok(()) => Vec::new(),
        Err(super::super::Error::Unusable(problems)) => problems,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn assert_problem(expected: &str, change: impl FnOnce(&mut Cluster)) {
    let problems = problems_of(change);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(expected), "{problems:?}");
    assert!(!problems[0].contains('\n'), "{problems:?}");
}

#[test]
fn a_cluster_needs_its_stores_and_nothing_else() {
    assert_eq!(problems_of(|_| {}), Vec::<String>::new());
    let bare = Config {
        store: Store::Cluster,
        ..Config::default()
    };
    let refusal = bare.validate().unwrap_err().to_string();
    assert!(
        refusal.contains("cluster.cql.contact_points") && refusal.contains("cluster.redis.url"),
        "{refusal}"
    );
    // An embedded store asks nothing of a cluster.
    Config::default().validate().unwrap();
}

#[test]
fn each_problem_is_one_line_with_its_key() {
    assert_problem("cluster.roles: is empty", |c| c.roles.clear());
    assert_problem("cluster.node: must be from 1 to 1022", |c| c.node = Some(0));
    assert_problem("cluster.node: ", |c| c.node = Some(1023));
    assert_problem("cluster.name: ", |c| c.name = Some("a b".into()));
    assert_problem("cluster.name: ", |c| c.name = Some(String::new()));
    assert_problem("cluster.cql.user: is missing", |c| {
        c.cql.password_file = Some("p".into());
    });
    assert_problem("cluster.cql.password_file: is missing", |c| {
        c.cql.user = Some("u".into());
    });
    assert_problem("cluster.redis.url: is set beside", |c| {
        c.redis.url_file = Some("u".into());
    });
    assert_problem("cluster.redis.prefix: ", |c| c.redis.prefix = "a{b}".into());
    for keyspace in ["", "Social", "1a", "_a", "a-b", "a\"b", &"a".repeat(49)] {
        assert_problem("cluster.cql.keyspace: ", |c| c.cql.keyspace = keyspace.to_owned());
    }
    assert!(problems_of(|c| c.cql.keyspace = "a".repeat(48)).is_empty());
}

#[test]
fn contact_points_are_addresses() {
    for (point, expected) in [
        ("10.0.0.1:9042", "10.0.0.1:9042"),
        ("scylla-0.db", "scylla-0.db:9042"),
        ("[::1]:1", "[::1]:1"),
        ("[::1]", "[::1]:9042"),
    ] {
        assert_eq!(address(point).as_deref(), Some(expected));
    }
    for wrong in [
        "",
        ":1",
        "host:",
        "host:0",
        "host:x",
        "host:70000",
        "::1",
        "[x]:1",
        "cql://host:1",
        "a b",
    ] {
        assert_eq!(address(wrong), None, "{wrong}");
        assert_problem("cluster.cql.contact_points: ", |c| {
            c.cql.contact_points = vec![wrong.to_owned()];
        });
    }
}

#[test]
fn a_password_of_redis_belongs_into_a_file() {
    for secret in [
        "redis://:hunter2@host:1",
        "redis://user:hunter2@host",
        "redis://:hunt/er2@host",
        "redis://:hunt@er2@host",
        "redis-sentinel://host:1?sentinelPassword=hunter2",
        ":hunter2@host",
    ] {
        assert!(holds_password(secret), "{secret}");
        let problems = problems_of(|c| c.redis.url = Some(secret.to_owned()));
        assert!(problems[0].contains("cluster.redis.url_file"), "{problems:?}");
        assert!(
            !problems[0].contains("hunter2") && !problems[0].contains("er2@"),
            "{problems:?}"
        );
        let mut config = usable();
        config.cluster.redis.url = Some(secret.to_owned());
        assert!(!format!("{config:?}").contains("er2"));
    }
    for open in [
        "redis://host:6379/3",
        "rediss://user@host",
        "redis-cluster://host:1?node=other:2",
    ] {
        assert!(!holds_password(open), "{open}");
    }
}

#[test]
fn replication_reads_what_it_wrote() {
    for text in ["1", "3", "dc1:3", "dc1:3,eu-west_2.a:2"] {
        assert_eq!(String::from(text.parse::<Replication>().unwrap()), text);
    }
    assert_eq!(
        String::from("dc1: 3, dc2:2".parse::<Replication>().unwrap()),
        "dc1:3,dc2:2"
    );
    for wrong in ["", "0", "17", "three", "dc1", "dc1:0", "dc1:3,", "dc'1:3", ":3", "-1"] {
        let error = wrong.parse::<Replication>().unwrap_err().to_string();
        assert!(error.contains("dc1:3,dc2:3"), "{error}");
    }
}
