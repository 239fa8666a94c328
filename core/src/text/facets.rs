//! Mentions and hashtags in a text.

use unicode_segmentation::UnicodeSegmentation;

use super::{Facet, FacetKind};
use crate::backend::Store;
use crate::error::Result;
use crate::limits;
use crate::users::Handle;

/// A stretch of a text that looks like a facet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where its `@` or `#` is: a byte offset.
    pub start: usize,
    /// Where it ends, exclusive.
    pub end: usize,
    /// What it would mean.
    pub meaning: Meaning,
}

/// What a candidate would mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A mention, if there is a user of this handle.
    Mention(Handle),
    /// A hashtag, lower-cased, without the `#`.
    Hashtag(String),
}

/// The first [`limits::FACETS`] mentions and hashtags of a text, ascending, none inside words, addresses and links. Linear in the
/// length of the text.
pub fn candidates(content: &str) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut link_end = 0;
    while found.len() < limits::FACETS {
        let Some(offset) = content[at..].find(['@', '#', ':']) else {
            break;
        };
        let start = at + offset;
        // Each of the three signs is one byte.
        at = start + 1;
        if start < link_end {
            continue;
        }
        if content[start..].starts_with(':') {
            link_end = end_of_link(content, start);
            continue;
        }
        if !begins_anew(content, start) {
            continue;
        }
        if let Some(candidate) = candidate_at(content, start) {
            at = candidate.end;
            found.push(candidate);
        }
    }
    found
}

/// The facets of a text: its hashtags, and its mentions of users who exist, looked up in one batch. Handles that nobody has
/// stay plain text.
pub async fn facets(store: &dyn Store, content: &str) -> Result<Vec<Facet>> {
    let candidates = candidates(content);
    let mut handles: Vec<Handle> = Vec::new();
    for candidate in &candidates {
        match &candidate.meaning {
            Meaning::Mention(handle) if !handles.contains(handle) => handles.push(handle.clone()),
            _ => {}
        }
    }
    let users = if handles.is_empty() {
        Vec::new()
    } else {
        store.user_ids(&handles).await?
    };
    let resolve = |handle: &Handle| {
        let place = handles.iter().position(|known| known == handle)?;
        users.get(place).copied().flatten()
    };
    let facet = |candidate: Candidate| {
        let kind = match candidate.meaning {
            Meaning::Hashtag(tag) => FacetKind::Hashtag(tag),
            Meaning::Mention(handle) => FacetKind::Mention {
                user: resolve(&handle)?,
                handle,
            },
        };
        Some(Facet {
            start: candidate.start as u32,
            end: candidate.end as u32,
            kind,
        })
    };
    Ok(candidates.into_iter().filter_map(facet).collect())
}

fn candidate_at(content: &str, start: usize) -> Option<Candidate> {
    if content[start..].starts_with('@') {
        mention_at(content, start)
    } else {
        hashtag_at(content, start)
    }
}

fn mention_at(content: &str, start: usize) -> Option<Candidate> {
    let body = &content[start + 1..];
    let len = body
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let (handle, rest) = body.split_at(len);
    let mut next = rest.chars();
    let goes_on = match next.next() {
        // `@user@host` and `@host.org` name something else.
        Some('@') => true,
        Some('.' | '-') => next.next().is_some_and(joins),
        Some(c) => joins(c) || is_mark(c),
        None => false,
    };
    if goes_on {
        return None;
    }
    let handle = handle.parse().ok()?;
    Some(Candidate {
        start,
        end: start + 1 + len,
        meaning: Meaning::Mention(handle),
    })
}

fn hashtag_at(content: &str, start: usize) -> Option<Candidate> {
    let mut graphemes = content[start..].graphemes(true);
    // A `#` with a mark is another character, as in the keycap emoji.
    graphemes.next().filter(|sign| *sign == "#")?;
    let (mut len, mut chars) = (0, 0);
    for grapheme in graphemes.take_while(|grapheme| is_tag_grapheme(grapheme)) {
        len += grapheme.len();
        chars += 1;
        if chars > limits::HASHTAG_CHARS {
            return None;
        }
    }
    let tag = &content[start + 1..start + 1 + len];
    let says_something = tag.chars().any(|c| c.is_alphabetic());
    says_something.then(|| Candidate {
        start,
        end: start + 1 + len,
        meaning: Meaning::Hashtag(tag.to_lowercase()),
    })
}

/// Letters with their marks, digits and `_`; no emoji, not the keycaps either.
fn is_tag_grapheme(grapheme: &str) -> bool {
    let first_fits = grapheme.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
    first_fits && !grapheme.contains(['\u{FE0F}', '\u{20E3}'])
}

/// Whether a sign at `start` does not stand inside a word, an address, a link or an HTML entity.
fn begins_anew(content: &str, start: usize) -> bool {
    match content[..start].chars().next_back() {
        Some(c) => !joins(c) && !is_mark(c) && !matches!(c, '@' | '#' | '/' | '&' | '=' | '%'),
        None => true,
    }
}

/// Whether a character makes one word with the one beside it. Scripts that are written without spaces do not: a mention in
/// the middle of a Japanese sentence is one.
fn joins(c: char) -> bool {
    (c.is_alphanumeric() || c == '_') && !is_unspaced(c)
}

fn is_unspaced(c: char) -> bool {
    matches!(
        u32::from(c),
        // Thai to Tibetan, Myanmar, Khmer.
        0x0E00..=0x0FFF | 0x1000..=0x109F | 0x1780..=0x17FF
        // Kana, CJK, Hangul (whose particles lean on the word before), half-width forms.
        | 0x1100..=0x11FF | 0x2E80..=0xA4CF | 0xAC00..=0xD7FF | 0xF900..=0xFAFF | 0xFF66..=0xFFDC | 0x20000..=0x3FFFF
    )
}

/// Combining marks, which belong to the letter before them.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE0F}')
}

/// Where a link ends whose `://` is at `colon`: before the next blank. 0 where it is no link.
fn end_of_link(content: &str, colon: usize) -> usize {
    let has_scheme = content[..colon]
        .bytes()
        .next_back()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !has_scheme || !content[colon..].starts_with("://") {
        return 0;
    }
    let rest = &content[colon..];
    let stops = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"');
    colon + rest.find(stops).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The candidates of a text, as `@handle` and `#tag`.
    fn found(content: &str) -> Vec<String> {
        candidates(content)
            .into_iter()
            .map(|candidate| match candidate.meaning {
                Meaning::Mention(handle) => format!("@{handle}"),
                Meaning::Hashtag(tag) => format!("#{tag}"),
            })
            .collect()
    }

    #[test]
    fn finds_what_people_mean() {
        let cases: &[(&str, &[&str])] = &[
            ("hello @Ada, see #Rust!", &["@ada", "#rust"]),
            ("@ada", &["@ada"]),
            ("(@ada) “@bob_2”", &["@ada", "@bob_2"]),
            (".@ada hi", &["@ada"]),
            ("cc:@ada/@bob", &["@ada"]),
            ("@ada. Yes", &["@ada"]),
            ("@ada...", &["@ada"]),
            (
                "#Straße #ÜBER #日本語 #हिन्दी #e\u{301}te\u{301}",
                &["#straße", "#über", "#日本語", "#हिन्दी", "#e\u{301}te\u{301}"],
            ),
            ("今日は@adaさんと#東京へ", &["@ada", "#東京へ"]),
            ("안녕 @ada님", &["@ada"]),
            ("#2026goals #c4", &["#2026goals", "#c4"]),
            ("#a#b", &["#a"]),
            ("#rust👍", &["#rust"]),
            ("a\n#b\n@cde", &["#b", "@cde"]),
            ("#snake_case", &["#snake_case"]),
        ];
        for (content, expected) in cases {
            assert_eq!(found(content), *expected, "{content}");
        }
    }

    #[test]
    fn leaves_alone_what_is_something_else() {
        let cases = [
            "mail ada@example.org now",
            "first.last+@example.org",
            "@example.org",
            "@ada@host.social",
            "@ab and @1ada and @",
            "@this_handle_is_longer_than_thirty_x",
            "@bobé",
            "é@bob",
            "https://example.org/#frag and https://example.org/@ada",
            "http://x.y/?q=#tag",
            "see ftp://x/a;#b,@cde",
            "example.org/@ada example.org/page#part",
            "#1 #123 #_ # #! ##double",
            "#️⃣ #1️⃣",
            "&#39; &#x27;",
            "word#tag",
            "?q=@ada",
        ];
        for content in cases {
            assert_eq!(found(content), Vec::<String>::new(), "{content}");
        }
    }

    #[test]
    fn is_bounded() {
        let many: String = (0..200).map(|n| format!("#t{n} @user{n} ")).collect();
        assert_eq!(candidates(&many).len(), limits::FACETS);
        let long = format!("#{}", "x".repeat(limits::HASHTAG_CHARS));
        assert_eq!(candidates(&long).len(), 1);
        assert_eq!(candidates(&format!("{long}x")).len(), 0);
    }

    proptest! {
        #[test]
        fn offsets_are_on_boundaries_and_cut_out_the_facet(
            content in prop::collection::vec(
                prop_oneof!["[@#]?[a-zA-Z0-9_]{0,12}", "[@#:/.&=é日\u{301}\u{200D}👍🇩 \n]{0,4}", "\\PC{0,6}", Just("https://".to_owned())], 0..40,
            ).prop_map(|parts| parts.concat())
        ) {
            let mut last_end = 0;
            for candidate in candidates(&content) {
                prop_assert!(candidate.start >= last_end && candidate.end > candidate.start + 1);
                last_end = candidate.end;
                let text = content.get(candidate.start..candidate.end);
                prop_assert!(text.is_some());
                let text = text.unwrap_or_default();
                match candidate.meaning {
                    Meaning::Mention(handle) => prop_assert_eq!(text.to_ascii_lowercase(), format!("@{handle}")),
                    Meaning::Hashtag(tag) => {
                        prop_assert_eq!(text.to_lowercase(), format!("#{tag}"));
                        prop_assert!(text.graphemes(true).count() - 1 <= limits::HASHTAG_CHARS);
                    }
                }
            }
            prop_assert!(candidates(&content).len() <= limits::FACETS);
        }

        #[test]
        fn never_panics(content in ".{0,200}") {
            candidates(&content);
        }
    }
}
