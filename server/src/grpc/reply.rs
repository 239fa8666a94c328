//! How handlers take a request and give an answer or a stream.

use std::future::Future;
use std::pin::Pin;

use futures::{Stream, stream};
use social_core::Result;
use social_core::request::Caller;
use tonic::{Request, Response, Status};

use super::status::{shutting_down, status};
use super::{Drain, caller};

/// The answer of a method that streams.
pub(crate) type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Who calls, and with what.
pub(crate) fn open<T>(request: Request<T>) -> (Caller, T) {
    (caller(&request), request.into_inner())
}

/// The outcome of a handler as gRPC has it.
pub(crate) async fn answer<T>(work: impl Future<Output = Result<T>>) -> Result<Response<T>, Status> {
    work.await.map(Response::new).map_err(status)
}

/// Where the messages of a stream come from. It is asked for the next one only when the transport has room for it, so that a slow
/// reader holds no messages back here.
pub(crate) trait Source: Send + 'static {
    /// A message of the stream.
    type Message: Send + 'static;

    /// The next message; None ends the stream well, an error ends it too.
    fn next(&mut self) -> impl Future<Output = Option<Result<Self::Message>>> + Send;
}

/// A stream of what the source has, until it ends or the server stops.
pub(crate) fn events<S: Source>(source: S, drain: Drain) -> Events<S::Message> {
    Box::pin(stream::unfold(Some((source, drain)), async |open| {
        let (mut source, drain) = open?;
        let next = tokio::select! {
            biased;
            () = drain.begun() => Some(Err(shutting_down())),
            next = source.next() => next,
        };
        match next? {
            Ok(message) => Some((Ok(message), Some((source, drain)))),
            Err(error) => Some((Err(status(error)), None)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use social_core::Error;
    use tonic::Code;

    use super::*;

    /// Counts down, then ends as it is told.
    struct Countdown(u32, Option<Error>);

    impl Source for Countdown {
        type Message = u32;

        async fn next(&mut self) -> Option<Result<u32>> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Some(Ok(left))
                }
                None => self.1.take().map(Err),
            }
        }
    }

    /// Says nothing, ever.
    struct Silent;

    impl Source for Silent {
        type Message = u32;

        async fn next(&mut self) -> Option<Result<u32>> {
            std::future::pending().await
        }
    }

    async fn codes(source: impl Source<Message = u32>, drain: Drain) -> Vec<Result<u32, Code>> {
        events(source, drain)
            .map(|event| event.map_err(|status| status.code()))
            .collect()
            .await
    }

    #[tokio::test]
    async fn a_stream_ends_as_its_source_does() {
        let well = codes(Countdown(2, None), Drain::new()).await;
        assert_eq!(well, [Ok(1), Ok(0)]);
        let badly = codes(Countdown(1, Some(Error::post_not_found())), Drain::new()).await;
        assert_eq!(badly, [Ok(0), Err(Code::NotFound)]);
    }

    #[tokio::test]
    async fn a_drain_ends_a_silent_stream_and_a_busy_one() {
        let drain = Drain::new();
        let silent = tokio::spawn(codes(Silent, drain.clone()));
        tokio::task::yield_now().await;
        drain.begin();
        assert_eq!(silent.await.unwrap(), [Err(Code::Unavailable)]);
        assert_eq!(codes(Countdown(9, None), drain).await, [Err(Code::Unavailable)]);
    }
}
