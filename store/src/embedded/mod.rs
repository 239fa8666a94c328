//! The embedded backend: truth on fjall in one data folder, everything derived in memory.
//!
//! One thread writes ([`writer`]): it runs commands against the pending rows of their group over the committed ones
//! ([`tx`]), commits the group once, synced, then brings memory up to date ([`caches`]), then answers. Reads never meet it:
//! they take memory first, and the engine where memory has nothing.

mod accounts;
mod archive;
pub mod backup;
mod caches;
mod comments;
mod counts;
mod effects;
mod error;
mod events;
mod expiry;
mod folder;
mod graph;
mod horizon;
mod imports;
mod keys;
mod likes;
mod operator;
mod posts;
mod pulled;
mod restore;
mod ring;
mod rings;
mod rows;
mod start;
mod tables;
#[cfg(test)]
mod tests;
mod truth;
mod tx;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use fjall::{Database, PersistMode};
use social_core::Backend;
use social_core::clock::Clock;
use social_core::timeline::ReadAhead;

pub use self::error::Error;
pub use self::folder::FORMAT;
pub use self::restore::restore;
pub use self::writer::GroupStats;

use self::counts::Counts;
use self::folder::Folder;
use self::rings::Rings;
use self::truth::Truth;
use crate::signals::LocalSignals;

/// What to do when a commit failed and nobody knows what the disk holds. The text says why, for the log.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How to open the embedded backend.
#[derive(Clone)]
pub struct Config {
    /// The data folder, made with mode 0700 where it is missing. One process at a time can hold it.
    pub dir: PathBuf,
    /// The clock that ids and times are taken from.
    pub clock: Clock,
    /// What operators know the process by.
    pub name: String,
    /// Bytes of rows kept in memory, about.
    pub cache_bytes: u64,
    /// Bytes of the engine's blocks kept in memory.
    pub block_cache_bytes: u64,
    /// Called when a commit failed. By default it logs and aborts the process, since after a failed sync only a new
    /// process can tell what was stored. Where it returns, every further write is STORE_UNAVAILABLE.
    pub on_fatal: Fatal,
    #[cfg(test)]
    disk_fails: Arc<std::sync::atomic::AtomicBool>,
}

impl Config {
    /// The defaults for a data folder.
    pub fn new(dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self {
            dir: dir.into(),
            clock,
            name: "social-server".to_owned(),
            cache_bytes: 512 << 20,
            block_cache_bytes: 128 << 20,
            on_fatal: Arc::new(|why| {
                tracing::error!(
                    why,
                    "a commit failed; the process stops, since what the disk holds is not known"
                );
                std::process::abort();
            }),
            #[cfg(test)]
            disk_fails: Arc::default(),
        }
    }
}

/// An open embedded backend. Dropping it leaves the backends that it handed out at work; [`Embedded::close`] ends writing.
pub struct Embedded {
    backend: Backend,
    truth: Arc<Truth>,
    thread: JoinHandle<()>,
}

/// Opens the data folder: takes its lock, checks its format, recovers what a crash left, and starts the writer.
///
/// Blocks while it reads; at start that is what one waits for anyway.
pub fn open(config: Config) -> Result<Embedded, Error> {
    let folder = Folder::open(&config.dir)?;
    let (truth, thread) = start::start(&config, folder)?;
    let truth = Arc::new(truth);
    let backend = Backend {
        store: truth.clone(),
        timelines: Arc::new(Rings::default()),
        counters: Arc::new(Counts(truth.clone())),
        signals: Arc::new(LocalSignals::new()),
        read_ahead: ReadAhead::default(),
        clock: config.clock,
    };
    Ok(Embedded { backend, truth, thread })
}

impl Embedded {
    /// The backend. Its clones share everything.
    pub fn backend(&self) -> Backend {
        self.backend.clone()
    }

    /// What the writer has done so far.
    pub fn group_stats(&self) -> GroupStats {
        self.truth.writer.stats()
    }

    /// Ends writing: commands that wait are still run, later ones answer SHUTTING_DOWN. Then everything is synced. The
    /// folder is free for another process once the last clone of the backend is dropped.
    pub fn close(self) -> Result<(), Error> {
        let Self { backend, truth, thread } = self;
        truth.writer.close();
        // A panic of the thread has answered nobody, and is in the log.
        drop(thread.join());
        let synced = sync(&truth.db, &truth.folder);
        drop((backend, truth));
        synced
    }
}

fn sync(db: &Database, folder: &Folder) -> Result<(), Error> {
    let failed = |source| Error::Engine {
        action: "written",
        dir: folder.dir().to_path_buf(),
        source,
    };
    db.persist(PersistMode::SyncAll).map_err(failed)
}
