//! Wakes on their way to other processes.

use serde::{Deserialize, Serialize};
use social_core::backend::{Channel, WakeKind};
use social_core::{CommentId, PostId, UserId};

use super::super::spread;
use crate::signals::{Board, kind_and_key};

/// Message channels, as a power of two: each carries the wakes of many channels.
const BITS: u32 = 8;
/// Message channels.
pub(super) const SHARDS: usize = 1 << BITS;
/// What a message begins with, so that a process can tell one of another version.
const VERSION: u8 = 1;

/// The message channel of a channel.
pub(super) fn shard(channel: Channel) -> usize {
    spread(kind_and_key(channel).1, BITS)
}

/// The message channel of a viewer's home.
pub(super) fn home_shard(viewer: UserId) -> usize {
    shard(Channel::Home(viewer))
}

/// A wake that waits to be sent.
pub(super) enum Note {
    /// One channel.
    Wake(Channel, WakeKind),
    /// An arrival for many viewers.
    Homes(Box<[UserId]>, PostId),
}

/// Wakes of one message channel.
#[derive(Serialize, Deserialize)]
pub(super) struct Message {
    version: u8,
    /// The process that sends, which served its own listeners already.
    origin: u64,
    wakes: Vec<Wire>,
}

/// A wake as it is sent. Channels and kinds are numbers: one that a process does not know is skipped.
#[derive(Serialize, Deserialize)]
pub(super) enum Wire {
    Wake { channel: u8, key: u64, kind: u8, id: u64 },
    Homes { post: u64, viewers: Vec<u64> },
}

impl Wire {
    pub(super) fn new(channel: Channel, kind: &WakeKind) -> Self {
        let (number, key) = kind_and_key(channel);
        let (kind, id) = match kind {
            WakeKind::Arrived(post) => (0, post.0),
            WakeKind::GraphChanged => (1, 0),
            WakeKind::Counts(post) => (2, post.0),
            WakeKind::PostChanged(post) => (3, post.0),
            WakeKind::CommentCreated(comment) => (4, comment.0),
            WakeKind::CommentEdited(comment) => (5, comment.0),
            WakeKind::CommentDeleted(comment) => (6, comment.0),
            WakeKind::SessionRevoked => (7, 0),
            WakeKind::Missed => (8, 0),
        };
        Self::Wake {
            channel: number as u8,
            key,
            kind,
            id,
        }
    }

    fn post(self, board: &Board) {
        match self {
            Self::Wake { channel, key, kind, id } => {
                if let (Some(channel), Some(kind)) = (channel_of(channel, key), kind_of(kind, id)) {
                    board.wake(channel, &kind);
                }
            }
            Self::Homes { post, viewers } => {
                let viewers: Vec<_> = viewers.into_iter().map(UserId).collect();
                board.wake_homes(&viewers, PostId(post));
            }
        }
    }
}

fn channel_of(number: u8, key: u64) -> Option<Channel> {
    Some(match number {
        0 => Channel::Home(UserId(key)),
        1 => Channel::Author(UserId(key)),
        2 => Channel::Post(PostId(key)),
        3 => Channel::Sessions(UserId(key)),
        _ => return None,
    })
}

fn kind_of(number: u8, id: u64) -> Option<WakeKind> {
    Some(match number {
        0 => WakeKind::Arrived(PostId(id)),
        1 => WakeKind::GraphChanged,
        2 => WakeKind::Counts(PostId(id)),
        3 => WakeKind::PostChanged(PostId(id)),
        4 => WakeKind::CommentCreated(CommentId(id)),
        5 => WakeKind::CommentEdited(CommentId(id)),
        6 => WakeKind::CommentDeleted(CommentId(id)),
        7 => WakeKind::SessionRevoked,
        8 => WakeKind::Missed,
        _ => return None,
    })
}

impl Message {
    /// The bytes of a message.
    pub(super) fn encode(origin: u64, wakes: Vec<Wire>) -> Option<Vec<u8>> {
        let message = Self {
            version: VERSION,
            origin,
            wakes,
        };
        postcard::to_allocvec(&message).ok()
    }

    /// Posts another process's wakes. A message that cannot be read is of another version: whoever listens looks by itself.
    pub(super) fn deliver(bytes: &[u8], own: u64, board: &Board) {
        if bytes.first() != Some(&VERSION) {
            return;
        }
        match postcard::from_bytes::<Self>(bytes) {
            Ok(message) if message.origin != own => message.wakes.into_iter().for_each(|wake| wake.post(board)),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a wake cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use social_core::backend::{Listener, Wake};

    use super::*;

    #[tokio::test]
    async fn every_wake_arrives_as_it_was_sent() {
        let (board, user, post, comment) = (Arc::<Board>::default(), UserId(1), PostId(2), CommentId(3));
        let channels = [
            Channel::Home(user),
            Channel::Author(user),
            Channel::Post(post),
            Channel::Sessions(user),
        ];
        let kinds = [
            WakeKind::Arrived(post),
            WakeKind::GraphChanged,
            WakeKind::Counts(post),
            WakeKind::PostChanged(post),
            WakeKind::CommentCreated(comment),
            WakeKind::CommentEdited(comment),
            WakeKind::CommentDeleted(comment),
            WakeKind::SessionRevoked,
            WakeKind::Missed,
        ];
        for channel in channels {
            let mut listener = board.listen();
            listener.watch(channel);
            for kind in &kinds {
                let bytes = Message::encode(1, vec![Wire::new(channel, kind)]).unwrap();
                Message::deliver(&bytes, 1, &board);
                Message::deliver(&bytes, 2, &board);
                let kind = kind.clone();
                assert_eq!(listener.next().await, Wake { channel, kind });
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let board = Board::default();
        for bytes in [&[][..], &[1], &[2, 1, 1], &[1, 1, 200]] {
            Message::deliver(bytes, 0, &board);
        }
    }
}
