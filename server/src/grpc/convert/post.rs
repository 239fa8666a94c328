//! Posts on the wire.

use bytes::Bytes;
use social_core::limits;
use social_core::posts::{Post, PostCounts, PostEvent, PostView, Revision, ViewerState, Visibility};
use social_core::text::{Facet, FacetKind};
use social_core::{PostId, etag};
use social_proto::v1::subscribe_post_response::Event;
use social_proto::{spliced, v1};

use super::user::user_summary;
use super::{Fields, comment, count, heartbeat, optional_id, timestamp};

/// A post as one viewer sees it.
pub(crate) fn post(view: &PostView) -> v1::Post {
    v1::Post {
        author: Some(user_summary(&view.author)),
        counts: Some(post_counts(view.counts)),
        viewer: view.viewer.map(viewer_state),
        ..static_post(&view.post)
    }
}

/// What is the same for every reader of a post: its fields 1 to 12.
fn static_post(post: &Post) -> v1::Post {
    v1::Post {
        id: post.id.to_string(),
        title: post.title.clone().unwrap_or_default(),
        content: post.content.clone(),
        visibility: visibility(post.visibility).into(),
        in_reply_to_id: optional_id(post.in_reply_to),
        facets: facets(&post.facets),
        create_time: Some(timestamp(post.created_at)),
        edit_time: post.edited_at.map(timestamp),
        delete_time: post.deleted_at.map(timestamp),
        etag: etag::format(post.version),
        revision_count: i32::try_from(post.revision).unwrap_or(i32::MAX),
        author: None,
        counts: None,
        viewer: None,
    }
}

/// The encoding of a post's fields 1 to 12. Made once for each version of the post.
pub(crate) fn encoded_post(post: &Post) -> Bytes {
    post.encoding
        .get_or_init(|| spliced::encode_static_post(static_post(post)))
        .clone()
}

/// The counts of a post.
pub(crate) fn post_counts(counts: PostCounts) -> v1::PostCounts {
    v1::PostCounts {
        likes: count(counts.likes),
        comments: count(counts.comments),
        replies: count(counts.replies),
        exact: counts.exact,
    }
}

/// The counts of one of several posts.
pub(crate) fn counts_entry((post, counts): (PostId, PostCounts)) -> v1::PostCountsEntry {
    v1::PostCountsEntry {
        post_id: post.to_string(),
        counts: Some(post_counts(counts)),
    }
}

/// How the viewer stands to a post.
pub(crate) fn viewer_state(state: ViewerState) -> v1::PostViewerState {
    v1::PostViewerState {
        liked: state.liked,
        following_author: state.following_author,
        muting_author: state.muting_author,
        is_author: state.is_author,
    }
}

/// What a post was from one edit to the next.
pub(crate) fn revision(revision: Revision) -> v1::PostRevision {
    v1::PostRevision {
        number: i32::try_from(revision.number).unwrap_or(i32::MAX),
        title: revision.title.unwrap_or_default(),
        content: revision.content,
        visibility: visibility(revision.visibility).into(),
        facets: facets(&revision.facets),
        create_time: Some(timestamp(revision.created_at)),
    }
}

/// The answer to a deletion. It says until when the post can come back.
pub(crate) fn deleted_post(view: &PostView) -> v1::DeletePostResponse {
    let until = view
        .post
        .deleted_at
        .map(|deleted| deleted.plus(limits::UNDELETE_WINDOW));
    v1::DeletePostResponse {
        post: Some(post(view)),
        undelete_expire_time: until.map(timestamp),
    }
}

/// One message of SubscribePost.
pub(crate) fn post_event(event: PostEvent) -> v1::SubscribePostResponse {
    let event = match event {
        PostEvent::Snapshot(view) => Event::Snapshot(post(&view)),
        PostEvent::Counts(counts) => Event::Counts(post_counts(counts)),
        PostEvent::CommentCreated(view) => Event::CommentCreated(comment::comment(*view)),
        PostEvent::CommentUpdated(view) => Event::CommentUpdated(comment::comment(*view)),
        PostEvent::CommentDeleted {
            id,
            deleted_at,
            tombstone,
        } => Event::CommentDeleted(v1::PostCommentDeleted {
            comment_id: id.to_string(),
            delete_time: Some(timestamp(deleted_at)),
            tombstone,
        }),
        PostEvent::Edited(view) => Event::PostEdited(post(&view)),
        PostEvent::Deleted(at) => Event::PostDeleted(v1::PostDeleted {
            delete_time: Some(timestamp(at)),
        }),
        PostEvent::Undeleted(view) => Event::PostUndeleted(post(&view)),
        PostEvent::Heartbeat { time, interval } => Event::Heartbeat(heartbeat(time, interval)),
        // How many it was is not known: one at least.
        PostEvent::Gap => Event::Gap(v1::PostStreamGap { dropped: 1 }),
    };
    v1::SubscribePostResponse { event: Some(event) }
}

/// Mentions and hashtags of a text.
pub(super) fn facets(facets: &[Facet]) -> Vec<v1::Facet> {
    facets.iter().map(facet).collect()
}

fn facet(facet: &Facet) -> v1::Facet {
    use v1::facet::Feature;

    let feature = match &facet.kind {
        FacetKind::Mention { user, handle } => Feature::Mention(v1::Mention {
            user_id: user.to_string(),
            handle: handle.to_string(),
        }),
        FacetKind::Hashtag(tag) => Feature::Hashtag(v1::Hashtag { tag: tag.clone() }),
    };
    v1::Facet {
        // Offsets into a text of limits::POST_CONTENT_BYTES at the most.
        byte_start: i32::try_from(facet.start).unwrap_or(i32::MAX),
        byte_end: i32::try_from(facet.end).unwrap_or(i32::MAX),
        feature: Some(feature),
    }
}

/// Who sees a post.
pub(crate) fn visibility(visibility: Visibility) -> v1::Visibility {
    match visibility {
        Visibility::Public => v1::Visibility::Public,
        Visibility::Followers => v1::Visibility::Followers,
        Visibility::Private => v1::Visibility::Private,
    }
}

/// Who may be said to see a post.
pub(super) const VISIBILITIES: [(i32, &str, Visibility); 3] = [
    (v1::Visibility::Public as i32, "VISIBILITY_PUBLIC", Visibility::Public),
    (
        v1::Visibility::Followers as i32,
        "VISIBILITY_FOLLOWERS",
        Visibility::Followers,
    ),
    (
        v1::Visibility::Private as i32,
        "VISIBILITY_PRIVATE",
        Visibility::Private,
    ),
];

/// Reads who is to see a post.
pub(crate) fn read_visibility(fields: &mut Fields, value: i32) -> Visibility {
    fields
        .choice("visibility", value, &VISIBILITIES)
        .unwrap_or(Visibility::Private)
}

/// Reads who is to see a post that is new: everybody where it is not said.
pub(crate) fn read_new_visibility(fields: &mut Fields, value: i32) -> Visibility {
    if value == v1::Visibility::Unspecified as i32 {
        return Visibility::Public;
    }
    read_visibility(fields, value)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use prost::Message as _;
    use social_core::posts::PostDraft;
    use social_core::{Time, UserId};

    use super::*;
    use crate::grpc::convert::user::tests::ada;

    pub(crate) fn view() -> PostView {
        let draft = PostDraft {
            author: UserId(1),
            title: Some("Title".to_owned()),
            content: "hello @bob #rust".to_owned(),
            visibility: Visibility::Followers,
            in_reply_to: Some(PostId(7)),
            facets: vec![
                Facet {
                    start: 6,
                    end: 10,
                    kind: FacetKind::Mention {
                        user: UserId(2),
                        handle: "bob".parse().unwrap(),
                    },
                },
                Facet {
                    start: 11,
                    end: 16,
                    kind: FacetKind::Hashtag("rust".to_owned()),
                },
            ],
        };
        PostView {
            post: Arc::new(draft.into_post(PostId(9), Time::from_unix_ms(1_500))),
            author: Arc::new(ada()),
            counts: PostCounts {
                likes: 1,
                comments: 2,
                replies: 3,
                exact: true,
            },
            viewer: Some(ViewerState {
                liked: true,
                ..ViewerState::default()
            }),
        }
    }

    #[test]
    fn a_post_goes_out_whole() {
        let view = view();
        let post = post(&view);
        assert_eq!(
            (post.id.as_str(), post.title.as_str()),
            (PostId(9).to_string().as_str(), "Title")
        );
        assert_eq!(
            (post.visibility(), post.in_reply_to_id.clone()),
            (v1::Visibility::Followers, PostId(7).to_string())
        );
        assert_eq!((post.etag.as_str(), post.revision_count), ("e1", 1));
        assert_eq!((post.edit_time, post.delete_time), (None, None));
        assert_eq!(post.create_time.unwrap().nanos, 500_000_000);
        assert_eq!(post.author.unwrap().handle, "ada");
        assert_eq!(post.counts.unwrap().comments, 2);
        assert!(post.viewer.unwrap().liked);
        let spans: Vec<_> = post
            .facets
            .iter()
            .map(|facet| (facet.byte_start, facet.byte_end))
            .collect();
        assert_eq!(spans, [(6, 10), (11, 16)]);
    }

    #[test]
    fn a_kept_encoding_is_that_of_the_fields_which_all_readers_share() {
        let view = view();
        let encoded = encoded_post(&view.post);
        assert_eq!(v1::Post::decode(encoded.clone()).unwrap(), static_post(&view.post));
        assert_eq!(encoded_post(&view.post).as_ptr(), encoded.as_ptr());
    }

    #[test]
    fn visibilities_go_over_the_wire_and_back() {
        for (number, name, choice) in VISIBILITIES {
            assert_eq!(visibility(choice).as_str_name(), name);
            assert_eq!(i32::from(visibility(choice)), number);
            let mut fields = Fields::new();
            assert_eq!(read_visibility(&mut fields, number), choice);
            assert_eq!(read_new_visibility(&mut fields, number), choice);
            assert_eq!(fields.check(), Ok(()));
        }
        let mut fields = Fields::new();
        assert_eq!(read_new_visibility(&mut fields, 0), Visibility::Public);
        assert_eq!(fields.check(), Ok(()));
        for (value, read) in [
            (0, read_visibility as fn(&mut Fields, i32) -> Visibility),
            (9, read_new_visibility),
            (-1, read_visibility),
        ] {
            let mut fields = Fields::new();
            read(&mut fields, value);
            let error = fields.check().unwrap_err();
            assert_eq!(error.violations[0].field, "visibility");
            assert!(error.violations[0].description.contains("VISIBILITY_FOLLOWERS"));
        }
    }

    #[test]
    fn a_deletion_says_until_when_it_can_be_undone() {
        let mut view = view();
        let deleted_at = Time::from_unix_ms(10_000);
        view.post = Arc::new(Post {
            deleted_at: Some(deleted_at),
            ..(*view.post).clone()
        });
        let answer = deleted_post(&view);
        assert_eq!(answer.post.unwrap().delete_time, Some(timestamp(deleted_at)));
        assert_eq!(answer.undelete_expire_time.unwrap().seconds, 10 + 30 * 24 * 3600);
    }
}
