//! Values of rows: one byte that names the format, then the row in postcard.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use social_core::auth::{Account, Session};
use social_core::clock::Time;
use social_core::comments::Comment;
use social_core::fanout::{Event, Policy};
use social_core::import::ImportProgress;
use social_core::posts::{Post, PostCounts, Revision};
use social_core::request::RequestKey;
use social_core::timeline::Marker;
use social_core::users::{User, UserCounts};
use social_core::{Error, PostId, limits};

use super::tables::Table;

/// A row that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Written by a later version of the program.
    Newer,
    /// Not what was written.
    Corrupt,
}

impl Unreadable {
    /// Logs what is wrong where, and gives the caller an error that says nothing of the inside.
    pub(super) fn report(self, table: Table) -> Error {
        tracing::error!(table = table.name(), problem = ?self, "a row cannot be read");
        Error::internal()
    }
}

/// A type that is stored.
pub(super) trait Row: Serialize + DeserializeOwned {
    /// The format that this program writes. A change of the type's fields needs a new one, and a reader for the old.
    const FORMAT: u8 = 1;
}

impl Row for User {}
impl Row for Account {}
impl Row for Session {}
impl Row for Marker {}
impl Row for Post {}
impl Row for Revision {}
impl Row for Comment {}
impl Row for Event {}
impl Row for Policy {}
impl Row for PostCounts {}
impl Row for ImportProgress {}

/// The counts of a user, with those that only bounds are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct UserTotals {
    pub(super) posts: u64,
    pub(super) followers: u64,
    pub(super) following: u64,
    pub(super) blocks: u64,
    pub(super) mutes: u64,
}

impl Row for UserTotals {}

impl From<UserTotals> for UserCounts {
    fn from(totals: UserTotals) -> Self {
        Self {
            posts: totals.posts,
            followers: totals.followers,
            following: totals.following,
            exact: true,
        }
    }
}

/// What a request_id brought about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestRow {
    /// What was asked for.
    pub(super) fingerprint: [u8; 16],
    /// The id of the row that was made or changed.
    pub(super) target: u64,
    /// When.
    pub(super) at: Time,
}

impl Row for RequestRow {}

impl RequestRow {
    /// Whether the row still speaks for a request made `now`. REQUEST_ID_REUSED where that asks for something else.
    pub(super) fn answers(&self, request: &RequestKey, now: Time) -> Result<bool, Error> {
        if self.is_past(now) {
            return Ok(false);
        }
        if self.fingerprint != request.fingerprint {
            Err(Error::request_id_reused())
        } else {
            Ok(true)
        }
    }

    /// Whether the row has been kept for long enough.
    pub(super) fn is_past(&self, now: Time) -> bool {
        now.since(self.at) > limits::REQUEST_KEPT
    }
}

/// An author's pulled stretches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Stretches {
    /// From one post to a later one, both inclusive, ascending.
    pub(super) list: Vec<(PostId, PostId)>,
    /// Whether the author's newest post is in the last stretch, so that the next pulled one continues it.
    pub(super) open: bool,
}

impl Row for Stretches {}

/// A row's bytes.
pub(super) fn encode<T: Row>(row: &T) -> Result<Vec<u8>, Error> {
    postcard::to_extend(row, vec![T::FORMAT]).map_err(|error| {
        tracing::error!(%error, "a row cannot be encoded");
        Error::internal()
    })
}

/// The row that bytes stand for.
pub(super) fn decode<T: Row>(bytes: &[u8]) -> Result<T, Unreadable> {
    let (format, body) = bytes.split_first().ok_or(Unreadable::Corrupt)?;
    match *format {
        format if format == T::FORMAT => postcard::from_bytes(body).map_err(|_| Unreadable::Corrupt),
        format if format > T::FORMAT => Err(Unreadable::Newer),
        _ => Err(Unreadable::Corrupt),
    }
}

/// A number in a row of its own.
pub(super) fn decode_u64(bytes: &[u8]) -> Result<u64, Unreadable> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| Unreadable::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_or_broken_row_is_told_apart() {
        let row = UserTotals {
            posts: 3,
            ..UserTotals::default()
        };
        let mut bytes = encode(&row).unwrap();
        assert_eq!(decode::<UserTotals>(&bytes), Ok(row));
        assert_eq!(decode::<UserTotals>(&bytes[..2]), Err(Unreadable::Corrupt));
        bytes[0] += 1;
        assert_eq!(decode::<UserTotals>(&bytes), Err(Unreadable::Newer));
        assert_eq!(decode::<UserTotals>(&[]), Err(Unreadable::Corrupt));
    }
}
