//! W3C trace context: the `traceparent` header, as the wire carries it and events keep it.

use std::fmt;
use std::str::FromStr;

/// Bit of the flags that says that the caller records this trace.
const SAMPLED: u8 = 0x01;
/// Characters of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// One span's place in a trace. Its text form ([`fmt::Display`], [`FromStr`]) is the W3C `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

/// A `traceparent` that is none. By the standard it is ignored, and a new trace is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct ParseTraceError;

impl TraceContext {
    /// The name of the header (and metadata key) that carries it.
    pub const HEADER: &'static str = "traceparent";

    /// A context of these ids; none when one of them is all zero, which the standard forbids.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) -> Option<Self> {
        let valid = trace_id != [0; 16] && span_id != [0; 8];
        valid.then_some(Self {
            trace_id,
            span_id,
            flags: if sampled { SAMPLED } else { 0 },
        })
    }

    /// The trace, shared by all of its spans.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span that is the parent of what comes next.
    #[must_use]
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Whether the caller records this trace.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace's id as logs show it: 32 characters of lower-case hexadecimal.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace_id))
    }

    /// The same trace with another span as the parent; none when `span_id` is all zero.
    #[must_use]
    pub fn child(&self, span_id: [u8; 8]) -> Option<Self> {
        (span_id != [0; 8]).then_some(Self { span_id, ..*self })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let span_id = u64::from_be_bytes(self.span_id);
        write!(out, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TraceContext({self})")
    }
}

impl FromStr for TraceContext {
    type Err = ParseTraceError;

    fn from_str(text: &str) -> Result<Self, ParseTraceError> {
        let (known, rest) = text.split_at_checked(LENGTH).ok_or(ParseTraceError)?;
        let mut parts = known.split('-');
        let mut next = |length: usize| parts.next().filter(|part| part.len() == length).ok_or(ParseTraceError);
        let [version] = hex::<1>(next(2)?)?;
        let trace_id = hex::<16>(next(32)?)?;
        let span_id = hex::<8>(next(16)?)?;
        let [flags] = hex::<1>(next(2)?)?;
        // A later version may say more after a further dash; what version 00 defines is still read.
        let rest_fits = rest.is_empty() || (version != 0 && rest.starts_with('-'));
        if version == 0xff || !rest_fits {
            return Err(ParseTraceError);
        }
        Self::new(trace_id, span_id, flags & SAMPLED != 0).ok_or(ParseTraceError)
    }
}

/// Reads `N` bytes of lower-case hexadecimal; upper case is refused by the standard.
fn hex<const N: usize>(text: &str) -> Result<[u8; N], ParseTraceError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(ParseTraceError),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn writes_what_it_read() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id_hex(), "0af7651916cd43dd8448eb211c80319c");
        assert!(context.sampled());
        let child = context.child([1; 8]).unwrap();
        assert_eq!(
            child.to_string(),
            "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-01"
        );
    }

    #[test]
    fn accepts_by_the_standard() {
        let cases = [
            (EXAMPLE, true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-1", false),
        ];
        for (text, accepted) in cases {
            assert_eq!(text.parse::<TraceContext>().is_ok(), accepted, "{text}");
        }
    }
}
