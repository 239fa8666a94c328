//! Faults under load: Redis, a worker or an api process fails, or a clock is wrong, while clients write. Whatever was acknowledged is there afterwards, once.
//!
//! Needs a CQL store: `cargo xtask test cluster` starts it, tells where it is, and runs this. The Redis is this test's own, since it is killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../cluster/platform.rs"]
mod platform;
#[path = "../support/mod.rs"]
mod support;

mod check;
mod clocks;
mod crowd;
mod fan_out;
mod faults;
mod load;
mod site;

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

use site::Site;

/// A fault: it returns where everything was as it has to be, and panics where not.
type Fault = for<'a> fn(&'a mut Site) -> LocalBoxFuture<'a, ()>;

/// In this order: what kills a worker comes last, since its shards wait until its lease has ended.
const FAULTS: [(&str, Fault); 10] = [
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
    let mut arguments = Arguments::from_args();
    // They share one platform, which each harms.
    arguments.test_threads = Some(1);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let runtime = Arc::new(runtime);
    let site = Arc::new(Mutex::new(None));
    let trials = FAULTS.map(|(name, fault)| {
        let (runtime, site) = (Arc::clone(&runtime), Arc::clone(&site));
        Trial::test(name, move || {
            runtime.block_on(suffer(&site, fault));
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    end(runtime, &site);
    conclusion.exit();
}

async fn suffer(site: &Mutex<Option<Site>>, fault: Fault) {
    let mut site = site.lock().await;
    if site.is_none() {
        *site = Some(Site::open().await);
    }
    let site = site.as_mut().unwrap();
    site.mend().await;
    fault(site).await;
}

/// Ends all processes: an exit drops nothing.
fn end(runtime: Arc<Runtime>, site: &Mutex<Option<Site>>) {
    drop(runtime.block_on(site.lock()).take());
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
}
