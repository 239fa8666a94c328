//! Imports on the wire.
//!
//! An item that cannot be read is rejected by itself and does not stop the others, so what is wrong with a field goes into the item.

use social_core::import::{FollowItem, ImportKind, ImportProgress, PostItem, Rejection, UserItem, Who};
use social_core::posts::Visibility;
use social_core::{Error, PostId, Result, Time};
use social_proto::v1;
use social_proto::v1::{import_follow, import_post};
use uuid::Uuid;

use super::post::read_new_visibility;
use super::{Fields, count, timestamp};
use crate::grpc::status::reason_name;

/// A user to bring in.
pub(crate) fn user_item(user: v1::ImportUser) -> UserItem {
    UserItem {
        handle: user.handle,
        display_name: user.display_name,
        bio: user.bio,
        password_hash: user.password_hash,
        created_at: created_at(user.create_time.as_ref()),
    }
}

/// A post to bring in.
pub(crate) fn post_item(post: v1::ImportPost) -> PostItem {
    PostItem {
        author: match &post.author {
            Some(import_post::Author::AuthorId(id)) => by_id("author_id", id),
            Some(import_post::Author::AuthorHandle(handle)) => by_handle("author_handle", handle),
            None => Err(Error::field("author", "is required: author_id or author_handle")),
        },
        visibility: visibility(post.visibility),
        in_reply_to: read(|fields| fields.optional_id::<PostId>("in_reply_to_id", &post.in_reply_to_id)),
        created_at: created_at(post.create_time.as_ref()),
        title: post.title,
        content: post.content,
    }
}

/// A follow to bring in.
pub(crate) fn follow_item(follow: &v1::ImportFollow) -> FollowItem {
    FollowItem {
        follower: match &follow.follower {
            Some(import_follow::Follower::FollowerId(id)) => by_id("follower_id", id),
            Some(import_follow::Follower::FollowerHandle(handle)) => by_handle("follower_handle", handle),
            None => Err(Error::field("follower", "is required: follower_id or follower_handle")),
        },
        followee: match &follow.followee {
            Some(import_follow::Followee::FolloweeId(id)) => by_id("followee_id", id),
            Some(import_follow::Followee::FolloweeHandle(handle)) => by_handle("followee_handle", handle),
            None => Err(Error::field("followee", "is required: followee_id or followee_handle")),
        },
        created_at: created_at(follow.create_time.as_ref()),
    }
}

fn read<T>(read: impl FnOnce(&mut Fields) -> T) -> Result<T> {
    let mut fields = Fields::new();
    let value = read(&mut fields);
    fields.check().map(|()| value)
}

fn by_id(field: &str, text: &str) -> Result<Who> {
    read(|fields| Who::Id(fields.id(field, text)))
}

fn by_handle(field: &str, text: &str) -> Result<Who> {
    let handle = text.parse().map_err(|error: Error| {
        let hint = error
            .violations
            .into_iter()
            .next()
            .map_or_else(String::new, |violation| violation.description);
        Error::field(field, hint)
    })?;
    Ok(Who::Handle(handle))
}

fn visibility(value: i32) -> Result<Visibility> {
    read(|fields| read_new_visibility(fields, value))
}

/// A time that cannot be read stands at the beginning of 1970, where nothing can be imported to: the item is rejected for it.
fn created_at(time: Option<&prost_types::Timestamp>) -> Option<Time> {
    read(|fields| fields.time("create_time", time)).unwrap_or_else(|_| Some(Time::default()))
}

/// How far an import has come.
pub(crate) fn progress(import: Uuid, progress: &ImportProgress) -> v1::ImportProgress {
    v1::ImportProgress {
        import_id: import.to_string(),
        kind: kind(progress.kind).into(),
        imported: count(progress.imported),
        rejected: count(progress.rejected),
        rejections: progress.rejections.iter().map(rejection).collect(),
        next_offset: count(progress.next_offset),
        create_time: Some(timestamp(progress.created_at)),
        update_time: Some(timestamp(progress.updated_at)),
    }
}

fn kind(kind: ImportKind) -> v1::ImportKind {
    match kind {
        ImportKind::Users => v1::ImportKind::Users,
        ImportKind::Posts => v1::ImportKind::Posts,
        ImportKind::Follows => v1::ImportKind::Follows,
    }
}

fn rejection(rejection: &Rejection) -> v1::ImportRejection {
    v1::ImportRejection {
        index: count(rejection.offset),
        reason: reason_name(rejection.reason).to_owned(),
        field: rejection.field.clone(),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use social_core::UserId;

    use super::*;

    fn field<T: std::fmt::Debug>(outcome: Result<T>) -> String {
        outcome.unwrap_err().violations[0].field.clone()
    }

    #[test]
    fn users_are_named_by_id_or_handle() {
        let ada = UserId(5);
        let item = follow_item(&v1::ImportFollow {
            follower: Some(import_follow::Follower::FollowerId(ada.to_string())),
            followee: Some(import_follow::Followee::FolloweeHandle("Bob".to_owned())),
            create_time: Some(Timestamp { seconds: 1, nanos: 0 }),
        });
        assert_eq!(item.follower, Ok(Who::Id(ada)));
        assert_eq!(item.followee, Ok(Who::Handle("bob".parse().unwrap())));
        assert_eq!(item.created_at, Some(Time::from_unix_ms(1_000)));

        let item = follow_item(&v1::ImportFollow {
            follower: Some(import_follow::Follower::FollowerId("5".to_owned())),
            followee: None,
            create_time: None,
        });
        assert_eq!(
            (field(item.follower), field(item.followee)),
            ("follower_id".to_owned(), "followee".to_owned())
        );
        assert_eq!(item.created_at, None);
    }

    #[test]
    fn posts_keep_what_is_wrong_with_them() {
        let good = post_item(v1::ImportPost {
            author: Some(import_post::Author::AuthorHandle("ada".to_owned())),
            content: "hello".to_owned(),
            ..Default::default()
        });
        assert_eq!((good.visibility, good.in_reply_to), (Ok(Visibility::Public), Ok(None)));
        assert_eq!((good.content.as_str(), good.created_at), ("hello", None));

        let bad = post_item(v1::ImportPost {
            author: Some(import_post::Author::AuthorHandle("!".to_owned())),
            visibility: 9,
            in_reply_to_id: "x".to_owned(),
            create_time: Some(Timestamp { seconds: -1, nanos: 0 }),
            ..Default::default()
        });
        assert_eq!(field(bad.author), "author_handle");
        assert_eq!(field(bad.visibility), "visibility");
        assert_eq!(field(bad.in_reply_to), "in_reply_to_id");
        assert_eq!(bad.created_at, Some(Time::default()));
    }

    #[test]
    fn progress_names_the_import_and_its_kind() {
        for (kind, expected) in [
            (ImportKind::Users, v1::ImportKind::Users),
            (ImportKind::Posts, v1::ImportKind::Posts),
            (ImportKind::Follows, v1::ImportKind::Follows),
        ] {
            let mut counted = ImportProgress::new(kind, Time::from_unix_ms(1_000));
            counted.note(&Ok(()));
            counted.note(&Err(Error::field("handle", "is bad")));
            let wire = progress(Uuid::max(), &counted);
            assert_eq!((wire.kind(), wire.import_id), (expected, Uuid::max().to_string()));
            assert_eq!((wire.imported, wire.rejected, wire.next_offset), (1, 1, 2));
            let rejected = &wire.rejections[0];
            assert_eq!(
                (rejected.index, rejected.reason.as_str(), rejected.field.as_str()),
                (1, "INVALID_FIELD", "handle")
            );
        }
    }
}
