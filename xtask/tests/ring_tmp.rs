#![allow(clippy::unwrap_used, reason = "tmp")]
use std::time::Instant;
use xtask::services::{Cql, cql};
#[test]
fn ring() {
    let s = Instant::now();
    let mut c = Cql::start(cql::Options { ring: true, passwords: false }).unwrap();
    println!("up {:?} {}", s.elapsed(), c.addresses());
    let s = Instant::now();
    let n = &mut c.nodes_mut()[2];
    n.server().unwrap().kill();
    assert!(n.check().is_err());
    c.nodes()[0].check().unwrap();
    println!("killed {:?}", s.elapsed());
    c.nodes_mut()[2].start().unwrap();
    println!("restarted {:?}", s.elapsed());
    c.wait_whole().unwrap();
    println!("whole {:?}", s.elapsed());
    let s = Instant::now();
    c.nodes_mut()[1].server().unwrap().freeze().unwrap();
    println!("frozen: {:?} {:?}", c.nodes()[1].check(), s.elapsed());
    c.nodes_mut()[1].server().unwrap().thaw().unwrap();
    let s = Instant::now();
    c.nodes()[1].check().unwrap();
    c.wait_whole().unwrap();
    println!("thawed, whole {:?}", s.elapsed());
    let o = std::process::Command::new("sh").args(["-c", "ps -o rss= -C java"]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&o.stdout));
}
#[test]
fn passwords() {
    let s = Instant::now();
    let c = Cql::start(cql::Options { ring: false, passwords: true }).unwrap();
    println!("up {:?} {}", s.elapsed(), c.addresses());
    let o = std::process::Command::new("python3").args(["/tmp/plan/q.py", &c.addresses()]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&o.stdout));
}
