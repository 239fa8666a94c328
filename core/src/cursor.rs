//! Page tokens and cursors: opaque, and bound to the query that they go on with.
//!
//! A token is `version, kind, numbers, checksum` in base64url. The checksum also covers the [`Binding`], so a token of another
//! viewer, method or filter is refused instead of being misread. It is no secret: a forged one only chooses a place in a
//! listing that the caller may read anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::backend::{Horizon, Position};
use crate::error::{Error, Reason, Result};
use crate::id::{EventId, PostId};
use crate::limits;
use crate::page;
use crate::request::{Viewer, digest};

const VERSION: u8 = 1;
const KIND_PAGE: u8 = 1;
const KIND_HOME: u8 = 2;
const CHECKSUM_BYTES: usize = 8;

/// What a token belongs to: a listing, its viewer and its filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; 16]);

impl Binding {
    /// The binding of a listing to who reads it and to the filters that it is read with.
    pub fn new(listing: &str, viewer: Viewer, filters: &[u64]) -> Self {
        let viewer = viewer.user().map_or([0; 8], |user| user.0.to_le_bytes());
        let filters: Vec<u8> = filters.iter().flat_map(|filter| filter.to_le_bytes()).collect();
        Self(digest(&[listing.as_bytes(), &viewer, &filters]))
    }

    fn seal(&self, kind: u8, numbers: &[u64]) -> String {
        let mut bytes = vec![VERSION, kind];
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let checksum = self.checksum(&bytes);
        bytes.extend(checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open<const N: usize>(&self, kind: u8, token: &str) -> Option<[u64; N]> {
        if token.len() > limits::TOKEN_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, checksum) = bytes.split_at_checked(2 + 8 * N)?;
        if body[0] != VERSION || body[1] != kind || checksum != self.checksum(body) {
            return None;
        }
        let mut numbers = [0; N];
        for (number, chunk) in numbers.iter_mut().zip(body[2..].chunks_exact(8)) {
            *number = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        Some(numbers)
    }

    fn checksum(&self, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let mut short = [0; CHECKSUM_BYTES];
        short.copy_from_slice(&digest(&[&self.0, body])[..CHECKSUM_BYTES]);
        short
    }
}

/// The page that a caller asks for: its size and where it starts, as they came over the wire.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageRequest<'a> {
    /// Items wanted; see [`page::size`].
    pub size: i32,
    /// The token of the page before, or empty.
    pub token: &'a str,
}

impl PageRequest<'_> {
    /// How many items, of posts, comments and the like.
    pub fn size(&self) -> Result<usize> {
        page::size(self.size, limits::PAGE_DEFAULT, limits::PAGE_MAX)
    }

    /// How many items, of users.
    pub fn user_size(&self) -> Result<usize> {
        page::size(self.size, limits::USER_PAGE_DEFAULT, limits::USER_PAGE_MAX)
    }

    /// The key to go on behind; `None` for a first page. PAGE_TOKEN_INVALID.
    pub fn after(&self, binding: &Binding) -> Result<Option<u64>> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let [key] = binding
            .open::<1>(KIND_PAGE, self.token)
            .ok_or_else(page_token_invalid)?;
        Ok(Some(key))
    }
}

/// A page as it goes out: its items and the token of the next one, empty at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// Token of the next page; empty at the end, and only there.
    pub next_page_token: String,
}

impl<T> Listed<T> {
    /// A page that goes on behind `next`, if at all.
    pub fn new(items: Vec<T>, next: Option<u64>, binding: &Binding) -> Self {
        let next_page_token = next.map_or_else(String::new, |key| binding.seal(KIND_PAGE, &[key]));
        Self { items, next_page_token }
    }
}

/// What was visible in a home timeline when the cursor was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The ready timeline's position then.
    pub position: Position,
    /// The store's horizon then, read before the position.
    pub horizon: Horizon,
    /// A digest of whom the viewer muted then: what an unmute brings back cannot be told from what was there.
    pub muted: u64,
}

impl Cursor {
    fn numbers(&self) -> [u64; 6] {
        let Horizon {
            settled,
            visible,
            imports,
        } = self.horizon;
        [
            self.position.generation,
            self.position.sequence,
            settled.0,
            visible.0,
            imports,
            self.muted,
        ]
    }

    fn from_numbers([generation, sequence, settled, visible, imports, muted]: [u64; 6]) -> Self {
        Self {
            position: Position { generation, sequence },
            horizon: Horizon {
                settled: EventId(settled),
                visible: PostId(visible),
                imports,
            },
            muted,
        }
    }

    /// The cursor's wire form.
    pub fn seal(&self, binding: &Binding) -> String {
        binding.seal(KIND_HOME, &self.numbers())
    }

    /// Reads a cursor that came in `field`; `None` where it is empty. CURSOR_INVALID.
    pub fn open(binding: &Binding, field: &str, text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        let numbers = binding.open(KIND_HOME, text).ok_or_else(|| {
            Error::new(Reason::CursorInvalid, "the cursor is not one of this timeline").violation(
                field,
                "must be a cursor that this server issued to you with the same exclude_replies, unchanged",
            )
        })?;
        Ok(Some(Self::from_numbers(numbers)))
    }
}

/// Where a home timeline's page starts, and the cursor that bounds it from below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HomePlace {
    /// Entries below this post.
    pub before: Option<PostId>,
    /// Only what became visible after this cursor.
    pub newer_than: Option<Cursor>,
}

impl HomePlace {
    /// The page token of the place.
    pub fn seal(&self, binding: &Binding) -> String {
        let before = self.before.map_or(u64::MAX, |post| post.0);
        match self.newer_than {
            None => binding.seal(KIND_PAGE, &[before]),
            Some(cursor) => {
                let [a, b, c, d, e, f] = cursor.numbers();
                binding.seal(KIND_PAGE, &[before, a, b, c, d, e, f])
            }
        }
    }

    /// Reads a page token. PAGE_TOKEN_INVALID.
    pub fn open(binding: &Binding, token: &str) -> Result<Self> {
        if let Some([before]) = binding.open(KIND_PAGE, token) {
            return Ok(Self {
                before: Some(PostId(before)),
                newer_than: None,
            });
        }
        let [before, rest @ ..] = binding.open::<7>(KIND_PAGE, token).ok_or_else(page_token_invalid)?;
        Ok(Self {
            before: Some(PostId(before)),
            newer_than: Some(Cursor::from_numbers(rest)),
        })
    }
}

fn page_token_invalid() -> Error {
    Error::new(Reason::PageTokenInvalid, "the page token is not one of this listing").violation(
        "page_token",
        "must be the next_page_token of the page before, sent with the same other fields by the same user",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{SessionId, UserId};
    use proptest::prelude::*;

    fn viewer(id: u64) -> Viewer {
        Viewer::User {
            id: UserId(id),
            session: SessionId(1),
        }
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let mine = Binding::new("posts", viewer(1), &[7]);
        let token = Listed::<()>::new(vec![], Some(42), &mine).next_page_token;
        let request = PageRequest { size: 0, token: &token };
        assert_eq!(request.after(&mine), Ok(Some(42)));
        for other in [
            Binding::new("posts", viewer(2), &[7]),
            Binding::new("posts", Viewer::Anonymous, &[7]),
            Binding::new("likes", viewer(1), &[7]),
            Binding::new("posts", viewer(1), &[8]),
        ] {
            let error = request.after(&other).unwrap_err();
            assert_eq!(
                (error.reason, error.violations[0].field.as_str()),
                (Reason::PageTokenInvalid, "page_token")
            );
        }
    }

    proptest! {
        #[test]
        fn cursors_read_back(numbers in any::<[u64; 6]>(), before in any::<u64>()) {
            let binding = Binding::new("home", viewer(1), &[0]);
            let cursor = Cursor::from_numbers(numbers);
            prop_assert_eq!(Cursor::open(&binding, "c", &cursor.seal(&binding)), Ok(Some(cursor)));
            for newer_than in [None, Some(cursor)] {
                let place = HomePlace { before: Some(PostId(before)), newer_than };
                prop_assert_eq!(HomePlace::open(&binding, &place.seal(&binding)), Ok(place));
            }
        }

        #[test]
        fn garbage_is_refused_and_never_panics(text in ".{0,80}") {
            let binding = Binding::new("home", viewer(1), &[0]);
            prop_assert!(text.is_empty() || Cursor::open(&binding, "c", &text).is_err());
            prop_assert!(HomePlace::open(&binding, &text).is_err());
        }
    }
}
