//! Text for people: harmless on a terminal, ages, and counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Text of others on one line. Line breaks become spaces, and what could steer a terminal or turn the order of letters
/// around becomes U+FFFD: a post must not be able to repaint the screen of its reader.
pub(crate) fn line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}') {
                ' '
            } else {
                harmless(c)
            }
        })
        .collect()
}

/// Like [`line()`], but line breaks stay.
pub(crate) fn block(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| {
            if c == '\n' {
                c
            } else if c == '\t' {
                ' '
            } else {
                harmless(c)
            }
        })
        .collect()
}

fn harmless(c: char) -> char {
    let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || reorders { '\u{fffd}' } else { c }
}

/// How long ago a moment was, given in seconds since 1970: `just now`, `3m ago`, `2h ago`, `5d ago`, `3w ago`, `2y ago`; `in 3m`
/// for one that is still to come.
pub(crate) fn age(now: SystemTime, seconds: i64) -> String {
    let now = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let past = now.saturating_sub(seconds);
    let span = span(past.unsigned_abs());
    match past {
        -4..=4 => "just now".to_owned(),
        5.. => format!("{span} ago"),
        _ => format!("in {span}"),
    }
}

fn span(seconds: u64) -> String {
    const UNITS: &[(u64, &str)] = &[
        (365 * 86_400, "y"),
        (7 * 86_400, "w"),
        (86_400, "d"),
        (3_600, "h"),
        (60, "m"),
    ];
    // Weeks only up to a year, and days up to two weeks: `9d` says more than `1w`.
    let fits = |unit: u64| {
        if unit == 7 * 86_400 {
            seconds >= 2 * unit
        } else {
            seconds >= unit
        }
    };
    match UNITS.iter().find(|(unit, _)| fits(*unit)) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// A number with separators: `1,234,567`.
pub(crate) fn number(value: impl Into<i64>) -> String {
    let value: i64 = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size: `512 B`, `1.5 KiB`, `20.3 MiB`.
pub(crate) fn bytes(value: i64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut size = value as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS.get(unit).copied().unwrap_or_default())
}

/// How long something took: `840 ms`, `12.3 s`, `4 min 10 s`.
pub(crate) fn duration(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else if seconds >= 1 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{} ms", took.as_millis())
    }
}

/// The name of a value of an enum for people: `VISIBILITY_PUBLIC` with the prefix `VISIBILITY_` is `public`.
pub(crate) fn enum_name(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
        .replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(
            line("a\x1b[2Jb\u{9b}c\u{7f}\nd\u{202e}e"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd} d\u{fffd}e"
        );
        assert_eq!(block("a\r\nb\rc\x07"), "a\nb\u{fffd}c\u{fffd}");
        assert_eq!(line("日本語 👩‍👩‍👧 é"), "日本語 👩‍👩‍👧 é");
    }

    #[test]
    fn ages_are_short() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let ages = [
            0,
            5,
            59,
            60,
            3_599,
            3_600,
            86_400,
            13 * 86_400,
            14 * 86_400,
            364 * 86_400,
            800 * 86_400,
            -300,
        ];
        let texts: Vec<_> = ages.iter().map(|age_s| age(now, 1_000_000_000 - age_s)).collect();
        assert_eq!(
            texts,
            [
                "just now", "5s ago", "59s ago", "1m ago", "59m ago", "1h ago", "1d ago", "13d ago", "2w ago",
                "52w ago", "2y ago", "in 5m"
            ]
        );
    }

    #[test]
    fn numbers_and_sizes_are_readable() {
        assert_eq!(
            [0, 999, 1_000, -1_234_567].map(|n: i64| number(n)),
            ["0", "999", "1,000", "-1,234,567"]
        );
        assert_eq!(
            [0, 1023, 1536, 5 << 30].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
        );
        assert_eq!(duration(Duration::from_secs(250)), "4 min 10 s");
        assert_eq!(enum_name("COMPLETENESS_REBUILDING", "COMPLETENESS_"), "rebuilding");
    }
}
