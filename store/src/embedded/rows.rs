//! Rows that only this backend keeps.

use serde::{Deserialize, Serialize};
use social_core::clock::Time;
use social_core::request::RequestKey;
use social_core::users::UserCounts;
use social_core::{Error, PostId, limits};

pub(super) use crate::rows::{Row, Unreadable, decode, encode};

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
