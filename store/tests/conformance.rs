//! Runs the conformance suite on every backend: one test a case and backend, and how many passed on each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

#[path = "../src/conformance/mod.rs"]
mod conformance;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance::{Case, EXCEPTIONS, Kind, Subject};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

/// Cases at once, where the command line does not say.
const THREADS: usize = 8;
/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(480);

fn main() {
    let mut arguments = Arguments::from_args();
    // Cases wait for disks rather than for processors.
    arguments.test_threads.get_or_insert(THREADS);
    let runtime = Arc::new(
        Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .unwrap(),
    );
    let kinds = Kind::all();
    let passed: Arc<Vec<AtomicUsize>> = Arc::new(kinds.iter().map(|_| AtomicUsize::new(0)).collect());
    let mut trials = Vec::new();
    for (number, kind) in kinds.iter().copied().enumerate() {
        for case in conformance::all().filter(|case| exception(kind, case).is_none()) {
            let (runtime, passed) = (Arc::clone(&runtime), Arc::clone(&passed));
            trials.push(Trial::test(format!("{}::{}", kind.name(), case.name), move || {
                runtime.block_on(run(kind, case))?;
                passed[number].fetch_add(1, Ordering::Relaxed);
                Ok(())
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let total = conformance::all().count();
        for (kind, passed) in kinds.into_iter().zip(passed.iter()) {
            println!(
                "{}: {} cases passed (of {total})",
                kind.name(),
                passed.load(Ordering::Relaxed)
            );
            for (case, why) in conformance::all().filter_map(|case| Some((case, exception(kind, &case)?))) {
                println!("{}: left out {}: {why}", kind.name(), case.name);
            }
        }
    }
    Arc::into_inner(runtime)
        .into_iter()
        .for_each(Runtime::shutdown_background);
    conclusion.exit();
}

/// Why a case is left out on a backend.
fn exception(kind: Kind, case: &Case) -> Option<&'static str> {
    let of_case = |exception: &&(Kind, &str, &'static str)| exception.0 == kind && exception.1 == case.name;
    EXCEPTIONS.iter().find(of_case).map(|exception| exception.2)
}

async fn run(kind: Kind, case: Case) -> Result<(), Failed> {
    let subject = Subject::open(kind).await;
    let ended = tokio::time::timeout(PATIENCE, (case.run)(&subject)).await;
    ended.map_err(|_| Failed::from(format!("did not end within {} s", PATIENCE.as_secs())))
}
