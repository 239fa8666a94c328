//! Connections: accepted, bounded, and ended in order.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use pin_project_lite::pin_project;
use social_core::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::transport::server::TcpIncoming;
use tower::ServiceExt as _;

use crate::config::{Config, Connection as Bounds};
use crate::grpc::Drain;
use crate::grpc::layers::{Peer, Stack};
use crate::proxies::Proxies;
use crate::ratelimit::Principal;
use crate::shares::{Share, Shares};
use crate::stall::{Counted, Owed};

/// How long an idle socket stays silent before the system asks whether the other side is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// The pause after a failed accept: when files have run out, trying at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the log says that connections are not taken: whoever floods the port must not flood the log.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Bytes of a new connection that tell which version of HTTP it speaks.
const PREFACE_BYTES: usize = 24;
/// Bytes that a client may send on one HTTP/2 stream ahead of what was read. Enough for a quarter of the largest message.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes that a client may send on one HTTP/2 connection ahead of what was read.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of answers that one HTTP/2 stream buffers for a client that does not read.
const SEND_BUFFER: usize = 256 << 10;
/// Streams that a client may reset faster than they are taken in, before its connection is closed.
const RESETS_PENDING: usize = 20;

/// A port that is open, with what it serves.
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    bounds: Bounds,
    proxies: Proxies,
}

impl Port {
    /// A port of a listener. Its address holds the real number where 0 was asked for.
    pub(crate) fn new(listener: TcpListener, acceptor: Option<TlsAcceptor>, config: &Config) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            acceptor,
            bounds: config.connection.clone(),
            proxies: Proxies::new(&config.trusted_proxies),
        })
    }

    /// The address that is bound.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the drain begins, then waits until all of them have ended: their calls finish, further ones are refused.
    /// `cut` ends those that are left at once.
    pub(crate) async fn serve(self, stack: Stack, drain: Drain, cut: CancellationToken) {
        let connections = TaskTracker::new();
        let places = Places::new(self.bounds.max, self.proxies.clone());
        let mut lost = Lost::default();
        let shared = Arc::new(Shared {
            builder: builder(&self.bounds),
            acceptor: self.acceptor,
            bounds: self.bounds,
            proxies: self.proxies,
            drain,
            cut,
        });
        {
            let incoming = TcpIncoming::from(self.listener)
                .with_nodelay(Some(true))
                .with_keepalive(Some(TCP_KEEPALIVE));
            let mut incoming = pin!(incoming);
            // The listener is dropped at the end of the block: from then on connecting is refused rather than left to time out.
            while let Some(accepted) = accept(&mut incoming, &shared.drain).await {
                let socket = match accepted {
                    Ok(socket) => socket,
                    Err(error) => {
                        lost.note(&error);
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                // It is gone already.
                let Ok(peer) = socket.peer_addr() else { continue };
                match places.take(peer) {
                    Ok(place) => {
                        connections.spawn(connection(Arc::clone(&shared), (socket, peer), stack.clone(), place));
                    }
                    // It is closed by being dropped.
                    Err(full) => lost.note(&full),
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

/// Places for connections: of the port, and of each address. A proxy that is trusted stands for many clients, and is held to the port's alone.
struct Places {
    free: Arc<Semaphore>,
    of: Arc<Shares>,
    proxies: Proxies,
}

/// A connection's place.
struct Place {
    _of_port: OwnedSemaphorePermit,
    _of_address: Option<Share>,
}

/// Why a connection is not taken.
#[derive(Debug, thiserror::Error)]
enum Full {
    #[error("the port has as many connections as `connection.max` allows")]
    Port,
    #[error("one address has as many connections as it may have")]
    Address,
}

impl Places {
    fn new(max: usize, proxies: Proxies) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max)),
            of: Shares::new(),
            proxies,
        }
    }

    /// A place, at once or not at all.
    fn take(&self, peer: SocketAddr) -> Result<Place, Full> {
        let of_address = if self.proxies.trusts(peer.ip()) {
            None
        } else {
            let address = Principal::of_address(Some(peer.ip()));
            let share = self.of.take(address, limits::CONNECTIONS_PER_ADDRESS);
            Some(share.ok_or(Full::Address)?)
        };
        Ok(Place {
            _of_address: of_address,
            _of_port: Arc::clone(&self.free).try_acquire_owned().map_err(|_| Full::Port)?,
        })
    }
}

/// Connections that were not taken, and when the log was last told.
#[derive(Default)]
struct Lost {
    connections: u64,
    said: Option<Instant>,
}

impl Lost {
    fn note(&mut self, why: &dyn std::error::Error) {
        self.connections += 1;
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::warn!(connections = self.connections, %why, "connections are not taken");
            *self = Self {
                connections: 0,
                said: Some(Instant::now()),
            };
        }
    }
}

/// What the connections of a port have in common.
struct Shared {
    builder: Builder<TokioExecutor>,
    acceptor: Option<TlsAcceptor>,
    bounds: Bounds,
    proxies: Proxies,
    drain: Drain,
    cut: CancellationToken,
}

/// The next connection; none once the server drains.
async fn accept(incoming: &mut Pin<&mut TcpIncoming>, drain: &Drain) -> Option<io::Result<TcpStream>> {
    tokio::select! {
        biased;
        () = drain.begun() => None,
        accepted = incoming.next() => accepted,
    }
}

/// HTTP/1.1 (for grpc-web) and HTTP/2 within bounds.
fn builder(bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION)
        .max_header_list_size(limits::HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_PENDING)
        // A client that trickles a frame cannot answer a ping within it, so this ends slow heads too.
        .keep_alive_interval(Duration::from_secs(bounds.keepalive_interval_s))
        .keep_alive_timeout(Duration::from_secs(bounds.keepalive_timeout_s));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(bounds.handshake_timeout_s))
        .max_buf_size(limits::HEADER_BYTES as usize);
    builder
}

async fn connection(shared: Arc<Shared>, (socket, peer): (TcpStream, SocketAddr), stack: Stack, place: Place) {
    let handshake_timeout = Duration::from_secs(shared.bounds.handshake_timeout_s);
    match &shared.acceptor {
        None => serve(&shared, socket, peer, stack).await,
        Some(acceptor) => {
            let handshake = timeout(handshake_timeout, acceptor.accept(socket));
            let shaken = tokio::select! {
                shaken = handshake => shaken,
                () = shared.drain.begun() => return,
            };
            match shaken {
                Ok(Ok(secured)) => serve(&shared, secured, peer, stack).await,
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            }
        }
    }
    drop(place);
}

/// Serves a connection until it ends by itself, or by age, drain or cut.
async fn serve<IO>(shared: &Shared, io: IO, peer: SocketAddr, stack: Stack)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let received = Arc::new(AtomicUsize::new(0));
    let io = TokioIo::new(Received {
        io,
        received: Arc::clone(&received),
    });
    let (address, proxies) = (peer.ip(), shared.proxies.clone());
    let owed = Arc::new(Owed::default());
    let owing = Arc::clone(&owed);
    let service = stack
        .map_request(move |mut request: Request<Incoming>| {
            let client = proxies.client(address, request.headers());
            request.extensions_mut().insert(Peer(client));
            request.map(Body::new)
        })
        .map_response(move |response| response.map(|body| Counted::new(body, &owing)));
    let service = TowerToHyperService::new(service);
    let mut connection = pin!(shared.builder.serve_connection(io, service));
    let mut too_old = pin!(sleep(Duration::from_secs(shared.bounds.max_age_s)));
    let mut too_slow = pin!(sleep(Duration::from_secs(shared.bounds.handshake_timeout_s)));
    // Two turns, so that what is cut was untaken for the whole time.
    let mut turn = interval(Duration::from_secs(shared.bounds.stall_timeout_s) / 2);
    let (mut ending, mut looked) = (false, false);
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = &mut too_slow, if !looked => {
                looked = true;
                // Not even a preface: nobody is there, or somebody who wants to hold the place.
                if received.load(Ordering::Relaxed) < PREFACE_BYTES {
                    return;
                }
            }
            _ = turn.tick() => {
                if owed.turn() {
                    tracing::debug!("a client left an answer untaken");
                    return;
                }
            }
            () = &mut too_old, if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shared.drain.begun(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shared.cut.cancelled() => return,
        }
    }
}

pin_project! {
    /// Counts what was received.
    struct Received<IO> {
        #[pin]
        io: IO,
        received: Arc<AtomicUsize>,
    }
}

impl<IO: AsyncRead> AsyncRead for Received<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        ready!(this.io.poll_read(cx, buffer))?;
        this.received
            .fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite> AsyncWrite for Received<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_a_whole_port() {
        let places = Places::new(limits::CONNECTIONS_PER_ADDRESS + 1, Proxies::default());
        let peer = |last: u8| SocketAddr::from(([192, 0, 2, last], 1));
        let mut held: Vec<_> = (0..limits::CONNECTIONS_PER_ADDRESS)
            .map(|_| places.take(peer(1)).unwrap())
            .collect();
        assert!(matches!(places.take(peer(1)), Err(Full::Address)));
        held.push(places.take(peer(2)).unwrap());
        assert!(matches!(places.take(peer(2)), Err(Full::Port)));
        held.clear();
        places.take(peer(1)).unwrap();
    }

    #[test]
    fn a_proxy_may_take_a_whole_port() {
        let max = limits::CONNECTIONS_PER_ADDRESS + 1;
        let places = Places::new(max, Proxies::new(&["192.0.2.0/24".parse().unwrap()]));
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let _held: Vec<_> = (0..max).map(|_| places.take(peer).unwrap()).collect();
        assert!(matches!(places.take(peer), Err(Full::Port)));
    }
}
