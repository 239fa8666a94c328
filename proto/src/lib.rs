//! The wire contract of the platform: messages, services and descriptor set of `social.v1`.
//!
//! - [`v1`] holds the generated messages, clients (feature `client`) and server stubs (feature `server`).
//! - `spliced` holds the answer of GetHomeTimeline that a server builds from posts which were encoded before.
//! - [`methods`] lists every method, for tables that must not forget one.
//!
//! The `.proto` files in `social/v1` are the documentation of the API. This crate knows nothing of the domain: it is
//! converted to and from in one place of the server, and in one of the SDK.

mod methods;
mod reason;
mod redacted;
#[cfg(feature = "server")]
pub mod spliced;

pub use methods::{Method, methods};
pub use reason::ERROR_DOMAIN;

/// Encoded `google.protobuf.FileDescriptorSet` of the whole contract and of what it imports, comments included. For
/// server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Generated code of package `social.v1`. See the comments in the `.proto` files, which are its documentation.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/social.v1.rs"));

    #[cfg(feature = "server")]
    pub use crate::servers::{
        admin_service_server, auth_service_server, comment_service_server, graph_service_server, like_service_server,
        post_service_server, timeline_service_server, user_service_server,
    };
}

#[cfg(feature = "server")]
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]
mod servers {
    include!(concat!(env!("OUT_DIR"), "/servers/social.v1.rs"));
}
