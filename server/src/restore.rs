//! A data folder from a backup, before a server starts on it.

use std::path::Path;

use prost_types::Timestamp;
use social_core::auth::Keys;
use social_store::embedded;

use crate::{Config, Error};

/// Makes the data folder of the configuration from a backup; what it did and what is to be done next, for whoever ran it.
///
/// # Errors
/// When the backup is none, is damaged or newer than this program, or when the folder holds something already.
pub fn restore(config: &Config, from: &Path) -> Result<String, Error> {
    let restored = embedded::restore(from, &config.data_dir).map_err(social_store::Error::from)?;
    let of = Timestamp {
        seconds: i64::try_from(restored.taken_at.unix_ms() / 1_000).unwrap_or(i64::MAX),
        nanos: 0,
    };
    let (rows, dir) = (restored.rows, config.data_dir.display());
    let done = format!("restored {rows} rows as they were at {of} into {dir}");
    let keys = config.keys_dir();
    // A folder of its own may hold them already.
    if !Keys::are_missing(&keys).unwrap_or(true) {
        return Ok(done);
    }
    Ok(format!(
        "{done}\nit needs the signing keys, which no backup holds: copy those of the old server to {}, or run `social-server rotate-keys` on it, which \
         makes new ones and ends all sessions",
        keys.display()
    ))
}
