//! The parts that run tests.
//!
//! Every command selects the whole workspace and differs only in the targets it names, and all of them use the same
//! profile: so cargo builds every crate once, with one set of features, for all parts together.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run;
use crate::tally::Tally;

/// Crates whose `tests/` folder drives real binaries over real sockets.
const E2E: [&str; 3] = ["server", "sdk/rust", "cli"];
/// Crates whose `tests/` folder needs nothing but the crate.
const UNIT: [&str; 5] = ["proto", "core", "store", "observability", "xtask"];
/// The suite of `store/tests` that is a part of its own.
const CONFORMANCE: &str = "conformance";

/// Tests inside the crates, integration tests that need no server, and doc tests.
pub(crate) fn unit() -> Tally {
    let mut command = cargo_test();
    command.args(["--lib", "--bins", "--examples"]);
    let folders = UNIT.iter().flat_map(|folder| tests_in(folder));
    select(&mut command, folders.filter(|name| name != CONFORMANCE));
    let mut tally = run::tests(&mut command);
    tally += run::tests(cargo_test().arg("--doc"));
    tally
}

/// The one suite of the stores; it prints how many cases ran on each backend.
pub(crate) fn conformance() -> Tally {
    run::tests(cargo_test().args(["--test", CONFORMANCE, "--", "--nocapture"]))
}

/// Black-box tests. Selecting them has cargo build the binaries that they start, next to each other, before the first
/// one runs.
pub(crate) fn e2e() -> Tally {
    let names: Vec<String> = E2E.iter().flat_map(|folder| tests_in(folder)).collect();
    if names.is_empty() {
        // Without a name cargo would run all there is, and nobody would see that these are missing.
        println!("no end-to-end test was found in {E2E:?}");
        return Tally::FAILED;
    }
    let mut command = cargo_test();
    select(&mut command, names.into_iter());
    // What they measure and count is worth seeing also when they pass.
    command.args(["--", "--show-output"]);
    run::tests(&mut command)
}

fn cargo_test() -> Command {
    let mut command = run::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command
}

fn select(command: &mut Command, names: impl Iterator<Item = String>) {
    for name in names.collect::<BTreeSet<_>>() {
        command.args(["--test", &name]);
    }
}

/// The names of the integration tests of a crate: `tests/<name>.rs` and `tests/<name>/main.rs`.
fn tests_in(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(run::root().join(folder).join("tests")) else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| test_name(&entry.path())).collect()
}

fn test_name(path: &Path) -> Option<String> {
    let is_test = path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file();
    is_test
        .then(|| path.file_stem().map(|name| name.to_string_lossy().into_owned()))
        .flatten()
}
