//! A spliced home page has the bytes of the message that it stands for.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use prost_types::Timestamp;
use social_proto::spliced::{HomeTimelineEnd, HomeTimelineItem, HomeTimelinePage, encode_author, encode_static_post};
use social_proto::v1;

fn timestamps() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_i32).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn facets() -> impl Strategy<Value = v1::Facet> {
    (0..40_000_i32, 0..40_000_i32, ".{0,20}", any::<bool>()).prop_map(|(byte_start, byte_end, name, mention)| {
        let feature = if mention {
            v1::facet::Feature::Mention(v1::Mention {
                user_id: name.clone(),
                handle: name,
            })
        } else {
            v1::facet::Feature::Hashtag(v1::Hashtag { tag: name })
        };
        v1::Facet {
            byte_start,
            byte_end,
            feature: Some(feature),
        }
    })
}

prop_compose! {
    fn counts()(likes: i64, comments in 0..300_i64, replies in 0..300_i64, exact: bool) -> v1::PostCounts {
        v1::PostCounts { likes, comments, replies, exact }
    }
}

prop_compose! {
    fn viewers()(liked: bool, following_author: bool, muting_author: bool, is_author: bool) -> v1::PostViewerState {
        v1::PostViewerState { liked, following_author, muting_author, is_author }
    }
}

prop_compose! {
    fn posts()(
        texts in (".{0,13}", ".{0,200}", ".{0,300}", ".{0,13}", ".{0,20}"),
        visibility in 0..4_i32,
        facets in vec(facets(), 0..3),
        times in (option::of(timestamps()), option::of(timestamps()), option::of(timestamps())),
        revision_count: i32,
        author in (".{0,13}", ".{0,30}", ".{0,50}"),
        counts in counts(),
        viewer in option::of(viewers()),
    ) -> v1::Post {
        let (id, title, content, in_reply_to_id, etag) = texts;
        let (create_time, edit_time, delete_time) = times;
        let author = v1::UserSummary { id: author.0, handle: author.1, display_name: author.2 };
        v1::Post {
            id, title, content, visibility, in_reply_to_id, facets, create_time, edit_time, delete_time, etag,
            revision_count, author: Some(author), counts: Some(counts), viewer,
        }
    }
}

prop_compose! {
    fn responses()(
        items in vec((posts(), 0..3_i32), 0..5),
        next_page_token in ".{0,200}",
        head_cursor in ".{0,200}",
        completeness in 0..3_i32,
        reset: bool,
    ) -> v1::GetHomeTimelineResponse {
        let items = items.into_iter().map(|(post, reason)| v1::TimelineItem { post: Some(post), reason }).collect();
        v1::GetHomeTimelineResponse { items, next_page_token, head_cursor, completeness, reset }
    }
}

fn spliced(response: &v1::GetHomeTimelineResponse) -> HomeTimelinePage {
    let items = response.items.iter().map(|item| {
        let post = item.post.clone().unwrap();
        HomeTimelineItem {
            author: encode_author(post.author.as_ref().unwrap()),
            counts: post.counts.unwrap(),
            viewer: post.viewer,
            reason: item.reason(),
            post: encode_static_post(post),
        }
    });
    let end = HomeTimelineEnd {
        next_page_token: response.next_page_token.clone(),
        head_cursor: response.head_cursor.clone(),
        completeness: response.completeness(),
        reset: response.reset,
    };
    HomeTimelinePage::new(items.collect(), end)
}

proptest! {
    #[test]
    fn a_page_is_the_message_byte_for_byte(response in responses()) {
        let page = spliced(&response);
        let bytes = page.encode_to_vec();
        prop_assert_eq!(page.encoded_len(), bytes.len());
        prop_assert_eq!(&bytes, &response.encode_to_vec());
        prop_assert_eq!(v1::GetHomeTimelineResponse::decode(bytes.as_slice()).unwrap(), response);
    }
}

#[test]
fn an_empty_page_is_no_bytes() {
    assert!(HomeTimelinePage::default().encode_to_vec().is_empty());
    assert_eq!(
        HomeTimelinePage::new(Vec::new(), HomeTimelineEnd::default()),
        HomeTimelinePage::default()
    );
}

#[test]
fn static_posts_hold_no_field_above_twelve() {
    let post = v1::Post {
        id: "0123456789abc".into(),
        author: Some(v1::UserSummary::default()),
        counts: Some(v1::PostCounts::default()),
        viewer: Some(v1::PostViewerState::default()),
        ..Default::default()
    };
    let decoded = v1::Post::decode(encode_static_post(post.clone())).unwrap();
    assert_eq!(
        decoded,
        v1::Post {
            author: None,
            counts: None,
            viewer: None,
            ..post
        }
    );
}

#[test]
fn a_page_cannot_be_decoded() {
    let response = v1::GetHomeTimelineResponse {
        head_cursor: "head".into(),
        ..Default::default()
    };
    assert!(HomeTimelinePage::decode(response.encode_to_vec().as_slice()).is_err());
}
