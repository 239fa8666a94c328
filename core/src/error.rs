//! The one error type of the domain: a documented reason, a text for people, and what to do next.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of an operation of the domain.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused. The names are part of the API (`ErrorReason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is documented beside its twin in errors.proto")]
pub enum Reason {
    InvalidField,
    PageTokenInvalid,
    CursorInvalid,
    RequestIdReused,
    UserNotFound,
    PostNotFound,
    CommentNotFound,
    SessionNotFound,
    FanoutNotFound,
    DeadLetterNotFound,
    ImportNotFound,
    HandleTaken,
    ArchiveConflict,
    EtagMismatch,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    SessionRevoked,
    CredentialsInvalid,
    RefreshTokenInvalid,
    RefreshTokenReused,
    PermissionDenied,
    Blocked,
    RateLimited,
    LoginThrottled,
    Overloaded,
    TooManyStreams,
    LimitReached,
    UndeleteExpired,
    PostDeleted,
    SelfReference,
    BackupUnsupported,
    PlatformNotEmpty,
    DeadlineExceeded,
    StoreUnavailable,
    ShuttingDown,
    Internal,
}

/// A field of the request that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, as in `post.content` or `post_ids[3]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

/// A bound that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Whom the bound is counted for, as in `user:0b6…` or `address`.
    pub subject: String,
    /// What is bounded, and at what.
    pub description: String,
}

/// A refusal or failure. Its message is for people and holds nothing of the inside.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// The fields at fault.
    pub violations: Vec<Violation>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// The bound that was reached.
    pub quota: Option<Quota>,
}

impl Error {
    /// An error with a reason and a text for people.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            retry_after: None,
            quota: None,
        }
    }

    /// One field is not acceptable: `description` says what would be.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::new(Reason::InvalidField, "the request has an invalid field").violation(field, description)
    }

    /// Adds a field at fault.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push(Violation {
            field: field.into(),
            description: description.into(),
        });
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Names the bound that was reached.
    #[must_use]
    pub fn quota(mut self, subject: impl Into<String>, description: impl Into<String>) -> Self {
        self.quota = Some(Quota {
            subject: subject.into(),
            description: description.into(),
        });
        self
    }

    /// The store cannot answer now; whether a write took effect is unknown, so it is to be repeated with the
    /// same request_id.
    pub fn unavailable() -> Self {
        Self::new(Reason::StoreUnavailable, "the store is not available now").retry_after(Duration::from_millis(200))
    }

    /// Something that should not happen happened. Log the cause where it is known; the caller learns nothing of it.
    pub fn internal() -> Self {
        Self::new(Reason::Internal, "an internal error occurred")
    }

    /// The handle is another user's.
    pub fn handle_taken() -> Self {
        Self::new(Reason::HandleTaken, "this handle is taken").violation("handle", "choose another one")
    }

    /// No such user.
    pub fn user_not_found() -> Self {
        Self::new(Reason::UserNotFound, "no such user")
    }

    /// No such post, or none that the viewer may see.
    pub fn post_not_found() -> Self {
        Self::new(Reason::PostNotFound, "no such post, or it is not visible to you")
    }

    /// No such comment, or none that the viewer may see.
    pub fn comment_not_found() -> Self {
        Self::new(Reason::CommentNotFound, "no such comment, or it is not visible to you")
    }

    /// The row changed since the caller read it.
    pub fn etag_mismatch() -> Self {
        Self::new(
            Reason::EtagMismatch,
            "it was changed meanwhile; read it again and repeat your change with the new etag",
        )
    }

    /// The request_id was used before for a request with other content.
    pub fn request_id_reused() -> Self {
        Self::new(Reason::RequestIdReused, "this request_id was used for another request")
            .violation("request_id", "use a new UUID for each new request")
    }

    /// Whether the failure may pass by itself, so that work is repeated without counting it as a failure of the work.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.reason,
            Reason::StoreUnavailable | Reason::DeadlineExceeded | Reason::Overloaded | Reason::ShuttingDown
        )
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.reason, self.message)?;
        for violation in &self.violations {
            write!(f, " [{}: {}]", violation.field, violation.description)?;
        }
        Ok(())
    }
}
