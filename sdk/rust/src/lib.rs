//! The Rust client of the social platform.
//!
//! ```no_run
//! use social_sdk::{Client, FileTokenStore, TryStreamExt};
//!
//! # async fn f() -> Result<(), social_sdk::Error> {
//! let client = Client::builder()
//!     .endpoint("https://social.example")
//!     .token_store(FileTokenStore::new("tokens.json"))
//!     .build()?;
//!
//! client.auth().register("ann", "correct horse battery").await?;
//! let posted = client.posts().create("Hello, #world!").await?;
//! client.likes().like(&posted.post.id).await?;
//!
//! let mut home = client.timeline().home().stream();
//! while let Some(item) = home.try_next().await? {
//!     println!("{:?}", item.post);
//! }
//! # Ok(()) }
//! ```
//!
//! Calls are made when they are awaited; until then they take options ([`Call`]). The messages of [`v1`] are the data, as
//! the `.proto` files document them.
//!
//! What the SDK does by itself:
//!
//! - It sends the access token along, and exchanges it before it ends, once for all calls that wait for it.
//! - It gives each mutation a `request_id` (a login has none), the same for all its attempts, so that nothing happens twice.
//! - It repeats calls until their timeout, 10 s unless told otherwise, where that is safe and can help: after exponential waits
//!   with jitter and those that the server asks for, out of a budget of the client ([`RetryPolicy`]).
//! - It reads lists across pages ([`List`]).
//! - It keeps subscriptions connected, resumes them without a hole, and drops repeats ([`HomeStream`]).

mod admin;
mod archive;
mod auth;
mod backup;
mod bulk;
mod call;
mod client;
mod comments;
mod core;
mod error;
mod graph;
mod ids;
mod import;
mod likes;
mod live;
mod page;
mod posts;
mod reason;
mod retry;
mod rpc;
mod session;
mod timeline;
mod token_store;
mod transport;
mod users;

pub use admin::AdminClient;
pub use archive::{ArchiveError, ArchiveReader, ArchiveWriter, ExportArchive, ImportArchive};
pub use auth::Auth;
pub use call::Call;
pub use client::{Client, ClientBuilder, DEFAULT_ADMIN_ENDPOINT, DEFAULT_ENDPOINT};
pub use comments::Comments;
pub use error::{Error, FieldViolation, Origin, QuotaViolation, Reason};
pub use graph::{ExportFollowers, Graph};
pub use ids::{CommentId, EventId, IntoId, ParseIdError, PostId, SessionId, UserId};
pub use import::{Import, Importable};
pub use likes::{CountsEvent, CountsStream, Likes};
pub use live::Reconnect;
pub use page::List;
pub use posts::{Deleted, PostEvent, PostStream, Posts, Published};
pub use retry::RetryPolicy;
pub use rpc::{Mutation, Paged, Rpc};
pub use timeline::{HomeEvent, HomeStream, SubscribeHome, Timeline};
pub use token_store::{Credentials, FileTokenStore, MemoryTokenStore, StoreLock, TokenStore};
pub use users::Users;

pub use futures::{Stream, StreamExt, TryStreamExt};
pub use prost_types::Timestamp;
pub use social_proto::v1;
pub use tonic::Code;
pub use tonic::metadata::MetadataMap;
pub use uuid::Uuid;
