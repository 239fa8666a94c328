//! Identifiers: 64-bit, time-ordered, and opaque on the wire.
//!
//! Layout, from the top: one zero bit (so that an id is a positive `bigint`), 41 bits of
//! milliseconds since [`EPOCH_UNIX_MS`], 10 bits of node, 12 bits of sequence. A larger id was
//! minted later, so "id descending" is "newest first".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// Where id time starts: 2006-01-01T00:00:00Z, early enough for posts imported from older platforms.
/// 41 bits of milliseconds last until 2075.
pub const EPOCH_UNIX_MS: u64 = 1_136_073_600_000;
/// The node number of imported rows, which carry a time of the past: no minting process uses it.
pub const IMPORT_NODE: u16 = 1023;

const NODE_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of an id on the wire.
pub const WIRE_LEN: usize = 13;

/// An id could not be read: it is not 13 characters of lower-case Crockford base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 13 characters of 0-9 and a-z without i, l, o, u")]
pub struct ParseIdError;

fn encode(value: u64) -> [u8; WIRE_LEN] {
    let mut out = [b'0'; WIRE_LEN];
    let mut rest = value;
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    out
}

fn decode(text: &str) -> Result<u64, ParseIdError> {
    if text.len() != WIRE_LEN {
        return Err(ParseIdError);
    }
    let mut value: u64 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&c| c == byte).ok_or(ParseIdError)? as u64;
        if value >> 58 != 0 {
            return Err(ParseIdError);
        }
        value = value << 5 | digit;
    }
    Ok(value)
}

/// When an id was minted.
pub fn minted_at(id: u64) -> Time {
    Time::from_unix_ms((id >> (NODE_BITS + SEQUENCE_BITS)) + EPOCH_UNIX_MS)
}

/// The smallest id that can be minted at `time` (0 for a time before the epoch).
pub fn floor_at(time: Time) -> u64 {
    time.unix_ms().saturating_sub(EPOCH_UNIX_MS) << (NODE_BITS + SEQUENCE_BITS)
}

/// The first id that an import may try for a row made at `time`; the next ones follow by adding 1,
/// at most [`IMPORTS_A_MS`] in one millisecond.
pub fn import_base(time: Time) -> u64 {
    floor_at(time) | u64::from(IMPORT_NODE) << SEQUENCE_BITS
}

/// Of an imported row's id: the first one of its millisecond, and how many were given there with it. `None` for an id that was minted.
pub fn import_given(id: u64) -> Option<(u64, u64)> {
    let (base, sequence) = (id & !SEQUENCE_MASK, id & SEQUENCE_MASK);
    let is_import = (base >> SEQUENCE_BITS) & ((1 << NODE_BITS) - 1) == u64::from(IMPORT_NODE);
    is_import.then_some((base, sequence + 1))
}

/// How many imported rows fit into one millisecond.
pub const IMPORTS_A_MS: u64 = SEQUENCE_MASK + 1;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// When the id was minted.
            pub fn time(self) -> Time {
                minted_at(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = encode(self.0);
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                decode(text).map(Self)
            }
        }
    };
}

id!(
    /// A person's account.
    UserId
);
id!(
    /// A post. Also the id of the event that fans it out.
    PostId
);
id!(
    /// A comment below a post.
    CommentId
);
id!(
    /// A login on one device.
    SessionId
);
id!(
    /// An entry of the event log. A post's event has the post's id.
    EventId
);

impl From<PostId> for EventId {
    fn from(post: PostId) -> Self {
        Self(post.0)
    }
}

/// Mints ids of one node, strictly ascending, whatever the clock does.
#[derive(Debug)]
pub struct IdSource {
    node: u16,
    last: u64,
}

impl IdSource {
    /// Mints above `floor`, which is what the store reserved for ids of earlier runs.
    pub fn new(node: u16, floor: u64) -> Self {
        debug_assert!(node < 1 << NODE_BITS);
        Self { node, last: floor }
    }

    /// Mints above `floor` from now on.
    pub fn raise(&mut self, floor: u64) {
        self.last = self.last.max(floor);
    }

    /// The id minted last; the floor where none was.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next id: at `now`, or just above the last one where the clock stood still or stepped back.
    pub fn mint(&mut self, now: Time) -> u64 {
        let node = u64::from(self.node) << SEQUENCE_BITS;
        let candidate = floor_at(now) | node;
        self.last = if candidate > self.last {
            candidate
        } else {
            self.after_last(node)
        };
        self.last
    }

    fn after_last(&self, node: u64) -> u64 {
        let next = self.last + 1;
        let same_node = next >> SEQUENCE_BITS == self.last >> SEQUENCE_BITS
            && (next >> SEQUENCE_BITS) & ((1 << NODE_BITS) - 1) == node >> SEQUENCE_BITS;
        if same_node {
            return next;
        }
        let next_ms = (self.last >> (NODE_BITS + SEQUENCE_BITS)) + 1;
        next_ms << (NODE_BITS + SEQUENCE_BITS) | node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_sorts_as_the_number_and_reads_back(a in 0..u64::MAX / 2, b in 0..u64::MAX / 2) {
            prop_assert_eq!(PostId(a).to_string().parse(), Ok(PostId(a)));
            prop_assert_eq!(PostId(a).to_string().cmp(&PostId(b).to_string()), a.cmp(&b));
        }

        #[test]
        fn minting_ascends_whatever_the_clock_does(steps in prop::collection::vec(-5_000i64..5_000, 1..300)) {
            let mut ids = IdSource::new(7, 0);
            let mut now = 1_800_000_000_000i64;
            let mut last = 0;
            for step in steps {
                now += step;
                let id = ids.mint(Time::from_unix_ms(now as u64));
                prop_assert!(id > last);
                prop_assert_eq!((id >> SEQUENCE_BITS) & 1023, 7);
                last = id;
            }
        }
    }

    #[test]
    fn a_full_millisecond_moves_to_the_next() {
        let mut ids = IdSource::new(1, 0);
        let now = Time::from_unix_ms(1_800_000_000_000);
        let first = ids.mint(now);
        let last = (1..=IMPORTS_A_MS).map(|_| ids.mint(now)).last();
        assert_eq!(last.map(minted_at), Some(now.plus_ms(1)));
        assert_eq!(minted_at(first), now);
    }

    #[test]
    fn ids_go_on_above_what_they_were_raised_to() {
        let now = Time::from_unix_ms(1_800_000_000_000);
        let mut ids = IdSource::new(3, 0);
        let ahead = floor_at(now.plus_ms(5_000)) + 77;
        ids.raise(ahead);
        let first = ids.mint(now);
        assert!(first > ahead && ids.mint(now) > first);
        ids.raise(1);
        assert!(ids.mint(now) > first, "it is never lowered");
    }

    #[test]
    fn imported_ids_tell_how_many_were_given() {
        let time = Time::from_unix_ms(1_300_000_000_000);
        let base = import_base(time);
        assert_eq!(import_given(base), Some((base, 1)));
        assert_eq!(import_given(base + IMPORTS_A_MS - 1), Some((base, IMPORTS_A_MS)));
        assert_eq!(import_given(IdSource::new(7, 0).mint(time)), None);
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "0",
            "000000000000i",
            "00000000000000",
            "zzzzzzzzzzzzz",
            "000000000000É",
        ] {
            assert_eq!(text.parse::<UserId>(), Err(ParseIdError), "{text:?}");
        }
    }
}
