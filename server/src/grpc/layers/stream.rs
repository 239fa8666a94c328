//! The body of a streamed answer: keeps its place, ends in time, and tells how it ended.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use social_core::Error;
use social_observability::event::{self, StreamEnd};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::body::Body;
use tonic::{Code, Status};

use super::admit::StreamPlace;
use super::deadline::Deadline;
use super::method::Method;
use crate::grpc::Drain;
use crate::grpc::status::{adopt, deadline_exceeded, shutting_down, status};

/// How long a stream has to end by itself, with its last checkpoint, once the server drains.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A streamed answer under way.
pub(crate) struct Stream {
    inner: Body,
    method: &'static Method,
    opened: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    last_words: Option<Pin<Box<Sleep>>>,
    ended: Option<StreamEnd>,
    _place: StreamPlace,
}

impl Stream {
    /// Takes over an answer that has just begun.
    pub(crate) fn new(
        inner: Body,
        method: &'static Method,
        deadline: Option<Deadline>,
        drain: &Drain,
        place: StreamPlace,
    ) -> Self {
        event::stream_opened(method.name);
        Self {
            inner,
            method,
            opened: Instant::now(),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline.at()))),
            drain: Box::pin(drain.0.clone().cancelled_owned()),
            last_words: None,
            ended: None,
            _place: place,
        }
    }

    /// Why it must end now, whatever the handler says.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(deadline_exceeded());
        }
        if self.last_words.is_none() && self.drain.as_mut().poll(cx).is_ready() {
            self.last_words = Some(Box::pin(sleep(LAST_WORDS)));
        }
        match &mut self.last_words {
            Some(over) => over.as_mut().poll(cx).map(|()| shutting_down()),
            None => Poll::Pending,
        }
    }

    /// The next frame of the handler. Its panic ends this stream and nothing else.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let inner = Pin::new(&mut self.inner);
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll_frame(cx))) {
            Ok(polled) => polled,
            Err(panic) => {
                event::handler_panicked(self.method.name, panic_text(panic.as_ref()));
                Poll::Ready(Some(Err(status(Error::internal()))))
            }
        }
    }

    fn end_with(&mut self, end: &Status) -> Frame<Bytes> {
        self.ended = Some(kind(end.code()));
        let mut trailers = HeaderMap::new();
        // Only a text that is no header value could fail, and ours are percent-encoded.
        let _ = end.add_header(&mut trailers);
        Frame::trailers(trailers)
    }

    /// Notes the end, and gives a status of the transport its type.
    fn last_frame(&mut self, trailers: HeaderMap) -> Frame<Bytes> {
        match Status::from_header_map(&trailers) {
            Some(end) if end.code() != Code::Ok && end.details().is_empty() => {
                let end = adopt(end, self.method.name);
                self.end_with(&end)
            }
            end => {
                self.ended = Some(end.map_or(StreamEnd::Complete, |end| kind(end.code())));
                Frame::trailers(trailers)
            }
        }
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended.is_some() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(error) = self.poll_end(cx) {
            let frame = self.end_with(&status(error));
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = match ready!(self.poll_inner(cx)) {
            None => {
                self.ended = Some(StreamEnd::Complete);
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                let end = adopt(error, self.method.name);
                self.end_with(&end)
            }
            Some(Ok(frame)) => match frame.into_trailers() {
                Ok(trailers) => self.last_frame(trailers),
                Err(data) => data,
            },
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_some()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A body dropped before its end is a client that left.
        let end = self.ended.unwrap_or(StreamEnd::Client);
        event::stream_closed(self.method.name, end, self.opened.elapsed());
    }
}

fn kind(code: Code) -> StreamEnd {
    match code {
        Code::Ok => StreamEnd::Complete,
        Code::Cancelled | Code::DeadlineExceeded => StreamEnd::Client,
        Code::Unavailable => StreamEnd::Drain,
        Code::Unauthenticated => StreamEnd::Revoked,
        _ => StreamEnd::Error,
    }
}

/// What a panic said, for the log.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}
