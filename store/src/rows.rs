//! Values of rows: one byte that names the format, then the row in postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;
use social_core::Error;
use social_core::archive;
use social_core::auth::{Account, Session};
use social_core::comments::Comment;
use social_core::fanout::{Event, Policy};
use social_core::import::ImportProgress;
use social_core::posts::{Post, PostCounts, Revision};
use social_core::timeline::Marker;
use social_core::users::User;

/// A row that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Written by a later version of the program.
    Newer,
    /// Not what was written.
    Corrupt,
}

impl Unreadable {
    /// Logs what is wrong where, and gives the caller an error that says nothing of the inside.
    pub(crate) fn report(self, table: &str) -> Error {
        tracing::error!(table, problem = ?self, "a row cannot be read");
        Error::internal()
    }
}

/// A type that is stored.
pub(crate) trait Row: Serialize + DeserializeOwned {
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
impl Row for archive::Progress {}

/// A row's bytes.
pub(crate) fn encode<T: Row>(row: &T) -> Result<Vec<u8>, Error> {
    encode_as(T::FORMAT, row)
}

/// The bytes of something that is stored with a row, in the row's format.
pub(crate) fn encode_as(format: u8, row: &impl Serialize) -> Result<Vec<u8>, Error> {
    postcard::to_extend(row, vec![format]).map_err(|error| {
        tracing::error!(%error, "a row cannot be encoded");
        Error::internal()
    })
}

/// The row that bytes stand for.
pub(crate) fn decode<T: Row>(bytes: &[u8]) -> Result<T, Unreadable> {
    decode_as(T::FORMAT, bytes)
}

/// Reads what [`encode_as`] wrote.
pub(crate) fn decode_as<T: DeserializeOwned>(known: u8, bytes: &[u8]) -> Result<T, Unreadable> {
    let (format, body) = bytes.split_first().ok_or(Unreadable::Corrupt)?;
    match *format {
        format if format == known => postcard::from_bytes(body).map_err(|_| Unreadable::Corrupt),
        format if format > known => Err(Unreadable::Newer),
        _ => Err(Unreadable::Corrupt),
    }
}
