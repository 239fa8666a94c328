//! Runs the real socialctl in a folder of its own, with nothing of the surroundings.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) mod server;

/// A socialctl with a home of its own.
pub(crate) struct Ctl {
    home: TempDir,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ctl {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// A path in the home folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The file of contexts.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("contexts.toml")
    }

    /// The command, not started.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_socialctl"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("SOCIALCTL_CONFIG", self.config());
        command.current_dir(self.home.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        Run::from(self.command(args).output().unwrap())
    }

    /// Runs to the end with `input` on stdin.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, input: &str, args: impl IntoIterator<Item = S>) -> Run {
        let mut command = self.command(args);
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // A command that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Run::from(child.wait_with_output().unwrap())
    }

    /// Runs to the end, which must be a good one.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.run(args).ok()
    }

    /// Runs with `-o json`, to a good end.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let mut command = self.command(args);
        serde_json::from_str(&Run::from(command.args(["-o", "json"]).output().unwrap()).ok()).unwrap()
    }
}

impl Run {
    /// What it printed; it must have come to a good end.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Its errors; it must have ended with this code, and have printed nothing.
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
