//! Why the server refused a call.

use social_proto::v1::ErrorReason;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why the server refused a call. Each is documented at the value of the same name in `social/v1/errors.proto`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            /// The server gave none, or one that this version does not know: go by the code.
            Unknown,
            $($(#[$doc])* $name,)*
        }

        impl From<ErrorReason> for Reason {
            fn from(reason: ErrorReason) -> Self {
                // Without a wildcard: a reason that is new in the contract must be added here.
                match reason {
                    ErrorReason::Unspecified => Self::Unknown,
                    $(ErrorReason::$name => Self::$name,)*
                }
            }
        }

        impl Reason {
            /// The name on the wire (`POST_NOT_FOUND`); empty for `Unknown`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Self::Unknown => "",
                    $(Self::$name => ErrorReason::$name.as_reason(),)*
                }
            }
        }
    };
}

reasons! {
    /// A field is missing, malformed or out of bounds.
    InvalidField,
    /// The page token is malformed, or of another list.
    PageTokenInvalid,
    /// The cursor is malformed, or of another viewer or filter.
    CursorInvalid,
    /// The request_id was used for another request.
    RequestIdReused,
    /// No such user.
    UserNotFound,
    /// No such post, or not for the caller.
    PostNotFound,
    /// No such comment, or not for the caller.
    CommentNotFound,
    /// The caller has no such session.
    SessionNotFound,
    /// The caller has no such fan-out.
    FanoutNotFound,
    /// No such dead letter.
    DeadLetterNotFound,
    /// No such import.
    ImportNotFound,
    /// Another account has the handle.
    HandleTaken,
    /// A record of an archive stands against a row that is there.
    ArchiveConflict,
    /// The row was changed since its etag was read.
    EtagMismatch,
    /// A token is needed and none was sent.
    TokenMissing,
    /// The token is not one of this server's.
    TokenInvalid,
    /// The access token is past its time. The SDK refreshes it; this is seen only when that failed.
    TokenExpired,
    /// The session was revoked or logged out.
    SessionRevoked,
    /// Handle and password do not match an account.
    CredentialsInvalid,
    /// The server does not know the refresh token: it is past its time, or another server's. Log in again, unless the wrong
    /// server was asked; the login stays in the token store.
    RefreshTokenInvalid,
    /// The refresh token was used twice, and its session revoked: log in again. The login is gone from the token store.
    RefreshTokenReused,
    /// The caller may not do this.
    PermissionDenied,
    /// One of the two users blocks the other.
    Blocked,
    /// Over the rate limit.
    RateLimited,
    /// Too many failed logins.
    LoginThrottled,
    /// The server has too much work; nothing was done.
    Overloaded,
    /// The caller has too many open streams.
    TooManyStreams,
    /// A count is at its maximum.
    LimitReached,
    /// The post was deleted too long ago.
    UndeleteExpired,
    /// The caller's own post is deleted.
    PostDeleted,
    /// The caller named themselves.
    SelfReference,
    /// The server's store is backed up by means of its own.
    BackupUnsupported,
    /// An archive can be brought into an empty platform only.
    PlatformNotEmpty,
    /// The deadline passed.
    DeadlineExceeded,
    /// The server's store does not answer.
    StoreUnavailable,
    /// The server is stopping.
    ShuttingDown,
    /// A fault of the server.
    Internal,
    /// The server does not have the method.
    Unimplemented,
}

impl Reason {
    pub(crate) fn from_name(name: &str) -> Self {
        ErrorReason::from_reason(name).map_or(Self::Unknown, Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_contract_is_known() {
        for number in 1..=200 {
            let Ok(reason) = ErrorReason::try_from(number) else {
                continue;
            };
            assert_eq!(Reason::from_name(reason.as_reason()).name(), reason.as_reason());
        }
        assert_eq!(Reason::from_name("OF_A_LATER_VERSION"), Reason::Unknown);
        assert_eq!(Reason::from_name("UNSPECIFIED"), Reason::Unknown);
    }
}
