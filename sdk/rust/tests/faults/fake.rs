//! A server that does as it is told: each method is a closure of the test, on a real socket.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use social_sdk::{Client, Code, Error, MemoryTokenStore, RetryPolicy, Rpc, TokenStore, v1};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};

type Handler = Arc<dyn Fn(http::Request<Body>) -> BoxFuture<'static, http::Response<Body>> + Send + Sync>;

/// A fake server that is being told what to do.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    handlers: Arc<Mutex<HashMap<&'static str, Handler>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Fake {
    /// Answers a unary method.
    pub(crate) fn unary<M: Rpc>(
        &self,
        answer: impl AsyncHandler<Request<M>, M::Response> + Send + Sync + 'static,
    ) -> &Self {
        let answer = Arc::new(answer);
        self.handle(M::PATH, move |request| {
            let service = Unary(answer.clone());
            Box::pin(async move {
                Grpc::new(ProstCodec::<M::Response, M>::default())
                    .unary(service, request)
                    .await
            })
        })
    }

    /// Answers a method with a stream of messages.
    pub(crate) fn stream<M: Rpc, S>(
        &self,
        answer: impl Fn(Request<M>) -> Result<S, Status> + Send + Sync + 'static,
    ) -> &Self
    where
        S: Stream<Item = Result<M::Response, Status>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        self.handle(M::PATH, move |request| {
            let service = Streaming(answer.clone());
            Box::pin(async move {
                Grpc::new(ProstCodec::<M::Response, M>::default())
                    .server_streaming(service, request)
                    .await
            })
        })
    }

    pub(crate) fn handle(
        &self,
        path: &'static str,
        handler: impl Fn(http::Request<Body>) -> BoxFuture<'static, http::Response<Body>> + Send + Sync + 'static,
    ) -> &Self {
        self.handlers.lock().expect("lock").insert(path, Arc::new(handler));
        self
    }

    /// Serves on a free port.
    pub(crate) async fn start(&self) -> SocketAddr {
        self.start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Serves on this address; gives the one with the port that was found for it.
    pub(crate) async fn start_at(&self, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = self.connections.clone();
        let incoming = futures::stream::unfold(listener, move |listener| {
            let connections = connections.clone();
            async move {
                let (socket, _) = listener.accept().await.expect("a connection");
                let socket = socket.into_std().expect("a socket");
                connections
                    .lock()
                    .expect("lock")
                    .push(socket.try_clone().expect("a handle"));
                Some((tokio::net::TcpStream::from_std(socket), listener))
            }
        });
        let handlers = self.handlers.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let handler = handlers.lock().expect("lock").get(request.uri().path()).cloned();
            async move {
                Ok::<_, Infallible>(match handler {
                    Some(handler) => handler(request).await,
                    None => Status::unimplemented(request.uri().path().to_owned()).into_http(),
                })
            }
        });
        tokio::spawn(tonic::transport::Server::builder().serve_with_incoming(service, incoming));
        address
    }

    /// Cuts all connections off, as a broken network does.
    pub(crate) fn cut(&self) {
        for socket in self.connections.lock().expect("lock").drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A closure that answers asynchronously.
pub(crate) trait AsyncHandler<Q, A> {
    fn answer(&self, request: Q) -> BoxFuture<'static, Result<A, Status>>;
}

impl<Q, A, F, R> AsyncHandler<Q, A> for F
where
    F: Fn(Q) -> R,
    R: Future<Output = Result<A, Status>> + Send + 'static,
{
    fn answer(&self, request: Q) -> BoxFuture<'static, Result<A, Status>> {
        Box::pin(self(request))
    }
}

struct Unary<F>(Arc<F>);

impl<M: Rpc, F: AsyncHandler<Request<M>, M::Response>> UnaryService<M> for Unary<F> {
    type Response = M::Response;
    type Future = BoxFuture<'static, Result<Response<M::Response>, Status>>;

    fn call(&mut self, request: Request<M>) -> Self::Future {
        let answer = self.0.answer(request);
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

struct Streaming<F>(Arc<F>);

impl<M: Rpc, S, F> ServerStreamingService<M> for Streaming<F>
where
    F: Fn(Request<M>) -> Result<S, Status>,
    S: Stream<Item = Result<M::Response, Status>> + Send + 'static,
{
    type Response = M::Response;
    type ResponseStream = BoxStream<'static, Result<M::Response, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<M>) -> Self::Future {
        let stream = (self.0)(request).map(|stream| Response::new(stream.boxed()));
        Box::pin(async move { stream })
    }
}

/// What a test saw, in order.
#[derive(Clone)]
pub(crate) struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Seen<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Notes something; gives how many there are now.
    pub(crate) fn note(&self, thing: T) -> usize {
        let mut seen = self.0.lock().expect("lock");
        seen.push(thing);
        seen.len()
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().expect("lock").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().expect("lock").len()
    }
}

/// An error as a server sends it.
pub(crate) fn refusal(code: Code, reason: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "social.v1", []);
    Status::with_error_details(code, "refused", details)
}

/// An error that says when to try again.
pub(crate) fn later(reason: &str, delay: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details
        .set_error_info(reason, "social.v1", [])
        .set_retry_info(Some(delay));
    Status::with_error_details(Code::ResourceExhausted, "later", details)
}

/// Retries that a test does not have to wait for.
pub(crate) fn hasty() -> RetryPolicy {
    RetryPolicy::default()
        .backoff(Duration::from_millis(2), Duration::from_millis(10))
        .budget(0.1, 100, 0.0)
}

pub(crate) fn client(address: SocketAddr) -> Client {
    client_with(address, MemoryTokenStore::new())
}

pub(crate) fn client_with(address: SocketAddr, store: impl TokenStore) -> Client {
    Client::builder()
        .endpoint(format!("http://{address}"))
        .timeout(Duration::from_secs(5))
        .retry(hasty())
        .token_store(store)
        .build()
        .expect("a client")
}

pub(crate) const USER: &str = "0000000000001";
pub(crate) const SESSION: &str = "0000000000002";

pub(crate) fn user() -> v1::User {
    v1::User {
        id: USER.into(),
        handle: "ann".into(),
        ..Default::default()
    }
}

/// Tokens of generation `n`, whose access token lives for so long.
pub(crate) fn tokens(n: usize, life: Duration) -> v1::TokenPair {
    let expire = std::time::SystemTime::now() + life;
    v1::TokenPair {
        access_token: format!("access-{n}"),
        refresh_token: format!("refresh-{n}"),
        access_expire_time: Some(expire.into()),
        refresh_expire_time: Some((expire + Duration::from_secs(3600)).into()),
        session_id: SESSION.into(),
    }
}

/// Lets everybody log in, with access tokens that live for so long.
pub(crate) fn let_in(fake: &Fake, life: Duration) {
    fake.unary::<v1::LoginRequest>(move |_| async move {
        Ok(v1::LoginResponse {
            user: Some(user()),
            tokens: Some(tokens(0, life)),
        })
    });
}

pub(crate) async fn logged_in(fake: &Fake, life: Duration) -> Client {
    let_in(fake, life);
    let client = client(fake.start().await);
    client.auth().login("ann", "a password").await.expect("logged in");
    client
}

/// Like [`logged_in`], but no call may take longer than 500 ms.
pub(crate) async fn hurried(fake: &Fake) -> Client {
    let_in(fake, MINUTES);
    let client = Client::builder()
        .endpoint(format!("http://{}", fake.start().await))
        .timeout(Duration::from_millis(500))
        .retry(hasty())
        .build()
        .expect("a client");
    client.auth().login("ann", "a password").await.expect("logged in");
    client
}

pub(crate) fn token_of<M>(request: &Request<M>) -> String {
    let header = request
        .metadata()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    header.trim_start_matches("Bearer ").to_owned()
}

pub(crate) fn reason<T: std::fmt::Debug>(outcome: Result<T, Error>) -> social_sdk::Reason {
    outcome.expect_err("an error").reason()
}

pub(crate) const MINUTES: Duration = Duration::from_secs(600);

/// What a fake stream does next.
#[derive(Clone)]
pub(crate) enum Step<T> {
    Send(T),
    Fail(Status),
    Hang,
    Cut(Fake),
}

/// Serves each connection its own script, and the last one again and again.
pub(crate) fn script<M: Rpc>(fake: &Fake, scripts: Vec<Vec<Step<M::Response>>>) -> Seen<M>
where
    M::Response: Clone,
{
    let seen = Seen::new();
    let notes = seen.clone();
    let scripts = Arc::new(scripts);
    fake.stream::<M, _>(move |request: Request<M>| {
        let nth = notes.note(request.into_inner());
        let steps = scripts[(nth - 1).min(scripts.len() - 1)].clone();
        Ok(play(steps))
    });
    seen
}

pub(crate) fn play<T: Send + 'static>(steps: Vec<Step<T>>) -> BoxStream<'static, Result<T, Status>> {
    stream::iter(steps)
        .then(|step| async move {
            match step {
                Step::Send(message) => Ok(message),
                Step::Fail(status) => Err(status),
                Step::Hang => std::future::pending().await,
                Step::Cut(fake) => {
                    // What was sent before is to arrive.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    fake.cut();
                    std::future::pending().await
                }
            }
        })
        .boxed()
}
