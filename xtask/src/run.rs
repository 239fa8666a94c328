//! Running other programs from the root of the repository.

use std::env;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) use xtask::root;

use crate::tally::Tally;

/// Where tools of the workshop are installed.
pub(crate) fn tools() -> PathBuf {
    xtask::target().join("tools")
}

/// The cargo that runs this very program.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program that will run in the root of the repository.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root());
    command
}

/// Whether a program can be started at all.
pub(crate) fn exists(program: impl AsRef<Path>) -> bool {
    let mut version = command(program);
    version
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Runs a command and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    announce(command);
    match command.stdin(Stdio::null()).status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("{}: {error}", command.get_program().display());
            false
        }
    }
}

/// Runs a command and gives what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    announce(command);
    let program = command.get_program().display().to_string();
    match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(format!("{program}: {}", output.status)),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Runs a check, which counts as one.
pub(crate) fn check(command: &mut Command) -> Tally {
    if succeeds(command) {
        Tally::PASSED
    } else {
        Tally::FAILED
    }
}

/// Says that something cannot be checked here, and why.
pub(crate) fn not_checked(what: &'static str) -> Tally {
    println!("NOT CHECKED: {what}");
    Tally::not_checked(what)
}

/// Runs tests, passes their output through, and adds up the closing lines of all their runners.
pub(crate) fn tests(command: &mut Command) -> Tally {
    tests_into(command, &mut io::stdout())
}

/// [`tests`], whose output is to go elsewhere.
pub(crate) fn tests_into(command: &mut Command, out: &mut dyn io::Write) -> Tally {
    match tee(command, out) {
        Ok((tally, true)) => tally,
        // It failed without a failed test: it did not compile, or a test ended the whole process.
        Ok((tally, false)) if tally.failed == 0 => Tally { failed: 1, ..tally },
        Ok((tally, false)) => tally,
        Err(error) => {
            println!("{}: {error}", command.get_program().display());
            Tally::FAILED
        }
    }
}

/// Copies a command and its output line by line while counting; also answers whether it succeeded.
fn tee(command: &mut Command, out: &mut dyn io::Write) -> io::Result<(Tally, bool)> {
    writeln!(out, "{}", named(command))?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        let mut line = Vec::new();
        let mut output = BufReader::new(output);
        // Bytes, not text: a test may print anything.
        while output.read_until(b'\n', &mut line)? > 0 {
            if let Some(counted) = Tally::of_line(&String::from_utf8_lossy(&line)) {
                tally += counted;
            }
            out.write_all(&line)?;
            line.clear();
        }
    }
    Ok((tally, child.wait()?.success()))
}

fn announce(command: &Command) {
    println!("{}", named(command));
}

/// How a command is named.
fn named(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .display();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    format!("$ {program} {}", arguments.join(" "))
}
