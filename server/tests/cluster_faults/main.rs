//! Faults under load: Redis, a worker, an api process or the way to the CQL store fails, or a clock is wrong, while clients write. Whatever was
//! acknowledged is there afterwards, once.
//!
//! Needs a CQL store of one node: `cargo xtask test cluster` starts it, tells where it is, and runs this. The Redis is this test's own, since it
//! is killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../cluster/platform.rs"]
mod platform;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod check;
mod clocks;
mod crowd;
mod fan_out;
mod faults;
mod load;
mod proxy;
mod site;
mod trials;

use futures::FutureExt as _;

use proxy::Proxy;
use trials::Fault;

/// Processes that reach their store by a way which can harm its answers.
pub(crate) type Site = site::Site<Proxy>;

/// In this order: what kills a worker comes last, since its shards wait until its lease has ended.
const FAULTS: [(&str, Fault<Proxy>); 14] = [
    ("answers_lost", |site| answers::lost(site).boxed_local()),
    ("answers_late", |site| answers::late(site).boxed_local()),
    ("answers_cut", |site| answers::cut(site).boxed_local()),
    ("requests_late", |site| answers::requests_late(site).boxed_local()),
    ("redis_flushed", |site| faults::redis_flushed(site).boxed_local()),
    ("redis_killed", |site| faults::redis_killed(site).boxed_local()),
    ("redis_frozen", |site| faults::redis_frozen(site).boxed_local()),
    ("api_clock_set_back", |site| clocks::api_set_back(site).boxed_local()),
    ("api_clock_set_forward", |site| {
        clocks::api_set_forward(site).boxed_local()
    }),
    ("worker_clock_set_back", |site| {
        clocks::worker_set_back(site).boxed_local()
    }),
    ("worker_clock_set_forward", |site| {
        clocks::worker_set_forward(site).boxed_local()
    }),
    ("api_killed", |site| faults::api_killed(site).boxed_local()),
    ("worker_frozen_beyond_its_lease", |site| {
        faults::worker_frozen(site).boxed_local()
    }),
    ("worker_killed_in_a_fan_out", |site| {
        fan_out::worker_killed(site).boxed_local()
    }),
];

fn main() {
    trials::run(&FAULTS);
}
