//! The part that looks at the source without running it. Each check counts as one.

use std::path::PathBuf;
use std::process::Command;

use crate::run;
use crate::suites;
use crate::tally::Tally;

/// The version of cargo-deny that is installed when the machine has none.
const CARGO_DENY: &str = "0.20.2";
/// The version of buf that is installed when the machine has none.
const BUF: &str = "1.75.0";

/// Formatting, clippy, dependencies, protobufs.
pub(crate) fn run() -> Tally {
    let mut tally = run::check(run::cargo().args(["fmt", "--all", "--check"]));
    tally += run::check(&mut clippy(["--all-targets"].into_iter()));
    // "All" are those that run where there are no services.
    tally += run::check(&mut clippy(suites::on_services().flat_map(|target| ["--test", target])));
    tally += dependencies();
    tally += protobufs();
    tally
}

/// The linter of some targets.
fn clippy<'a>(targets: impl Iterator<Item = &'a str>) -> Command {
    let mut clippy = run::cargo();
    clippy.args(["clippy", "--locked", "--workspace"]);
    clippy.args(targets).args(["--", "--deny", "warnings"]);
    clippy
}

/// Licences, bans, sources and, where the network allows, advisories.
fn dependencies() -> Tally {
    let Some(deny) = cargo_deny() else {
        println!("cargo-deny is missing and could not be installed");
        return Tally::FAILED;
    };
    let mut tally = run::check(
        run::command(&deny)
            .args(["--locked", "check", "--hide-inclusion-graph"])
            .args(["licenses", "bans", "sources"]),
    );
    if run::succeeds(run::command(&deny).args(["--locked", "fetch", "db"])) {
        tally += run::check(run::command(&deny).args(["--locked", "check", "--disable-fetch", "advisories"]));
    } else {
        tally += run::not_checked(
            "known vulnerabilities of dependencies: the advisory database cannot be fetched from here. Run \
             `cargo xtask test lint` again where there is a network.",
        );
    }
    tally
}

/// cargo-deny from `PATH`, else from the tools' folder, installed there first when missing.
fn cargo_deny() -> Option<PathBuf> {
    let installed = run::tools().join("bin").join("cargo-deny");
    let found = [PathBuf::from("cargo-deny"), installed.clone()]
        .into_iter()
        .find(|path| run::exists(path));
    found.or_else(|| {
        let mut install = run::cargo();
        // It works for a second: what counts is how long it takes to compile.
        install.env("CARGO_PROFILE_DEV_DEBUG", "0").args([
            "install",
            "--debug",
            "--locked",
            "--quiet",
            "cargo-deny",
            "--version",
            CARGO_DENY,
            "--root",
        ]);
        run::succeeds(install.arg(run::tools())).then_some(installed)
    })
}

/// The style lint of the contract. CI has what it needs, or something is wrong with CI.
fn protobufs() -> Tally {
    match buf() {
        Some(buf) => run::check(run::command(buf).args(["lint", "proto"])),
        None if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            println!("the style lint of the protobufs needs buf or npm, and CI must have one of them");
            Tally::FAILED
        }
        None => run::not_checked(
            "the style lint of the protobufs: it needs buf or npm. The proto crate's test checks the rest of the conventions.",
        ),
    }
}

/// buf from `PATH`, else from npm into the tools' folder. None when neither can be had.
fn buf() -> Option<PathBuf> {
    let folder = run::tools().join("buf");
    let installed = folder.join("node_modules").join(".bin").join("buf");
    let found = [PathBuf::from("buf"), installed.clone()]
        .into_iter()
        .find(|path| run::exists(path));
    found.or_else(|| {
        if !run::exists("npm") {
            return None;
        }
        let mut install = run::command("npm");
        install
            .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
            .arg(folder);
        run::succeeds(install.arg(format!("@bufbuild/buf@{BUF}"))).then_some(installed)
    })
}
