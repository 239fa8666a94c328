//! Opening: what is read from disk before the first request.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use fjall::{Database, Guard};
use social_core::fanout::Policy;
use social_core::{EventId, Time, UserId, limits};
use tokio::sync::Semaphore;

use super::Config;
use super::caches::{Caches, Start};
use super::error::Error;
use super::events::POLICY_ROW;
use super::folder::Folder;
use super::horizon::Events;
use super::imports::IMPORTS_ROW;
use super::keys;
use super::operator::Own;
use super::pulled::Pulled;
use super::rows::{self, Row, Stretches, Unreadable};
use super::tables::{Table, Tables};
use super::truth::Truth;
use super::writer::{FLOOR_ROW, Parts, Writer};

/// Journals that recovery replays at the most, about: it bounds how long opening takes after a crash.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Opens the engine in a folder that is ours, and starts the writer.
pub(super) fn start(config: &Config, folder: Folder) -> Result<(Truth, JoinHandle<()>), Error> {
    let loader = Loader { folder: &folder };
    let started_at = config.clock.now();
    let db = loader.engine(engine(&folder.engine_dir(), config.block_cache_bytes))?;
    let tables = Arc::new(loader.engine(Tables::open(&db))?);
    folder.seal()?;
    let floor = loader.number(&tables, FLOOR_ROW)?;
    let caches = Arc::new(Caches::new(
        config.cache_bytes,
        loader.load(&tables, floor, started_at)?,
    ));
    let parts = Parts {
        db: db.clone(),
        tables: tables.clone(),
        caches: caches.clone(),
        clock: config.clock.clone(),
        fatal: config.on_fatal.clone(),
        floor,
        #[cfg(test)]
        disk_fails: config.disk_fails.clone(),
    };
    let started = Writer::start(parts);
    let (writer, thread) = started.map_err(|source| Error::Io {
        action: "start the writer of",
        path: folder.dir().to_path_buf(),
        source,
    })?;
    let truth = Truth {
        writer,
        caches,
        clock: config.clock.clone(),
        tables,
        db,
        own: Own {
            name: config.name.clone(),
            started_at,
        },
        backups: Arc::new(Semaphore::new(limits::BACKUPS)),
        past: Arc::default(),
        folder,
    };
    Ok((truth, thread))
}

/// Opens the engine in its folder, or makes it there.
pub(super) fn engine(dir: &Path, block_cache_bytes: u64) -> fjall::Result<Database> {
    Database::builder(dir)
        .cache_size(block_cache_bytes)
        .max_journaling_size(JOURNAL_BYTES)
        .open()
}

struct Loader<'a> {
    folder: &'a Folder,
}

impl Loader<'_> {
    fn load(&self, tables: &Tables, floor: u64, now: Time) -> Result<Start, Error> {
        let policy = self.row::<Policy>(tables, POLICY_ROW)?.unwrap_or_default();
        let imports = self.number(tables, IMPORTS_ROW)?;
        let (pending, dead) = (self.ids(tables, Table::Pending)?, self.ids(tables, Table::Dead)?);
        let stretches = self.stretches(tables)?;
        Ok(Start {
            pulled: Pulled::new(stretches.into_iter()),
            events: Events::new(pending, dead, floor, imports, now),
            policy,
        })
    }

    fn ids(&self, tables: &Tables, table: Table) -> Result<BTreeSet<EventId>, Error> {
        tables
            .of(table)
            .iter()
            .map(|guard| Ok(EventId(keys::last(&self.engine(guard.key())?))))
            .collect()
    }

    fn stretches(&self, tables: &Tables) -> Result<Vec<(UserId, Stretches)>, Error> {
        let one = |guard: Guard| {
            let (key, value) = self.engine(guard.into_inner())?;
            Ok((
                UserId(keys::last(&key)),
                self.readable(Table::Stretches, rows::decode(&value))?,
            ))
        };
        tables.of(Table::Stretches).iter().map(one).collect()
    }

    fn row<T: Row>(&self, tables: &Tables, name: &[u8]) -> Result<Option<T>, Error> {
        let bytes = self.engine(tables.of(Table::Meta).get(name))?;
        bytes
            .map(|bytes| self.readable(Table::Meta, rows::decode(&bytes)))
            .transpose()
    }

    /// A number of table `meta`, 0 where it was never written.
    fn number(&self, tables: &Tables, name: &[u8]) -> Result<u64, Error> {
        let bytes = self.engine(tables.of(Table::Meta).get(name))?;
        bytes.map_or(Ok(0), |bytes| self.readable(Table::Meta, rows::decode_u64(&bytes)))
    }

    fn readable<T>(&self, table: Table, row: Result<T, Unreadable>) -> Result<T, Error> {
        row.map_err(|_| Error::Row {
            dir: self.folder.dir().to_path_buf(),
            table: table.name(),
        })
    }

    fn engine<T>(&self, result: fjall::Result<T>) -> Result<T, Error> {
        let dir = self.folder.dir().to_path_buf();
        result.map_err(|source| match source {
            // Our lock is free but the engine's is not yet: whoever held both is just ending.
            fjall::Error::Locked => Error::InUse { dir },
            source => Error::Engine {
                action: "opened",
                dir,
                source,
            },
        })
    }
}
