//! What a command ends with when it does not succeed: what went wrong, why, what to do next, and the exit code.

use std::fmt;
use std::io;

use social_sdk::{Error, Origin, Reason};

use crate::output::text;

/// How the process ends. The numbers are documented in `socialctl help exit-codes` and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// A fault of the server or of this program.
    Internal = 1,
    /// The command line or a value in it is wrong.
    Usage = 2,
    /// Nobody is logged in, or the login is no longer good.
    Unauthenticated = 3,
    /// Not allowed.
    Permission = 4,
    /// It is not there.
    NotFound = 5,
    /// It is there already, was changed meanwhile, or its state does not allow this.
    Conflict = 6,
    /// A rate limit or a maximum was reached.
    Exhausted = 7,
    /// The server does not answer, or not in time.
    Unavailable = 8,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

/// The text of `socialctl help exit-codes`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  internal: a fault of the server or of socialctl, or failures of several kinds
    2  usage: the command line or a value in it is wrong
    3  unauthenticated: log in first, or again
    4  permission denied: not yours, or a block stands between
    5  not found: it is not there, or hidden from you
    6  conflict: it exists already, was changed meanwhile, or its state does not allow this
    7  exhausted: a rate limit or a maximum was reached
    8  unavailable: the server does not answer, or not in time
  130  interrupted by Ctrl-C

A command about several things tries them all. Where those that failed did so for one reason, it ends with the code of that reason.";

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    why: Vec<String>,
    hint: Option<String>,
    reason: Option<Reason>,
}

/// What commands return.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with a text for people.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            why: Vec::new(),
            hint: None,
            reason: None,
        }
    }

    /// A value on the command line is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Adds a line that says why.
    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The reader of our output went away: nothing to say, and nothing went wrong.
    fn quiet() -> Self {
        Self::new(Exit::Ok, String::new())
    }

    /// What went wrong, in a line.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What to do next, if anybody knows.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// There is nothing to say about it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.what.is_empty()
    }

    /// The server's reason, where it refused a call.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// What the process ends with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// A file could not be read or written.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Internal,
        };
        Self::new(exit, format!("cannot {doing} {}: {error}", path.display()))
    }
}

/// Several lines: `error: what`, an indented line for each reason, `hint: what to do next`. Empty for a failure that is to be quiet.
/// Nothing in it can steer a terminal, whoever wrote it.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.what.is_empty() {
            return Ok(());
        }
        write!(f, "error: {}", text::block(&self.what))?;
        for why in &self.why {
            write!(f, "\n  {}", text::block(why))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n hint: {}", text::block(hint))?;
        }
        Ok(())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::quiet(),
            io::ErrorKind::Interrupted => Self::new(Exit::Interrupted, String::new()),
            _ => Self::new(Exit::Internal, format!("cannot write the output: {error}")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let message = if error.message().is_empty() {
            error.code().to_string()
        } else {
            error.message().to_owned()
        };
        let reason = if error.reason_name().is_empty() {
            String::new()
        } else {
            format!(" [{}]", text::line(error.reason_name()))
        };
        let mut failure = Self::new(exit_of(error), format!("{}{reason}", text::line(&message)));
        for violation in error.field_violations() {
            // The message tells a single one already.
            if message == format!("{}: {}", violation.field, violation.description) {
                continue;
            }
            failure = failure.because(format!(
                "{}: {}",
                text::line(&violation.field),
                text::line(&violation.description)
            ));
        }
        for violation in error.quota_violations() {
            failure = failure.because(format!(
                "{}: {}",
                text::line(&violation.subject),
                text::line(&violation.description)
            ));
        }
        if let Some(delay) = error.retry_delay() {
            failure = failure.because(format!("the server asks to wait {}", text::duration(delay)));
        }
        if error.is_unknown_outcome() {
            failure =
                failure.because("no answer came: if this was to change something, it may have happened all the same");
        }
        failure.reason = Some(error.reason());
        failure.hint = hint_of(error).map(str::to_owned);
        failure
    }
}

fn exit_of(error: &Error) -> Exit {
    match error.reason() {
        Reason::LimitReached => return Exit::Exhausted,
        Reason::SelfReference => return Exit::Usage,
        _ => {}
    }
    // The numbers of google.rpc.Code, which are part of the contract.
    match error.code() as i32 {
        3 | 11 => Exit::Usage,
        4 | 14 => Exit::Unavailable,
        5 => Exit::NotFound,
        6 | 9 | 10 => Exit::Conflict,
        7 => Exit::Permission,
        8 => Exit::Exhausted,
        16 => Exit::Unauthenticated,
        _ => Exit::Internal,
    }
}

/// What to do next, for each reason that a person can do something about.
fn hint_of(error: &Error) -> Option<&'static str> {
    let hint = match error.reason() {
        Reason::InvalidField => "correct the value named above; `--help` of the command tells the bounds",
        Reason::PageTokenInvalid => {
            "a page token is good for the same command, user and filters only: start again without --page-token"
        }
        Reason::CursorInvalid => "a cursor is good for the same user and filters only: start again without --cursor",
        Reason::RequestIdReused => "leave --request-id out, or give a new one",
        Reason::UserNotFound => {
            "check the spelling, and with `socialctl context show` the server; `socialctl graph following` lists whom you follow"
        }
        Reason::PostNotFound => {
            "it may be deleted, or not visible to you: `socialctl post list @AUTHOR` lists what you can see"
        }
        Reason::CommentNotFound => "`socialctl comment list POST` lists the comments that are there",
        Reason::SessionNotFound => "`socialctl auth sessions` lists your sessions",
        Reason::FanoutNotFound => {
            "only the author of a post can ask for its fan-out; `socialctl post create` prints its id"
        }
        Reason::DeadLetterNotFound => {
            "`socialctl admin deadletter list` lists what is there; it may have been replayed"
        }
        Reason::BackupUnsupported => {
            "take snapshots of the CQL store itself, by its own tools, or `socialctl admin export`"
        }
        Reason::ImportNotFound => "nothing was committed for this import yet: start it from the beginning",
        Reason::HandleTaken => "choose another handle, or log in with `socialctl auth login HANDLE`",
        Reason::PlatformNotEmpty | Reason::ArchiveConflict => {
            "start a server with a data folder, or a keyspace, of its own, and let nobody in before the import is complete"
        }
        Reason::EtagMismatch => {
            "somebody changed it meanwhile: read it again, and repeat the command with the new etag"
        }
        Reason::TokenMissing => {
            "log in with `socialctl auth login HANDLE`, or make an account with `socialctl auth register HANDLE`"
        }
        Reason::TokenInvalid | Reason::TokenExpired | Reason::SessionRevoked => {
            "log in again with `socialctl auth login HANDLE`"
        }
        Reason::RefreshTokenInvalid => "the session has ended: log in again with `socialctl auth login HANDLE`",
        Reason::RefreshTokenReused => {
            "the session was revoked, as its token was used twice: log in again, and change the password if the other was not you"
        }
        Reason::CredentialsInvalid => "check handle and password",
        Reason::PermissionDenied => {
            "only its owner may do this: `socialctl auth whoami` tells who you are, --as HANDLE is another of your logins"
        }
        Reason::Blocked => "a block stands between the two of you: `socialctl graph blocks` lists yours",
        Reason::RateLimited | Reason::LoginThrottled | Reason::Overloaded => "wait a moment, then try again",
        Reason::TooManyStreams => "end another `watch` first",
        Reason::LimitReached => "remove some of what is there first",
        Reason::UndeleteExpired => "a post can be brought back for 30 days only",
        Reason::PostDeleted => "bring it back first with `socialctl post undelete POST`",
        Reason::SelfReference => "name another user than yourself",
        Reason::DeadlineExceeded => "try again; --deadline SECONDS waits for longer",
        Reason::StoreUnavailable | Reason::ShuttingDown => "try again in a moment",
        Reason::Internal => "the server's log tells more",
        Reason::Unimplemented => {
            "the server is older than this socialctl, or this is not its public port: `socialctl context show` tells which one is used"
        }
        _ => return origin_hint(error),
    };
    Some(hint)
}

fn origin_hint(error: &Error) -> Option<&'static str> {
    match error.origin() {
        Origin::Transport if error.message().contains("certificate") => Some(
            "name the certificate to trust with `socialctl context set NAME --ca-file FILE`, or correct the endpoint",
        ),
        // What HTTP/2 makes of the first bytes of TLS, and TLS of those of HTTP/2.
        Origin::Transport if error.message().contains("frame with invalid size") => {
            Some("the server answers in another protocol: is the endpoint https://?")
        }
        Origin::Transport if error.message().contains("InvalidContentType") => {
            Some("the server answers without TLS: is the endpoint http://?")
        }
        Origin::Transport if error.message().starts_with("the connection broke") => Some(
            "was the server stopped, or is it one with TLS, at https://? `socialctl context show` tells which endpoint is used",
        ),
        Origin::Transport => {
            Some("is the server running, and is the endpoint right? `socialctl context show` tells which one is used")
        }
        Origin::Deadline => Some("try again; --deadline SECONDS waits for longer"),
        Origin::TokenStore => Some("check the file of contexts: `socialctl context list` prints its path"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_failure_can_steer_the_terminal() {
        let failure = Failure::new(Exit::NotFound, "no such comment: \x1b[2J")
            .because("why\u{9b}")
            .hint("hint\x07");
        let text = failure.to_string();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
}
