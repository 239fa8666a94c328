//! Likes and counts on the wire.

use social_core::likes::{CountsEvent, LikedPost, Liker};
use social_core::{PostId, posts::PostCounts};
use social_proto::v1;
use social_proto::v1::subscribe_counts_response::Event;

use super::post::{counts_entry, post};
use super::user::user_summary;
use super::{heartbeat, timestamp};

/// One like of a post.
pub(crate) fn liker(liker: &Liker) -> v1::PostLiker {
    v1::PostLiker {
        user: Some(user_summary(&liker.user)),
        create_time: Some(timestamp(liker.since)),
    }
}

/// One like of a user.
pub(crate) fn user_like(liked: &LikedPost) -> v1::UserLike {
    v1::UserLike {
        post: Some(post(&liked.view)),
        create_time: Some(timestamp(liked.since)),
    }
}

/// One message of SubscribeCounts.
pub(crate) fn counts_event(event: CountsEvent) -> v1::SubscribeCountsResponse {
    let event = match event {
        CountsEvent::Snapshot { counts, not_found } => Event::Snapshot(v1::CountsSnapshot {
            counts: entries(counts),
            not_found_ids: names(&not_found),
        }),
        CountsEvent::Changed { counts, removed } => Event::Changed(v1::CountsChanged {
            counts: entries(counts),
            removed_post_ids: names(&removed),
        }),
        CountsEvent::Heartbeat { time, interval } => Event::Heartbeat(heartbeat(time, interval)),
    };
    v1::SubscribeCountsResponse { event: Some(event) }
}

fn entries(counts: Vec<(PostId, PostCounts)>) -> Vec<v1::PostCountsEntry> {
    counts.into_iter().map(counts_entry).collect()
}

fn names(posts: &[PostId]) -> Vec<String> {
    posts.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_name_their_posts() {
        let counts = PostCounts {
            likes: 5,
            comments: 0,
            replies: 1,
            exact: false,
        };
        let Some(Event::Snapshot(snapshot)) = counts_event(CountsEvent::Snapshot {
            counts: vec![(PostId(2), counts), (PostId(1), counts)],
            not_found: vec![PostId(3)],
        })
        .event
        else {
            panic!("a snapshot");
        };
        let ids: Vec<_> = snapshot.counts.iter().map(|entry| entry.post_id.clone()).collect();
        assert_eq!(ids, [PostId(2).to_string(), PostId(1).to_string()]);
        let first = snapshot.counts[0].counts.unwrap();
        assert_eq!((first.likes, first.replies, first.exact), (5, 1, false));
        assert_eq!(snapshot.not_found_ids, [PostId(3).to_string()]);
        let Some(Event::Changed(changed)) = counts_event(CountsEvent::Changed {
            counts: Vec::new(),
            removed: vec![PostId(1)],
        })
        .event
        else {
            panic!("a change");
        };
        assert_eq!(changed.removed_post_ids, [PostId(1).to_string()]);
    }
}
