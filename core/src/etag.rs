//! Etags: the version of a row as an opaque text.

use crate::error::{Error, Result};

/// The etag of a version.
pub fn format(version: u64) -> String {
    format!("e{version:x}")
}

/// The version that an etag names; `None` where it is empty, so that whatever is there is changed. INVALID_FIELD `field` for a text
/// that is no etag of this server.
pub fn parse(field: &str, text: &str) -> Result<Option<u64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let version = text
        .strip_prefix('e')
        .filter(|digits| digits.len() <= 16)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        // A version has one etag: no leading zeros, signs or capitals.
        .filter(|version| format(*version) == text)
        .ok_or_else(|| {
            Error::field(
                field,
                "must be an etag as the server sent it, or empty to change whatever is there",
            )
        })?;
    Ok(Some(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_it_wrote(version: u64) {
            prop_assert_eq!(parse("etag", &format(version)), Ok(Some(version)));
        }

        #[test]
        fn reads_nothing_else(text in "\\PC{0,20}") {
            if let Ok(Some(version)) = parse("etag", &text) {
                prop_assert_eq!(format(version), text);
            }
        }
    }

    #[test]
    fn refuses_look_alikes() {
        assert_eq!(parse("etag", ""), Ok(None));
        for text in [
            "1",
            "e",
            "e01",
            "eA",
            "e+1",
            "e-1",
            "e10000000000000000",
            " e1",
            "e1 ",
            "\"e1\"",
        ] {
            let error = parse("post.etag", text).unwrap_err();
            assert_eq!(error.violations[0].field, "post.etag", "{text}");
        }
    }
}
