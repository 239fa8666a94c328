//! The only place where an error of the domain becomes a gRPC status, with its `google.rpc` details.

use std::borrow::Cow;
use std::collections::HashMap;

use social_core::limits;
use social_core::{Error, Reason};
use social_observability::event;
use social_proto::ERROR_DOMAIN;
use social_proto::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Fields at fault that one status names; a header list has to hold them all.
const VIOLATIONS: usize = 20;
/// Bytes of one text in a status.
const TEXT_BYTES: usize = 300;

/// The status of an error. For `map_err(status)` at the end of a handler.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "for map_err, which passes values")]
pub fn status(error: Error) -> Status {
    let (code, reason) = code_and_reason(error.reason);
    if error.reason == Reason::StoreUnavailable {
        event::store_failed("unavailable", &error);
    }
    build(code, reason, &error)
}

/// The status of a method that this server does not have.
#[must_use]
pub fn unimplemented() -> Status {
    let error = Error::new(Reason::Internal, "this server has no such method");
    build(Code::Unimplemented, ErrorReason::Unimplemented, &error)
}

/// Gives a status that the transport made its type: tonic knows nothing of reasons. One of ours is left as it is.
///
/// What a client can cause (a message that is too large or cannot be decoded) becomes INVALID_ARGUMENT, since nothing is wrong with
/// the server; the field at fault is then the whole message, named by the method. Texts of tonic are not passed on.
#[must_use]
pub fn adopt(foreign: Status, method: &'static str) -> Status {
    if !foreign.details().is_empty() || foreign.code() == Code::Ok {
        return foreign;
    }
    let message = foreign.message();
    let error = match foreign.code() {
        Code::Unimplemented if message.starts_with("Content is compressed") => {
            let error = Error::field(
                "grpc-encoding",
                "the compression is not supported; send it uncompressed",
            );
            return build(Code::Unimplemented, ErrorReason::Unimplemented, &error);
        }
        Code::Unimplemented => return unimplemented(),
        Code::OutOfRange if message.contains("decoded message length") => too_large(method),
        Code::Internal if is_undecodable(message) => undecodable(method),
        Code::ResourceExhausted => Error::new(Reason::Overloaded, "the server has more work than it may take"),
        Code::Unavailable => Error::new(Reason::ShuttingDown, "the server is not available now"),
        Code::DeadlineExceeded | Code::Cancelled => deadline_exceeded(),
        Code::InvalidArgument => Error::field(method, "the request is malformed"),
        Code::Unauthenticated => Error::new(Reason::TokenInvalid, "the credentials were refused"),
        Code::PermissionDenied => Error::new(Reason::PermissionDenied, "this is not allowed"),
        // Health and reflection answer for names that they do not know; that is theirs to say, in their own contract.
        Code::NotFound => return foreign,
        _ => Error::internal(),
    };
    status(error)
}

/// The error of a request that is larger than a message may be.
pub(crate) fn too_large(method: &'static str) -> Error {
    Error::field(
        method,
        format!("the message is larger than {} bytes", limits::MESSAGE_BYTES),
    )
}

/// The status of a request whose body could not be read. What the transport blames on itself there (text that is no base64, frames that do
/// not fit, a connection that broke off) is the client's doing: the server has not yet begun to work.
#[must_use]
pub(crate) fn unreadable(foreign: Status, method: &'static str) -> Status {
    match foreign.code() {
        Code::Internal | Code::Unknown | Code::DataLoss if foreign.details().is_empty() => status(undecodable(method)),
        _ => adopt(foreign, method),
    }
}

/// The error of a message that is none.
fn undecodable(method: &'static str) -> Error {
    Error::field(
        method,
        "the message cannot be decoded: it is no message of this method, or was cut short",
    )
}

/// The error of a call whose time is over.
pub(crate) fn deadline_exceeded() -> Error {
    Error::new(
        Reason::DeadlineExceeded,
        "the deadline passed; a change may have happened: repeat it with its request_id",
    )
}

/// The error of a server that stops.
#[must_use]
pub fn shutting_down() -> Error {
    Error::new(Reason::ShuttingDown, "the server is stopping; connect again")
        .retry_after(std::time::Duration::from_millis(500))
}

/// The reason's name in the contract, for logs and for rows that keep one.
#[must_use]
pub fn reason_name(reason: Reason) -> &'static str {
    code_and_reason(reason).1.as_reason()
}

/// Whether the text is one that tonic's decoder gives to what a client sent.
fn is_undecodable(message: &str) -> bool {
    const STARTS: [&str; 6] = [
        "failed to decode Protobuf message",
        "Missing request message",
        "Unexpected EOF decoding stream",
        "protocol error",
        "Error decompressing",
        "invalid compression flag",
    ];
    STARTS.iter().any(|start| message.starts_with(start))
}

fn build(code: Code, reason: ErrorReason, error: &Error) -> Status {
    let mut details = ErrorDetails::with_error_info(reason.as_reason(), ERROR_DOMAIN, HashMap::new());
    for violation in error.violations.iter().take(VIOLATIONS) {
        details.add_bad_request_violation(cut(&violation.field), cut(&violation.description));
    }
    if let Some(delay) = error.retry_after {
        details.set_retry_info(Some(delay));
    }
    if let Some(quota) = &error.quota {
        details.add_quota_failure_violation(cut(&quota.subject), cut(&quota.description));
    }
    Status::with_error_details(code, cut(&message(error)), details)
}

/// What people read. Tools that show nothing but this have to tell which field is at fault.
fn message(error: &Error) -> Cow<'_, str> {
    match error.violations.as_slice() {
        [first, rest @ ..] if error.reason == Reason::InvalidField => {
            let more = match rest.len() {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            Cow::Owned(format!("{}: {}{more}", first.field, first.description))
        }
        _ => Cow::Borrowed(&error.message),
    }
}

/// The text, cut at a character where it is long: part of it may be a client's own.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}

fn code_and_reason(reason: Reason) -> (Code, ErrorReason) {
    match reason {
        Reason::InvalidField => (Code::InvalidArgument, ErrorReason::InvalidField),
        Reason::PageTokenInvalid => (Code::InvalidArgument, ErrorReason::PageTokenInvalid),
        Reason::CursorInvalid => (Code::InvalidArgument, ErrorReason::CursorInvalid),
        Reason::RequestIdReused => (Code::InvalidArgument, ErrorReason::RequestIdReused),
        Reason::UserNotFound => (Code::NotFound, ErrorReason::UserNotFound),
        Reason::PostNotFound => (Code::NotFound, ErrorReason::PostNotFound),
        Reason::CommentNotFound => (Code::NotFound, ErrorReason::CommentNotFound),
        Reason::SessionNotFound => (Code::NotFound, ErrorReason::SessionNotFound),
        Reason::FanoutNotFound => (Code::NotFound, ErrorReason::FanoutNotFound),
        Reason::DeadLetterNotFound => (Code::NotFound, ErrorReason::DeadLetterNotFound),
        Reason::ImportNotFound => (Code::NotFound, ErrorReason::ImportNotFound),
        Reason::HandleTaken => (Code::AlreadyExists, ErrorReason::HandleTaken),
        Reason::ArchiveConflict => (Code::AlreadyExists, ErrorReason::ArchiveConflict),
        Reason::EtagMismatch => (Code::Aborted, ErrorReason::EtagMismatch),
        Reason::TokenMissing => (Code::Unauthenticated, ErrorReason::TokenMissing),
        Reason::TokenInvalid => (Code::Unauthenticated, ErrorReason::TokenInvalid),
        Reason::TokenExpired => (Code::Unauthenticated, ErrorReason::TokenExpired),
        Reason::SessionRevoked => (Code::Unauthenticated, ErrorReason::SessionRevoked),
        Reason::CredentialsInvalid => (Code::Unauthenticated, ErrorReason::CredentialsInvalid),
        Reason::RefreshTokenInvalid => (Code::Unauthenticated, ErrorReason::RefreshTokenInvalid),
        Reason::RefreshTokenReused => (Code::Unauthenticated, ErrorReason::RefreshTokenReused),
        Reason::PermissionDenied => (Code::PermissionDenied, ErrorReason::PermissionDenied),
        Reason::Blocked => (Code::PermissionDenied, ErrorReason::Blocked),
        Reason::RateLimited => (Code::ResourceExhausted, ErrorReason::RateLimited),
        Reason::LoginThrottled => (Code::ResourceExhausted, ErrorReason::LoginThrottled),
        Reason::Overloaded => (Code::ResourceExhausted, ErrorReason::Overloaded),
        Reason::TooManyStreams => (Code::ResourceExhausted, ErrorReason::TooManyStreams),
        Reason::LimitReached => (Code::FailedPrecondition, ErrorReason::LimitReached),
        Reason::UndeleteExpired => (Code::FailedPrecondition, ErrorReason::UndeleteExpired),
        Reason::PostDeleted => (Code::FailedPrecondition, ErrorReason::PostDeleted),
        Reason::SelfReference => (Code::FailedPrecondition, ErrorReason::SelfReference),
        Reason::BackupUnsupported => (Code::FailedPrecondition, ErrorReason::BackupUnsupported),
        Reason::PlatformNotEmpty => (Code::FailedPrecondition, ErrorReason::PlatformNotEmpty),
        Reason::DeadlineExceeded => (Code::DeadlineExceeded, ErrorReason::DeadlineExceeded),
        Reason::StoreUnavailable => (Code::Unavailable, ErrorReason::StoreUnavailable),
        Reason::ShuttingDown => (Code::Unavailable, ErrorReason::ShuttingDown),
        // Also what a later core may add before this table learns of it.
        _ => (Code::Internal, ErrorReason::Internal),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const METHOD: &str = "social.v1.PostService/GetPost";

    fn reason_of(status: &Status) -> String {
        status
            .get_details_error_info()
            .map(|info| info.reason)
            .unwrap_or_default()
    }

    #[test]
    fn an_error_keeps_everything_that_a_client_needs() {
        let error = Error::field("post.content", "is empty")
            .retry_after(Duration::from_secs(2))
            .quota("user:1", "10 calls a second");
        let status = status(error);
        assert_eq!(
            (status.code(), reason_of(&status).as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().domain, "social.v1");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "post.content");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(2)));
        assert_eq!(details.quota_failure().unwrap().violations[0].subject, "user:1");
    }

    #[test]
    fn the_message_names_the_first_field_at_fault() {
        let one = Error::field("post.content", "is empty");
        assert_eq!(status(one.clone()).message(), "post.content: is empty");
        let more = one.violation("title", "is long").violation("etag", "is none");
        assert_eq!(status(more).message(), "post.content: is empty (and 2 more)");
        let taken = status(Error::handle_taken());
        assert_eq!(
            taken.message(),
            "this handle is taken",
            "other reasons speak for themselves"
        );
    }

    #[test]
    fn a_status_stays_small() {
        let mut error = Error::field("a".repeat(5_000), "é".repeat(5_000));
        for index in 0..1_000 {
            error = error.violation(format!("ids[{index}]"), "is no id");
        }
        let status = status(error);
        assert!(status.details().len() < 4_000, "{}", status.details().len());
    }

    #[test]
    fn what_the_transport_made_gets_a_type() {
        let cases = [
            (
                Status::unimplemented("Content is compressed with `gzip` which isn't supported"),
                Code::Unimplemented,
                "UNIMPLEMENTED",
            ),
            (Status::unimplemented(""), Code::Unimplemented, "UNIMPLEMENTED"),
            (
                Status::out_of_range("Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes"),
                Code::InvalidArgument,
                "INVALID_FIELD",
            ),
            (
                Status::internal("failed to decode Protobuf message: buffer underflow"),
                Code::InvalidArgument,
                "INVALID_FIELD",
            ),
            (
                Status::internal("secret text of the inside"),
                Code::Internal,
                "INTERNAL",
            ),
            (Status::unknown("h2 protocol error"), Code::Internal, "INTERNAL"),
        ];
        for (foreign, code, reason) in cases {
            let status = adopt(foreign, METHOD);
            assert_eq!((status.code(), reason_of(&status).as_str()), (code, reason));
            assert!(!status.message().contains("secret"));
            let details = status.get_error_details();
            for violation in details.bad_request().iter().flat_map(|bad| &bad.field_violations) {
                assert!(
                    [METHOD, "grpc-encoding"].contains(&violation.field.as_str()),
                    "{violation:?}"
                );
            }
        }
        let own = status(Error::post_not_found());
        assert_eq!(adopt(own.clone(), METHOD).details(), own.details());
    }
}
