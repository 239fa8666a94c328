//! Faults as the cases of a test program: one after another, on one site that each harms.

use std::sync::Arc;

use futures::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

use crate::site::{Site, Store};

/// A fault: it returns where everything was as it has to be, and panics where not.
pub(crate) type Fault<S> = for<'a> fn(&'a mut Site<S>) -> LocalBoxFuture<'a, ()>;

/// Runs those that are asked for, in this order, and ends the program.
pub(crate) fn run<S: Store + Send + 'static>(faults: &'static [(&'static str, Fault<S>)]) -> ! {
    let mut arguments = Arguments::from_args();
    // They share one platform.
    arguments.test_threads = Some(1);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let runtime = Arc::new(runtime);
    let site = Arc::new(Mutex::new(None));
    let trials = faults.iter().map(|(name, fault)| {
        let (runtime, site) = (Arc::clone(&runtime), Arc::clone(&site));
        Trial::test(*name, move || {
            runtime.block_on(suffer(&site, *fault));
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    end(runtime, &site);
    conclusion.exit()
}

async fn suffer<S: Store>(site: &Mutex<Option<Site<S>>>, fault: Fault<S>) {
    let mut site = site.lock().await;
    if site.is_none() {
        *site = Some(Site::open().await);
    }
    let site = site.as_mut().unwrap();
    site.mend().await;
    fault(site).await;
}

/// Ends all processes: an exit drops nothing.
fn end<S>(runtime: Arc<Runtime>, site: &Mutex<Option<Site<S>>>) {
    drop(runtime.block_on(site.lock()).take());
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
}
