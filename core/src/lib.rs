//! The domain of the social platform: its types, its rules and its operations as plain functions over a
//! [`Backend`]. Knows no transport and no storage engine.

pub mod access;
pub mod admin;
pub mod archive;
pub mod auth;
pub mod backend;
pub mod clock;
pub mod comments;
pub mod cursor;
pub mod error;
pub mod etag;
pub mod fanout;
pub mod graph;
pub mod id;
pub mod import;
pub mod likes;
pub mod limits;
pub mod page;
pub mod posts;
pub mod request;
pub mod text;
pub mod timeline;
pub mod users;

pub use backend::Backend;
pub use clock::{Clock, Time, Timekeeper};
pub use error::{Error, Reason, Result};
pub use id::{CommentId, EventId, PostId, SessionId, UserId};
