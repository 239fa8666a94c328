//! Faults of the CQL store under load: of a ring of three nodes, which keeps three copies of each row, one dies or stands still while clients
//! write. Calls go on, and whatever was acknowledged is there afterwards, once.
//!
//! The ring and the Redis are this test's own, since they are harmed: `cargo xtask test cluster` runs this.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../cluster/platform.rs"]
mod platform;
#[path = "../support/mod.rs"]
mod support;

#[path = "../cluster_faults/check.rs"]
mod check;
#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../cluster_faults/crowd.rs"]
mod crowd;
#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../cluster_faults/load.rs"]
mod load;
#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../cluster_faults/site.rs"]
mod site;
#[path = "../cluster_faults/trials.rs"]
mod trials;

mod faults;
mod ring;

use futures::FutureExt as _;

use ring::Ring;
use trials::Fault;

const FAULTS: [(&str, Fault<Ring>); 2] = [
    ("node_killed", |site| faults::node_killed(site).boxed_local()),
    ("node_frozen", |site| faults::node_frozen(site).boxed_local()),
];

fn main() {
    trials::run(&FAULTS);
}
