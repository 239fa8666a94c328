//! The two ports on their way to service: taken before anything is written, listened on once there is something to serve.

use std::io;
use std::net::SocketAddr;

use social_observability::event;
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::config::{self, Config};
use crate::grpc::Drain;
use crate::grpc::layers::Stack;
use crate::listen::Port;
use crate::tls::Tls;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// TLS of a port, and what its files held when they were read.
pub(crate) struct Secured {
    tls: Tls,
    fingerprint: [u8; 32],
}

impl Secured {
    /// TLS as a section of the configuration asks for it.
    pub(crate) fn open(section: &'static str, config: &config::Tls) -> Result<Option<Self>, Error> {
        let Some((cert, key)) = config.files() else {
            return Ok(None);
        };
        let (tls, fingerprint) = Tls::open(cert, key).map_err(|reason| Error::Tls {
            section,
            reason: Box::new(reason),
        })?;
        Ok(Some(Self { tls, fingerprint }))
    }

    /// Takes changed files into use until the drain begins.
    pub(crate) async fn watch(self, drain: Drain) {
        tokio::select! {
            () = self.tls.watch(self.fingerprint) => {}
            () = drain.begun() => {}
        }
    }
}

/// A port that is taken and does not listen yet: connecting is refused.
pub(crate) struct Reserved {
    key: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
    secured: Option<Secured>,
}

impl Reserved {
    /// Takes an address; `key` is the setting that names it.
    pub(crate) fn open(key: &'static str, address: SocketAddr, secured: Option<Secured>) -> Result<Self, Error> {
        let socket = take(address).map_err(|reason| Error::Bind { key, address, reason })?;
        Ok(Self {
            key,
            address,
            socket,
            secured,
        })
    }

    /// Listens, for a stack to be served.
    pub(crate) fn listen(self, stack: Stack, config: &Config) -> Result<Listening, Error> {
        let Self {
            key,
            address,
            socket,
            secured,
        } = self;
        let acceptor = secured.as_ref().map(|secured| secured.tls.acceptor());
        let port = socket
            .listen(BACKLOG)
            .and_then(|listener| Port::new(listener, acceptor, config))
            .map_err(|reason| Error::Bind { key, address, reason })?;
        Ok(Listening { port, stack, secured })
    }
}

/// Fails where another socket listens there already.
fn take(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A port whose last connections are still going away can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A port that listens, with what it is to serve.
pub(crate) struct Listening {
    port: Port,
    stack: Stack,
    secured: Option<Secured>,
}

impl Listening {
    /// Its address, with the number that is really bound.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What a client is to be given: `grpc://127.0.0.1:50051`, or `grpcs://` with TLS.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.secured.is_some() { "grpcs" } else { "grpc" };
        format!("{scheme}://{}", self.address())
    }

    /// Warns where other machines reach it and nothing is encrypted.
    pub(crate) fn warn_if_clear(&self) {
        if self.secured.is_none() && !self.address().ip().to_canonical().is_loopback() {
            event::listening_in_the_clear(&self.address());
        }
    }

    /// Its parts: what serves, and the watch of its files.
    pub(crate) fn into_parts(
        self,
        drain: &Drain,
        cut: &CancellationToken,
    ) -> (impl Future<Output = ()> + Send + use<>, Option<Secured>) {
        (self.port.serve(self.stack, drain.clone(), cut.clone()), self.secured)
    }
}
