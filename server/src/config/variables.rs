//! Variables that look like settings: a typing error must not pass as a default.

use std::ffi::OsString;

use super::{Error, SETTINGS};

/// The variable that names the configuration file.
pub(super) const CONFIG: &str = "SOCIAL_CONFIG";

const PREFIX: &str = "SOCIAL_";
/// What the tests are told by; a server that they start must not mind.
const OF_TESTS: &str = "SOCIAL_TEST_";

/// Refuses a variable `SOCIAL_*` that is no setting.
pub(super) fn check(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Error> {
    let mut known: Vec<String> = SETTINGS.iter().map(|setting| setting.variable()).collect();
    known.push(CONFIG.to_owned());
    for (name, value) in variables {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let is_ours = name.starts_with(PREFIX) && !name.starts_with(OF_TESTS) && !is_service_link(&name, &value);
        if is_ours && !known.iter().any(|known| *known == name) {
            let nearest = known.into_iter().min_by_key(|known| distance(known, &name));
            return Err(Error::UnknownVariable {
                name: name.into_owned(),
                nearest: nearest.unwrap_or_default(),
            });
        }
    }
    Ok(())
}

/// Whether Kubernetes made the variable: it tells each container of every service, so also of one that is called `social` or `social-…`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = value.starts_with("tcp://") || value.starts_with("udp://");
    let of_service = name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    let of_port = ["_TCP", "_UDP"]
        .iter()
        .any(|kind| name.contains("_PORT_") && name.contains(kind));
    of_service || of_port || (is_url && name.ends_with("_PORT"))
}

/// Characters to insert, remove or replace to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, value: &str) -> Option<String> {
        check([(name.into(), value.into())].into_iter())
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_variable_that_is_no_setting_is_refused_with_the_nearest() {
        for (name, nearest) in [
            ("SOCIAL_LISTN", "SOCIAL_LISTEN?"),
            ("SOCIAL_DATADIR", "SOCIAL_DATA_DIR?"),
            ("SOCIAL_TLS_CERTIFICATE", "SOCIAL_TLS_CERT?"),
            ("SOCIAL_CONFG", "SOCIAL_CONFIG?"),
        ] {
            let refusal = refusal(name, "x").unwrap();
            assert!(refusal.contains(name) && refusal.contains(nearest), "{refusal}");
        }
    }

    #[test]
    fn settings_and_what_is_not_ours_pass() {
        for (name, value) in [
            ("SOCIAL_LISTEN", "x"),
            ("SOCIAL_RATE_LIMITS_READ_USER_BURST", "1"),
            ("SOCIAL_CONFIG", "x"),
            ("SOCIALCTL_PASSWORD", "x"),
            ("PATH", "x"),
            ("SOCIAL_SERVICE_HOST", "10.0.0.1"),
            ("SOCIAL_SERVER_SERVICE_PORT_GRPC", "50051"),
            ("SOCIAL_PORT", "tcp://10.0.0.1:50051"),
            ("SOCIAL_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ] {
            assert_eq!(refusal(name, value), None, "{name}");
        }
        assert!(refusal("SOCIAL_PORT", "50051").is_some());
    }

    #[test]
    fn distances_are_of_single_characters() {
        for (one, other, expected) in [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(one, other), expected);
            assert_eq!(distance(other, one), expected);
        }
    }
}
