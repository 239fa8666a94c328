//! Accounts' credentials and sessions: registration, login, tokens and their end.

pub mod keys;
mod known;
mod live;
mod login;
mod looks;
pub mod passwords;
mod refresh;
mod revocations;
mod session;
mod sessions;
mod throttle;
pub mod tokens;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use keys::{KeyError, Keys};
pub use live::require_live_session;
pub use login::{Login, Registration};
pub use passwords::{Passwords, parse_phc, parse_stored};
pub use revocations::Revocations;
pub use session::{Account, NewSession, OpenedSession, PasswordHash, RefreshHash, Rotation, Session};
pub use sessions::Refreshed;
pub use throttle::{Attempt, Throttle};
pub use tokens::{AccessToken, Claims};

use crate::backend::Backend;
use crate::clock::{Clock, Time};
use crate::error::{Error, Reason, Result};
use crate::id::SessionId;
use crate::request::Viewer;
use known::Known;
use refresh::RefreshToken;

/// What authentication needs beside the backend; one for a process.
#[derive(Debug)]
pub struct Auth {
    passwords: Passwords,
    keys: Keys,
    throttle: Throttle,
    known: Arc<Known>,
    trust: Option<Duration>,
}

/// The tokens of a session, as they are issued.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Goes with each call. A secret.
    pub access: SecretString,
    /// From when on the access token is refused.
    pub access_expires_at: Time,
    /// Good for one exchange. A secret.
    pub refresh: SecretString,
    /// When the session ends unless it is refreshed before.
    pub refresh_expires_at: Time,
    /// The session.
    pub session: SessionId,
}

impl Auth {
    /// Authentication with these keys and this hasher, by the backend's clock.
    pub fn new(keys: Keys, passwords: Passwords, clock: Clock) -> Self {
        Self {
            passwords,
            keys,
            throttle: Throttle::new(clock),
            known: Arc::default(),
            trust: None,
        }
    }

    /// Asks the store again about a session that was looked at longer ago than `trust`: what other processes revoke is refused here after
    /// that time. Without it a session ends only by what this process does.
    #[must_use]
    pub fn trusting_for(self, trust: Duration) -> Self {
        Self {
            trust: Some(trust),
            ..self
        }
    }

    /// The keys, to rotate and to reload.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// On whose behalf the holder of an access token calls. A token seen before costs a lookup; another one its signature and a read
    /// of its session. TOKEN_INVALID, TOKEN_EXPIRED, SESSION_REVOKED.
    pub async fn authenticate(&self, backend: &Backend, token: &str) -> Result<Viewer> {
        let now = backend.clock.now();
        let claims = match self.known.cache.get(token, self.keys.generation(), self.trust) {
            Ok(claims) => claims,
            Err(miss) => {
                let claims = match miss.claims {
                    Some(claims) => claims,
                    None => self.keys.verify(token, now)?,
                };
                self.known.look(backend, miss, claims, self.trust).await?;
                claims
            }
        };
        self.admit(&claims, now)
    }

    /// What is asked last and each time, whatever the cache said: see the race in `revocations`.
    fn admit(&self, claims: &Claims, now: Time) -> Result<Viewer> {
        if self.known.revocations.contains(claims.session) {
            return Err(revoked());
        }
        if now >= claims.expires_at {
            return Err(tokens::expired());
        }
        Ok(claims.viewer())
    }

    /// Tokens for a session that holds the hash of `refresh`.
    fn tokens(&self, session: &Session, refresh: &RefreshToken, now: Time) -> Result<Tokens> {
        let access = self.keys.issue(session.user, session.id, now)?;
        Ok(Tokens {
            access: access.text,
            access_expires_at: access.expires_at,
            refresh: self.keys.write_refresh(refresh, session.id)?,
            refresh_expires_at: session.expires_at(),
            session: session.id,
        })
    }
}

async fn check_live(backend: &Backend, claims: &Claims) -> Result<()> {
    let now = backend.clock.now();
    match backend.store.session(claims.session).await? {
        Some(session) if session.user == claims.user && session.is_live(now) => Ok(()),
        // Absent: it ended long ago, or the store was replaced under the keys.
        _ => Err(revoked()),
    }
}

/// The refusal of a token whose session ended.
fn revoked() -> Error {
    Error::new(Reason::SessionRevoked, "this session has ended; log in again")
}

/// The refusal of a login: the same for an unknown handle and a wrong password.
fn wrong_credentials() -> Error {
    Error::new(Reason::CredentialsInvalid, "handle or password is wrong")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;

    #[test]
    fn a_token_that_enters_the_cache_behind_its_revocation_is_refused() {
        let now = Time::from_unix_ms(1_800_000_000_000);
        let auth = Auth::new(Keys::in_memory(now), Passwords::default(), Clock::manual(now));
        let claims = Claims {
            user: UserId(1),
            session: SessionId(2),
            expires_at: now.plus_ms(1000),
        };
        // A check finds the session live …
        let miss = auth.known.cache.get("token", 0, None).unwrap_err();
        // … then the session is revoked, and that is acknowledged …
        assert!(!auth.known.revocations.insert(claims.session, now));
        // … and the check goes on.
        auth.known.cache.insert(&miss, claims);
        assert_eq!(
            auth.admit(&claims, now).map_err(|error| error.reason),
            Err(Reason::SessionRevoked)
        );
        // A later request that finds the token in the cache is refused too.
        let cached = auth.known.cache.get("token", 0, None).ok().unwrap();
        assert_eq!(
            auth.admit(&cached, now).map_err(|error| error.reason),
            Err(Reason::SessionRevoked)
        );
    }
}
