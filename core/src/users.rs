//! Accounts as others see them.

mod operations;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::error::Error;
use crate::id::UserId;
use crate::limits;
use crate::posts::Encoding;

pub(crate) use operations::require;
pub use operations::{Found, UserRef, UserView, batch_get, get, relationships, update_profile, view};

/// A user's unique name: 3 to 30 of `a-z`, `0-9` and `_`, beginning with a letter; upper case is lowered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Handle(String);

impl Handle {
    /// The handle's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Handle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let lower = text.to_ascii_lowercase();
        let first_is_letter = lower.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let all_allowed = lower
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if first_is_letter && all_allowed && (limits::HANDLE_MIN..=limits::HANDLE_MAX).contains(&lower.len()) {
            Ok(Self(lower))
        } else {
            Err(Error::field(
                "handle",
                "must be 3 to 30 of a-z, 0-9 and _, beginning with a letter",
            ))
        }
    }
}

/// An account as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The account's id.
    pub id: UserId,
    /// Its unique name.
    pub handle: Handle,
    /// The name that people read.
    pub display_name: String,
    /// A few words about the person; may be empty.
    pub bio: String,
    /// When it was registered, or as an import says.
    pub created_at: Time,
    /// When the profile was changed last.
    pub updated_at: Time,
    /// Raised by every change; the etag is made of it.
    pub version: u64,
    /// Room for the edge to keep the encoded summary of the user.
    #[serde(skip)]
    pub encoding: Encoding,
}

/// What an account starts with. The password is hashed already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The unique name.
    pub handle: Handle,
    /// The name that people read.
    pub display_name: String,
    /// A few words about the person; may be empty.
    pub bio: String,
    /// Absent for an imported account that cannot log in.
    pub password: Option<crate::auth::PasswordHash>,
    /// For an import: when the account was made elsewhere.
    pub created_at: Option<Time>,
}

/// A change of a profile: what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileEdit {
    /// The new display name.
    pub display_name: Option<String>,
    /// The new bio.
    pub bio: Option<String>,
}

impl User {
    /// The user after an edit at `now`, the same where all is as the edit wants it already. ETAG_MISMATCH where `expected` names another version.
    pub fn edited(&self, edit: &ProfileEdit, expected: Option<u64>, now: Time) -> Result<User, Error> {
        if expected.is_some_and(|version| version != self.version) {
            return Err(Error::etag_mismatch());
        }
        let mut user = self.clone();
        if let Some(display_name) = &edit.display_name {
            user.display_name.clone_from(display_name);
        }
        if let Some(bio) = &edit.bio {
            user.bio.clone_from(bio);
        }
        if user == *self {
            return Ok(user);
        }
        user.updated_at = now;
        user.version += 1;
        Ok(user)
    }
}

/// How many posts a user has, and how many follow and are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserCounts {
    /// Posts that are not deleted, whatever their visibility.
    pub posts: u64,
    /// Users who follow this one.
    pub followers: u64,
    /// Users whom this one follows.
    pub following: u64,
    /// Whether the counts are exact, or a recount is under way.
    pub exact: bool,
}
