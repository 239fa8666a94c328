//! The faults that come in the middle of a load.

use std::time::{Duration, Instant};

use crate::Site;
use crate::check::conclude;
use crate::load::{AFTER, BEFORE, BRISK, CALM, Load, Working};
use crate::site::{Afterwards, eventually, goes_or_ended};

/// How long Redis stands still.
const FROZEN: Duration = Duration::from_secs(10);
/// How long a worker stands still: longer than the 10 s of its lease.
const BEYOND_LEASE: Duration = Duration::from_secs(13);
/// Within what time homes are whole once Redis is back, and counts are right: twice what is promised, since other tests keep the machine busy.
const HOMES: Duration = Duration::from_secs(20);
const COUNTS: Duration = Duration::from_secs(60);
/// How often an api process is killed at the most, until a kill comes between a write and its acknowledgement.
const KILLS: usize = 6;
/// How long after a kill such a call is answered.
const REPEATED: Duration = Duration::from_secs(3);

/// As [`conclude`], within the bounds for a Redis that came back.
async fn conclude_in_time(site: &Site, fault: &str, load: &Load, back: Instant) {
    let checked = conclude(site, fault, load, back, "").await;
    assert!(checked.homes_after < HOMES, "homes: {:?}", checked.homes_after);
    assert!(checked.counts_after < COUNTS, "counts: {:?}", checked.counts_after);
}

/// Redis forgets everything.
pub(crate) async fn redis_flushed(site: &mut Site) {
    let mut working = Working::begin(&site.crowd, BRISK);
    working.further(BEFORE).await;
    site.redis_node().ask(&["FLUSHALL"]).unwrap();
    let back = Instant::now();
    working.further(AFTER).await;
    let load = working.finish().await;
    conclude_in_time(site, "redis flushed", &load, back).await;
}

/// Redis dies, is away for a moment, and comes back empty.
pub(crate) async fn redis_killed(site: &mut Site) {
    let mut working = Working::begin(&site.crowd, BRISK);
    working.further(BEFORE).await;
    site.redis_server().kill();
    working.further(AFTER).await;
    site.redis_node().start().unwrap();
    let back = Instant::now();
    working.further(AFTER).await;
    let load = working.finish().await;
    conclude_in_time(site, "redis killed, restarted empty", &load, back).await;
}

/// Redis takes connections and answers nothing, for a while.
pub(crate) async fn redis_frozen(site: &mut Site) {
    let mut working = Working::begin(&site.crowd, CALM);
    working.further(BEFORE).await;
    site.redis_server().freeze().unwrap();
    let frozen = Instant::now();
    working.further(AFTER).await;
    tokio::time::sleep(FROZEN.saturating_sub(frozen.elapsed())).await;
    site.redis_server().thaw().unwrap();
    let back = Instant::now();
    working.further(AFTER).await;
    let load = working.finish().await;
    conclude_in_time(site, "redis frozen for 10 s", &load, back).await;
}

/// An api process dies under load, until one dies between a write and its acknowledgement.
pub(crate) async fn api_killed(site: &mut Site) {
    let mut working = Working::begin(&site.crowd, Duration::ZERO);
    working.further(BEFORE).await;
    let mut kills = 0;
    let back = loop {
        let victim = kills % 2;
        site.apis.remove(victim).kill();
        kills += 1;
        let is_caught = working.caught_within(REPEATED).await;
        site.complete().await;
        let back = Instant::now();
        working.further(AFTER).await;
        if is_caught || kills == KILLS {
            break back;
        }
    };
    let load = working.finish().await;
    let caught = load.totals().caught;
    let note = format!("; kills {kills}");
    conclude(site, "api killed", &load, back, &note).await;
    assert!(load.totals().repeats > 0, "a call was cut off");
    assert!(caught > 0, "a kill came between a write and its acknowledgement");
}

/// A worker stands still for longer than its lease, while the other works, and goes on.
pub(crate) async fn worker_frozen(site: &mut Site) {
    let mut working = Working::begin(&site.crowd, CALM);
    working.further(BEFORE).await;
    site.workers.member(0).signal("STOP");
    let frozen = Instant::now();
    working.further(AFTER).await;
    tokio::time::sleep(BEYOND_LEASE.saturating_sub(frozen.elapsed())).await;
    site.workers.member(0).signal("CONT");
    let back = Instant::now();
    working.further(AFTER).await;
    let afterwards = goes_or_ended(site.workers.member(0)).await;
    let load = working.finish().await;
    let note = format!("; the worker then: {afterwards:?}");
    conclude(site, "worker frozen beyond its lease", &load, back, &note).await;
    if afterwards == Afterwards::Goes {
        works_alone(site).await;
    } else {
        let exited = site.workers.remove(0).ended();
        assert!(!exited.stderr.contains("panicked"), "{exited:?}");
    }
}

/// The worker that did nothing for a while does all work when the other has ended.
pub(crate) async fn works_alone(site: &mut Site) {
    let other = site.workers.remove(1);
    other.signal("TERM");
    let exited = other.ended();
    assert!(exited.status.success(), "{exited:?}");
    let post = site.crowd.post(0, "for the worker that is left").await;
    let (reader, line) = (&site.crowd.readers[0], site.crowd.line(0));
    eventually("the worker that is left to bring a post", async || {
        let home = reader.home(&line).await.unwrap();
        home.contains(&post).then_some(())
    })
    .await;
    site.settled().await;
    *site.crowd.newest.lock().unwrap() = post;
}
