//! The life of a session after its login.

use std::sync::Arc;

use secrecy::SecretString;

use super::known::Known;
use super::refresh::{RefreshToken, invalid};
use super::{Auth, Rotation, Session, Tokens, passwords, revoked, wrong_credentials};
use crate::backend::Backend;
use crate::error::{Error, Reason, Result};
use crate::id::{SessionId, UserId};
use crate::page::Page;
use crate::request::{Caller, RequestKey, Viewer, check_id};

/// What presenting a refresh token came to.
#[derive(Debug)]
pub enum Refreshed {
    /// The next pair.
    Granted(Tokens),
    /// The token was used before: somebody else may have it, so its session is revoked.
    Reused {
        /// Whose session it was.
        user: UserId,
        /// The session.
        session: SessionId,
    },
}

impl Refreshed {
    /// The next pair. REFRESH_TOKEN_REUSED.
    pub fn granted(self) -> Result<Tokens> {
        match self {
            Self::Granted(tokens) => Ok(tokens),
            Self::Reused { .. } => Err(Error::new(
                Reason::RefreshTokenReused,
                "this refresh token was used before; its session is revoked, log in again",
            )),
        }
    }
}

impl Auth {
    /// Exchanges a refresh token for the next pair; one that was used before revokes its session. REFRESH_TOKEN_INVALID,
    /// SESSION_REVOKED.
    pub async fn refresh(
        &self,
        backend: &Backend,
        refresh_token: &SecretString,
        request_id: &str,
    ) -> Result<Refreshed> {
        let request = check_id(request_id)?.into_bytes();
        let (id, presented) = self.keys.read_refresh(refresh_token)?;
        let next = RefreshToken::new(Some(&presented.hash()));
        let (presented_hash, next_hash) = (presented.hash(), next.hash());
        let rotate = move |backend: Backend, known: Arc<Known>| async move {
            let rotation = backend
                .store
                .rotate_session(id, presented_hash, next_hash, request)
                .await?;
            if let Rotation::Reused(session) = &rotation {
                known.enter_revoked(&backend, session.user, &[session.id]);
            }
            Ok(rotation)
        };
        match self.known.uncut(backend, rotate).await? {
            Rotation::Rotated(session) => self
                .tokens(&session, &next, backend.clock.now())
                .map(Refreshed::Granted),
            Rotation::Reused(session) => Ok(reused(&session)),
            Rotation::Refused => self.refuse_refresh(backend, id, &presented).await,
        }
    }

    /// Ends the caller's session. SESSION_REVOKED is what a replay gets, from [`Auth::authenticate`].
    pub async fn logout(&self, backend: &Backend, caller: &Caller, request_id: &str) -> Result<()> {
        check_id(request_id)?;
        let (user, session) = session_of(caller)?;
        self.known.revoke(backend, user, session).await?;
        Ok(())
    }

    /// Sets the caller's password and revokes every session of theirs but the one that calls. Answers how many those were; a replay
    /// revokes none.
    /// CREDENTIALS_INVALID, LOGIN_THROTTLED, OVERLOADED.
    pub async fn change_password(
        &self,
        backend: &Backend,
        caller: &Caller,
        current: &SecretString,
        new: &SecretString,
        request_id: &str,
    ) -> Result<usize> {
        let (user, session) = session_of(caller)?;
        passwords::check_presented("current_password", current)?;
        passwords::check("new_password", new)?;
        // No part of the content is free of secrets.
        let request = RequestKey::new(caller, "ChangePassword", request_id, &[])?;
        self.check_current(backend, caller, request, current, new).await?;
        let hash = self.passwords.hash(new, caller.address).await?;
        let set = move |backend: Backend, known: Arc<Known>| async move {
            let ended = backend.store.set_password(user, hash, Some(session), request).await;
            match &ended {
                Ok(ended) if !ended.replayed => known.enter_revoked(&backend, user, &ended.value),
                // It is committed, or may be, and what it revoked is not known here.
                _ => known.ask_again(&backend, user),
            }
            Ok(ended?.value.len())
        };
        self.known.uncut(backend, set).await
    }

    /// The caller's live sessions, newest first: those below `after`, at most `size`.
    pub async fn list_sessions(
        &self,
        backend: &Backend,
        caller: &Caller,
        size: usize,
        after: Option<SessionId>,
    ) -> Result<Page<Session>> {
        let mut items = backend.store.sessions(caller.user()?).await?;
        items.sort_by_key(|session| std::cmp::Reverse(session.id));
        items.retain(|session| after.is_none_or(|after| session.id < after));
        let is_whole = items.len() <= size;
        items.truncate(size);
        let next = items.last().filter(|_| !is_whole).map(|session| session.id.0);
        Ok(Page { items, next })
    }

    /// Revokes one of the caller's sessions. One that was revoked before stays so. SESSION_NOT_FOUND.
    pub async fn revoke_session(
        &self,
        backend: &Backend,
        caller: &Caller,
        id: SessionId,
        request_id: &str,
    ) -> Result<()> {
        check_id(request_id)?;
        let user = caller.user()?;
        if !self.known.revoke(backend, user, id).await? {
            return Err(Error::new(Reason::SessionNotFound, "you have no session of this id"));
        }
        Ok(())
    }

    /// Refuses a caller who does not know the password. A repeated call finds the new one in place already, also where the first one
    /// took effect while this one was on its way.
    async fn check_current(
        &self,
        backend: &Backend,
        caller: &Caller,
        request: RequestKey,
        current: &SecretString,
        new: &SecretString,
    ) -> Result<()> {
        let user = caller.user()?;
        let account = format!("user:{user}");
        let is_replay = backend.store.was_committed(request).await?;
        let expected = if is_replay { new } else { current };
        let mut checked = self
            .check_password(backend, caller, &account, Some(user), expected)
            .await;
        if !is_replay && checked == Err(wrong_credentials()) && backend.store.was_committed(request).await? {
            checked = self.check_password(backend, caller, &account, Some(user), new).await;
        }
        checked.map(drop).map_err(|error| {
            if error == wrong_credentials() {
                wrong_current()
            } else {
                error
            }
        })
    }

    /// Why a token of ours, neither the newest nor the one before, was refused: its session ended; it is the unused twin of a
    /// token that was issued again in its place; or it is older, and somebody has kept a copy.
    async fn refuse_refresh(&self, backend: &Backend, id: SessionId, presented: &RefreshToken) -> Result<Refreshed> {
        let session = backend.store.session(id).await?.ok_or_else(invalid)?;
        if session.revoked_at.is_some() {
            return Err(revoked());
        }
        // Where nothing was exchanged yet, there are only twins of the first one.
        let is_twin = session
            .predecessor
            .is_none_or(|predecessor| presented.is_child_of(&predecessor.refresh));
        if is_twin || !session.is_live(backend.clock.now()) {
            return Err(invalid());
        }
        self.known.revoke(backend, session.user, id).await?;
        Ok(reused(&session))
    }
}

fn session_of(caller: &Caller) -> Result<(UserId, SessionId)> {
    let user = caller.user()?;
    match caller.viewer {
        Viewer::User { session, .. } => Ok((user, session)),
        // Refused above.
        Viewer::Anonymous => Err(Error::internal()),
    }
}

fn reused(session: &Session) -> Refreshed {
    Refreshed::Reused {
        user: session.user,
        session: session.id,
    }
}

fn wrong_current() -> Error {
    Error::new(Reason::CredentialsInvalid, "the current password is wrong")
}
