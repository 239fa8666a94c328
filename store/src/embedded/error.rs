//! Why a data folder could not be opened or closed.

use std::io;
use std::path::PathBuf;

use super::backup::Problem;

/// The data folder cannot be used; the text says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds the folder's lock.
    #[error("another social-server uses the data folder {}: stop it, or start this one on another folder", .dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder was written by a later version of the program.
    #[error(
        "the data folder {} has format {found}, this program knows up to {known}: start the newer program that wrote it, or \
         use another folder", .dir.display()
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// The format that it has.
        found: u32,
        /// The newest format that this program can read.
        known: u32,
    },
    /// The folder's FORMAT file is missing or not readable as one, though there is data.
    #[error(
        "the data folder {} holds a database, but no readable FORMAT file: restore that file (its content is the format's \
         number, now {known}) or use another folder", .dir.display()
    )]
    Unmarked {
        /// The folder.
        dir: PathBuf,
        /// The newest format that this program can read.
        known: u32,
    },
    /// A restore of the folder was killed before its end.
    #[error("the data folder {} was not restored to its end: remove it, and run `social-server restore` again", .dir.display())]
    HalfRestored {
        /// The folder.
        dir: PathBuf,
    },
    /// A folder to restore into holds something already.
    #[error("{} is not empty: a backup is restored into a new data folder; name another one with --data-dir", .dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// A backup cannot be restored.
    #[error("the backup {} {problem}", .path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The storage engine cannot open or write the data.
    #[error("the database in {} cannot be {action}: {source}; restore the folder from a backup if this stays", .dir.display())]
    Engine {
        /// What was tried: `opened`, `read`, `written`.
        action: &'static str,
        /// The folder.
        dir: PathBuf,
        /// What the engine said.
        source: fjall::Error,
    },
    /// A row that is needed to start cannot be understood.
    #[error("the database in {} holds a row of table {table} that cannot be read; restore the folder from a backup", .dir.display())]
    Row {
        /// The folder.
        dir: PathBuf,
        /// The table's name.
        table: &'static str,
    },
}
