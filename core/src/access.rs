//! Who may do what: the one place where that is decided.
//!
//! [`rule`] states for each method of the API which credentials it takes, what it costs, and what each kind of caller
//! gets; the edge refuses a method without a rule. The functions decide about single objects, and every
//! operation asks them instead of comparing ids itself.

mod table;

pub use table::{TABLE, rule};

use crate::comments::Comment;
use crate::error::{Error, Reason, Result};
use crate::graph::Relation;
use crate::id::UserId;
use crate::posts::{Post, Visibility};
use crate::request::{Caller, Viewer};

/// Which credentials a method takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// None: an `authorization` header is not looked at.
    None,
    /// An access token may be sent. One that is sent must be valid; without one the caller is anonymous.
    Optional,
    /// An access token of a user.
    User,
    /// The admin token, on the admin port.
    Admin,
}

/// What a call costs, for rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Computes or guards credentials.
    Auth,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Opens a stream that stays.
    Stream,
    /// An operator's call.
    Admin,
}

/// A kind of caller. The object of the call is something of the *owner*'s: their post (PUBLIC), comment, session, profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Sends no token.
    Anonymous,
    /// Sends an access token past its time.
    Expired,
    /// A user who has nothing to do with the owner.
    Other,
    /// A user whom the owner blocks.
    Blocked,
    /// The owner.
    Owner,
    /// Sends the admin token.
    Admin,
}

impl Who {
    /// Every kind of caller, in the order of [`Rule::verdicts`].
    pub const ALL: [Who; 6] = [
        Who::Anonymous,
        Who::Expired,
        Who::Other,
        Who::Blocked,
        Who::Owner,
        Who::Admin,
    ];
}

/// What a kind of caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The call is answered in full.
    Allow,
    /// The call is answered without the object: an empty list, or the id among the ones not found.
    Hidden,
    /// The call is refused for this reason.
    Deny(Reason),
}

/// The rule of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The method's path, as in `/social.v1.PostService/GetPost`.
    pub path: &'static str,
    /// Which credentials it takes.
    pub credentials: Credentials,
    /// What it costs.
    pub class: Class,
    /// What each kind of caller gets, in the order of [`Who::ALL`].
    pub verdicts: [Verdict; 6],
}

impl Rule {
    /// What a kind of caller gets.
    pub fn verdict(&self, who: Who) -> Verdict {
        self.verdicts[who as usize]
    }
}

/// Whether a viewer may see a post now. `relation` is the viewer's to the author, the default one for an anonymous viewer.
///
/// A deleted post is hidden from its author too: operations that show it to the author ask [`is_author`] besides.
pub fn may_read(viewer: Viewer, post: &Post, relation: &Relation) -> bool {
    !post.is_deleted() && sees(viewer, post.author, post.visibility, relation)
}

/// Whether a viewer may see what an author wrote for this visibility.
pub fn sees(viewer: Viewer, author: UserId, visibility: Visibility, relation: &Relation) -> bool {
    if viewer.is(author) {
        return true;
    }
    if relation.is_blocked() {
        return false;
    }
    match visibility {
        Visibility::Public => true,
        Visibility::Followers => viewer.user().is_some() && relation.following,
        Visibility::Private => false,
    }
}

/// Whether the viewer wrote the post.
pub fn is_author(viewer: Viewer, post: &Post) -> bool {
    viewer.is(post.author)
}

/// The caller, who must have written the post, deleted or not, to change it. Others learn by POST_NOT_FOUND only as much
/// as by reading; PERMISSION_DENIED where they may read it.
pub fn own_post(caller: &Caller, post: &Post, relation: &Relation) -> Result<UserId> {
    let user = caller.user()?;
    if user == post.author {
        return Ok(user);
    }
    if may_read(caller.viewer, post, relation) {
        Err(denied("only its author may change a post"))
    } else {
        Err(Error::post_not_found())
    }
}

/// The caller, who must have written the comment to change it. `post` is the one that the comment is on, and the relations are the
/// caller's to the authors of the two. COMMENT_NOT_FOUND where the caller may not see the comment.
pub fn own_comment(
    caller: &Caller,
    comment: &Comment,
    to_author: &Relation,
    post: &Post,
    to_post_author: &Relation,
) -> Result<UserId> {
    let user = caller.user()?;
    let visible = !comment.is_deleted() && may_read(caller.viewer, post, to_post_author);
    if visible && user == comment.author {
        Ok(user)
    } else if visible && may_read_comment(caller.viewer, comment, to_author) {
        Err(denied("only its author may change a comment"))
    } else {
        Err(Error::comment_not_found())
    }
}

/// Whether a viewer who may see the post sees this comment on it: not across a block. `relation` is the viewer's to the
/// comment's author.
pub fn may_read_comment(viewer: Viewer, comment: &Comment, relation: &Relation) -> bool {
    viewer.is(comment.author) || !relation.is_blocked()
}

fn denied(message: &str) -> Error {
    Error::new(Reason::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::id::{PostId, SessionId};
    use crate::posts::PostDraft;

    const AUTHOR: UserId = UserId(1);
    const OTHER: UserId = UserId(2);

    fn post(visibility: Visibility) -> Post {
        let draft = PostDraft {
            author: AUTHOR,
            title: None,
            content: "x".to_owned(),
            visibility,
            in_reply_to: None,
            facets: Vec::new(),
        };
        draft.into_post(PostId(9), Time::from_unix_ms(1))
    }

    fn user(id: UserId) -> Viewer {
        Viewer::User {
            id,
            session: SessionId(7),
        }
    }

    fn caller(viewer: Viewer) -> Caller {
        Caller {
            viewer,
            ..Caller::default()
        }
    }

    #[test]
    fn each_visibility_opens_to_its_readers() {
        let stranger = Relation::default();
        let follower = Relation {
            following: true,
            ..stranger
        };
        let followed = Relation {
            followed_by: true,
            ..stranger
        };
        let blocking = Relation {
            following: true,
            blocking: true,
            ..stranger
        };
        let blocked = Relation {
            following: true,
            blocked_by: true,
            ..stranger
        };
        let cases = [
            // viewer, relation, public, followers, private
            (Viewer::Anonymous, stranger, [true, false, false]),
            (Viewer::Anonymous, follower, [true, false, false]),
            (user(OTHER), stranger, [true, false, false]),
            (user(OTHER), followed, [true, false, false]),
            (user(OTHER), follower, [true, true, false]),
            (user(OTHER), blocking, [false, false, false]),
            (user(OTHER), blocked, [false, false, false]),
            (user(AUTHOR), stranger, [true, true, true]),
        ];
        for (viewer, relation, expected) in cases {
            let got = [Visibility::Public, Visibility::Followers, Visibility::Private]
                .map(|visibility| may_read(viewer, &post(visibility), &relation));
            assert_eq!(got, expected, "{viewer:?} {relation:?}");
            let gone = Post {
                deleted_at: Some(Time::from_unix_ms(2)),
                ..post(Visibility::Public)
            };
            assert!(!may_read(viewer, &gone, &relation));
        }
    }

    #[test]
    fn changing_a_post_tells_strangers_no_more_than_reading_it() {
        let stranger = Relation::default();
        let reason =
            |viewer, post: &Post, relation: &Relation| own_post(&caller(viewer), post, relation).map_err(|e| e.reason);
        assert_eq!(reason(user(AUTHOR), &post(Visibility::Private), &stranger), Ok(AUTHOR));
        assert_eq!(
            reason(user(OTHER), &post(Visibility::Public), &stranger),
            Err(Reason::PermissionDenied)
        );
        assert_eq!(
            reason(user(OTHER), &post(Visibility::Private), &stranger),
            Err(Reason::PostNotFound)
        );
        let blocked = Relation {
            blocked_by: true,
            ..stranger
        };
        assert_eq!(
            reason(user(OTHER), &post(Visibility::Public), &blocked),
            Err(Reason::PostNotFound)
        );
        let gone = Post {
            deleted_at: Some(Time::from_unix_ms(2)),
            ..post(Visibility::Public)
        };
        assert_eq!(reason(user(OTHER), &gone, &stranger), Err(Reason::PostNotFound));
        assert_eq!(reason(user(AUTHOR), &gone, &stranger), Ok(AUTHOR));
        assert_eq!(reason(Viewer::Anonymous, &gone, &stranger), Err(Reason::TokenMissing));
    }
}
