//! The table of all methods. A method that is not in it is refused.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Verdict::{Allow, Deny, Hidden};
use super::{Class, Credentials, Rule, Verdict};
use crate::error::Reason;

/// What makes no difference to who asks, once the credentials are in order.
const ANY: Object = Object {
    other: Allow,
    blocked: Allow,
    owner: Allow,
};

/// What another user, a blocked user and the owner get.
#[derive(Clone, Copy)]
struct Object {
    other: Verdict,
    blocked: Verdict,
    owner: Verdict,
}

/// A method about the caller, or one to which relations make no difference.
const fn any(path: &'static str, credentials: Credentials, class: Class) -> Rule {
    on(path, credentials, class, ANY)
}

/// A method that is refused to whom the owner blocks.
const fn unless_blocked(path: &'static str, credentials: Credentials, class: Class, blocked: Verdict) -> Rule {
    on(path, credentials, class, Object { blocked, ..ANY })
}

/// A method of the owner alone.
const fn owner_only(path: &'static str, class: Class, other: Reason, blocked: Reason) -> Rule {
    on(
        path,
        Credentials::User,
        class,
        Object {
            other: Deny(other),
            blocked: Deny(blocked),
            owner: Allow,
        },
    )
}

/// A method from one user towards another: not towards oneself.
const fn towards(path: &'static str, blocked: Verdict) -> Rule {
    on(
        path,
        Credentials::User,
        Class::Write,
        Object {
            other: Allow,
            blocked,
            owner: Deny(Reason::SelfReference),
        },
    )
}

const fn admin(path: &'static str) -> Rule {
    let user = Deny(Reason::TokenInvalid);
    on(
        path,
        Credentials::Admin,
        Class::Admin,
        Object {
            other: user,
            blocked: user,
            owner: user,
        },
    )
}

const fn on(path: &'static str, credentials: Credentials, class: Class, object: Object) -> Rule {
    let (anonymous, expired, admin) = match credentials {
        Credentials::None => (Allow, Allow, Allow),
        Credentials::Optional => (Allow, Deny(Reason::TokenExpired), Deny(Reason::TokenInvalid)),
        Credentials::User => (
            Deny(Reason::TokenMissing),
            Deny(Reason::TokenExpired),
            Deny(Reason::TokenInvalid),
        ),
        Credentials::Admin => (Deny(Reason::TokenMissing), Deny(Reason::TokenInvalid), Allow),
    };
    Rule {
        path,
        credentials,
        class,
        verdicts: [anonymous, expired, object.other, object.blocked, object.owner, admin],
    }
}

use Class::{Auth, Read, Stream, Write};
use Credentials::{Optional, User};
use Reason::{Blocked, CommentNotFound, FanoutNotFound, PermissionDenied, PostNotFound, SessionNotFound};

const NO_POST: Verdict = Deny(PostNotFound);

/// The rule of every method. Objects are the owner's, and posts PUBLIC; the object of UndeletePost is deleted.
pub static TABLE: &[Rule] = &[
    any("/social.v1.AuthService/Register", Credentials::None, Auth),
    any("/social.v1.AuthService/Login", Credentials::None, Auth),
    any("/social.v1.AuthService/RefreshToken", Credentials::None, Auth),
    any("/social.v1.AuthService/Logout", User, Write),
    any("/social.v1.AuthService/ChangePassword", User, Auth),
    any("/social.v1.AuthService/ListSessions", User, Read),
    owner_only(
        "/social.v1.AuthService/RevokeSession",
        Write,
        SessionNotFound,
        SessionNotFound,
    ),
    // Profiles are open: a blocked user must be able to learn why there is nothing to follow.
    any("/social.v1.UserService/GetUser", Optional, Read),
    any("/social.v1.UserService/BatchGetUsers", Optional, Read),
    any("/social.v1.UserService/UpdateProfile", User, Write),
    any("/social.v1.UserService/BatchGetRelationships", User, Read),
    // The object of CreatePost is the post that is replied to.
    unless_blocked("/social.v1.PostService/CreatePost", User, Write, NO_POST),
    unless_blocked("/social.v1.PostService/GetPost", Optional, Read, NO_POST),
    unless_blocked("/social.v1.PostService/BatchGetPosts", Optional, Read, Hidden),
    owner_only(
        "/social.v1.PostService/UpdatePost",
        Write,
        PermissionDenied,
        PostNotFound,
    ),
    owner_only(
        "/social.v1.PostService/DeletePost",
        Write,
        PermissionDenied,
        PostNotFound,
    ),
    owner_only("/social.v1.PostService/UndeletePost", Write, PostNotFound, PostNotFound),
    unless_blocked("/social.v1.PostService/ListPostRevisions", Optional, Read, NO_POST),
    unless_blocked("/social.v1.PostService/ListUserPosts", Optional, Read, Hidden),
    unless_blocked("/social.v1.PostService/SubscribePost", Optional, Stream, NO_POST),
    unless_blocked("/social.v1.CommentService/CreateComment", User, Write, NO_POST),
    // The object is the owner's comment on their own post.
    owner_only(
        "/social.v1.CommentService/UpdateComment",
        Write,
        PermissionDenied,
        CommentNotFound,
    ),
    owner_only(
        "/social.v1.CommentService/DeleteComment",
        Write,
        PermissionDenied,
        CommentNotFound,
    ),
    unless_blocked("/social.v1.CommentService/ListComments", Optional, Read, NO_POST),
    unless_blocked("/social.v1.CommentService/BatchGetComments", Optional, Read, Hidden),
    unless_blocked("/social.v1.LikeService/LikePost", User, Write, NO_POST),
    unless_blocked("/social.v1.LikeService/UnlikePost", User, Write, NO_POST),
    unless_blocked("/social.v1.LikeService/ListPostLikers", Optional, Read, NO_POST),
    // The owner likes a post of their own.
    unless_blocked("/social.v1.LikeService/ListUserLikes", User, Read, Hidden),
    unless_blocked("/social.v1.LikeService/BatchGetCounts", Optional, Read, Hidden),
    unless_blocked("/social.v1.LikeService/SubscribeCounts", Optional, Stream, Hidden),
    towards("/social.v1.GraphService/Follow", Deny(Blocked)),
    towards("/social.v1.GraphService/Unfollow", Allow),
    towards("/social.v1.GraphService/RemoveFollower", Allow),
    any("/social.v1.GraphService/ListFollowers", User, Read),
    any("/social.v1.GraphService/ListFollowing", User, Read),
    any("/social.v1.GraphService/StreamFollowers", User, Stream),
    towards("/social.v1.GraphService/Block", Allow),
    towards("/social.v1.GraphService/Unblock", Allow),
    towards("/social.v1.GraphService/Mute", Allow),
    towards("/social.v1.GraphService/Unmute", Allow),
    any("/social.v1.GraphService/ListBlocks", User, Read),
    any("/social.v1.GraphService/ListMutes", User, Read),
    // A home timeline is always the caller's own.
    any("/social.v1.TimelineService/GetHomeTimeline", User, Read),
    any("/social.v1.TimelineService/GetMarker", User, Read),
    any("/social.v1.TimelineService/SetMarker", User, Write),
    owner_only(
        "/social.v1.TimelineService/GetFanoutStatus",
        Read,
        FanoutNotFound,
        FanoutNotFound,
    ),
    any("/social.v1.TimelineService/SubscribeHomeTimeline", User, Stream),
    admin("/social.v1.AdminService/GetFanoutPolicy"),
    admin("/social.v1.AdminService/SetFanoutPolicy"),
    admin("/social.v1.AdminService/RebuildTimeline"),
    admin("/social.v1.AdminService/RecountPost"),
    admin("/social.v1.AdminService/ListDeadLetters"),
    admin("/social.v1.AdminService/ReplayDeadLetter"),
    admin("/social.v1.AdminService/ListOutboxEvents"),
    admin("/social.v1.AdminService/GetCluster"),
    admin("/social.v1.AdminService/GetStorageStats"),
    admin("/social.v1.AdminService/StreamBackup"),
    admin("/social.v1.AdminService/ImportUsers"),
    admin("/social.v1.AdminService/ImportPosts"),
    admin("/social.v1.AdminService/ImportFollows"),
    admin("/social.v1.AdminService/GetImport"),
    admin("/social.v1.AdminService/StreamArchive"),
    admin("/social.v1.AdminService/ImportArchive"),
    admin("/social.v1.AdminService/GetArchiveImport"),
];

/// The rule of a method.
pub fn rule(path: &str) -> Option<&'static Rule> {
    static BY_PATH: LazyLock<HashMap<&'static str, &'static Rule>> =
        LazyLock::new(|| TABLE.iter().map(|rule| (rule.path, rule)).collect());
    BY_PATH.get(path).copied()
}

#[cfg(test)]
mod tests {
    use super::super::Who;
    use super::*;

    #[test]
    fn each_method_has_one_rule_that_is_found() {
        for row in TABLE {
            assert_eq!(rule(row.path), Some(row));
            assert_eq!(
                TABLE.iter().filter(|other| other.path == row.path).count(),
                1,
                "{}",
                row.path
            );
        }
        assert_eq!(rule("/social.v1.PostService/Nothing"), None);
        assert_eq!(rule(""), None);
    }

    #[test]
    fn every_method_of_the_protocol_has_a_rule() {
        // The server's test walks the descriptor set; this one needs only the sources, so that core fails first.
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/social/v1");
        let mut methods = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut service = "";
            for line in source.lines() {
                let mut words = line.trim_start().split([' ', '(']);
                match words.next() {
                    Some("service") => service = words.next().unwrap(),
                    Some("rpc") => methods.push(format!("/social.v1.{service}/{}", words.next().unwrap())),
                    _ => {}
                }
            }
        }
        let mut listed: Vec<_> = TABLE.iter().map(|rule| rule.path.to_owned()).collect();
        listed.sort();
        methods.sort();
        assert_eq!(listed, methods);
    }

    #[test]
    fn owners_are_refused_nothing_but_themselves_and_the_admin_port() {
        for row in TABLE {
            let allowed = match row.verdict(Who::Owner) {
                Allow => true,
                Deny(Reason::SelfReference) => row.path.contains("GraphService"),
                Deny(Reason::TokenInvalid) => row.credentials == Credentials::Admin,
                _ => false,
            };
            assert!(allowed, "{}", row.path);
            assert_eq!(
                row.verdict(Who::Admin) == Allow,
                matches!(row.credentials, Credentials::Admin | Credentials::None)
            );
        }
    }
}
