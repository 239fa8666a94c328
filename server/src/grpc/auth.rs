//! AuthService.

use std::sync::Arc;

use secrecy::SecretString;
use social_core::auth::{Auth, Login, Refreshed, Registration, passwords};
use social_core::cursor::{Binding, Listed};
use social_core::request::Viewer;
use social_core::users::{self, User};
use social_core::{Backend, Error, Reason, Result, SessionId, text};
use social_observability::event::{self, LoginRefusal};
use social_proto::v1;
use social_proto::v1::auth_service_server::{AuthService, AuthServiceServer};
use tonic::{Request, Response, Status};

use super::convert::{self, Fields};
use super::reply::{answer, open};

/// The service over a backend and the keys and throttles of this process.
pub fn service(backend: Backend, auth: Arc<Auth>) -> AuthServiceServer<impl AuthService> {
    AuthServiceServer::new(Accounts { backend, auth })
}

struct Accounts {
    backend: Backend,
    auth: Arc<Auth>,
}

impl Accounts {
    /// The account of who just logged in, as they see it.
    async fn own_profile(&self, user: Arc<User>) -> Result<v1::User> {
        // Nobody stands in a relation to themselves, so a viewer makes no difference.
        let view = users::view(&self.backend, Viewer::Anonymous, vec![user])
            .await?
            .pop()
            .ok_or_else(Error::internal)?;
        Ok(convert::user::user(&view))
    }
}

/// Counts a login that was refused. Who has no account is not told apart from who mistyped, not even here.
fn note_refusal(error: &Error) {
    match error.reason {
        Reason::CredentialsInvalid => event::login_refused(LoginRefusal::WrongPassword),
        Reason::LoginThrottled => event::login_refused(LoginRefusal::Throttled),
        _ => {}
    }
}

#[tonic::async_trait]
impl AuthService for Accounts {
    async fn register(&self, request: Request<v1::RegisterRequest>) -> Result<Response<v1::RegisterResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            fields.request_id(&message.request_id);
            fields.also(|| message.handle.parse::<users::Handle>().map(drop));
            fields.also(|| match message.display_name.as_str() {
                "" => Ok(()),
                name => text::display_name("display_name", name),
            });
            let password: SecretString = message.password.into();
            fields.also(|| passwords::check("password", &password));
            fields.also(|| text::device("device_name", &message.device_name));
            fields.check()?;
            let registration = Registration {
                handle: message.handle,
                display_name: message.display_name,
                bio: String::new(),
                password,
                device: message.device_name,
                request_id: message.request_id,
            };
            let (user, tokens) = self.auth.register(&self.backend, &caller, registration).await?;
            event::user_registered(&user.id);
            Ok(v1::RegisterResponse {
                user: Some(self.own_profile(user).await?),
                tokens: Some(convert::auth::token_pair(&tokens)),
            })
        })
        .await
    }

    async fn login(&self, request: Request<v1::LoginRequest>) -> Result<Response<v1::LoginResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let login = Login {
                handle: message.handle,
                password: message.password.into(),
                device: message.device_name,
            };
            let logged_in = self.auth.login(&self.backend, &caller, login).await;
            let (user, tokens) = logged_in.inspect_err(note_refusal)?;
            event::login_granted(&user.id);
            Ok(v1::LoginResponse {
                user: Some(self.own_profile(user).await?),
                tokens: Some(convert::auth::token_pair(&tokens)),
            })
        })
        .await
    }

    async fn refresh_token(
        &self,
        request: Request<v1::RefreshTokenRequest>,
    ) -> Result<Response<v1::RefreshTokenResponse>, Status> {
        let (_, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            fields.request_id(&message.request_id);
            if message.refresh_token.is_empty() {
                fields.refuse(
                    "refresh_token",
                    "is required: the refresh token last issued for the session",
                );
            }
            fields.check()?;
            let refreshed = self
                .auth
                .refresh(&self.backend, &message.refresh_token.into(), &message.request_id)
                .await?;
            if let Refreshed::Reused { user, session } = &refreshed {
                event::refresh_token_reused(user, session);
                event::sessions_revoked(user, "refresh_token_reused", 1);
            }
            let tokens = refreshed.granted()?;
            Ok(v1::RefreshTokenResponse {
                tokens: Some(convert::auth::token_pair(&tokens)),
            })
        })
        .await
    }

    async fn logout(&self, request: Request<v1::LogoutRequest>) -> Result<Response<v1::LogoutResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            fields.request_id(&message.request_id);
            fields.check()?;
            self.auth.logout(&self.backend, &caller, &message.request_id).await?;
            event::sessions_revoked(&caller.user()?, "logout", 1);
            Ok(v1::LogoutResponse {})
        })
        .await
    }

    async fn change_password(
        &self,
        request: Request<v1::ChangePasswordRequest>,
    ) -> Result<Response<v1::ChangePasswordResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            fields.request_id(&message.request_id);
            fields.check()?;
            let (current, new) = (message.current_password.into(), message.new_password.into());
            let revoked = self
                .auth
                .change_password(&self.backend, &caller, &current, &new, &message.request_id)
                .await?;
            event::sessions_revoked(&caller.user()?, "password_changed", revoked as u64);
            Ok(v1::ChangePasswordResponse {
                revoked_sessions: convert::small_count(revoked),
            })
        })
        .await
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let page = fields.page(message.page_size, &message.page_token);
            fields.check()?;
            let binding = Binding::new("sessions", caller.viewer, &[]);
            let after = page.after(&binding)?.map(SessionId);
            let found = self
                .auth
                .list_sessions(&self.backend, &caller, page.size()?, after)
                .await?;
            let listed = Listed::new(found.items, found.next, &binding);
            let current = match caller.viewer {
                Viewer::User { session, .. } => Some(session),
                Viewer::Anonymous => None,
            };
            let sessions = listed
                .items
                .into_iter()
                .map(|session| convert::auth::session(session, current));
            Ok(v1::ListSessionsResponse {
                sessions: sessions.collect(),
                next_page_token: listed.next_page_token,
            })
        })
        .await
    }

    async fn revoke_session(
        &self,
        request: Request<v1::RevokeSessionRequest>,
    ) -> Result<Response<v1::RevokeSessionResponse>, Status> {
        let (caller, message) = open(request);
        answer(async {
            let mut fields = Fields::new();
            let session = fields.id("session_id", &message.session_id);
            fields.request_id(&message.request_id);
            fields.check()?;
            self.auth
                .revoke_session(&self.backend, &caller, session, &message.request_id)
                .await?;
            event::sessions_revoked(&caller.user()?, "revoked", 1);
            Ok(v1::RevokeSessionResponse {})
        })
        .await
    }
}
