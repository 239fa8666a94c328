//! Reads a backup. What it gives out may be used only once the end was reached, where the checksum is.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use social_core::Time;

use super::{BLOCK, BLOCK_BYTES, Contents, END, FORMAT, HEADER_BYTES, MAGIC, Problem};
use crate::embedded::folder;
use crate::embedded::tables::Table;

/// A file that is being read.
pub(in crate::embedded) struct Reader<R = BufReader<File>> {
    file: R,
    digest: Sha256,
    rows: u64,
    taken_at: Time,
    store_format: u32,
}

/// Rows of one table.
pub(in crate::embedded) struct Block {
    /// The table.
    pub(in crate::embedded) table: Table,
    bytes: Vec<u8>,
    rows_from: usize,
}

impl Reader {
    /// Opens a backup and reads how it begins.
    pub(in crate::embedded) fn open(path: &Path) -> Result<Self, Problem> {
        let file = File::open(path).map_err(Problem::Unreadable)?;
        Self::of(BufReader::with_capacity(1 << 20, file))
    }
}

impl<R: Read> Reader<R> {
    fn of(mut file: R) -> Result<Self, Problem> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Problem::Foreign,
            _ => Problem::Unreadable(error),
        })?;
        let (magic, numbers) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(Problem::Foreign);
        }
        let number = |at: usize| u32::from_be_bytes(four(&numbers[at..]));
        let (format, store_format) = (number(0), number(4));
        for (found, known) in [(format, FORMAT), (store_format, folder::FORMAT)] {
            if found > known {
                return Err(Problem::Newer { found, known });
            }
        }
        let taken_at = (u64::from(number(8)) << 32) | u64::from(number(12));
        let mut digest = Sha256::new();
        digest.update(header);
        Ok(Self {
            file,
            digest,
            rows: 0,
            taken_at: Time::from_unix_ms(taken_at),
            store_format,
        })
    }

    /// The format of the data folder that the rows are of.
    pub(in crate::embedded) fn store_format(&self) -> u32 {
        self.store_format
    }

    /// What the file holds, of which every block has been read.
    pub(in crate::embedded) fn contents(&self) -> Contents {
        Contents {
            taken_at: self.taken_at,
            rows: self.rows,
        }
    }

    /// The next block; `None` behind the last, and then the file is what was written.
    pub(in crate::embedded) fn next(&mut self) -> Result<Option<Block>, Problem> {
        let [what] = self.take()?;
        match what {
            BLOCK => self.block().map(Some),
            END => self.end().map(|()| None),
            _ => Err(Problem::Damaged),
        }
    }

    fn block(&mut self) -> Result<Block, Problem> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        if length > BLOCK_BYTES {
            return Err(Problem::Damaged);
        }
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes).map_err(cut_short)?;
        self.digest.update(&bytes);
        let block = Block::of(bytes).ok_or(Problem::Damaged)?;
        self.rows += block.count().ok_or(Problem::Damaged)?;
        Ok(block)
    }

    fn end(&mut self) -> Result<(), Problem> {
        let rows = u64::from_be_bytes(self.take()?);
        let expected = self.digest.finalize_reset();
        let mut found = [0; 32];
        self.file.read_exact(&mut found).map_err(cut_short)?;
        let follows = self.file.read(&mut [0]).map_err(Problem::Unreadable)?;
        if found == expected.as_slice() && rows == self.rows && follows == 0 {
            Ok(())
        } else {
            Err(Problem::Damaged)
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(cut_short)?;
        self.digest.update(bytes);
        Ok(bytes)
    }
}

fn cut_short(error: io::Error) -> Problem {
    match error.kind() {
        ErrorKind::UnexpectedEof => Problem::Damaged,
        _ => Problem::Unreadable(error),
    }
}

impl Block {
    fn of(bytes: Vec<u8>) -> Option<Self> {
        let (length, rest) = bytes.split_first()?;
        let name = rest.get(..usize::from(*length))?;
        let table = Table::ALL.into_iter().find(|table| table.name().as_bytes() == name)?;
        let rows_from = 1 + name.len();
        Some(Self {
            table,
            bytes,
            rows_from,
        })
    }

    /// Keys and values, ascending by key; `None` instead of a row that is none, which is the end.
    pub(in crate::embedded) fn rows(&self) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
        let mut rest = &self.bytes[self.rows_from..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let row = field(rest).and_then(|(key, behind)| field(behind).map(|(value, behind)| (key, value, behind)));
            let (key, value, behind) = row.unwrap_or((&[], &[], &[]));
            rest = behind;
            Some(row.map(|_| (key, value)))
        })
    }

    fn count(&self) -> Option<u64> {
        self.rows().try_fold(0, |count, row| row.map(|_| count + 1))
    }
}

/// The bytes that a length stands before, and what is behind them.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// The first four of more.
fn four(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backup of two users and an event.
    fn file() -> Vec<u8> {
        let mut bytes = [MAGIC.as_slice(), &FORMAT.to_be_bytes(), &folder::FORMAT.to_be_bytes()].concat();
        bytes.extend(7_000_u64.to_be_bytes());
        for (name, rows) in [("users", vec!["a", "bc"]), ("events", vec!["d"])] {
            let mut block = vec![name.len() as u8];
            block.extend(name.as_bytes());
            for key in rows {
                block.extend((key.len() as u32).to_be_bytes());
                block.extend(key.as_bytes());
                block.extend([0, 0, 0, 1, b'x']);
            }
            bytes.push(BLOCK);
            bytes.extend((block.len() as u32).to_be_bytes());
            bytes.extend(block);
        }
        bytes.push(END);
        bytes.extend(3_u64.to_be_bytes());
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    /// What a file holds, as text: of a damaged one, whatever was read before that showed.
    fn read(bytes: &[u8]) -> Result<(Contents, Vec<String>), Problem> {
        let mut reader = Reader::of(bytes)?;
        let mut found = Vec::new();
        while let Some(block) = reader.next()? {
            for (key, value) in block.rows().flatten() {
                let [key, value] = [key, value].map(String::from_utf8_lossy);
                found.push(format!("{}/{key}={value}", block.table.name()));
            }
        }
        Ok((reader.contents(), found))
    }

    #[test]
    fn what_was_written_is_read() {
        let (contents, found) = read(&file()).unwrap();
        assert_eq!((contents.taken_at, contents.rows), (Time::from_unix_ms(7_000), 3));
        assert_eq!(found, ["users/a=x", "users/bc=x", "events/d=x"]);
    }

    #[test]
    fn every_change_of_a_byte_and_every_cut_is_refused() {
        let whole = file();
        for at in 0..whole.len() {
            for bit in [0x01, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= bit;
                assert!(read(&damaged).is_err(), "byte {at} changed by {bit}");
            }
            assert!(read(&whole[..at]).is_err(), "cut at {at}");
        }
        assert!(matches!(read(&[whole, vec![0]].concat()), Err(Problem::Damaged)));
    }

    #[test]
    fn a_newer_one_and_a_foreign_one_are_told_apart() {
        let mut newer = file();
        newer[11] = FORMAT as u8 + 1;
        assert!(matches!(read(&newer), Err(Problem::Newer { found, .. }) if found == FORMAT + 1));
        let mut of_newer_store = file();
        of_newer_store[15] = folder::FORMAT as u8 + 1;
        assert!(matches!(read(&of_newer_store), Err(Problem::Newer { .. })));
        assert!(matches!(read(b"handle,display_name\n"), Err(Problem::Foreign)));
        assert!(matches!(
            read(b"users,posts and whatever else a file may begin with\n"),
            Err(Problem::Foreign)
        ));
    }
}
