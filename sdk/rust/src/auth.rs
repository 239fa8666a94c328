//! Registration, login, sessions.

use std::sync::Arc;

use social_proto::v1;

use crate::call::present;
use crate::core::Core;
use crate::ids::wire;
use crate::{Call, Credentials, Error, IntoId, List, Reason, SessionId};

/// Registration, login, sessions. See `social/v1/auth.proto`.
///
/// The SDK keeps the tokens, sends them along, and exchanges them before they end.
#[derive(Clone, Debug)]
pub struct Auth {
    core: Arc<Core>,
}

impl Auth {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone() }
    }

    /// Makes an account and logs it in. Gives the profile.
    pub fn register(
        &self,
        handle: impl Into<String>,
        password: impl Into<String>,
    ) -> Call<v1::RegisterRequest, v1::User> {
        let request = v1::RegisterRequest {
            handle: handle.into(),
            password: password.into(),
            ..Default::default()
        };
        Call::then(&self.core, request, |core, outcome| {
            Box::pin(async move {
                let answer = outcome?;
                logged_in(&core, answer.user, answer.tokens).await
            })
        })
    }

    /// Opens a session. Gives the profile. Has no request_id: when an answer is lost and the call repeated, the session that
    /// nobody got the tokens of is listed until it expires.
    pub fn login(&self, handle: impl Into<String>, password: impl Into<String>) -> Call<v1::LoginRequest, v1::User> {
        let request = v1::LoginRequest {
            handle: handle.into(),
            password: password.into(),
            ..Default::default()
        };
        Call::then(&self.core, request, |core, outcome| {
            Box::pin(async move {
                let answer = outcome?;
                logged_in(&core, answer.user, answer.tokens).await
            })
        })
    }

    /// Ends the session, on the server and in the token store. When the server cannot be reached the session stays; see
    /// [`Auth::forget`].
    pub fn logout(&self) -> Call<v1::LogoutRequest, ()> {
        Call::then(&self.core, v1::LogoutRequest::default(), |core, outcome| {
            Box::pin(async move {
                match outcome {
                    Ok(_) => {}
                    // A repetition carries a token that the first attempt made void.
                    Err(error) if error.reason() == Reason::SessionRevoked => {}
                    Err(error) => return Err(error),
                }
                core.session()?.forget().await
            })
        })
    }

    /// Removes the tokens here without telling the server, where the session goes on until it expires.
    ///
    /// # Errors
    /// When the token store cannot be written.
    pub async fn forget(&self) -> Result<(), Error> {
        self.core.session()?.forget().await
    }

    /// Changes the password and revokes all other sessions. Gives how many those were.
    pub fn change_password(
        &self,
        current: impl Into<String>,
        new: impl Into<String>,
    ) -> Call<v1::ChangePasswordRequest, i32> {
        let request = v1::ChangePasswordRequest {
            current_password: current.into(),
            new_password: new.into(),
            ..Default::default()
        };
        Call::new(&self.core, request, |answer| Ok(answer.revoked_sessions))
    }

    /// The caller's open sessions, newest first.
    pub fn list_sessions(&self) -> List<v1::ListSessionsRequest> {
        List::new(&self.core, v1::ListSessionsRequest::default())
    }

    /// Revokes one of the caller's sessions. For the session of this client itself use [`Auth::logout`].
    pub fn revoke_session(&self, session_id: impl IntoId<SessionId>) -> Call<v1::RevokeSessionRequest, ()> {
        let session_id = wire("session_id", session_id);
        Call::new(&self.core, v1::RevokeSessionRequest::default(), |_| Ok(()))
            .set(session_id, |request, id| request.session_id = id)
    }

    /// Exchanges the tokens now. The SDK does so by itself when it is time.
    ///
    /// # Errors
    /// When nobody is logged in, or the exchange fails.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.core.exchange().await
    }
}

impl Call<v1::RegisterRequest, v1::User> {
    /// Name to show, 1 to 50 characters. Default: the handle.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.request.display_name = name.into();
        self
    }

    /// Name of the device or program, for the list of sessions.
    pub fn device_name(mut self, name: impl Into<String>) -> Self {
        self.request.device_name = name.into();
        self
    }
}

impl Call<v1::LoginRequest, v1::User> {
    /// Name of the device or program, for the list of sessions.
    pub fn device_name(mut self, name: impl Into<String>) -> Self {
        self.request.device_name = name.into();
        self
    }
}

async fn logged_in(core: &Arc<Core>, user: Option<v1::User>, tokens: Option<v1::TokenPair>) -> Result<v1::User, Error> {
    let user = present("user", user)?;
    core.session()?
        .adopt(Credentials::new(Some(user.clone()), tokens)?)
        .await?;
    Ok(user)
}
