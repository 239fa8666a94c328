//! The stack of layers that every call passes, outermost first:
//!
//! 1. CORS: which web pages may call; answers their preflights
//! 2. grpc-web: makes a browser's call a gRPC call, and the answer what a browser can read
//! 3. panics: one that gets here is answered INTERNAL, and the server goes on
//! 4. trace: the call's trace context, its span, its line in metrics
//! 5. deadline: answers DEADLINE_EXCEEDED in time
//! 6. auth: credentials become a viewer
//! 7. rate limits: of the address (before auth, since checking signatures is what a flood would cost), then of the user
//! 8. load shed: more than fits is refused at once, never queued
//! 9. concurrency limits: of the caller, and once the message is in, of the process; streams hold places of their own
//!
//! From the third on they are one service, [`Gate`]: together they cost what a single layer of a tower of them would.

mod admit;
mod cors;
mod deadline;
mod message;
mod method;
mod stream;
mod trace;

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt as _;
use social_core::error::Result;
use social_core::request::{Caller, Viewer};
use social_core::{Error, limits};
use social_observability::event;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Service, ServiceBuilder, ServiceExt as _};
use tower_http::cors::Cors;
use tracing::Instrument as _;

use self::admit::{Admission, StreamPlace};
use self::deadline::Deadlines;
use self::method::Method as Known;
use self::stream::Stream;
use self::trace::Call;
use super::Drain;
use super::status::{adopt, deadline_exceeded, shutting_down, status, unimplemented};
use crate::auth::Door;
use crate::ratelimit::{Budget, Limits, Principal, Refused};
use crate::shares::Share;

/// The address of the client, put among a request's extensions by the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Puts the stack over a port's services.
pub(crate) fn stack(cors_origins: &[String], rules: Arc<Rules>, routes: Routes) -> Stack {
    let gate = Gate {
        rules,
        inner: routes.prepare(),
    };
    let web = ServiceBuilder::new()
        .layer(cors::layer(cors_origins))
        .layer(GrpcWebLayer::new())
        .service(gate.clone());
    Stack {
        web: Arc::new(web),
        gate,
    }
}

/// Services under the whole stack. Cheap to clone, which is done for each call.
///
/// The first two layers are for browsers; a call that cannot come from one takes the way past them.
#[derive(Clone)]
pub(crate) struct Stack {
    web: Arc<Cors<GrpcWebService<Gate<Routes>>>>,
    gate: Gate<Routes>,
}

impl Service<Request<Body>> for Stack {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.gate.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_native(&request) {
            return self.gate.call(request);
        }
        let request = if is_text(&request) {
            request.map(without_whitespace)
        } else {
            request
        };
        Box::pin(Cors::clone(&self.web).oneshot(request))
    }
}

/// Whether the body is grpc-web in base64.
fn is_text(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc-web-text"))
}

/// The body without the line breaks that tools put between and behind base64.
fn without_whitespace(body: Body) -> Body {
    Body::new(body.map_frame(|frame| {
        frame.map_data(|data| match data.iter().any(u8::is_ascii_whitespace) {
            true => data
                .iter()
                .copied()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect(),
            false => data,
        })
    }))
}

/// Whether a call is gRPC over HTTP/2 and from no web page: those always tell their origin.
fn is_native(request: &Request<Body>) -> bool {
    let headers = request.headers();
    let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'))
    });
    is_grpc && request.version() == Version::HTTP_2 && request.method() == Method::POST && !headers.contains_key(ORIGIN)
}

/// What the gate of a port goes by.
pub(crate) struct Rules {
    door: Door,
    limits: Arc<Limits>,
    admission: Admission,
    drain: Drain,
}

impl Rules {
    /// Rules of a port that may have so many open streams.
    pub(crate) fn new(door: Door, limits: Arc<Limits>, max_streams: usize, drain: Drain) -> Self {
        Self {
            door,
            limits,
            admission: Admission::new(limits::REQUESTS_IN_FLIGHT, max_streams),
            drain,
        }
    }
}

/// Layers 3 to 9.
#[derive(Clone)]
pub(crate) struct Gate<S> {
    rules: Arc<Rules>,
    inner: S,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // What was polled ready is the service in hand; its clone waits for the next call.
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(answer(Arc::clone(&self.rules), inner, request).map(Ok))
    }
}

/// Layers 3 and 4: whatever happens within, there is an answer with a type, and it is counted.
async fn answer<S>(rules: Arc<Rules>, inner: S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send,
{
    let call = Call::of(&request);
    let span = call.span();
    let within = AssertUnwindSafe(within_deadline(&rules, inner, &call, request)).catch_unwind();
    let response = within.instrument(span).await.unwrap_or_else(|panic| {
        event::handler_panicked(call.name(), stream::panic_text(panic.as_ref()));
        refusal(Error::internal(), None)
    });
    call.finished(&response);
    response
}

/// Layer 5.
async fn within_deadline<S>(rules: &Rules, inner: S, call: &Call, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let Some(method) = call.method.filter(|method| rules.door.serves(method.credentials)) else {
        return unimplemented().into_http();
    };
    let deadlines = Deadlines::of(method, request.headers());
    let Some(deadline) = deadlines.answer else {
        return admitted(rules, inner, call, method, deadlines, request).await;
    };
    let answer = admitted(rules, inner, call, method, deadlines, request);
    match tokio::time::timeout_at(deadline.at(), answer).await {
        Ok(response) => response,
        Err(_) => refusal(deadline_exceeded(), None),
    }
}

/// Layers 6 to 9, and then the handler.
async fn admitted<S>(
    rules: &Rules,
    mut inner: S,
    call: &Call,
    method: &'static Known,
    deadlines: Deadlines,
    mut request: Request<Body>,
) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let pass = match admit(rules, call, method, request.headers()).await {
        Ok(pass) => pass,
        Err(refused) => return refusal(*refused.error, refused.budget),
    };
    if !method.client_streaming {
        let (parts, body) = request.into_parts();
        match message::whole(body, method.name).await {
            Ok(body) => request = Request::from_parts(parts, body),
            Err(refused) => return refused.into_http(),
        }
    }
    // Only now is there work to do: a message that never comes takes nothing from others.
    let place = match method.class.map(|_| rules.admission.request()).transpose() {
        Ok(place) => place,
        Err(error) => return refusal(error, pass.budget),
    };
    request.extensions_mut().insert(pass.caller);
    let Ok(response) = inner.call(request).await;
    drop(place);
    let mut response = typed(response, method);
    if let Some(budget) = pass.budget {
        budget.write(response.headers_mut());
    }
    match pass.stream {
        Some(place) if !is_error(&response) => {
            response.map(|body| Body::new(Stream::new(body, method, deadlines.stream, &rules.drain, place)))
        }
        _ => response,
    }
}

/// What a call that was let in holds while it goes on.
struct Pass {
    caller: Caller,
    budget: Option<Budget>,
    stream: Option<StreamPlace>,
    _share: Option<Share>,
}

/// Layers 6 to 9: who calls, whether they may, and whether there is room.
async fn admit(rules: &Rules, call: &Call, method: &'static Known, headers: &HeaderMap) -> Result<Pass, Refused> {
    let Some(class) = method.class else {
        return Ok(Pass::of_probe(call));
    };
    let address = Principal::of_address(call.address);
    let of_address = rules.limits.take(class, address)?;
    let refused = |error| Refused::new(error, of_address);
    if rules.drain.has_begun() && method.server_streaming {
        return Err(refused(shutting_down()));
    }
    let viewer = rules.door.viewer(method.credentials, headers).await.map_err(refused)?;
    let caller = Caller {
        viewer,
        address: call.address,
        trace: Some(call.trace),
    };
    let (principal, of_user) = match viewer {
        Viewer::Anonymous => (address, None),
        Viewer::User { id, .. } => {
            let user = Principal::User(id);
            (user, rules.limits.take(class, user)?)
        }
    };
    let budget = Budget::tighter(of_user, of_address);
    let refused = |error| Refused::new(error, budget);
    let share = rules.admission.call(principal).map_err(refused)?;
    let stream = method
        .server_streaming
        .then(|| rules.admission.stream(principal, address))
        .transpose()
        .map_err(refused)?;
    Ok(Pass {
        caller,
        budget,
        stream,
        _share: Some(share),
    })
}

impl Pass {
    /// A probe's: it needs no credentials, and is answered also by a server that has too much in hand.
    fn of_probe(call: &Call) -> Self {
        let caller = Caller {
            viewer: Viewer::Anonymous,
            address: call.address,
            trace: Some(call.trace),
        };
        Self {
            caller,
            budget: None,
            stream: None,
            _share: None,
        }
    }
}

/// The answer to a call that got no further than the gate.
fn refusal(error: Error, budget: Option<Budget>) -> Response<Body> {
    let mut response: Response<Body> = status(error).into_http();
    if let Some(budget) = budget {
        budget.write(response.headers_mut());
    }
    response
}

/// Gives an error that tonic made by itself (a message that cannot be decoded, a method without a handler) its type.
fn typed(response: Response<Body>, method: &'static Known) -> Response<Body> {
    if !is_error(&response) || response.headers().contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    let Some(foreign) = Status::from_header_map(response.headers()) else {
        return response;
    };
    match foreign.code() {
        Code::Ok => response,
        _ => adopt(foreign, method.name).into_http(),
    }
}

/// Whether the answer is an error and nothing else: then its status stands in its headers.
fn is_error(response: &Response<Body>) -> bool {
    response
        .headers()
        .get(Status::GRPC_STATUS)
        .is_some_and(|code| code.as_bytes() != b"0")
}

#[cfg(test)]
mod tests;
