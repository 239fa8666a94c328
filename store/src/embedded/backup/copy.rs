//! Writes a backup: reads a snapshot of all tables, piece by piece.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use fjall::{Readable as _, Snapshot};
use sha2::{Digest as _, Sha256};
use social_core::backend::{Backup, BackupPiece};
use social_core::{Error, Result, Time, limits};
use tokio::sync::OwnedSemaphorePermit;

use super::{BLOCK, END, FORMAT, MAGIC};
use crate::embedded::folder;
use crate::embedded::keys::Key;
use crate::embedded::tables::{Table, Tables};
use crate::embedded::tx::engine_error;

/// A backup under way.
pub(in crate::embedded) struct Copying {
    taken_at: Time,
    estimated_rows: u64,
    /// Absent behind the last piece, and after an error.
    state: Option<State>,
    _place: OwnedSemaphorePermit,
}

struct State {
    snapshot: Snapshot,
    tables: Arc<Tables>,
    /// The table to read, and the last key that was.
    table: usize,
    after: Option<Key>,
    rows: u64,
    digest: Sha256,
    is_begun: bool,
    taken_at: Time,
}

impl Copying {
    /// Begins at what the snapshot shows.
    ///
    /// It is one for all tables, and a group of the writer's becomes visible to snapshots as a whole: so none is in it half.
    pub(in crate::embedded) fn begin(
        snapshot: Snapshot,
        tables: Arc<Tables>,
        taken_at: Time,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let rows = Table::ALL
            .iter()
            .map(|table| tables.of(*table).approximate_len() as u64);
        Self {
            taken_at,
            estimated_rows: rows.sum(),
            state: Some(State {
                snapshot,
                tables,
                table: 0,
                after: None,
                rows: 0,
                digest: Sha256::new(),
                is_begun: false,
                taken_at,
            }),
            _place: place,
        }
    }
}

#[async_trait]
impl Backup for Copying {
    fn taken_at(&self) -> Time {
        self.taken_at
    }

    fn estimated_rows(&self) -> u64 {
        self.estimated_rows
    }

    async fn next(&mut self) -> Result<Option<BackupPiece>> {
        let Some(mut state) = self.state.take() else {
            return Ok(None);
        };
        // Rows may have to come from the disk.
        let read = tokio::task::spawn_blocking(move || {
            let piece = state.piece()?;
            Ok::<_, Error>((piece, state))
        });
        let (piece, state) = read.await.map_err(|_| Error::internal())??;
        if !piece.last {
            self.state = Some(state);
        }
        Ok(Some(piece))
    }
}

impl State {
    fn piece(&mut self) -> Result<BackupPiece> {
        let mut data = Vec::with_capacity(limits::BACKUP_PIECE_BYTES + 4_096);
        if !std::mem::replace(&mut self.is_begun, true) {
            data.extend_from_slice(MAGIC);
            data.extend_from_slice(&FORMAT.to_be_bytes());
            data.extend_from_slice(&folder::FORMAT.to_be_bytes());
            data.extend_from_slice(&self.taken_at.unix_ms().to_be_bytes());
        }
        let before = self.rows;
        while data.len() < limits::BACKUP_PIECE_BYTES
            && let Some(table) = Table::ALL.get(self.table)
        {
            self.block(*table, &mut data)?;
        }
        let last = self.table == Table::ALL.len();
        if last {
            data.push(END);
            data.extend_from_slice(&self.rows.to_be_bytes());
        }
        self.digest.update(&data);
        if last {
            data.extend_from_slice(&self.digest.finalize_reset());
        }
        Ok(BackupPiece {
            data,
            rows: self.rows - before,
            last,
        })
    }

    /// Adds a block of the table's next rows, and goes on to the next table where there are no more.
    fn block(&mut self, table: Table, data: &mut Vec<u8>) -> Result<()> {
        let begin = data.len();
        let mut last_key = None;
        let behind = self.after.take().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.snapshot.range(self.tables.of(table), (behind, Bound::Unbounded));
        let mut is_whole = true;
        for row in rows {
            let (key, value) = row.into_inner().map_err(engine_error)?;
            if last_key.is_none() {
                begin_block(table, data);
            }
            put(data, &key)?;
            put(data, &value)?;
            self.rows += 1;
            last_key = Some(key);
            if data.len() >= limits::BACKUP_PIECE_BYTES {
                is_whole = false;
                break;
            }
        }
        if last_key.is_some() {
            let length = length(data.len() - begin - BLOCK_HEAD)?;
            data[begin + 1..begin + BLOCK_HEAD].copy_from_slice(&length);
        }
        if is_whole {
            self.table += 1;
        } else {
            self.after = last_key;
        }
        Ok(())
    }
}

/// Bytes of a block before its name: what it is, and its length.
const BLOCK_HEAD: usize = 5;

/// Its length is filled in when it is known.
fn begin_block(table: Table, data: &mut Vec<u8>) {
    data.push(BLOCK);
    data.extend_from_slice(&[0; 4]);
    // Names of tables are short words.
    data.push(table.name().len() as u8);
    data.extend_from_slice(table.name().as_bytes());
}

fn put(data: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    data.extend_from_slice(&length(bytes.len())?);
    data.extend_from_slice(bytes);
    Ok(())
}

fn length(bytes: usize) -> Result<[u8; 4]> {
    let bytes = u32::try_from(bytes).map_err(|_| Error::internal())?;
    Ok(bytes.to_be_bytes())
}
