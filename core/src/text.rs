//! Texts that people write: how long they are, what they may hold, whom and what they mention.

mod facets;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

pub use facets::{Candidate, Meaning, candidates, facets};

use crate::error::{Error, Result};
use crate::id::UserId;
use crate::limits;
use crate::users::Handle;

/// A stretch of a text with a meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facet {
    /// Where it starts: a byte offset into the UTF-8 text.
    pub start: u32,
    /// Where it ends, exclusive.
    pub end: u32,
    /// What it means.
    pub kind: FacetKind,
}

/// What a facet means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FacetKind {
    /// `@handle` of a user who existed when the text was written.
    Mention {
        /// The user.
        user: UserId,
        /// The handle then.
        handle: Handle,
    },
    /// `#tag`, lower-cased, without the `#`.
    Hashtag(String),
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// On one line, and shown beside other things: no control characters, and none that reorder what surrounds it.
    Line,
    /// On as many lines as it likes.
    Prose,
}

/// A text as it is stored: lines end with `\n`, whether they came with that, with `\r\n` or with `\r`, and a byte order mark at the
/// beginning is gone. Facets refer to this text.
pub fn tidy(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// [`tidy`] of a text that is owned.
pub fn tidied(text: String) -> String {
    match tidy(&text) {
        Cow::Borrowed(tidy) if tidy.len() == text.len() => text,
        tidy => tidy.into_owned(),
    }
}

/// Checks a text of `min_chars..=max_chars` characters (of a person's counting) and at most `max_bytes` of UTF-8. INVALID_FIELD `field`.
///
/// It is the [`tidy`] text that counts. The bound in bytes comes first, so that an oversized text costs next to nothing. A text that is not
/// empty must show something.
pub fn check(field: &str, text: &str, min_chars: usize, max_chars: usize, max_bytes: usize, kind: Kind) -> Result<()> {
    let refuse = |description: String| Err(Error::field(field, description));
    let text = tidy(text);
    let text = text.as_ref();
    if text.len() > max_bytes {
        return refuse(format!(
            "has {} bytes; at most {max_bytes} are allowed ({max_chars} characters)",
            text.len()
        ));
    }
    if text.is_empty() && min_chars == 0 {
        return Ok(());
    }
    if text.is_empty() {
        return refuse(format!("must not be empty; up to {max_chars} characters are allowed"));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !is_allowed(*c, kind)) {
        let hint = match kind {
            Kind::Line => "use plain text on one line, without control characters and marks that change its direction",
            Kind::Prose => "line breaks (\\n) and tabs are the only control characters allowed",
        };
        return refuse(format!("has the character U+{:04X} at byte {at}; {hint}", u32::from(c)));
    }
    if !text.chars().any(is_visible) {
        return refuse("must have a character that can be seen".to_owned());
    }
    let chars = count(text, max_chars.max(min_chars));
    if chars > max_chars {
        return refuse(format!("has more than {max_chars} characters"));
    }
    if chars < min_chars {
        return refuse(format!("has {chars} characters; at least {min_chars} are needed"));
    }
    Ok(())
}

/// Checks a post's content.
pub fn post_content(field: &str, text: &str) -> Result<()> {
    check(
        field,
        text,
        1,
        limits::POST_CONTENT_CHARS,
        limits::POST_CONTENT_BYTES,
        Kind::Prose,
    )
}

/// Checks a post's title, which may be empty.
pub fn post_title(field: &str, text: &str) -> Result<()> {
    check(
        field,
        text,
        0,
        limits::POST_TITLE_CHARS,
        limits::POST_TITLE_BYTES,
        Kind::Line,
    )
}

/// Checks a comment's content.
pub fn comment_content(field: &str, text: &str) -> Result<()> {
    check(
        field,
        text,
        1,
        limits::COMMENT_CHARS,
        limits::COMMENT_BYTES,
        Kind::Prose,
    )
}

/// Checks a display name.
pub fn display_name(field: &str, text: &str) -> Result<()> {
    check(
        field,
        text,
        1,
        limits::DISPLAY_NAME_CHARS,
        limits::DISPLAY_NAME_BYTES,
        Kind::Line,
    )
}

/// Checks a bio, which may be empty.
pub fn bio(field: &str, text: &str) -> Result<()> {
    check(field, text, 0, limits::BIO_CHARS, limits::BIO_BYTES, Kind::Prose)
}

/// Checks the name that a client gives its device, which may be empty.
pub fn device(field: &str, text: &str) -> Result<()> {
    check(field, text, 0, limits::DEVICE_CHARS, limits::DEVICE_BYTES, Kind::Line)
}

/// Characters of a text, counted up to one more than `enough`.
fn count(text: &str, enough: usize) -> usize {
    text.graphemes(true).take(enough + 1).count()
}

fn is_allowed(c: char, kind: Kind) -> bool {
    match kind {
        Kind::Prose => !c.is_control() || matches!(c, '\n' | '\t'),
        Kind::Line => !c.is_control() && !is_line_break(c) && !is_bidi_control(c),
    }
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Embeddings, overrides and isolates: in a name they would reorder the text around it.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character leaves a mark on the screen: neither blank nor of no width.
fn is_visible(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !is_bidi_control(c) && !is_invisible(c)
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        // Joiners, direction marks, soft hyphen, invisible operators, byte order mark.
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
        // Fillers and blanks that count as letters or symbols.
        | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}'
        // Variation selectors and tags, which only alter what stands before them.
        | '\u{180B}'..='\u{180D}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> bool {
        check("name", text, 1, 10, 80, Kind::Line).is_ok()
    }

    fn prose(text: &str) -> bool {
        check("content", text, 1, 10, 80, Kind::Prose).is_ok()
    }

    #[test]
    fn a_character_is_what_a_person_calls_one() {
        for ten in [
            "ABCDEFGHIJ",
            "äöüäöüäöüä",
            "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
            "日本語日本語日本語日",
        ] {
            assert!(line(ten) && prose(ten), "{ten}");
            let eleven = format!("{ten}!");
            assert!(!line(&eleven) && !prose(&eleven), "{eleven}");
        }
        // A family of four is one character, of 25 bytes: here the bytes are the bound.
        let family = "👨‍👩‍👧‍👦";
        assert!(line(&family.repeat(3)));
        let error = check("name", &family.repeat(4), 1, 10, 80, Kind::Line).unwrap_err();
        assert!(error.violations[0].description.contains("100 bytes"), "{error:?}");
    }

    #[test]
    fn names_stay_on_their_line() {
        for bad in [
            "a\nb",
            "a\tb",
            "a\0b",
            "a\u{7f}b",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{202E}b",
            "a\u{2066}b",
            "a\u{1b}[31m",
        ] {
            assert!(!line(bad), "{bad:?}");
        }
        for good in ["Ada", "O’Neil", "עדה", "Ада 👩‍🚀", "a\u{200D}b", "فا\u{200C}طمه"] {
            assert!(line(good), "{good:?}");
        }
    }

    #[test]
    fn prose_has_lines_and_nothing_worse() {
        assert!(prose("a\n\tb") && prose("a\u{202E}b"));
        for bad in ["a\0b", "a\u{8}b", "a\u{1b}b", "a\u{9f}b"] {
            assert!(!prose(bad), "{bad:?}");
        }
    }

    #[test]
    fn lines_end_in_one_way() {
        for (written, stored) in [
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\rb\n\rc", "a\nb\n\nc"),
            ("\u{FEFF}a", "a"),
            ("a\u{FEFF}b", "a\u{FEFF}b"),
            ("a\nb", "a\nb"),
            ("", ""),
        ] {
            assert_eq!(tidy(written), stored, "{written:?}");
            assert_eq!(tidied(written.to_owned()), stored, "{written:?}");
        }
        assert!(prose("a\r\nb") && prose("a\rb") && line("\u{FEFF}a"));
        assert!(!line("a\r\nb") && !line("\u{FEFF}"));
        assert!(prose("1\r\n2\r\n3\r\n4\r\n5\r\n"), "a line break is one character");
    }

    #[test]
    fn nothing_to_see_is_nothing() {
        for blank in [
            "",
            " ",
            "\u{3000}",
            "\u{200B}",
            "\u{FEFF}\u{200D}",
            "\u{3164}",
            "\u{2800}",
            "\u{FE0F}",
            "\u{E0020}",
            " \u{AD} ",
        ] {
            assert!(!line(blank) && !prose(blank), "{blank:?}");
        }
        assert!(!prose("\n\t"));
        assert!(check("title", "", 0, 10, 80, Kind::Line).is_ok());
        assert!(check("title", " ", 0, 10, 80, Kind::Line).is_err());
    }

    #[test]
    fn errors_name_the_field_and_the_place() {
        let error = check("post.title", "ab\u{7}", 0, 10, 80, Kind::Line).unwrap_err();
        assert_eq!(error.violations[0].field, "post.title");
        assert!(
            error.violations[0].description.contains("U+0007 at byte 2"),
            "{error:?}"
        );
        assert!(!error.violations[0].description.contains('\u{7}'));
    }
}
