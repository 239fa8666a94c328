//! The data folder: one process at a time, and a format that this program knows.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::Error;

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

const LOCK_FILE: &str = "LOCK";
const FORMAT_FILE: &str = "FORMAT";
/// Stands while the database is being made: without [`FORMAT_FILE`] beside it, what is there was never used.
const UNFINISHED_FILE: &str = "FORMAT.new";
/// Stands instead of [`FORMAT_FILE`] while a backup is restored: what is there is a part of it.
const RESTORING_FILE: &str = "RESTORING";
const ENGINE_DIR: &str = "db";

/// A data folder that this process holds until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    // Unlocked by the system when it is closed, also by a crash.
    _lock: File,
}

impl Folder {
    /// Makes or takes the folder, and refuses one of a newer format.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        if !dir.exists() {
            make_private_dir(dir).map_err(io_error("create", dir))?;
        }
        let lock = take_lock(dir)?;
        if dir.join(RESTORING_FILE).exists() {
            return Err(Error::HalfRestored { dir: dir.to_path_buf() });
        }
        let folder = Self {
            dir: dir.to_path_buf(),
            _lock: lock,
        };
        match folder.format()? {
            Some(found) if found > FORMAT => Err(Error::Newer {
                dir: folder.dir,
                found,
                known: FORMAT,
            }),
            Some(_) => Ok(folder),
            None => folder.begin().map(|()| folder),
        }
    }

    /// The folder itself.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the storage engine keeps its files.
    pub(super) fn engine_dir(&self) -> PathBuf {
        self.dir.join(ENGINE_DIR)
    }

    /// Says that the database is made: from now on the folder holds data.
    pub(super) fn seal(&self) -> Result<(), Error> {
        make_private(&self.engine_dir()).map_err(io_error("restrict", &self.engine_dir()))?;
        let (from, to) = (self.dir.join(UNFINISHED_FILE), self.dir.join(FORMAT_FILE));
        if to.exists() {
            return Ok(());
        }
        fs::rename(&from, &to).map_err(io_error("write", &to))?;
        self.sync()
    }

    fn format(&self) -> Result<Option<u32>, Error> {
        let path = self.dir.join(FORMAT_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(format) => Ok(Some(format)),
                Err(_) => Err(self.unmarked()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Prepares a new database. A crash before [`Folder::seal`] leaves files that the engine would refuse, and that nobody was
    /// promised anything about: they are removed.
    fn begin(&self) -> Result<(), Error> {
        let (engine, unfinished) = (self.engine_dir(), self.dir.join(UNFINISHED_FILE));
        if engine.exists() {
            if !unfinished.exists() {
                return Err(self.unmarked());
            }
            fs::remove_dir_all(&engine).map_err(io_error("remove the unfinished", &engine))?;
        }
        write_synced(&unfinished, format!("{FORMAT}\n").as_bytes()).map_err(io_error("write", &unfinished))?;
        self.sync()
    }

    fn unmarked(&self) -> Error {
        Error::Unmarked {
            dir: self.dir.clone(),
            known: FORMAT,
        }
    }

    fn sync(&self) -> Result<(), Error> {
        sync_dir(&self.dir)
    }
}

/// A data folder that a backup is being restored into. Dropped before [`Unrestored::finish`], it is removed again.
#[derive(Debug)]
pub(super) struct Unrestored {
    dir: PathBuf,
    was_there: bool,
    is_finished: bool,
    _lock: File,
}

impl Unrestored {
    /// Makes the folder, or takes an empty one, for rows of a format.
    pub(super) fn begin(dir: &Path, format: u32) -> Result<Self, Error> {
        let was_there = dir.exists();
        if was_there {
            // Before the lock, which is a file in it.
            refuse_full(dir)?;
        } else {
            make_private_dir(dir).map_err(io_error("create", dir))?;
        }
        let lock = take_lock(dir)?;
        // Another may have been quicker.
        refuse_full(dir)?;
        let folder = Self {
            dir: dir.to_path_buf(),
            was_there,
            is_finished: false,
            _lock: lock,
        };
        let mark = dir.join(RESTORING_FILE);
        write_synced(&mark, format!("{format}\n").as_bytes()).map_err(io_error("write", &mark))?;
        // Before the engine writes into it.
        let engine = folder.engine_dir();
        make_private_dir(&engine).map_err(io_error("create", &engine))?;
        sync_dir(dir)?;
        Ok(folder)
    }

    /// Where the storage engine keeps its files.
    pub(super) fn engine_dir(&self) -> PathBuf {
        self.dir.join(ENGINE_DIR)
    }

    /// Says that everything is there: from now on it is a data folder.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let (from, to) = (self.dir.join(RESTORING_FILE), self.dir.join(FORMAT_FILE));
        fs::rename(&from, &to).map_err(io_error("write", &to))?;
        self.is_finished = true;
        sync_dir(&self.dir)
    }
}

impl Drop for Unrestored {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        // What cannot be removed stays marked, and is refused.
        if fs::remove_dir_all(self.engine_dir()).is_err() && self.engine_dir().exists() {
            return;
        }
        let _ = fs::remove_file(self.dir.join(RESTORING_FILE));
        let _ = fs::remove_file(self.dir.join(LOCK_FILE));
        if !self.was_there {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// Refuses a folder that holds more than a lock.
fn refuse_full(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(io_error("read", dir))? {
        let entry = entry.map_err(io_error("read", dir))?;
        if entry.file_name() != LOCK_FILE {
            return Err(Error::NotEmpty { dir: dir.to_path_buf() });
        }
    }
    Ok(())
}

/// Bytes that a folder takes on the disk. Files may be preallocated and sparse, so blocks are counted, not lengths.
pub(super) fn disk_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Files come and go under a running engine.
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() {
            disk_bytes(&entry.path()).unwrap_or(0)
        } else {
            allocated(&meta)
        };
    }
    Ok(bytes)
}

#[cfg(unix)]
fn allocated(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * 512
}

#[cfg(not(unix))]
fn allocated(meta: &fs::Metadata) -> u64 {
    meta.len()
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    // Else a power loss may take the folder with everything that is synced in it.
    let parent = dir.canonicalize()?;
    parent.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Closes a folder to others, whatever the folder around it allows.
#[cfg(unix)]
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut mode = fs::metadata(dir)?.permissions();
    if mode.mode() & 0o077 == 0 {
        return Ok(());
    }
    mode.set_mode(0o700);
    fs::set_permissions(dir, mode)
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> io::Result<()> {
    Ok(())
}

fn take_lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK_FILE);
    let file = private_file(&path).map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: dir.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", dir))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private_file(path)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { action, path, source }
}
