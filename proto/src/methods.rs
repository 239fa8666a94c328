//! The list of all methods.

/// One method of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method {
    /// Path on the wire: `/social.v1.PostService/CreatePost`.
    pub path: &'static str,
    /// Full name of its service: `social.v1.PostService`.
    pub service: &'static str,
    /// Its own name: `CreatePost`.
    pub name: &'static str,
    /// The request is a stream.
    pub client_streaming: bool,
    /// The response is a stream.
    pub server_streaming: bool,
}

const METHODS: &[Method] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Every method of the contract, public and admin, in the order of the `.proto` files. Made when the crate is built, so
/// that a new method is in it at once.
#[must_use]
pub const fn methods() -> &'static [Method] {
    METHODS
}
