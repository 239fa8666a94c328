//! What stores keep of credentials and logins.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::clock::Time;
use crate::id::{SessionId, UserId};
use crate::limits;

/// An argon2id hash in PHC form. Never shown by Debug.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(pub(crate) String);

impl PasswordHash {
    /// The PHC text, for the hasher and the store.
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// The credentials of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whose they are.
    pub user: UserId,
    /// Absent for an imported account that cannot log in.
    pub password: Option<PasswordHash>,
    /// When the password was set.
    pub changed_at: Time,
}

/// SHA-256 of a refresh token. Never shown by Debug, compared in constant time.
#[derive(Clone, Copy, Eq, Serialize, Deserialize)]
pub struct RefreshHash(pub [u8; 32]);

impl PartialEq for RefreshHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for RefreshHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshHash(…)")
    }
}

/// A login to be stored; the store mints its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Who logs in.
    pub user: UserId,
    /// What the client calls its device; may be empty.
    pub device: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// The hash of the first refresh token.
    pub refresh: RefreshHash,
}

/// The refresh token before the current one, which a repeated refresh may still present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its hash.
    pub refresh: RefreshHash,
    /// The key of the request that exchanged it.
    pub request: [u8; 16],
    /// When it was exchanged.
    pub rotated_at: Time,
}

/// A login on one device: a family of refresh tokens of which one is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What the client calls its device; may be empty.
    pub device: String,
    /// From where the login came.
    pub address: Option<IpAddr>,
    /// When the login was.
    pub created_at: Time,
    /// When it was last refreshed.
    pub refreshed_at: Time,
    /// The hash of the valid refresh token.
    pub refresh: RefreshHash,
    /// The token before it.
    pub predecessor: Option<Predecessor>,
    /// When it was revoked: by logout, password change, reuse or its owner.
    pub revoked_at: Option<Time>,
}

/// A login that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedSession {
    /// The session.
    pub session: Session,
    /// Sessions of the user that were revoked to make room for it, none on a replay.
    pub displaced: Vec<SessionId>,
}

/// What presenting a refresh token comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was valid: the session goes on with a new token.
    Rotated(Session),
    /// It was used before: somebody else holds a copy, so the whole session is revoked.
    Reused(Session),
    /// It is of this session in no way, or the session ended.
    Refused,
}

impl Session {
    /// The session that a login becomes under an id.
    pub fn new(id: SessionId, new: NewSession, now: Time) -> Self {
        Self {
            id,
            user: new.user,
            device: new.device,
            address: new.address,
            created_at: now,
            refreshed_at: now,
            refresh: new.refresh,
            predecessor: None,
            revoked_at: None,
        }
    }

    /// When the session ends if it is not refreshed again.
    pub fn expires_at(&self) -> Time {
        self.refreshed_at.plus(limits::REFRESH_TOKEN_TTL)
    }

    /// Whether the session can be used at `now`.
    pub fn is_live(&self, now: Time) -> bool {
        self.revoked_at.is_none() && now < self.expires_at()
    }

    /// Decides on a refresh: `presented` is the token's hash, `next` that of the token to be issued.
    ///
    /// The same token with the same `request` within [`limits::REFRESH_REPEAT`] is a repetition (its answer was lost) and
    /// voids the successor; any other second use is reuse.
    pub fn rotate(&self, presented: RefreshHash, next: RefreshHash, request: [u8; 16], now: Time) -> Rotation {
        if !self.is_live(now) {
            return Rotation::Refused;
        }
        if presented == self.refresh {
            let predecessor = Some(Predecessor {
                refresh: presented,
                request,
                rotated_at: now,
            });
            return Rotation::Rotated(Self {
                refresh: next,
                predecessor,
                refreshed_at: now,
                ..self.clone()
            });
        }
        match self.predecessor {
            Some(old) if old.refresh == presented => {
                let repeated = old.request == request && now.since(old.rotated_at) <= limits::REFRESH_REPEAT;
                if repeated {
                    Rotation::Rotated(Self {
                        refresh: next,
                        refreshed_at: now,
                        ..self.clone()
                    })
                } else {
                    Rotation::Reused(Self {
                        revoked_at: Some(now),
                        ..self.clone()
                    })
                }
            }
            // A token older than the predecessor carries this session's id and cannot be told from a guess by its hash alone;
            // ids of sessions are no secret, so a guess must not end them.
            _ => Rotation::Refused,
        }
    }
}
