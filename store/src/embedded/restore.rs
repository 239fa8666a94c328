//! Builds a data folder from a backup.

use std::path::Path;

use fjall::{Database, OwnedWriteBatch, PersistMode};

use super::backup::{Block, Contents, Problem, Reader};
use super::error::Error;
use super::folder::Unrestored;
use super::start;
use super::tables::Tables;

/// Bytes of the engine's blocks kept in memory meanwhile: rows come in their order, and nothing is read.
const BLOCK_CACHE_BYTES: u64 = 16 << 20;

/// Makes a data folder that holds what a backup does. The folder must be empty, or not there.
///
/// The backup is read as a whole before anything is made, so that a damaged one leaves nothing. Where it fails later, what was made is removed; where
/// the process is killed meanwhile, the folder is refused until it is removed by hand.
pub fn restore(backup: &Path, dir: &Path) -> Result<Contents, Error> {
    let unusable = |problem| Error::Backup {
        path: backup.to_path_buf(),
        problem,
    };
    let checked = check(backup).map_err(unusable)?;
    let mut reader = Reader::open(backup).map_err(unusable)?;
    let folder = Unrestored::begin(dir, reader.store_format())?;
    let engine = |source| Error::Engine {
        action: "written",
        dir: dir.to_path_buf(),
        source,
    };
    let db = start::engine(&folder.engine_dir(), BLOCK_CACHE_BYTES).map_err(engine)?;
    let tables = Tables::open(&db).map_err(engine)?;
    while let Some(block) = reader.next().map_err(unusable)? {
        write(&db, &tables, &block).map_err(engine)?;
    }
    if reader.contents() != checked {
        return Err(unusable(Problem::Damaged));
    }
    db.persist(PersistMode::SyncAll).map_err(engine)?;
    drop((tables, db));
    folder.finish()?;
    Ok(checked)
}

/// Reads a backup to its end.
fn check(backup: &Path) -> Result<Contents, Problem> {
    let mut reader = Reader::open(backup)?;
    while reader.next()?.is_some() {}
    Ok(reader.contents())
}

fn write(db: &Database, tables: &Tables, block: &Block) -> fjall::Result<()> {
    let table = tables.of(block.table);
    let mut batch = OwnedWriteBatch::with_capacity(db.clone(), 1_024);
    // Rows were counted when the block was read: each is one.
    for (key, value) in block.rows().flatten() {
        batch.insert(table, key, value);
    }
    batch.commit()
}
