//! The workshop of the repository: `cargo xtask test [PART]`.

mod lint;
mod run;
mod suites;
mod tally;

use std::process::ExitCode;
use std::time::Instant;

use crate::tally::Tally;

const USAGE: &str = "\
Usage: cargo xtask test [PART]

Parts, in the order in which they run when none is named:
  lint         formatting, clippy, licences and advisories of dependencies, style of the protobufs
  unit         tests inside the crates, doc tests, and the architecture test
  conformance  the one suite of the stores, on every backend
  e2e          the real binaries over real sockets: server, Rust SDK, socialctl

The last line is `N passed, N failed, N skipped`; the exit code is 0 when nothing failed. Skipped is what cannot be checked
without a network, buf or npm (said again above the last line as NOT CHECKED), and tests that are marked as ignored.";

/// A part of the tests: its name, and what runs it.
type Part = (&'static str, fn() -> Tally);

const PARTS: [Part; 4] = [
    ("lint", lint::run),
    ("unit", suites::unit),
    ("conformance", suites::conformance),
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
