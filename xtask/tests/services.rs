//! Real services end with their owner, however that ends. Runs in `cargo xtask test cluster`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use xtask::services::{Redis, redis};

/// Makes this program an owner of a Redis, for another test to end it.
const OWNER: &str = "SOCIAL_TEST_OWNER";
const PATIENCE: Duration = Duration::from_secs(20);

/// Owns a Redis until it is told how to end. Without the variable it has nothing to show.
#[test]
fn an_owner() {
    let Ok(end) = env::var(OWNER) else {
        return;
    };
    let mut redis = Redis::start(&redis::Options::default()).unwrap();
    let node = &mut redis.nodes_mut()[0];
    println!("owns {} {}", node.server().pid().unwrap(), node.address());
    match end.as_str() {
        "panic" => panic!("as a test that fails"),
        "exit" => std::process::exit(3),
        _ => thread::sleep(PATIENCE),
    }
}

fn assert_it_ends(end: &str, signal: Option<&str>) {
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "an_owner", "--nocapture", "--test-threads", "1"])
        .env(OWNER, end)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("owns ")).unwrap();
    let mut words = line.split_whitespace().skip_while(|word| *word != "owns").skip(1);
    let (pid, address) = (words.next().unwrap(), words.next().unwrap());
    if let Some(signal) = signal {
        TcpStream::connect(address).unwrap();
        let id = owner.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, signal, &id])
            .status();
        assert!(sent.unwrap().success());
    }
    assert!(!owner.wait().unwrap().success());
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(start.elapsed() < PATIENCE, "Redis {pid} outlives its owner");
        thread::sleep(Duration::from_millis(20));
    }
    println!("{end}: Redis ended {} ms after its owner", start.elapsed().as_millis());
}

#[test]
fn it_ends_when_its_owner_is_killed() {
    assert_it_ends("killed", Some("KILL"));
}

#[test]
fn it_ends_when_its_owner_is_interrupted() {
    assert_it_ends("interrupted", Some("INT"));
}

#[test]
fn it_ends_when_its_owner_panics() {
    assert_it_ends("panic", None);
}

#[test]
fn it_ends_when_its_owner_exits() {
    assert_it_ends("exit", None);
}

#[test]
fn three_servers_become_one_redis_cluster() {
    let mut redis = Redis::start(&redis::Options {
        cluster: true,
        password: Some("a secret".to_owned()),
    })
    .unwrap();
    redis.check().unwrap();
    let answers: Vec<_> = redis
        .nodes_mut()
        .iter()
        .map(|node| node.ask(&["SET", "key", "value"]))
        .collect();
    // One owns the key's slot, and the others know who.
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let moved = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert_eq!(
        moved.filter(|error| error.starts_with("MOVED ")).count(),
        2,
        "{answers:?}"
    );
}

#[test]
fn a_server_that_was_killed_comes_back_empty() {
    let mut redis = Redis::start(&redis::Options::default()).unwrap();
    let node = &mut redis.nodes_mut()[0];
    node.ask(&["SET", "key", "value"]).unwrap();
    node.server().kill();
    assert!(node.ask(&["PING"]).is_err());
    node.start().unwrap();
    assert_eq!(node.ask(&["EXISTS", "key"]).as_deref(), Ok("0"));
}
