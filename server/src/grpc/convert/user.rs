//! Users on the wire.

use bytes::Bytes;
use social_core::graph::Relation;
use social_core::users::{User, UserCounts, UserRef, UserView};
use social_core::{Error, UserId, etag};
use social_proto::v1::get_user_request;
use social_proto::{spliced, v1};

use super::{Fields, count, timestamp};

/// A user's profile as one viewer sees it.
pub(crate) fn user(view: &UserView) -> v1::User {
    let user = &view.user;
    v1::User {
        id: user.id.to_string(),
        handle: user.handle.to_string(),
        display_name: user.display_name.clone(),
        bio: user.bio.clone(),
        create_time: Some(timestamp(user.created_at)),
        update_time: Some(timestamp(user.updated_at)),
        etag: etag::format(user.version),
        counts: Some(user_counts(view.counts)),
        viewer_relationship: view.relation.map(|relation| relationship(user.id, relation)),
    }
}

/// What is shown of a user next to something of theirs.
pub(crate) fn user_summary(user: &User) -> v1::UserSummary {
    v1::UserSummary {
        id: user.id.to_string(),
        handle: user.handle.to_string(),
        display_name: user.display_name.clone(),
    }
}

/// The encoding of a user's summary. Made once for each version of the profile.
pub(crate) fn encoded_summary(user: &User) -> Bytes {
    user.encoding
        .get_or_init(|| spliced::encode_author(&user_summary(user)))
        .clone()
}

fn user_counts(counts: UserCounts) -> v1::UserCounts {
    v1::UserCounts {
        posts: count(counts.posts),
        followers: count(counts.followers),
        following: count(counts.following),
        exact: counts.exact,
    }
}

/// How the viewer stands to a user.
pub(crate) fn relationship(user: UserId, relation: Relation) -> v1::Relationship {
    v1::Relationship {
        user_id: user.to_string(),
        following: relation.following,
        followed_by: relation.followed_by,
        blocking: relation.blocking,
        blocked_by: relation.blocked_by,
        muting: relation.muting,
    }
}

/// The ids of which there is no user.
pub(crate) fn user_ids(ids: &[UserId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Reads which user is meant.
pub(crate) fn read_user_ref(user: Option<&get_user_request::User>) -> Result<UserRef, Error> {
    match user {
        Some(get_user_request::User::Id(id)) => {
            let mut fields = Fields::new();
            let id = fields.id("id", id);
            fields.check().map(|()| UserRef::Id(id))
        }
        Some(get_user_request::User::Handle(handle)) => handle.parse().map(UserRef::Handle),
        None => Err(Error::field("user", "is required: id or handle")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use prost::Message as _;
    use social_core::Time;
    use social_core::posts::Encoding;

    use super::*;

    pub(crate) fn ada() -> User {
        User {
            id: UserId(1),
            handle: "ada".parse().unwrap(),
            display_name: "Ada".to_owned(),
            bio: "counts".to_owned(),
            created_at: Time::from_unix_ms(1_000),
            updated_at: Time::from_unix_ms(2_000),
            version: 3,
            encoding: Encoding::default(),
        }
    }

    #[test]
    fn a_profile_goes_out_whole() {
        let relation = Relation {
            following: true,
            blocked_by: true,
            ..Relation::default()
        };
        let view = UserView {
            user: Arc::new(ada()),
            counts: UserCounts {
                posts: 1,
                followers: 2,
                following: 3,
                exact: true,
            },
            relation: Some(relation),
        };
        let user = user(&view);
        assert_eq!(
            (user.handle.as_str(), user.bio.as_str(), user.etag.as_str()),
            ("ada", "counts", "e3")
        );
        assert_eq!(
            (user.create_time.unwrap().seconds, user.update_time.unwrap().seconds),
            (1, 2)
        );
        let counts = user.counts.unwrap();
        assert_eq!(
            (counts.posts, counts.followers, counts.following, counts.exact),
            (1, 2, 3, true)
        );
        let relationship = user.viewer_relationship.unwrap();
        assert_eq!(relationship.user_id, user.id);
        assert!(relationship.following && relationship.blocked_by);
        assert!(!relationship.followed_by && !relationship.blocking && !relationship.muting);
    }

    #[test]
    fn a_kept_summary_is_that_of_the_user() {
        let ada = ada();
        let encoded = encoded_summary(&ada);
        assert_eq!(v1::UserSummary::decode(encoded.clone()).unwrap(), user_summary(&ada));
        assert_eq!(encoded_summary(&ada).as_ptr(), encoded.as_ptr());
    }

    #[test]
    fn users_are_meant_by_id_or_handle() {
        use get_user_request::User::{Handle, Id};

        let id = UserId(5);
        assert_eq!(read_user_ref(Some(&Id(id.to_string()))), Ok(UserRef::Id(id)));
        let handle = Handle("Ada_1".to_owned());
        assert_eq!(
            read_user_ref(Some(&handle)),
            Ok(UserRef::Handle("ada_1".parse().unwrap()))
        );
        for (user, field) in [
            (None, "user"),
            (Some(Id(String::new())), "id"),
            (Some(Id("ada".to_owned())), "id"),
            (Some(Handle(String::new())), "handle"),
            (Some(Handle("@ada".to_owned())), "handle"),
        ] {
            let error = read_user_ref(user.as_ref()).unwrap_err();
            assert_eq!(error.violations[0].field, field, "{user:?}");
        }
    }
}
