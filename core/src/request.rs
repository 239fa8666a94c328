//! Who calls, and the key that makes a repeated mutation safe.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::id::{SessionId, UserId};

/// On whose behalf a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Viewer {
    /// Nobody in particular: no token was sent.
    #[default]
    Anonymous,
    /// A user, logged in with a session.
    User {
        /// The user.
        id: UserId,
        /// The session that the access token belongs to.
        session: SessionId,
    },
}

impl Viewer {
    /// The user, where there is one.
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::Anonymous => None,
            Self::User { id, .. } => Some(id),
        }
    }

    /// Whether the viewer is this user.
    pub fn is(self, user: UserId) -> bool {
        self.user() == Some(user)
    }
}

/// A W3C trace context, stored with an event so that its asynchronous work joins the caller's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace, 16 bytes.
    pub trace_id: [u8; 16],
    /// The span that caused the event, 8 bytes.
    pub span_id: [u8; 8],
    /// Trace flags; bit 0 says sampled.
    pub flags: u8,
}

impl TraceContext {
    /// The trace id as 32 hexadecimal digits.
    pub fn trace_id_hex(&self) -> String {
        self.trace_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What the edge knows about a call beside its message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller {
    /// On whose behalf.
    pub viewer: Viewer,
    /// The client's address, where the transport knows one.
    pub address: Option<IpAddr>,
    /// The trace that the call is part of.
    pub trace: Option<TraceContext>,
}

impl Caller {
    /// The user who calls; TOKEN_MISSING for an anonymous caller.
    pub fn user(&self) -> Result<UserId> {
        self.viewer.user().ok_or_else(|| {
            Error::new(
                crate::Reason::TokenMissing,
                "this method needs an access token: log in, then send it as `authorization: Bearer …`",
            )
        })
    }
}

/// The key of a mutation that may be repeated, and a digest of what it asks for.
///
/// Stores keep it for [`REQUEST_KEPT`](crate::limits::REQUEST_KEPT) beside the outcome. The same key with
/// another fingerprint is REQUEST_ID_REUSED. Secrets never enter the fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    /// Digest of (principal or client address, method, request_id).
    pub key: [u8; 16],
    /// Digest of the request's content.
    pub fingerprint: [u8; 16],
}

impl RequestKey {
    /// The key of a caller's `request_id` for `method`; `content` is everything that makes the request what it is, secrets
    /// left out. INVALID_FIELD `request_id` where it is not a UUID.
    pub fn new(caller: &Caller, method: &str, request_id: &str, content: &[&[u8]]) -> Result<Self> {
        let id = check_id(request_id)?;
        let principal = match (caller.viewer, caller.address) {
            (Viewer::User { id, .. }, _) => format!("user {id}"),
            (Viewer::Anonymous, Some(address)) => format!("address {address}"),
            (Viewer::Anonymous, None) => "local".to_owned(),
        };
        Ok(Self {
            key: digest(&[principal.as_bytes(), method.as_bytes(), id.as_bytes()]),
            fingerprint: digest(content),
        })
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestKey({:02x?})", &self.key[..4])
    }
}

/// Reads a `request_id`. Mutations whose row is itself the key (a like, a follow) need no more of it. INVALID_FIELD `request_id`.
pub fn check_id(request_id: &str) -> Result<Uuid> {
    Uuid::parse_str(request_id)
        .ok()
        .filter(|id| !id.is_nil())
        .ok_or_else(|| {
            Error::field(
                "request_id",
                "must be a UUID, new for each new request and the same when you repeat one",
            )
        })
}

/// An optional number as a part of a fingerprint.
pub(crate) fn optional(number: Option<u64>) -> [u8; 9] {
    let mut bytes = [0; 9];
    if let Some(number) = number {
        bytes[0] = 1;
        bytes[1..].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// A digest of several parts, each with its length so that no two lists of parts look alike.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    out
}

/// The outcome of a mutation, and whether an earlier call with the same request_id had brought it about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T> {
    /// What the mutation yielded.
    pub value: T,
    /// Whether this call only repeated an earlier one.
    pub replayed: bool,
}

impl<T> Outcome<T> {
    /// The outcome of a call that did the work.
    pub fn new(value: T) -> Self {
        Self { value, replayed: false }
    }

    /// The outcome of a call that found the work done.
    pub fn replayed(value: T) -> Self {
        Self { value, replayed: true }
    }

    /// The same outcome of something made from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        Outcome {
            value: f(self.value),
            replayed: self.replayed,
        }
    }
}
