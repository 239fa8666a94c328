//! How far a user has read.

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::id::PostId;
use crate::request::{Caller, check_id};

/// How far a user has read the home timeline, shared by all of the user's devices. Moves forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marker {
    /// The newest post that was read.
    pub last_read: Option<PostId>,
    /// When the marker last moved.
    pub updated_at: Option<Time>,
    /// Raised by every move; 0 where it never moved.
    pub version: u64,
}

impl Marker {
    /// The marker after a device read up to `post` at `now`. An older post leaves it as it is. ETAG_MISMATCH where `expected` names another
    /// version.
    pub fn moved(self, post: PostId, expected: Option<u64>, now: Time) -> Result<Marker> {
        if expected.is_some_and(|version| version != self.version) {
            return Err(Error::etag_mismatch());
        }
        if self.last_read >= Some(post) {
            return Ok(self);
        }
        Ok(Marker {
            last_read: Some(post),
            updated_at: Some(now),
            version: self.version + 1,
        })
    }
}

/// How far the caller has read.
pub async fn get_marker(backend: &Backend, caller: &Caller) -> Result<Marker> {
    backend.store.marker(caller.user()?).await
}

/// Moves the caller's marker forward. ETAG_MISMATCH. Repeating it answers today's marker.
pub async fn set_marker(
    backend: &Backend,
    caller: &Caller,
    post: PostId,
    expected_version: Option<u64>,
    request_id: &str,
) -> Result<Marker> {
    let user = caller.user()?;
    check_id(request_id)?;
    if post > backend.store.horizon().await?.visible {
        return Err(Error::field(
            "last_read_post_id",
            "must not be newer than the newest post of all: give the id of the newest post that was read",
        ));
    }
    backend.store.set_marker(user, post, expected_version).await
}
