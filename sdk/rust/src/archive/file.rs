//! Archives on disk: pieces ([`v1::ArchivePiece`]), each behind its length. The last one counts the records and has a digest of everything
//! before it, so that a file that was cut short or changed is noticed.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use social_proto::v1;
use social_proto::v1::archive_piece::Piece;

/// The format of files that are written, and the newest that are read.
const FORMAT: i32 = 1;
/// Bytes of one piece at the most.
const PIECE_BYTES: u64 = 16 << 20;

/// Why a file is no archive that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ends before its end: an export that was not finished, or a copy.
    #[error("the archive is cut short")]
    CutShort,
    /// It is no archive, or was changed.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    /// It was written by a later version.
    #[error("the archive is of format {0}, and this program reads format {FORMAT}")]
    Newer(i32),
}

/// Writes an archive.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    out: W,
    hash: Sha256,
    records: i64,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, header: v1::ArchiveHeader) -> io::Result<Self> {
        let mut writer = Self {
            out,
            hash: Sha256::new(),
            records: 0,
        };
        writer.piece(Piece::Header(header))?;
        Ok(writer)
    }

    /// Adds the next records.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, stretch: v1::ArchiveStretch) -> io::Result<()> {
        self.records += i64::try_from(stretch.records.len()).unwrap_or(i64::MAX);
        self.piece(Piece::Stretch(stretch))
    }

    /// Records so far.
    pub fn records(&self) -> i64 {
        self.records
    }

    /// Ends the archive, and gives back what it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        let trailer = v1::ArchiveTrailer {
            records: self.records,
            sha256: self.hash.clone().finalize().to_vec(),
        };
        self.piece(Piece::Trailer(trailer))?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn piece(&mut self, piece: Piece) -> io::Result<()> {
        let bytes = v1::ArchivePiece { piece: Some(piece) }.encode_length_delimited_to_vec();
        self.hash.update(&bytes);
        self.out.write_all(&bytes)
    }
}

impl ArchiveWriter<File> {
    /// Goes on with a file that an export left unfinished: what the archive is, and the position to resume from. What stands behind the last
    /// place that can be resumed behind is cut off. None, and the file as it was, where there is no such place.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is of a later version.
    pub fn resume(file: File) -> Result<Option<(Self, v1::ArchiveHeader, Vec<u8>)>, ArchiveError> {
        let mut reader = match ArchiveReader::open(io::BufReader::new(&file)) {
            Ok(reader) => reader,
            Err(error @ (ArchiveError::Io(_) | ArchiveError::Newer(_))) => return Err(error),
            Err(_) => return Ok(None),
        };
        let mut place = None;
        loop {
            match reader.next() {
                Ok(Some(stretch)) if stretch.position.is_empty() => {}
                Ok(Some(stretch)) => {
                    place = Some((reader.read, reader.hash.clone(), reader.records, stretch.position));
                }
                // What cannot be read now may be whole: it is not to be cut off.
                Err(error @ ArchiveError::Io(_)) => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        let header = reader.header().clone();
        let Some((bytes, hash, records, position)) = place else {
            return Ok(None);
        };
        drop(reader);
        let mut out = file;
        out.set_len(bytes)?;
        out.seek(SeekFrom::End(0))?;
        Ok(Some((Self { out, hash, records }, header, position)))
    }
}

/// Reads an archive.
#[derive(Debug)]
pub struct ArchiveReader<R> {
    input: R,
    header: v1::ArchiveHeader,
    hash: Sha256,
    records: i64,
    /// Bytes read.
    read: u64,
    ended: bool,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads what the archive is. `input` should be buffered.
    ///
    /// # Errors
    /// When it is no archive that this version reads.
    pub fn open(input: R) -> Result<Self, ArchiveError> {
        let mut reader = Self {
            input,
            header: v1::ArchiveHeader::default(),
            hash: Sha256::new(),
            records: 0,
            read: 0,
            ended: false,
        };
        let Some((Piece::Header(header), bytes)) = reader.piece()? else {
            return Err(ArchiveError::Damaged("it does not begin with a header"));
        };
        if header.format > FORMAT {
            return Err(ArchiveError::Newer(header.format));
        }
        reader.header = header;
        reader.took(&bytes);
        Ok(reader)
    }

    /// What the archive is.
    pub fn header(&self) -> &v1::ArchiveHeader {
        &self.header
    }

    /// The next records; None at the end, where everything was found to be as it was written.
    ///
    /// # Errors
    /// When the archive is cut short or damaged. What was read before may be, too.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error is not an item, and ends the archive"
    )]
    pub fn next(&mut self) -> Result<Option<v1::ArchiveStretch>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        match self.piece()?.ok_or(ArchiveError::CutShort)? {
            (Piece::Stretch(stretch), bytes) => {
                if stretch.offset != self.records {
                    return Err(ArchiveError::Damaged("records are missing"));
                }
                self.records += i64::try_from(stretch.records.len()).unwrap_or(i64::MAX);
                self.took(&bytes);
                Ok(Some(stretch))
            }
            (Piece::Trailer(trailer), _) => {
                if trailer.records != self.records || trailer.sha256[..] != self.hash.clone().finalize()[..] {
                    return Err(ArchiveError::Damaged("it is not as it was written"));
                }
                if self.input.read(&mut [0])? > 0 {
                    return Err(ArchiveError::Damaged("something stands behind its end"));
                }
                self.ended = true;
                Ok(None)
            }
            (Piece::Header(_), _) => Err(ArchiveError::Damaged("it has a second header")),
        }
    }

    fn took(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.read += bytes.len() as u64;
    }

    /// The next piece and its bytes, its length included; None at the end of the input.
    fn piece(&mut self) -> Result<Option<(Piece, Vec<u8>)>, ArchiveError> {
        let mut bytes = Vec::new();
        let Some(length) = self.length(&mut bytes)? else {
            return Ok(None);
        };
        let head = bytes.len();
        let taken = self.input.by_ref().take(length).read_to_end(&mut bytes)?;
        if (taken as u64) < length {
            return Err(ArchiveError::CutShort);
        }
        let piece = v1::ArchivePiece::decode(&bytes[head..]);
        let piece = piece.ok().and_then(|piece| piece.piece);
        let piece = piece.ok_or(ArchiveError::Damaged("a piece of it cannot be read"))?;
        Ok(Some((piece, bytes)))
    }

    /// The length of the next piece, whose bytes are added to `bytes`.
    fn length(&mut self, bytes: &mut Vec<u8>) -> Result<Option<u64>, ArchiveError> {
        let mut length = 0_u64;
        loop {
            let mut byte = [0];
            match self.input.read(&mut byte) {
                Ok(0) if bytes.is_empty() => return Ok(None),
                Ok(0) => return Err(ArchiveError::CutShort),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            length |= u64::from(byte[0] & 0x7f) << (7 * bytes.len());
            bytes.push(byte[0]);
            if byte[0] & 0x80 == 0 {
                break;
            }
            if bytes.len() > 4 {
                return Err(ArchiveError::Damaged("a piece has no sensible length"));
            }
        }
        if length > PIECE_BYTES {
            return Err(ArchiveError::Damaged("a piece has no sensible length"));
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> v1::ArchiveHeader {
        v1::ArchiveHeader {
            archive_id: "6f1c2b1e-7c0a-4d3e-9f51-2f3f5f0a9f10".to_owned(),
            format: FORMAT,
            ..Default::default()
        }
    }

    fn stretch(offset: i64, position: &[u8]) -> v1::ArchiveStretch {
        let like = v1::archive_record::Record::Like(v1::ArchiveLike::default());
        v1::ArchiveStretch {
            offset,
            records: vec![v1::ArchiveRecord { record: Some(like) }; 3],
            position: position.to_vec(),
        }
    }

    fn written() -> Vec<u8> {
        let mut writer = ArchiveWriter::begin(Vec::new(), header()).expect("memory");
        for offset in [0, 3, 6] {
            writer.write(stretch(offset, &[1])).expect("memory");
        }
        writer.finish().expect("memory")
    }

    fn read(bytes: &[u8]) -> Result<Vec<i64>, ArchiveError> {
        let mut reader = ArchiveReader::open(bytes)?;
        let mut offsets = Vec::new();
        while let Some(stretch) = reader.next()? {
            offsets.push(stretch.offset);
        }
        Ok(offsets)
    }

    #[test]
    fn an_archive_reads_back() {
        assert_eq!(read(&written()).expect("whole"), [0, 3, 6]);
    }

    #[test]
    fn every_cut_and_every_changed_bit_is_noticed() {
        let whole = written();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(read(&changed).is_err(), "changed at {at}");
        }
        let more = [&whole[..], &[0]].concat();
        assert!(matches!(read(&more), Err(ArchiveError::Damaged(_))));
    }

    #[test]
    fn an_archive_of_a_later_version_is_refused() {
        let header = v1::ArchiveHeader {
            format: FORMAT + 1,
            ..header()
        };
        let bytes = ArchiveWriter::begin(Vec::new(), header)
            .expect("memory")
            .finish()
            .expect("memory");
        assert!(matches!(read(&bytes), Err(ArchiveError::Newer(format)) if format == FORMAT + 1));
    }

    #[test]
    fn an_unfinished_file_goes_on_behind_its_last_position() {
        for cut in [0, 1, 7] {
            let mut file = tempfile::tempfile().expect("a file");
            let mut writer = ArchiveWriter::begin(&mut file, header()).expect("written");
            writer.write(stretch(0, &[1])).expect("written");
            writer.write(stretch(3, &[2])).expect("written");
            // It cannot be resumed behind this one.
            writer.write(stretch(6, &[])).expect("written");
            let bytes = file.metadata().expect("a length").len();
            file.set_len(bytes - cut).expect("cut");
            file.seek(SeekFrom::Start(0)).expect("back");
            let resumed = ArchiveWriter::resume(file).expect("read").expect("resumed");
            let (mut writer, found, position) = resumed;
            assert_eq!(
                (found, position.as_slice(), writer.records()),
                (header(), &[2_u8][..], 6)
            );
            writer.write(stretch(6, &[3])).expect("written");
            let mut file = writer.finish().expect("written");
            file.seek(SeekFrom::Start(0)).expect("back");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("read");
            assert_eq!(read(&bytes).expect("whole"), [0, 3, 6]);
        }
    }

    #[test]
    fn a_file_without_a_place_to_resume_from_is_left_as_it_is() {
        for content in [&b""[..], b"something else", &written()[..20]] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(content).expect("written");
            file.seek(SeekFrom::Start(0)).expect("back");
            assert!(ArchiveWriter::resume(file).expect("read").is_none());
        }
    }
}
