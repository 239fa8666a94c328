//! The workshop of the repository: `cargo xtask test [PART]`, `cargo xtask services up|down|status`, `cargo xtask cluster`.

mod cluster;
mod lint;
mod run;
mod suites;
mod tally;

use std::process::ExitCode;
use std::time::Instant;

use xtask::services::{Options, background};

use crate::tally::Tally;

const USAGE: &str = "\
Usage: cargo xtask test [PART]
       cargo xtask services up [--nodes 1|3] [--redis-cluster]
       cargo xtask services down|status
       cargo xtask cluster

Parts, in the order in which they run when none is named:
  lint         formatting, clippy, licences and advisories of dependencies, style of the protobufs
  unit         tests inside the crates, doc tests, and the architecture test
  conformance  the one suite of the stores, on every backend
  cluster      the suite and the faults on real services: a CQL store and a Redis, started for it unless SOCIAL_TEST_CQL
               (host:port) and SOCIAL_TEST_REDIS (redis://host:port) say where they are
  e2e          the real binaries over real sockets: server, Rust SDK, socialctl

The last line is `N passed, N failed, N skipped`; the exit code is 0 when nothing failed. Skipped is what cannot be checked
without a network, buf or npm (said again above the last line as NOT CHECKED), and tests that are marked as ignored.

`services up` starts a CQL store (one node, or a ring of three) and a Redis (or a Redis Cluster of three) that stay until
`services down`, and prints their addresses for a shell: eval \"$(cargo xtask services up)\".

`cluster` starts two api and two worker processes over such services, and says how to try them; Ctrl-C ends all.";

/// A part of the tests: its name, and what runs it.
type Part = (&'static str, fn() -> Tally);

const PARTS: [Part; 5] = [
    ("lint", lint::run),
    ("unit", suites::unit),
    ("conformance", suites::conformance),
    ("cluster", suites::cluster),
    ("e2e", suites::e2e),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["test"] => test(&PARTS),
        ["test", name] => match PARTS.iter().find(|part| part.0 == *name) {
            Some(part) => test(std::slice::from_ref(part)),
            None => usage(&format!("there is no part `{name}`")),
        },
        ["services", what @ ..] => services(what),
        ["cluster"] => cluster(),
        ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => usage("what is to be done?"),
    }
}

fn usage(complaint: &str) -> ExitCode {
    eprintln!("xtask: {complaint}\n\n{USAGE}");
    ExitCode::from(2)
}

/// Starts, ends and shows services that stay.
fn services(arguments: &[&str]) -> ExitCode {
    let done = match arguments {
        ["up", options @ ..] => match options_of(options) {
            Ok(options) => background::up(options).map(|()| true),
            Err(complaint) => return usage(&complaint),
        },
        ["down"] => background::down().map(|()| true),
        ["status"] => background::status(),
        _ => return usage("services: up, down or status?"),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a cluster for trying out by hand; comes back only when it cannot go on.
fn cluster() -> ExitCode {
    if let Err(error) = cluster::run() {
        eprintln!("xtask: {error}");
    }
    ExitCode::FAILURE
}

fn options_of(mut arguments: &[&str]) -> Result<Options, String> {
    let mut options = Options::default();
    while let [first, rest @ ..] = arguments {
        arguments = match (*first, rest) {
            ("--redis-cluster", rest) => {
                options.redis_cluster = true;
                rest
            }
            ("--nodes", [nodes @ ("1" | "3"), rest @ ..]) => {
                options.ring = *nodes == "3";
                rest
            }
            ("--nodes", _) => return Err("--nodes is 1 or 3".to_owned()),
            (other, _) => return Err(format!("services up has no option `{other}`")),
        };
    }
    Ok(options)
}

/// Runs the parts one after another, also after a failure, and closes with one line that sums them up.
fn test(parts: &[Part]) -> ExitCode {
    let mut total = Tally::default();
    let mut summary = Vec::new();
    for (name, run) in parts {
        println!("\n==> {name}");
        let start = Instant::now();
        let tally = run();
        let line = format!("{name}: {tally} in {:.1} s", start.elapsed().as_secs_f64());
        println!("<== {line}");
        total += tally;
        summary.push(line);
    }
    println!("\n{}", closing(summary, &total));
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is said at the end: a line a part, what could not be checked, and the sum as the last line.
fn closing(mut lines: Vec<String>, total: &Tally) -> String {
    lines.extend(total.not_checked.iter().map(|what| format!("NOT CHECKED: {what}")));
    lines.push(total.to_string());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_checked_stands_right_above_the_last_line() {
        let mut total = Tally::PASSED;
        total += Tally::not_checked("the tide: no sea here.");
        let said = closing(vec!["lint: fine".to_owned(), "unit: fine".to_owned()], &total);
        assert_eq!(
            said,
            "lint: fine\nunit: fine\nNOT CHECKED: the tide: no sea here.\n1 passed, 0 failed, 1 skipped"
        );
    }
}
