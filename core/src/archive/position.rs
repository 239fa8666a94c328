//! Where an export stands: opaque to clients, and good for any process of the same platform.

use uuid::Uuid;

use super::{FORMAT, Header, Part};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::limits;
use crate::request::digest;

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
/// Bytes of what every position begins with.
const FIXED_BYTES: usize = 1 + 16 + 3 * 8 + 3;

/// Where an export goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) header: Header,
    /// Index of the next record.
    pub(super) offset: u64,
    /// The part; none at the end.
    pub(super) part: Option<Part>,
    /// Where the store goes on in the part; none at its beginning.
    pub(super) after: Option<Vec<u8>>,
}

impl Position {
    pub(super) fn write(&self) -> Vec<u8> {
        let header = &self.header;
        let mut bytes = vec![VERSION];
        bytes.extend(header.archive.as_bytes());
        for number in [header.bound, header.created_at.unix_ms(), self.offset] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.push(self.part.map_or(0, |part| part as u8));
        bytes.push(u8::from(self.after.is_some()));
        // The name of a backend of ours.
        bytes.push(header.source.len() as u8);
        bytes.extend(header.source.as_bytes());
        bytes.extend(self.after.iter().flatten());
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        bytes
    }

    /// Reads what [`write`](Self::write) wrote. INVALID_FIELD `position`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).ok_or_else(|| {
            Error::field(
                "position",
                "must be one that an export of this platform was answered with, unchanged; leave it empty to begin anew",
            )
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > limits::ARCHIVE_POSITION_BYTES {
            return None;
        }
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
        let (fixed, rest) = body.split_at_checked(FIXED_BYTES)?;
        if fixed[0] != VERSION || checksum(body) != sum {
            return None;
        }
        let number = |at: usize| Some(u64::from_be_bytes(fixed.get(at..at + 8)?.try_into().ok()?));
        let part = match fixed[41] {
            0 => None,
            number => Some(Part::ALL.into_iter().find(|part| *part as u8 == number)?),
        };
        let (source, after) = rest.split_at_checked(usize::from(fixed[43]))?;
        let header = Header {
            archive: Uuid::from_slice(&fixed[1..17]).ok()?,
            format: FORMAT,
            source: String::from_utf8(source.to_vec()).ok()?,
            bound: number(17)?,
            created_at: Time::from_unix_ms(number(25)?),
        };
        Some(Self {
            header,
            offset: number(33)?,
            part,
            after: (fixed[42] == 1).then(|| after.to_vec()),
        })
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut short = [0; CHECKSUM_BYTES];
    short.copy_from_slice(&digest(&[b"archive position", body])[..CHECKSUM_BYTES]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(part: Option<Part>, after: Option<Vec<u8>>) -> Position {
        let header = Header {
            archive: Uuid::from_u128(7),
            format: FORMAT,
            source: "embedded".to_owned(),
            bound: 1 << 60,
            created_at: Time::from_unix_ms(1_800_000_000_000),
        };
        Position {
            header,
            offset: 12_345,
            part,
            after,
        }
    }

    proptest! {
        #[test]
        fn positions_read_back(part in 0..8_u8, after in prop::option::of(prop::collection::vec(any::<u8>(), 0..200))) {
            let position = position(Part::ALL.into_iter().find(|known| *known as u8 == part), after);
            prop_assert_eq!(Position::read(&position.write()).unwrap(), position);
        }

        #[test]
        fn a_changed_position_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = position(Some(Part::Likes), Some(vec![1, 2, 3])).write();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Position::read(&bytes).is_err());
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for bytes in [&[][..], &[1; 7], &[1; 60], &vec![1; 1 << 20]] {
            let error = Position::read(bytes).unwrap_err();
            assert_eq!(error.violations[0].field, "position");
        }
    }
}
