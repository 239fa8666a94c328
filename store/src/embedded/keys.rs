//! Keys of rows: fixed-width big-endian numbers, so that the order of bytes is the order of ids.

use social_core::graph::EdgeKind;
use social_core::{CommentId, EventId, PostId, SessionId, UserId};
use uuid::Uuid;

/// A key as the engine keeps it; up to 20 bytes without an allocation.
pub(super) type Key = fjall::UserKey;

/// Rows that one id names: users, posts, comments, sessions, events, stretches.
pub(super) fn id(id: u64) -> Key {
    Key::from(id.to_be_bytes())
}

/// Rows of `b` below `a`.
pub(super) fn pair(a: u64, b: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&a.to_be_bytes());
    key[8..].copy_from_slice(&b.to_be_bytes());
    Key::from(key)
}

/// A user's session.
pub(super) fn user_session(user: UserId, session: SessionId) -> Key {
    pair(user.0, session.0)
}

/// A comment in the list of what answers `parent`, or of what stands on the post itself.
pub(super) fn comment_index(post: PostId, parent: Option<CommentId>, comment: u64) -> Key {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&comment_list(post, parent));
    key[16..].copy_from_slice(&comment.to_be_bytes());
    Key::from(key)
}

/// What the keys of one list of comments begin with. No comment has the id 0.
pub(super) fn comment_list(post: PostId, parent: Option<CommentId>) -> Key {
    pair(post.0, parent.map_or(0, |parent| parent.0))
}

/// An edge from one user to another, or its place in a list by `since`.
pub(super) fn edge(kind: EdgeKind, user: UserId, other: u64) -> Key {
    let mut key = [0; 17];
    key[..9].copy_from_slice(&edge_list(kind, user));
    key[9..].copy_from_slice(&other.to_be_bytes());
    Key::from(key)
}

/// What the keys of one user's edges begin with.
pub(super) fn edge_list(kind: EdgeKind, user: UserId) -> Key {
    let mut key = [0; 9];
    key[0] = match kind {
        EdgeKind::Follow => 1,
        EdgeKind::Block => 2,
        EdgeKind::Mute => 3,
    };
    key[1..].copy_from_slice(&user.0.to_be_bytes());
    Key::from(key)
}

/// The kind of edge that a key of edges begins with.
pub(super) fn edge_kind(number: u8) -> Option<EdgeKind> {
    match number {
        1 => Some(EdgeKind::Follow),
        2 => Some(EdgeKind::Block),
        3 => Some(EdgeKind::Mute),
        _ => None,
    }
}

/// The counts of a post.
pub(super) fn post_counts(post: PostId) -> Key {
    counts(b'p', post.0)
}

/// The counts of a user.
pub(super) fn user_counts(user: UserId) -> Key {
    counts(b'u', user.0)
}

fn counts(kind: u8, id: u64) -> Key {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&id.to_be_bytes());
    Key::from(key)
}

/// An import.
pub(super) fn import(import: Uuid) -> Key {
    Key::from(*import.as_bytes())
}

/// What a row of the expiry table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiring {
    /// A request key.
    Request([u8; 16]),
    /// An event that ended.
    Event(EventId),
    /// A session.
    Session(SessionId),
}

/// A row of the expiry table: due at `at_ms`.
pub(super) fn expiry(at_ms: u64, what: Expiring) -> Key {
    let mut key = Vec::with_capacity(25);
    key.extend_from_slice(&at_ms.to_be_bytes());
    match what {
        Expiring::Request(request) => {
            key.push(b'r');
            key.extend_from_slice(&request);
        }
        Expiring::Event(event) => {
            key.push(b'e');
            key.extend_from_slice(&event.0.to_be_bytes());
        }
        Expiring::Session(session) => {
            key.push(b's');
            key.extend_from_slice(&session.0.to_be_bytes());
        }
    }
    Key::from(key)
}

/// Reads a key of the expiry table back.
pub(super) fn parse_expiry(key: &[u8]) -> Option<Expiring> {
    let (kind, rest) = key.get(8..)?.split_first()?;
    match kind {
        b'r' => Some(Expiring::Request(rest.try_into().ok()?)),
        b'e' => Some(Expiring::Event(EventId(u64::from_be_bytes(rest.try_into().ok()?)))),
        b's' => Some(Expiring::Session(SessionId(u64::from_be_bytes(rest.try_into().ok()?)))),
        _ => None,
    }
}

/// The number that a key ends with: 0 for a key that is too short, which no table has.
pub(super) fn last(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// First and last key of those that begin with `prefix` and go on with a number in `low..=high`.
pub(super) fn bounds(prefix: &[u8], low: u64, high: u64) -> (Key, Key) {
    let end = |number: u64| {
        let mut key = Vec::with_capacity(prefix.len() + 8);
        key.extend_from_slice(prefix);
        key.extend_from_slice(&number.to_be_bytes());
        Key::from(key)
    };
    (end(low), end(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_numbers() {
        assert!(pair(1, u64::MAX) < pair(2, 0));
        assert!(comment_index(PostId(1), None, 9) < comment_index(PostId(1), Some(CommentId(1)), 1));
        assert!(edge(EdgeKind::Follow, UserId(1), 255) < edge(EdgeKind::Follow, UserId(1), 256));
        assert_eq!(last(&edge(EdgeKind::Mute, UserId(1), 77)), 77);
        for kind in [EdgeKind::Follow, EdgeKind::Block, EdgeKind::Mute] {
            assert_eq!(edge_kind(edge(kind, UserId(1), 77)[0]), Some(kind));
        }
    }

    #[test]
    fn expiry_keys_read_back_and_sort_by_time() {
        for what in [
            Expiring::Request([7; 16]),
            Expiring::Event(EventId(8)),
            Expiring::Session(SessionId(9)),
        ] {
            assert_eq!(parse_expiry(&expiry(5, what)), Some(what));
        }
        assert!(expiry(1, Expiring::Session(SessionId(9))) < expiry(2, Expiring::Event(EventId(1))));
        assert_eq!(parse_expiry(b"short"), None);
    }
}
