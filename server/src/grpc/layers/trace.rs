//! What a call is called in logs, metrics and traces. Of its headers only `traceparent` is read: no secret gets from here into a log.

use std::net::IpAddr;

use http::{HeaderMap, Request, Response};
use rand::RngExt as _;
use social_core::request::TraceContext;
use social_observability::event;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use super::Peer;
use super::method::{Method, method};

/// A call under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The method; none where the server has no such one.
    pub(crate) method: Option<&'static Method>,
    /// The client's address.
    pub(crate) address: Option<IpAddr>,
    /// The trace: the client's, or a new one that nobody records.
    pub(crate) trace: TraceContext,
    started: Instant,
}

impl Call {
    /// What a request says of itself.
    pub(crate) fn of(request: &Request<Body>) -> Self {
        Self {
            method: method(request.uri().path()),
            address: request.extensions().get::<Peer>().map(|peer| peer.0),
            trace: sent_trace(request.headers()).unwrap_or_else(new_trace),
            started: Instant::now(),
        }
    }

    /// The method's full name; one name for all that do not exist, since they are a client's to invent.
    pub(crate) fn name(&self) -> &'static str {
        self.method.map_or("unknown", |method| method.name)
    }

    /// The span of the call. Costs nothing at the default filter, unless the client records its trace.
    pub(crate) fn span(&self) -> Span {
        let sampled = self.trace.flags & 1 == 1;
        if sampled {
            tracing::info_span!("rpc", method = self.name(), trace_id = self.trace.trace_id_hex())
        } else {
            tracing::debug_span!("rpc", method = self.name(), trace_id = self.trace.trace_id_hex())
        }
    }

    /// Counts the answer, and leaves a line where the fault is the server's.
    pub(crate) fn finished(&self, response: &Response<Body>) {
        let code = response
            .headers()
            .get(Status::GRPC_STATUS)
            .map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        event::rpc_finished(self.name(), code_name(code), self.started.elapsed());
        if matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) {
            tracing::error!(
                method = self.name(),
                trace_id = self.trace.trace_id_hex(),
                "a call failed by a fault of the server"
            );
        }
    }
}

fn sent_trace(headers: &HeaderMap) -> Option<TraceContext> {
    let text = headers.get(social_observability::TraceContext::HEADER)?.to_str().ok()?;
    let sent: social_observability::TraceContext = text.parse().ok()?;
    Some(TraceContext {
        trace_id: sent.trace_id(),
        span_id: sent.span_id(),
        flags: u8::from(sent.sampled()),
    })
}

/// A trace of its own for a call that came without one, so that its work can be found in the log.
fn new_trace() -> TraceContext {
    let mut random = rand::rng();
    TraceContext {
        trace_id: random.random(),
        span_id: random.random(),
        flags: 0,
    }
}

/// The code's name in gRPC.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
