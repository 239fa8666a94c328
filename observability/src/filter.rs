//! Whether a log filter says what its writer meant.
//!
//! The library takes nearly every text: `inof` becomes the target of that name, and the log is silent. A setting is therefore held to a
//! narrower form: levels alone, and targets only with a level.

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why a log filter is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// Two commas with nothing between them, or one at an end.
    #[error("has an empty part; write parts between single commas, as in info,social_server=debug")]
    Empty,
    /// A word that is no level.
    #[error(
        "`{0}` is no level; levels are off, error, warn, info, debug and trace, and a target takes one: target=debug"
    )]
    Level(String),
    /// A target that is none.
    #[error("`{0}` names no target; write target=level, as in social_server=debug")]
    Target(String),
    /// What the library does not understand.
    #[error("cannot be understood: {0}")]
    Other(String),
}

/// Checks a filter of parts between commas: a level (`info`), or a target with a level (`social_server=debug`), also with a span as
/// `tracing_subscriber::EnvFilter` takes it. A blank text is none, and right.
///
/// # Errors
/// What is wrong with its first wrong part.
pub fn check_filter(filter: &str) -> Result<(), FilterError> {
    if filter.trim().is_empty() {
        return Ok(());
    }
    filter.split(',').try_for_each(check_part)?;
    EnvFilter::try_new(filter)
        .map(drop)
        .map_err(|error| FilterError::Other(error.to_string()))
}

fn check_part(part: &str) -> Result<(), FilterError> {
    if part.trim().is_empty() {
        return Err(FilterError::Empty);
    }
    let (target, level) = match part.rsplit_once('=') {
        // A field's value within a span: the level is left out there.
        _ if part.ends_with(']') => return Ok(()),
        Some((target, level)) => (Some(target), level),
        None => (None, part),
    };
    if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
        return Err(FilterError::Level(level.to_owned()));
    }
    match target {
        Some(target) if !is_target(target) => Err(FilterError::Target(part.to_owned())),
        _ => Ok(()),
    }
}

/// Whether the text is a path of modules, perhaps with a span behind it.
fn is_target(text: &str) -> bool {
    let (path, span) = text
        .split_once('[')
        .map_or((text, None), |(path, span)| (path, Some(span)));
    let path_is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_:-.".contains(&byte));
    match span {
        Some(span) => path_is_plain && span.ends_with(']'),
        None => path_is_plain && !path.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_passes() {
        for right in [
            "",
            "  ",
            "info",
            "OFF",
            "info,social_server=debug",
            "warn,social_core::timeline=trace,fjall=off",
            "social_server[rpc]=debug",
            "[rpc{method=x}]=debug",
        ] {
            assert_eq!(check_filter(right), Ok(()), "{right}");
        }
    }

    #[test]
    fn what_would_be_silent_is_refused() {
        let level = |text: &str| FilterError::Level(text.to_owned());
        let target = |text: &str| FilterError::Target(text.to_owned());
        for (wrong, expected) in [
            ("info,,=x", FilterError::Empty),
            ("info,", FilterError::Empty),
            (",info", FilterError::Empty),
            ("inof", level("inof")),
            ("info, debug", level(" debug")),
            ("social_server=loud", level("loud")),
            ("social=loud=louder", level("louder")),
            ("=info", target("=info")),
            ("a=b=info", target("a=b=info")),
        ] {
            assert_eq!(check_filter(wrong), Err(expected), "{wrong}");
        }
    }
}
