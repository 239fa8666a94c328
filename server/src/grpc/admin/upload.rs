//! Uploads: streams of messages, each of which is stored as a whole.

use std::future::Future;

use social_core::{Error, Result};
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use crate::grpc::Drain;
use crate::grpc::status::{shutting_down, status};

/// What becomes of the messages of one stream.
pub(super) trait Upload<M>: Send + 'static {
    /// What the client is told in the end.
    type Answer: Send + 'static;

    /// Stores a message.
    fn take(&mut self, message: M) -> impl Future<Output = Result<()>> + Send;

    /// Puts before readers what was stored, however the stream ended.
    fn finish(self) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// Runs a stream of messages to its end.
///
/// In a task of its own: where the client goes away, what it had brought must still be put before readers.
pub(super) async fn run<M: Send + 'static, U: Upload<M>>(
    mut upload: U,
    drain: &Drain,
    messages: Streaming<M>,
) -> Result<U::Answer, Status> {
    let drain = drain.clone();
    let task = async move {
        let ended = take_all(&mut upload, &drain, messages).await;
        let finished = upload.finish().await.map_err(status);
        ended.and(finished)
    };
    let task = tokio::spawn(task.in_current_span());
    task.await.unwrap_or_else(|_| Err(status(Error::internal())))
}

async fn take_all<M>(upload: &mut impl Upload<M>, drain: &Drain, mut messages: Streaming<M>) -> Result<(), Status> {
    loop {
        let message = tokio::select! {
            biased;
            () = drain.begun() => return Err(status(shutting_down())),
            message = messages.message() => message?,
        };
        match message {
            Some(message) => upload.take(message).await.map_err(status)?,
            None => return Ok(()),
        }
    }
}
