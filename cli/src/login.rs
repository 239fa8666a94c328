//! The login that a command used, and what becomes of it when the server refuses it.

use social_sdk::{Reason, SessionId};

use crate::context::store::Store;
use crate::failure::{Failure, Result};

/// Whose tokens went with the calls of this run.
#[derive(Debug)]
pub(crate) struct Login {
    /// The file that holds them.
    pub(crate) store: Store,
    /// Name of the context.
    pub(crate) context: String,
    /// URL of its server.
    pub(crate) endpoint: String,
    /// Handle of the user.
    pub(crate) handle: String,
    /// The session that the tokens belong to.
    pub(crate) session: SessionId,
}

impl Login {
    /// Forgets the login if the server ended its session, and keeps it if the server merely does not know it: the same URL may be
    /// served from another data folder today, and from the right one again tomorrow.
    pub(crate) fn settle(&self, failure: Failure) -> Failure {
        let Self { context, handle, .. } = self;
        match failure.reason() {
            Some(Reason::SessionRevoked | Reason::RefreshTokenReused) => match self.forget() {
                Ok(()) => failure.because(format!("the login of @{handle} in context {context} is gone with it")),
                Err(error) => failure.because(error.to_string()),
            },
            Some(Reason::RefreshTokenInvalid) => failure
                .because(format!(
                    "{} does not know the session of @{handle}: it has ended, or the server runs on another data folder",
                    self.endpoint
                ))
                .because(format!("the login of @{handle} in context {context} is kept"))
                .hint(format!(
                    "log in again with `socialctl --context {context} auth login {handle}`, or forget the login with \
                     `socialctl --context {context} --as {handle} auth logout`"
                )),
            _ => failure,
        }
    }

    /// Removes the tokens, unless somebody has logged in anew since.
    pub(crate) fn forget(&self) -> Result<()> {
        self.store.update(|contexts| {
            if let Some(context) = contexts.contexts.get_mut(&self.context) {
                context
                    .users
                    .retain(|handle, tokens| *handle != self.handle || tokens.session_id() != self.session);
            }
            Ok(())
        })
    }
}
