//! Typed ids.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Characters of an id.
const LEN: usize = 13;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text is no id: ids are 13 characters of lower-case Crockford base32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 13 characters of 0-9 and a-z without i, l, o and u")]
pub struct ParseIdError;

/// What can stand for an id in a call: the typed id, or a string that holds one, such as a field of a message.
///
/// A string that is no id does not reach the server: the call answers `INVALID_ARGUMENT` with the name of the parameter.
pub trait IntoId<T> {
    /// The id.
    ///
    /// # Errors
    /// When the text is no id.
    fn into_id(self) -> Result<T, ParseIdError>;
}

impl<T, V> IntoId<T> for V
where
    V: TryInto<T>,
    ParseIdError: From<V::Error>,
{
    fn into_id(self) -> Result<T, ParseIdError> {
        Ok(self.try_into()?)
    }
}

impl From<Infallible> for ParseIdError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The id as it goes over the wire; `parameter` names it in the error.
pub(crate) fn wire<T: fmt::Display>(parameter: &str, id: impl IntoId<T>) -> Result<String, Error> {
    match id.into_id() {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err(Error::invalid(parameter, error.to_string())),
    }
}

fn parse(text: &str) -> Result<[u8; LEN], ParseIdError> {
    let bytes: [u8; LEN] = text.as_bytes().try_into().map_err(|_| ParseIdError)?;
    if bytes.iter().all(|byte| ALPHABET.contains(byte)) {
        Ok(bytes)
    } else {
        Err(ParseIdError)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 13 characters of lower-case Crockford base32. Ids compare as the moments they were minted: a greater one is newer.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; LEN]);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                // Parsing let only ASCII in.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = ParseIdError;

            fn try_from(text: &str) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl TryFrom<&String> for $name {
            type Error = ParseIdError;

            fn try_from(text: &String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<&$name> for $name {
            fn from(id: &$name) -> Self {
                *id
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

id!(
    /// Id of a user.
    UserId
);
id!(
    /// Id of a post.
    PostId
);
id!(
    /// Id of a comment.
    CommentId
);
id!(
    /// Id of a session: one login of one device.
    SessionId
);
id!(
    /// Id of an event of the server's log, such as a fan-out or a dead letter.
    EventId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_and_read_back() {
        let id: PostId = "0123456789abc".parse().expect("an id");
        assert_eq!(id.to_string(), "0123456789abc");
        assert_eq!(format!("{id:?}"), "PostId(0123456789abc)");
        for text in [
            "",
            "0123456789ab",
            "0123456789abcd",
            "0123456789ABC",
            "0123456789abi",
            "0123456789äb",
        ] {
            assert_eq!(text.parse::<PostId>(), Err(ParseIdError), "{text:?}");
        }
        assert!("0123456789abd".parse::<PostId>().expect("an id") > id);
        let json = serde_json::to_string(&id).expect("json");
        assert_eq!(serde_json::from_str::<PostId>(&json).expect("an id"), id);
        assert!(serde_json::from_str::<PostId>("\"x\"").is_err());
    }

    #[test]
    fn an_error_names_the_parameter() {
        let error = wire::<UserId>("user_id", "nobody").expect_err("no id");
        assert_eq!(error.field_violations()[0].field, "user_id");
        assert_eq!(
            wire::<UserId>("user_id", "0123456789abc".to_owned()).expect("an id"),
            "0123456789abc"
        );
    }
}
