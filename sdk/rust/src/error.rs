//! What a call can fail with.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub use crate::reason::Reason;

/// A call that failed. Cheap to clone.
///
/// Branch on [`Error::reason`] where the server answered, on [`Error::origin`] for what went wrong before that, and never
/// on the message.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The server answered with an error.
    Server,
    /// No answer: the connection could not be made or broke. A mutation may have happened.
    Transport,
    /// No answer within the call's timeout. A mutation may have happened.
    Deadline,
    /// Found wrong before anything was sent: a malformed id, nobody logged in.
    Client,
    /// The token store could not be read or written.
    TokenStore,
    /// The server's answer breaks the contract.
    Protocol,
}

/// A field that is to blame, of `google.rpc.BadRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field in the request (`content`).
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub description: String,
}

/// A limit that was reached, of `google.rpc.QuotaFailure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaViolation {
    /// What the limit is on.
    pub subject: String,
    /// Which limit it is.
    pub description: String,
}

#[derive(Clone)]
struct Inner {
    origin: Origin,
    code: Code,
    reason: Reason,
    reason_name: String,
    message: String,
    field_violations: Vec<FieldViolation>,
    quota_violations: Vec<QuotaViolation>,
    retry_delay: Option<Duration>,
    /// Nothing of the call can have happened.
    unsent: bool,
    /// What became of an earlier attempt is not known.
    unsure: bool,
    attempts: u32,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Who says so.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// The gRPC code; for errors that did not come from the server, the one that fits best.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Why the server refused, [`Reason::Unknown`] when it did not say or says what this version does not know.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The reason as the server wrote it (`POST_NOT_FOUND`), also when [`Error::reason`] is unknown; empty when it gave none.
    #[must_use]
    pub fn reason_name(&self) -> &str {
        &self.0.reason_name
    }

    /// Text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Fields of the request that are to blame.
    #[must_use]
    pub fn field_violations(&self) -> &[FieldViolation] {
        &self.0.field_violations
    }

    /// Limits that were reached.
    #[must_use]
    pub fn quota_violations(&self) -> &[QuotaViolation] {
        &self.0.quota_violations
    }

    /// How long the server asks to wait before the call is repeated.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_delay
    }

    /// How often the call was tried; 0 when it was never sent.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The same call, with the same request_id, may succeed later: nothing is wrong with it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.0.origin {
            Origin::Transport | Origin::Deadline => true,
            Origin::Client | Origin::TokenStore | Origin::Protocol => false,
            Origin::Server => match self.0.code {
                Code::Unavailable | Code::DeadlineExceeded => true,
                Code::ResourceExhausted => {
                    self.0.retry_delay.is_some() || matches!(self.0.reason, Reason::RateLimited | Reason::Overloaded)
                }
                _ => false,
            },
        }
    }

    /// No answer came, to the last attempt or to one before it: the outcome of a mutation is not known.
    #[must_use]
    pub fn is_unknown_outcome(&self) -> bool {
        self.0.unsure || self.last_is_unknown()
    }

    fn last_is_unknown(&self) -> bool {
        !self.0.unsent
            && (matches!(self.0.origin, Origin::Transport | Origin::Deadline)
                || matches!(self.0.code, Code::DeadlineExceeded | Code::Unavailable))
    }

    /// What was asked for is not there, or hidden from the caller.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.code == Code::NotFound
    }

    /// The row was changed since the etag given was read.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.0.reason == Reason::EtagMismatch
    }

    /// Nobody is logged in any more: only a new login helps. [`Error::reason`] says why. A session that was ended
    /// ([`Reason::SessionRevoked`], [`Reason::RefreshTokenReused`]) is removed from the token store; one that the server merely
    /// does not know ([`Reason::RefreshTokenInvalid`]) stays there, since it may be the wrong server that was asked.
    #[must_use]
    pub fn is_logged_out(&self) -> bool {
        matches!(
            self.0.reason,
            Reason::TokenMissing | Reason::SessionRevoked | Reason::RefreshTokenInvalid | Reason::RefreshTokenReused
        )
    }

    /// The access token is at fault, and a new one may do.
    pub(crate) fn wants_refresh(&self) -> bool {
        matches!(self.0.reason, Reason::TokenExpired | Reason::TokenInvalid)
    }

    /// The server ended the session, which is of no use to anybody.
    pub(crate) fn ends_session(&self) -> bool {
        matches!(self.0.reason, Reason::SessionRevoked | Reason::RefreshTokenReused)
    }

    /// No connection could be made to send anything on.
    pub(crate) fn is_unsent(&self) -> bool {
        self.0.unsent
    }

    /// The error of something that goes before a call: nothing of the call itself was sent.
    pub(crate) fn before_sending(mut self) -> Self {
        Arc::make_mut(&mut self.0).unsent = true;
        self
    }

    /// The final error of a call: how often it was tried, and whether an attempt before may have happened. A final answer
    /// to the same request_id tells what became of that one too; a refusal to look at the request does not.
    pub(crate) fn concluded(mut self, attempts: u32, unsure: bool) -> Self {
        let unsure = unsure && self.is_retryable();
        let inner = Arc::make_mut(&mut self.0);
        inner.attempts = attempts;
        inner.unsure = unsure;
        self
    }

    /// A deadline that passed while a call was repeated: what it was repeated for is told too.
    pub(crate) fn after(mut self, earlier: Option<&Self>) -> Self {
        if let (Origin::Deadline, Some(earlier)) = (self.0.origin, earlier.filter(|it| it.0.origin != Origin::Deadline))
        {
            let inner = Arc::make_mut(&mut self.0);
            inner.message = format!("{}; the attempt before failed: {}", inner.message, earlier.message());
        }
        self
    }

    fn plain(origin: Origin, code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            origin,
            code,
            reason,
            reason_name: reason.name().to_owned(),
            message: message.into(),
            field_violations: Vec::new(),
            quota_violations: Vec::new(),
            retry_delay: None,
            unsent: false,
            unsure: false,
            attempts: 0,
            source: None,
        }))
    }

    /// A parameter is wrong; nothing was sent.
    pub(crate) fn invalid(field: &str, description: impl Into<String>) -> Self {
        let mut error = Self::plain(
            Origin::Client,
            Code::InvalidArgument,
            Reason::InvalidField,
            "invalid request",
        );
        let inner = Arc::make_mut(&mut error.0);
        inner.unsent = true;
        inner.field_violations = vec![FieldViolation {
            field: field.to_owned(),
            description: description.into(),
        }];
        error
    }

    /// Nobody is logged in; nothing was sent.
    pub(crate) fn not_logged_in() -> Self {
        Self::plain(
            Origin::Client,
            Code::Unauthenticated,
            Reason::TokenMissing,
            "nobody is logged in",
        )
    }

    /// The client cannot do this; nothing was sent.
    pub(crate) fn client(message: impl Into<String>) -> Self {
        Self::plain(Origin::Client, Code::FailedPrecondition, Reason::Unknown, message)
    }

    pub(crate) fn deadline(timeout: Duration) -> Self {
        let message = format!("no answer within {timeout:?}");
        Self::plain(
            Origin::Deadline,
            Code::DeadlineExceeded,
            Reason::DeadlineExceeded,
            message,
        )
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::plain(Origin::Protocol, Code::Internal, Reason::Unknown, message)
    }

    pub(crate) fn silent(limit: Duration) -> Self {
        let message = format!("the stream gave no sign of life for {limit:?}");
        Self::plain(Origin::Transport, Code::Unavailable, Reason::Unknown, message)
    }

    pub(crate) fn stream_ended() -> Self {
        Self::plain(
            Origin::Transport,
            Code::Unavailable,
            Reason::Unknown,
            "the server closed the stream",
        )
    }

    pub(crate) fn token_store(source: std::io::Error) -> Self {
        let message = format!("token store: {source}");
        Self::plain(Origin::TokenStore, Code::Internal, Reason::Unknown, message).with_source(Arc::new(source))
    }

    pub(crate) fn transport(source: Arc<dyn StdError + Send + Sync>) -> Self {
        let unsent = chain(&*source).any(|error| error.is::<tonic::ConnectError>());
        let what = if unsent {
            "cannot connect"
        } else {
            "the connection broke"
        };
        let cause = chain(&*source).last().map(ToString::to_string).unwrap_or_default();
        let mut error = Self::plain(
            Origin::Transport,
            Code::Unavailable,
            Reason::Unknown,
            format!("{what}: {cause}"),
        )
        .with_source(source);
        Arc::make_mut(&mut error.0).unsent = unsent;
        error
    }

    fn with_source(mut self, source: Arc<dyn StdError + Send + Sync>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(source);
        self
    }

    /// tonic gives a source to what it found out itself, and none to what the server sent.
    pub(crate) fn from_status(status: Status, timeout: Duration) -> Self {
        if StdError::source(&status).is_none() {
            return Self::from_server(&status);
        }
        let expired = chain(&status).any(|error| error.is::<tonic::TimeoutExpired>());
        if expired {
            Self::deadline(timeout)
        } else {
            Self::transport(Arc::new(status))
        }
    }

    fn from_server(status: &Status) -> Self {
        // Details that cannot be decoded are no reason to lose the code and the message.
        let details = status.check_error_details().unwrap_or_else(|_| ErrorDetails::new());
        let reason_name = details
            .error_info()
            .filter(|info| info.domain == social_proto::ERROR_DOMAIN)
            .map(|info| info.reason.clone())
            .unwrap_or_default();
        Self(Arc::new(Inner {
            origin: Origin::Server,
            code: status.code(),
            reason: Reason::from_name(&reason_name),
            reason_name,
            message: status.message().to_owned(),
            field_violations: field_violations(&details),
            quota_violations: quota_violations(&details),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            unsent: false,
            unsure: false,
            attempts: 0,
            source: None,
        }))
    }
}

fn field_violations(details: &ErrorDetails) -> Vec<FieldViolation> {
    let violations = details
        .bad_request()
        .map(|found| found.field_violations.as_slice())
        .unwrap_or_default();
    violations
        .iter()
        .map(|found| FieldViolation {
            field: found.field.clone(),
            description: found.description.clone(),
        })
        .collect()
}

fn quota_violations(details: &ErrorDetails) -> Vec<QuotaViolation> {
    let violations = details
        .quota_failure()
        .map(|found| found.violations.as_slice())
        .unwrap_or_default();
    violations
        .iter()
        .map(|found| QuotaViolation {
            subject: found.subject.clone(),
            description: found.description.clone(),
        })
        .collect()
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        match inner.message.as_str() {
            "" => write!(f, "{}", inner.code),
            message => f.write_str(message),
        }?;
        if !inner.reason_name.is_empty() {
            write!(f, " [{}]", inner.reason_name)?;
        }
        for violation in &inner.field_violations {
            // The message tells a single one already.
            if inner.message == format!("{}: {}", violation.field, violation.description) {
                continue;
            }
            write!(f, "; {}: {}", violation.field, violation.description)?;
        }
        for violation in &inner.quota_violations {
            write!(f, "; {}: {}", violation.subject, violation.description)?;
        }
        if let Some(delay) = inner.retry_delay {
            write!(f, "; try again in {delay:?}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}, {:?}, {self})", self.0.origin, self.0.code)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn details_are_decoded() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("RATE_LIMITED", social_proto::ERROR_DOMAIN, [])
            .set_retry_info(Some(Duration::from_millis(1500)))
            .add_quota_failure_violation("user", "100 a minute")
            .add_bad_request_violation("content", "must not be empty");
        let status = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
        let error = Error::from_status(status, TIMEOUT);
        assert_eq!(error.origin(), Origin::Server);
        assert_eq!(error.reason(), Reason::RateLimited);
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(1500)));
        assert_eq!(error.field_violations()[0].field, "content");
        assert_eq!(error.quota_violations()[0].subject, "user");
        assert!(error.is_retryable());
        let text = error.to_string();
        assert!(
            text.contains("slow down [RATE_LIMITED]; content: must not be empty"),
            "{text}"
        );
    }

    #[test]
    fn reasons_of_others_are_not_taken_for_ours() {
        let mut details = ErrorDetails::new();
        details.set_error_info("POST_NOT_FOUND", "another.example", []);
        let error = Error::from_status(Status::with_error_details(Code::NotFound, "", details), TIMEOUT);
        assert_eq!(error.reason(), Reason::Unknown);
        let mut details = ErrorDetails::new();
        details.set_error_info("OF_A_LATER_VERSION", social_proto::ERROR_DOMAIN, []);
        let error = Error::from_status(Status::with_error_details(Code::NotFound, "", details), TIMEOUT);
        assert_eq!(
            (error.reason(), error.reason_name()),
            (Reason::Unknown, "OF_A_LATER_VERSION")
        );
        assert!(error.is_not_found() && !error.is_retryable());
    }

    #[test]
    fn garbage_in_the_details_keeps_the_code() {
        let status = Status::with_details(Code::Aborted, "changed", vec![0xff, 0xff, 0xff].into());
        let error = Error::from_status(status, TIMEOUT);
        assert_eq!((error.code(), error.message()), (Code::Aborted, "changed"));
    }
}
