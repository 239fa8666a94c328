//! `admin export` and `admin import platform`: a whole platform in a file.

mod file;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use social_sdk::{AdminClient, ArchiveError, ArchiveReader, Reason, TryStreamExt as _, v1};

use crate::app::App;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Cell, Facts, text};
use crate::progress;
use file::{Counts, Unfinished};

/// Where to write an archive.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// File to write. It holds the hashes of passwords, so only you can read it. What is not finished is in FILE.partial
    file: PathBuf,
}

/// Which archive to bring in.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// File that `admin export` wrote
    file: PathBuf,
}

/// Runs `admin export`.
pub(super) async fn export(app: &App, admin: &AdminClient, export: Export) -> Result<()> {
    let path = export.file;
    if path.exists() {
        return Err(
            Failure::new(Exit::Conflict, format!("{} is there already", path.display()))
                .hint("name another file, or remove that one"),
        );
    }
    let mut unfinished = Unfinished::open(&path)?;
    let mut call = admin.export_archive();
    if let Some(position) = unfinished.position() {
        app.output
            .note(&format!("going on with {}", unfinished.path().display()))?;
        call = call.resume_from(position);
    }
    let bar = progress::spinner(&app.output, "asking for the archive");
    let written = write(&mut unfinished, call, &bar).await;
    bar.finish_and_clear();
    let counts = written.map_err(|failure| go_on(failure, &unfinished))?;
    let (header, records) = unfinished.finish(&path)?;
    let facts = Facts::new(header.archive_id.clone())
        .labelled("archive_id", "archive", header.archive_id)
        .with("file", path.display().to_string())
        .with("source", header.source)
        .shown("records", records, "records", Cell::number(records));
    app.output.item(&counts.show(facts))
}

async fn write(unfinished: &mut Unfinished, call: social_sdk::ExportArchive, bar: &ProgressBar) -> Result<Counts> {
    let mut messages = call.messages();
    while let Some(message) = messages.try_next().await? {
        if let Some(header) = message.header {
            unfinished.begin(header)?;
        }
        if let Some(stretch) = message.stretch {
            unfinished.write(stretch)?;
        }
        bar.set_message(unfinished.counts().line());
    }
    Ok(unfinished.counts().clone())
}

fn go_on(failure: Failure, unfinished: &Unfinished) -> Failure {
    if failure.reason() == Some(Reason::InvalidField) {
        let path = unfinished.path().display();
        return failure.hint(format!("{path} was begun elsewhere: remove it to begin anew"));
    }
    match failure.exit() {
        Exit::Unavailable | Exit::Exhausted => failure.hint("run the same command again: it goes on where it stopped"),
        _ => failure,
    }
}

/// Runs `admin import platform`.
pub(super) async fn import(app: &App, admin: &AdminClient, import: Import) -> Result<()> {
    let path = import.file;
    // All of it is looked at before the first record is sent: half a platform is worse than none.
    let (header, counts) = check(app, &path)?;
    let total = counts.total();
    let bar = progress::bar(&app.output, "records", total);
    let told = bar.clone();
    let call = admin
        .import_archive(header.clone())
        .on_progress(move |progress| told.set_position(progress.next_offset.unsigned_abs()));
    let begun = call.progress().await?;
    if let Some(begun) = begun.as_ref().filter(|begun| !begun.complete) {
        bar.set_position(begun.next_offset.unsigned_abs());
        app.output
            .note(&format!("going on behind {} records", text::number(begun.next_offset)))?;
    }
    let records = Records::open(&path)?;
    let outcome = call.run(futures::stream::iter(records)).await;
    bar.finish_and_clear();
    let progress = outcome.map_err(stopped)?;
    let facts = Facts::new(header.archive_id.clone())
        .labelled("archive_id", "archive", header.archive_id)
        .with("complete", progress.complete)
        .shown(
            "records",
            progress.next_offset,
            "records",
            Cell::number(progress.next_offset),
        );
    app.output.item(&counts.show(facts))?;
    app.output
        .note("people log in again, with the passwords that they have")
}

/// Reads the whole archive once.
fn check(app: &App, path: &Path) -> Result<(v1::ArchiveHeader, Counts)> {
    let spinner = progress::spinner(&app.output, "checking the archive");
    let checked = read_all(path);
    spinner.finish_and_clear();
    checked
}

fn read_all(path: &Path) -> Result<(v1::ArchiveHeader, Counts)> {
    let mut reader = open(path)?;
    let mut counts = Counts::default();
    loop {
        match reader.next() {
            Ok(Some(stretch)) => counts.note(&stretch),
            Ok(None) => return Ok((reader.header().clone(), counts)),
            Err(error) => return Err(unusable(path, &error)),
        }
    }
}

fn open(path: &Path) -> Result<ArchiveReader<BufReader<File>>> {
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    ArchiveReader::open(BufReader::with_capacity(1 << 20, file)).map_err(|error| unusable(path, &error))
}

/// Why a file cannot be brought in.
fn unusable(path: &Path, error: &ArchiveError) -> Failure {
    let failure = |hint: &str| Failure::usage(format!("{}: {error}", path.display())).hint(hint);
    match error {
        ArchiveError::Io(error) => Failure::file("read", path, error),
        ArchiveError::CutShort => failure("finish the export, or copy the file again"),
        ArchiveError::Newer(_) => failure("use a newer socialctl"),
        _ => failure("take the archive anew with `socialctl admin export`"),
    }
}

fn stopped(failure: Failure) -> Failure {
    match failure.exit() {
        Exit::Unavailable | Exit::Exhausted => {
            failure.hint("what was stored stays: run the same command again, and it goes on")
        }
        _ => failure,
    }
}

/// The records of an archive, one by one.
struct Records<'a> {
    path: &'a Path,
    reader: ArchiveReader<BufReader<File>>,
    stretch: std::vec::IntoIter<v1::ArchiveRecord>,
}

impl<'a> Records<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        Ok(Self {
            path,
            reader: open(path)?,
            stretch: Vec::new().into_iter(),
        })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<v1::ArchiveRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.stretch.next() {
                return Some(Ok(record));
            }
            match self.reader.next() {
                Ok(Some(stretch)) => self.stretch = stretch.records.into_iter(),
                Ok(None) => return None,
                Err(error) => return Some(Err(unusable(self.path, &error))),
            }
        }
    }
}

fn io_failure(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_path_buf();
    move |error| Failure::file(doing, &path, &error)
}
