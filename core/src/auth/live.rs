//! Whether a session still holds.

use crate::backend::Backend;
use crate::error::{Error, Reason, Result};
use crate::request::Viewer;

/// Refuses a viewer whose session was revoked or ran out. Open streams ask this: they outlive their access token, but not
/// their session. An anonymous viewer has none. SESSION_REVOKED.
pub async fn require_live_session(backend: &Backend, viewer: Viewer) -> Result<()> {
    let Viewer::User { session, .. } = viewer else {
        return Ok(());
    };
    let now = backend.clock.now();
    match backend.store.session(session).await? {
        Some(session) if session.is_live(now) => Ok(()),
        _ => Err(Error::new(
            Reason::SessionRevoked,
            "this session has ended: log in again",
        )),
    }
}
