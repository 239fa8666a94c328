//! `admin backup`: a copy of everything that a server stores, in one file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use social_sdk::{AdminClient, Reason, TryStreamExt as _, v1};

use crate::app::App;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Cell, Facts, text};
use crate::{private_file, progress};

/// Where the backup goes.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// File to write; it is there only once it is whole
    file: PathBuf,
    /// Replace the file where there is one
    #[arg(long)]
    replace: bool,
}

/// Runs `admin backup`.
pub(super) async fn run(app: &App, admin: &AdminClient, target: &Target) -> Result<()> {
    let path = &target.file;
    if !target.replace && path.exists() {
        return Err(
            Failure::new(Exit::Conflict, format!("{} is there already", path.display()))
                .hint("name another file, or replace this one with --replace"),
        );
    }
    let began = Instant::now();
    let mut part = Part::create(path).map_err(|error| Failure::file("write", path, &error))?;
    let bar = progress::bar(&app.output, "rows", 0);
    let written = write(admin, &mut part, &bar).await;
    bar.finish_and_clear();
    let last = written?;
    part.finish(target.replace)
        .map_err(|error| Failure::file("write", path, &error))?;
    app.output.item(&facts(path, &last, began.elapsed()))?;
    app.output
        .note("it holds hashes of passwords, but no signing keys: keep it as the data folder, and a copy of the folder's `keys` apart from it")
}

/// Writes all pieces; the last of them.
async fn write(admin: &AdminClient, part: &mut Part, bar: &ProgressBar) -> Result<v1::StreamBackupResponse> {
    let mut pieces = admin.back_up();
    let mut rows = 0;
    while let Some(piece) = pieces.try_next().await.map_err(|error| explained(&error, rows > 0))? {
        let written = part.file.write_all(&piece.data);
        written.map_err(|error| Failure::file("write", &part.target, &error))?;
        rows = piece.rows_sent.unsigned_abs();
        // It is an estimate: where there are more, the bar grows with them.
        bar.set_length(rows.max(piece.estimated_rows.unsigned_abs()));
        bar.set_position(rows);
        if piece.last {
            return Ok(piece);
        }
    }
    Err(Failure::new(Exit::Internal, "the server ended the backup before its end").hint("take it again"))
}

fn facts(path: &Path, last: &v1::StreamBackupResponse, took: Duration) -> Facts {
    let file = path.display().to_string();
    let taken = last.create_time.map(|time| time.to_string()).unwrap_or_default();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let size = Cell::plain(text::bytes(last.bytes_sent));
    Facts::new(&file)
        .with("file", file)
        .labelled("create_time", "as of", taken)
        .with("rows", last.rows_sent)
        .shown("bytes", last.bytes_sent, "size", size)
        .shown("elapsed_ms", took_ms, "took", Cell::plain(text::duration(took)))
}

fn explained(error: &social_sdk::Error, was_begun: bool) -> Failure {
    let failure = Failure::from(error);
    match (failure.exit(), error.reason()) {
        (_, Reason::Overloaded) => failure.hint("another backup is being taken: wait until it is done"),
        (Exit::Unavailable, _) if was_begun => failure.hint("nothing was kept: take the backup again"),
        _ => failure,
    }
}

/// A file that is being written, beside the one that it will be. Dropped before [`Part::finish`], it is removed.
struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    is_finished: bool,
}

impl Part {
    fn create(target: &Path) -> io::Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no name of a file"));
        };
        let mut part = OsString::from(".");
        part.push(name);
        part.push(format!(".{}.part", std::process::id()));
        let path = target.with_file_name(part);
        Ok(Self {
            file: private_file::options().create_new(true).open(&path)?,
            path,
            target: target.to_path_buf(),
            is_finished: false,
        })
    }

    /// Puts the file where it belongs, durably.
    fn finish(mut self, replaces: bool) -> io::Result<()> {
        self.file.sync_all()?;
        private_file::put(&self.path, &self.target, replaces)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}
