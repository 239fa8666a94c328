//! An archive that is being written, and what is in it.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use social_sdk::v1::archive_record::Record;
use social_sdk::{ArchiveError, ArchiveWriter, v1};

use super::{io_failure, open, unusable};
use crate::failure::{Exit, Failure, Result};
use crate::output::{Cell, Facts, text};
use crate::private_file;

/// Kinds of records, in the order of an archive: name in JSON, and for people.
const KINDS: [(&str, &str); 7] = [
    ("policies", "policies"),
    ("users", "users"),
    ("posts", "posts"),
    ("revisions", "revisions"),
    ("comments", "comments"),
    ("likes", "likes"),
    ("edges", "edges"),
];

/// Records by kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts([i64; KINDS.len()]);

impl Counts {
    /// Counts the records of a stretch.
    pub(super) fn note(&mut self, stretch: &v1::ArchiveStretch) {
        for record in &stretch.records {
            let kind = match &record.record {
                Some(Record::Policy(_)) => 0,
                Some(Record::User(_)) => 1,
                Some(Record::Post(_)) => 2,
                Some(Record::Revision(_)) => 3,
                Some(Record::Comment(_)) => 4,
                Some(Record::Like(_)) => 5,
                Some(Record::Edge(_)) => 6,
                // One of a later version, which the server will refuse.
                None => continue,
            };
            self.0[kind] += 1;
        }
    }

    /// All records.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().sum::<i64>().unsigned_abs()
    }

    /// What there is so far, in a line.
    pub(super) fn line(&self) -> String {
        let some = self.0.iter().zip(KINDS).skip(1).filter(|(count, _)| **count > 0);
        let parts: Vec<_> = some
            .map(|(count, (_, name))| format!("{} {name}", text::number(*count)))
            .collect();
        if parts.is_empty() {
            "nothing yet".to_owned()
        } else {
            parts.join(", ")
        }
    }

    /// Adds a line for each kind.
    pub(super) fn show(&self, facts: Facts) -> Facts {
        let kinds = self.0.iter().zip(KINDS).skip(1);
        kinds.fold(facts, |facts, (count, (field, name))| {
            facts.shown(field, *count, name, Cell::number(*count))
        })
    }
}

/// The file of an export that is not finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    /// Where the export goes on; none where it begins.
    position: Option<Vec<u8>>,
    state: State,
    counts: Counts,
}

#[derive(Debug)]
enum State {
    Empty(Option<File>),
    Begun(Box<(v1::ArchiveHeader, ArchiveWriter<File>)>),
}

impl Unfinished {
    /// Goes on with `FILE.partial` where there is one that can be gone on with, or begins it.
    pub(super) fn open(file: &Path) -> Result<Self> {
        let mut name = file.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let opened = private(&path).map_err(io_failure("write", &path))?;
        opened.try_lock().map_err(|_| {
            Failure::new(Exit::Conflict, format!("{} is being written", path.display()))
                .hint("another export to this file is at work: wait for it, or name another file")
        })?;
        let copy = opened.try_clone().map_err(io_failure("write", &path))?;
        match ArchiveWriter::resume(opened).map_err(|error| unusable(&path, &error))? {
            Some((writer, header, position)) => Ok(Self {
                counts: counted(&path)?,
                path,
                position: Some(position),
                state: State::Begun(Box::new((header, writer))),
            }),
            None => Ok(Self {
                path,
                position: None,
                state: State::Empty(Some(copy)),
                counts: Counts::default(),
            }),
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the export goes on.
    pub(super) fn position(&self) -> Option<Vec<u8>> {
        self.position.clone()
    }

    /// What is in it so far.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes what the archive is, as the server tells it.
    pub(super) fn begin(&mut self, header: v1::ArchiveHeader) -> Result<()> {
        match &mut self.state {
            State::Begun(begun) if begun.0 == header => Ok(()),
            State::Begun(_) => Err(Failure::new(
                Exit::Conflict,
                format!("{} is of another archive", self.path.display()),
            )
            .hint("remove it to begin anew")),
            State::Empty(file) => {
                let Some(mut file) = file.take() else {
                    return Err(Failure::new(Exit::Internal, "the file was begun twice"));
                };
                let failed = io_failure("write", &self.path);
                // What stands there cannot be gone on with.
                file.set_len(0).map_err(&failed)?;
                file.seek(SeekFrom::Start(0)).map_err(&failed)?;
                let writer = ArchiveWriter::begin(file, header.clone()).map_err(&failed)?;
                self.state = State::Begun(Box::new((header, writer)));
                Ok(())
            }
        }
    }

    /// Adds records.
    pub(super) fn write(&mut self, stretch: v1::ArchiveStretch) -> Result<()> {
        let State::Begun(begun) = &mut self.state else {
            return Err(Failure::new(
                Exit::Internal,
                "the server sent records before it said of what",
            ));
        };
        self.counts.note(&stretch);
        begun.1.write(stretch).map_err(io_failure("write", &self.path))
    }

    /// Ends the archive, and gives it its name: what it is, and how many records it has.
    pub(super) fn finish(self, file: &Path) -> Result<(v1::ArchiveHeader, i64)> {
        let State::Begun(begun) = self.state else {
            return Err(Failure::new(Exit::Internal, "the server sent no archive"));
        };
        let (header, writer) = *begun;
        let failed = io_failure("write", &self.path);
        let records = writer.records();
        writer.finish().and_then(|file| file.sync_all()).map_err(failed)?;
        private_file::put(&self.path, file, false).map_err(io_failure("write", file))?;
        Ok((header, records))
    }
}

/// Opens a file that only its owner may read, making it where it is missing. One that is there, and others may read or have put there, is refused.
fn private(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut options = private_file::options();
    let file = options.create(true).truncate(false).read(true).open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// The records of an archive that is not finished.
fn counted(path: &Path) -> Result<Counts> {
    let mut reader = open(path)?;
    let mut counts = Counts::default();
    // It has no end, and is as long as its last position allowed.
    loop {
        match reader.next() {
            Ok(Some(stretch)) => counts.note(&stretch),
            Err(error @ ArchiveError::Io(_)) => return Err(unusable(path, &error)),
            Ok(None) | Err(_) => return Ok(counts),
        }
    }
}
