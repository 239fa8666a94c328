//! Backups: a file that holds every row of the store at one instant.
//!
//! ```text
//! file   = magic(8) format(u32) store(u32) taken_at(u64, Unix ms)  block*  end
//! block  = 1(u8) length(u32)  name(u8 length, bytes)  row*
//! row    = key(u32 length, bytes) value(u32 length, bytes)
//! end    = 2(u8) rows(u64) sha256(32) of everything before it
//! ```
//!
//! Numbers are big-endian. A block holds rows of one table, ascending by key; tables come in their order, and an empty one has no block.
//! `store` is the format of the data folder that the rows are of. Nothing may follow the end, so that neither a file that was
//! cut short nor one that was appended to passes for whole.

mod copy;
mod read;

pub(super) use copy::Copying;
pub(super) use read::{Block, Reader};

/// What every backup begins with.
const MAGIC: &[u8; 8] = b"SOCIALBK";
/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// Bytes before the first block.
const HEADER_BYTES: usize = 24;
/// What a block begins with.
const BLOCK: u8 = 1;
/// What the end begins with.
const END: u8 = 2;
/// The longest block that is read. Blocks hold about [`BACKUP_PIECE_BYTES`](social_core::limits::BACKUP_PIECE_BYTES), and one row more.
const BLOCK_BYTES: usize = 16 << 20;

/// Why a file cannot be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It does not begin as a backup does.
    #[error("is no backup: name a file that `socialctl admin backup` wrote")]
    Foreign,
    /// It was written by a later version of the program.
    #[error("has format {found}, this program knows up to {known}: restore it with the newer program that wrote it")]
    Newer {
        /// The format that it has.
        found: u32,
        /// The newest format that this program can read.
        known: u32,
    },
    /// It is not what was written.
    #[error("is damaged or was cut short: restore another backup, or another copy of this one")]
    Damaged,
    /// The file system refused.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// The instant that it stands for.
    pub taken_at: social_core::Time,
    /// Rows in it.
    pub rows: u64,
}
