//! Comments on the wire.

use social_core::comments::CommentView;
use social_core::etag;
use social_proto::v1;

use super::user::user_summary;
use super::{count, optional_id, timestamp};

/// A comment as one viewer sees it; a deleted one is a tombstone, without author and text.
pub(crate) fn comment(CommentView { comment, author }: CommentView) -> v1::Comment {
    let is_deleted = comment.is_deleted();
    v1::Comment {
        id: comment.id.to_string(),
        post_id: comment.post.to_string(),
        parent_id: optional_id(comment.parent),
        author: author.filter(|_| !is_deleted).map(|author| user_summary(&author)),
        create_time: Some(timestamp(comment.created_at)),
        edit_time: comment.edited_at.map(timestamp),
        delete_time: comment.deleted_at.map(timestamp),
        etag: etag::format(comment.version),
        reply_count: count(comment.replies),
        content: if is_deleted { String::new() } else { comment.content },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use social_core::comments::{Comment, CommentDraft};
    use social_core::{CommentId, PostId, Time, UserId};

    use super::*;
    use crate::grpc::convert::user::tests::ada;

    fn written() -> Comment {
        let draft = CommentDraft {
            post: PostId(1),
            parent: Some(CommentId(2)),
            depth: 1,
            author: UserId(1),
            content: "so it is".to_owned(),
            facets: Vec::new(),
        };
        Comment {
            replies: 4,
            ..draft.into_comment(CommentId(3), Time::from_unix_ms(5_000))
        }
    }

    #[test]
    fn a_comment_goes_out_whole() {
        let comment = comment(CommentView {
            comment: written(),
            author: Some(Arc::new(ada())),
        });
        assert_eq!(comment.id, CommentId(3).to_string());
        assert_eq!(
            (comment.post_id, comment.parent_id),
            (PostId(1).to_string(), CommentId(2).to_string())
        );
        assert_eq!((comment.content.as_str(), comment.reply_count), ("so it is", 4));
        assert_eq!(comment.author.unwrap().handle, "ada");
        assert_eq!((comment.edit_time, comment.delete_time), (None, None));
    }

    #[test]
    fn a_tombstone_tells_neither_text_nor_author() {
        let deleted = Comment {
            deleted_at: Some(Time::from_unix_ms(6_000)),
            ..written()
        };
        let comment = comment(CommentView {
            comment: deleted,
            author: Some(Arc::new(ada())),
        });
        assert_eq!((comment.content.as_str(), comment.author), ("", None));
        assert_eq!(comment.delete_time.unwrap().seconds, 6);
    }
}
