//! The parts that run tests.
//!
//! Which integration tests there are is asked of cargo, and each belongs to exactly one part: a new one runs without being
//! entered anywhere. All commands build the whole workspace on the same profile: so cargo builds every crate once, with one
//! set of features, for all parts together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use cargo_metadata::{Message, Metadata, MetadataCommand};

use xtask::services::{Options, Services, cql, redis};

use crate::run;
use crate::tally::Tally;

/// Packages whose `tests/` folder drives real binaries over real sockets.
const E2E: [&str; 3] = ["social-server", "social-sdk", "socialctl"];
/// The package and the target of the suite that is a part of its own.
const CONFORMANCE: (&str, &str) = ("social-store", "conformance");

/// A program of tests on real services: package, target, and which of its tests (all, where nothing is said). A target of its
/// own runs nowhere else; the suite's other cases have run before.
type OnServices = (&'static str, &'static str, Option<&'static str>);
/// What runs on real services, in this order.
const CLUSTER: &[OnServices] = &[
    ("xtask", "services", None),
    (CONFORMANCE.0, CONFORMANCE.1, Some("cluster::")),
    ("social-store", "waves", None),
    ("social-store", "invariants", None),
    ("social-server", "cluster", None),
];
/// What runs beside that: faults wait for most of their time.
const FAULTS: &[OnServices] = &[("social-server", "cluster_faults", None)];
/// What runs alone in the end: three more nodes fill the machine, and clients are to notice little.
const RING: &[OnServices] = &[("social-server", "cql_faults", None)];

const ON_SERVICES: [&[OnServices]; 3] = [CLUSTER, FAULTS, RING];

/// Targets that run on real services.
pub(crate) fn on_services() -> impl Iterator<Item = &'static str> {
    ON_SERVICES.into_iter().flatten().map(|(_, target, _)| *target)
}

/// The part that an integration test belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Unit,
    Conformance,
    Cluster,
    E2e,
}

impl Part {
    fn of(package: &str, target: &str) -> Self {
        if (package, target) == CONFORMANCE {
            Self::Conformance
        } else if ON_SERVICES
            .into_iter()
            .flatten()
            .any(|(owner, name, _)| (*owner, *name) == (package, target))
        {
            Self::Cluster
        } else if E2E.contains(&package) {
            Self::E2e
        } else {
            Self::Unit
        }
    }
}

/// Tests inside the crates, integration tests that need no server, and doc tests.
pub(crate) fn unit() -> Tally {
    // Some start a Redis of their own.
    let redis = match redis::program() {
        Ok(program) => program,
        Err(why) => {
            println!("{why}");
            return Tally::FAILED;
        }
    };
    let mut inside = cargo_test();
    inside
        .args(["--workspace", "--lib", "--bins", "--examples"])
        .env(redis::PROGRAM, redis);
    let mut tally = run::tests(&mut inside);
    tally += integration(Part::Unit, &[]);
    tally += run::tests(cargo_test().args(["--workspace", "--doc"]));
    tally
}

/// The one suite of the stores; it prints how many cases ran on each backend.
pub(crate) fn conformance() -> Tally {
    integration(Part::Conformance, &["--nocapture"])
}

/// The same suite, and faults, on real services, which end with this. It fails when they cannot be started, and when a program
/// has no test to run: nothing is left out in silence.
pub(crate) fn cluster() -> Tally {
    // Compiled first: no service waits for the compiler.
    let [suites, faults, ring] = match compiled_all() {
        Ok(compiled) => compiled,
        Err(why) => {
            println!("{why}");
            return Tally::FAILED;
        }
    };
    let start = Instant::now();
    let services = match Services::start(Options::default()) {
        Ok(services) => services,
        Err(why) => {
            println!("the services for these tests cannot be started: {why}");
            return Tally::FAILED;
        }
    };
    println!("{}\n{}", services.cql.what(), services.redis.what());
    println!("up in {:.1} s", start.elapsed().as_secs_f64());
    thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut told = Vec::new();
            (run_all(&services, &faults, &mut told), told)
        });
        let mut tally = run_all(&services, &suites, &mut io::stdout());
        match beside.join() {
            Ok((faults, told)) => {
                print!("{}", String::from_utf8_lossy(&told));
                tally += faults;
            }
            Err(_) => tally += Tally::FAILED,
        }
        tally += run_all(&services, &ring, &mut io::stdout());
        tally
    })
}

/// A program, where it starts, its name, and which of its tests are to run.
struct Compiled {
    program: PathBuf,
    home: PathBuf,
    name: String,
    filter: Option<&'static str>,
}

fn compiled_all() -> Result<[Vec<Compiled>; 3], String> {
    Ok([compiled(CLUSTER)?, compiled(FAULTS)?, compiled(RING)?])
}

fn compiled(wanted: &[OnServices]) -> Result<Vec<Compiled>, String> {
    let mut compiled = Vec::new();
    for (package, target, filter) in wanted {
        let built = programs(|owner, name| (owner, name) == (*package, *target));
        let built = built.map_err(|why| format!("{target} of {package}: {why}"))?;
        compiled.extend(built.into_iter().map(|((home, name), program)| Compiled {
            program,
            home,
            name,
            filter: *filter,
        }));
    }
    Ok(compiled)
}

/// Runs programs one after another on real services. One that has no test for them fails.
fn run_all(services: &Services, programs: &[Compiled], out: &mut dyn io::Write) -> Tally {
    let mut tally = Tally::default();
    for Compiled {
        program,
        home,
        name,
        filter,
    } in programs
    {
        let mut command = start_test(program, home, &["--nocapture"]);
        command.args(*filter).envs(services.variables());
        let ran = run::tests_into(&mut command, out);
        let some = ran.passed + ran.failed > 0;
        tally += ran;
        if !some {
            println!("{name} has no test for real services");
            tally += Tally::FAILED;
        }
    }
    tally
}

/// Black-box tests. Selecting those of the server has cargo build `social-server`, and those of socialctl `socialctl`, next
/// to each other, before the first test runs: the SDK's and the CLI's tests start what was built from this very source.
pub(crate) fn e2e() -> Tally {
    // What they measure and count is worth seeing also when they pass.
    integration(Part::E2e, &["--show-output"])
}

/// Builds the integration tests of a part, then runs them one after another.
fn integration(part: Part, options: &[&str]) -> Tally {
    let programs = match programs(|package, target| Part::of(package, target) == part) {
        Ok(programs) => programs,
        Err(why) => {
            println!("{why}");
            return Tally::FAILED;
        }
    };
    let mut tally = Tally::default();
    for ((home, _), program) in programs {
        tally += run::tests(&mut start_test(&program, &home, options));
    }
    tally
}

/// The programs of the integration tests that are asked for by package and target.
fn programs(wanted: impl Fn(&str, &str) -> bool) -> Result<BTreeMap<Target, PathBuf>, String> {
    let metadata = metadata().map_err(|error| format!("cargo metadata: {error}"))?;
    let targets = targets(&metadata, wanted);
    if targets.is_empty() {
        // Without a name cargo would build all there is, and nobody would see that these are missing.
        return Err("no such test was found".to_owned());
    }
    build(&targets)
}

/// An integration test: the folder of its package, and its name.
type Target = (PathBuf, String);

/// Builds integration tests, and gives their programs.
///
/// All tests of these names in the whole workspace are built, as all other parts build it: selecting single packages would
/// build their dependencies again, with another set of features. Another package may have a test of the same name, which
/// belongs to another part: so the programs are picked by package.
fn build(targets: &BTreeSet<Target>) -> Result<BTreeMap<Target, PathBuf>, String> {
    let mut command = cargo_test();
    command.args(["--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
    for name in targets.iter().map(|(_, name)| name).collect::<BTreeSet<_>>() {
        command.args(["--test", name]);
    }
    let messages = run::output(&mut command)?;
    let mut programs = BTreeMap::new();
    for message in Message::parse_stream(messages.as_slice()) {
        let Ok(Message::CompilerArtifact(artifact)) = message else {
            continue;
        };
        let (Some(program), Some(home)) = (artifact.executable, artifact.manifest_path.parent()) else {
            continue;
        };
        let target = (home.into(), artifact.target.name.clone());
        if artifact.target.is_test() && targets.contains(&target) {
            programs.insert(target, program.into());
        }
    }
    match targets.iter().find(|target| !programs.contains_key(*target)) {
        Some((home, name)) => Err(format!("the test {name} of {} was not built", home.display())),
        None => Ok(programs),
    }
}

/// Runs a test that was built, as cargo would; only one part has real services.
fn start_test(program: &Path, home: &Path, options: &[&str]) -> Command {
    let mut command = run::command(program);
    command.current_dir(home).env("CARGO_MANIFEST_DIR", home).args(options);
    command.env_remove(cql::VARIABLE).env_remove(redis::VARIABLE);
    command
}

fn metadata() -> Result<Metadata, cargo_metadata::Error> {
    MetadataCommand::new()
        .current_dir(run::root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
}

/// The integration tests that are wanted, by package and target.
fn targets(metadata: &Metadata, wanted: impl Fn(&str, &str) -> bool) -> BTreeSet<Target> {
    let mut found = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let home = package.manifest_path.parent().map(PathBuf::from).unwrap_or_default();
        let tests = package.targets.iter().filter(|target| target.is_test());
        let of_part = tests.filter(|target| wanted(&package.name, &target.name));
        found.extend(of_part.map(|target| (home.clone(), target.name.clone())));
    }
    found
}

fn cargo_test() -> Command {
    let mut command = run::cargo();
    command.args(["test", "--locked", "--no-fail-fast"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integration_test_runs_once() {
        let metadata = metadata().expect("metadata");
        let mut runs = 0;
        for part in [Part::Unit, Part::Conformance, Part::Cluster, Part::E2e] {
            let targets = targets(&metadata, |package, target| Part::of(package, target) == part);
            assert!(!targets.is_empty(), "{part:?}");
            runs += targets.len();
        }
        let packages = metadata.workspace_packages();
        let targets = packages.iter().flat_map(|package| &package.targets);
        assert_eq!(runs, targets.filter(|target| target.is_test()).count());
    }
}
