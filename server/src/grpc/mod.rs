//! The edge: gRPC services, one file a noun, under one stack of layers.
//!
//! How a service is made:
//! - `pub fn service(handles...) -> XServiceServer<impl XService>` takes just the handles that it needs: a [`Backend`] (cloned), for
//!   streams also [`Streams`]. Bounds of messages are set where it is registered, in [`crate::routes`].
//! - A handler asks [`caller`] who calls, converts the message ([`convert`]), calls one operation of the core, and ends with
//!   `map_err(status)`. The layers have done the rest: access, deadline, limits, traces, panics.
//! - A stream ends by [`Streams::drain`] with `status(shutting_down())`. Its slot, its open and closed events and its deadline are kept
//!   by the layers.
//!
//! [`Backend`]: social_core::Backend

pub mod admin;
pub mod auth;
pub mod comment;
mod convert;
pub mod graph;
pub mod layers;
pub mod like;
pub mod post;
mod reply;
pub mod status;
pub mod timeline;
pub mod user;

use std::time::Duration;

use social_core::request::Caller;
use tokio_util::sync::CancellationToken;

/// Says that the server stops: everything that could go on for long watches it.
#[derive(Clone, Debug, Default)]
pub struct Drain(CancellationToken);

impl Drain {
    /// A drain that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins it. Doing so again changes nothing.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it begins. Cancel-safe, and may be awaited by any number of tasks.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}

/// What every stream needs beside its backend.
#[derive(Clone, Debug)]
pub struct Streams {
    /// When to end with UNAVAILABLE, reason SHUTTING_DOWN.
    pub drain: Drain,
    /// How long a stream may stay silent.
    pub heartbeat: Duration,
}

/// Who calls. The layers put it there; a request that did not pass them is nobody's.
#[must_use]
pub fn caller<T>(request: &tonic::Request<T>) -> Caller {
    request.extensions().get::<Caller>().copied().unwrap_or_default()
}
