//! Edges between users on the wire.

use social_core::graph::{FollowerChunk, Neighbour};
use social_proto::v1;

use super::timestamp;
use super::user::user_summary;

/// One edge, seen from the user who is listed for.
pub(crate) fn edge(neighbour: &Neighbour) -> v1::GraphEdge {
    v1::GraphEdge {
        user: Some(user_summary(&neighbour.user)),
        create_time: Some(timestamp(neighbour.since)),
    }
}

/// The edges of a page.
pub(crate) fn edges(neighbours: &[Neighbour]) -> Vec<v1::GraphEdge> {
    neighbours.iter().map(edge).collect()
}

/// One chunk of StreamFollowers.
pub(crate) fn follower_chunk(chunk: FollowerChunk) -> v1::StreamFollowersResponse {
    v1::StreamFollowersResponse {
        followers: edges(&chunk.followers),
        resume_cursor: chunk.resume_cursor,
        last: chunk.last,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use social_core::Time;

    use super::*;
    use crate::grpc::convert::user::tests::ada;

    #[test]
    fn a_chunk_keeps_its_cursor_and_its_end() {
        let chunk = follower_chunk(FollowerChunk {
            followers: vec![Neighbour {
                user: Arc::new(ada()),
                since: Time::from_unix_ms(2_000),
            }],
            resume_cursor: "here".to_owned(),
            last: true,
        });
        assert_eq!((chunk.resume_cursor.as_str(), chunk.last), ("here", true));
        assert_eq!(chunk.followers[0].user.as_ref().unwrap().display_name, "Ada");
        assert_eq!(chunk.followers[0].create_time.unwrap().seconds, 2);
    }
}
