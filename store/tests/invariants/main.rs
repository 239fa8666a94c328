//! The invariants of the cluster store, each on the real stores, and what else only shows there. Each test fails when its invariant is broken in the
//! program; how, is told beside it.
//!
//! Needs a CQL store and a Redis: `cargo xtask test cluster` starts both, tells where they are, and runs this.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod chunks;
mod cql;
mod durable;
mod ended;
mod imports;
mod processes;
mod rebuilt;
mod repeated;
mod shape;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod without_redis;
mod work;
mod world;
