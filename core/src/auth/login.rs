//! Registration and login.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;
use uuid::Uuid;

use super::known::Known;
use super::passwords::Place;
use super::refresh::RefreshToken;
use super::{Auth, NewSession, PasswordHash, Session, Tokens, passwords, revoked, wrong_credentials};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::id::UserId;
use crate::limits;
use crate::request::{Caller, RequestKey};
use crate::text;
use crate::users::{Handle, NewUser, User};

/// A request to make an account.
pub struct Registration {
    /// The handle wanted, unchecked.
    pub handle: String,
    /// The name that people read; empty means the handle.
    pub display_name: String,
    /// A few words about the person; may be empty.
    pub bio: String,
    /// The password.
    pub password: SecretString,
    /// What the client calls its device; may be empty.
    pub device: String,
    /// UUID of the mutation.
    pub request_id: String,
}

/// A request to open a session.
pub struct Login {
    /// The account's handle, unchecked.
    pub handle: String,
    /// Its password.
    pub password: SecretString,
    /// What the client calls its device; may be empty.
    pub device: String,
}

impl Auth {
    /// Makes an account and its first session. A replay answers the same account and session, with new tokens, to who knows the
    /// password. HANDLE_TAKEN, OVERLOADED, LOGIN_THROTTLED.
    pub async fn register(
        &self,
        backend: &Backend,
        caller: &Caller,
        registration: Registration,
    ) -> Result<(Arc<User>, Tokens)> {
        let Registration {
            handle,
            display_name,
            bio,
            password,
            device,
            request_id,
        } = registration;
        let handle: Handle = handle.parse()?;
        let display_name = if display_name.is_empty() {
            handle.to_string()
        } else {
            text::tidied(display_name)
        };
        let (bio, device) = (text::tidied(bio), text::tidied(device));
        text::display_name("display_name", &display_name)?;
        text::bio("bio", &bio)?;
        text::device("device_name", &device)?;
        passwords::check("password", &password)?;
        let caller = anonymous(caller);
        let content = [handle.as_str(), &display_name, &bio, &device].map(str::as_bytes);
        let request = RequestKey::new(&caller, "Register", &request_id, &content)?;
        let session_request = RequestKey::new(&caller, "Register.session", &request_id, &content)?;

        let hash = self.passwords.hash(&password, caller.address).await?;
        let new = NewUser {
            handle: handle.clone(),
            display_name,
            bio,
            password: Some(hash.clone()),
            created_at: None,
        };
        let created = backend.store.create_user(new, request).await?;
        let user = created.value;
        let hash = if created.replayed {
            self.check_replay(backend, &caller, &user, &password).await?
        } else {
            hash
        };
        let tokens = self
            .open_session(backend, user.id, device, caller.address, &hash, session_request)
            .await?;
        Ok((user, tokens))
    }

    /// Opens a session of its own with each call that succeeds. CREDENTIALS_INVALID (also for an account that cannot log in, and after
    /// the same time), LOGIN_THROTTLED, OVERLOADED.
    pub async fn login(&self, backend: &Backend, caller: &Caller, login: Login) -> Result<(Arc<User>, Tokens)> {
        let Login {
            handle,
            password,
            device,
        } = login;
        text::device("device_name", &device)?;
        passwords::check_presented("password", &password)?;
        if handle.len() > limits::HANDLE_MAX {
            return Err(Error::field(
                "handle",
                format!("must have at most {} characters", limits::HANDLE_MAX),
            ));
        }
        // A text that can be no handle is refused like one that nobody has.
        let found = match handle.parse::<Handle>() {
            Ok(handle) => backend.store.user_ids(&[handle]).await?.first().copied().flatten(),
            Err(_) => None,
        };
        let account = handle.to_ascii_lowercase();
        let (user, hash) = self.check_password(backend, caller, &account, found, &password).await?;
        let request = RequestKey::new(&anonymous(caller), "Login", &Uuid::new_v4().to_string(), &[])?;
        let tokens = self
            .open_session(backend, user, device, caller.address, &hash, request)
            .await?;
        let user = backend
            .store
            .users(&[user])
            .await?
            .pop()
            .flatten()
            .ok_or_else(Error::user_not_found)?;
        Ok((user, tokens))
    }

    /// The user and the hash that the password was compared with, as one attempt at the account. The work is the same where there
    /// is no such user, or one without a password. CREDENTIALS_INVALID, LOGIN_THROTTLED, OVERLOADED.
    pub(super) async fn check_password(
        &self,
        backend: &Backend,
        caller: &Caller,
        account: &str,
        user: Option<UserId>,
        password: &SecretString,
    ) -> Result<(UserId, PasswordHash)> {
        // Held for as long as the attempt counts, so that right passwords, many at once, do not count as guesses.
        let place = self.passwords.place(caller.address)?;
        let attempt = self.throttle.attempt(account, caller.address)?;
        match self.find_matching(backend, user, password, Arc::clone(&place)).await {
            Ok(Some(stored)) => {
                attempt.succeeded();
                Ok(stored)
            }
            Ok(None) => Err(wrong_credentials()),
            Err(error) => {
                attempt.abandoned();
                Err(error)
            }
        }
    }

    async fn find_matching(
        &self,
        backend: &Backend,
        user: Option<UserId>,
        password: &SecretString,
        place: Arc<Place>,
    ) -> Result<Option<(UserId, PasswordHash)>> {
        // No user has the default id; it is read so that an unknown handle costs the same reads.
        let account = backend.store.account(user.unwrap_or_default()).await?;
        let stored = user.zip(account.and_then(|account| account.password));
        let matches = self
            .passwords
            .verify(password, stored.as_ref().map(|(_, hash)| hash), place)
            .await?;
        Ok(stored.filter(|_| matches))
    }

    /// Whoever repeats a registration must know its password: another one makes it another request.
    async fn check_replay(
        &self,
        backend: &Backend,
        caller: &Caller,
        user: &User,
        password: &SecretString,
    ) -> Result<PasswordHash> {
        let checked = self
            .check_password(backend, caller, user.handle.as_str(), Some(user.id), password)
            .await;
        match checked {
            Ok((_, hash)) => Ok(hash),
            Err(error) if error == wrong_credentials() => Err(Error::request_id_reused()),
            Err(error) => Err(error),
        }
    }

    /// Opens the session of a login whose password matched `hash`.
    async fn open_session(
        &self,
        backend: &Backend,
        user: UserId,
        device: String,
        address: Option<IpAddr>,
        hash: &PasswordHash,
        request: RequestKey,
    ) -> Result<Tokens> {
        let refresh = RefreshToken::new(None);
        let new = NewSession {
            user,
            device,
            address,
            refresh: refresh.hash(),
        };
        let create = move |backend: Backend, known: Arc<Known>| async move {
            let opened = backend.store.create_session(new, request).await?.value;
            known.enter_revoked(&backend, user, &opened.displaced);
            Ok(opened.session)
        };
        let session = self.known.uncut(backend, create).await?;
        self.check_unchanged(backend, &session, hash).await?;
        let now = backend.clock.now();
        if !session.is_live(now) {
            return Err(revoked());
        }
        self.tokens(&session, &refresh, now)
    }

    /// A change of password revokes what is logged in, and this login may have come between: it wrote its session, the change
    /// wrote the password, and each then looks at what the other wrote.
    async fn check_unchanged(&self, backend: &Backend, session: &Session, hash: &PasswordHash) -> Result<()> {
        let account = backend.store.account(session.user).await?;
        if account.and_then(|account| account.password).as_ref() == Some(hash) {
            return Ok(());
        }
        self.known.revoke(backend, session.user, session.id).await?;
        Err(wrong_credentials())
    }
}

/// The caller without its viewer: these methods take no token, and a request key must not depend on one that was sent.
fn anonymous(caller: &Caller) -> Caller {
    Caller {
        viewer: crate::request::Viewer::Anonymous,
        ..*caller
    }
}
