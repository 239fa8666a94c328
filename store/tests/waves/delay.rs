//! A way to a service on which answers can be held back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Answers that may be on their way.
const ON_THEIR_WAY: usize = 1_024;

/// A port that leads to a service.
pub(crate) struct Delay {
    address: SocketAddr,
    millis: Arc<AtomicU64>,
    _ways: JoinSet<()>,
}

impl Delay {
    pub(crate) async fn before(service: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let millis = Arc::new(AtomicU64::new(0));
        let mut ways = JoinSet::new();
        ways.spawn(lead(listener, service.to_owned(), Arc::clone(&millis)));
        Self {
            address,
            millis,
            _ways: ways,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Holds each answer back for so long from now on.
    pub(crate) fn set(&self, delay: Duration) {
        self.millis.store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn lead(listener: TcpListener, service: String, millis: Arc<AtomicU64>) {
    let mut ways = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let service = TcpStream::connect(&service).await.unwrap();
        service.set_nodelay(true).unwrap();
        client.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_service, mut to_service) = service.into_split();
        let (answers, held) = mpsc::channel(ON_THEIR_WAY);
        ways.spawn(async move {
            let mut from_client = from_client;
            // Either end may go.
            let _ = tokio::io::copy(&mut from_client, &mut to_service).await;
        });
        ways.spawn(take(from_service, answers, Arc::clone(&millis)));
        ways.spawn(bring(held, to_client));
    }
}

type Held = (Instant, Vec<u8>);

async fn take(mut service: OwnedReadHalf, answers: mpsc::Sender<Held>, millis: Arc<AtomicU64>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = service.read(&mut bytes).await {
        let due = Instant::now() + Duration::from_millis(millis.load(Ordering::Relaxed));
        if answers.send((due, bytes[..read].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn bring(mut held: mpsc::Receiver<Held>, mut client: OwnedWriteHalf) {
    while let Some((due, bytes)) = held.recv().await {
        tokio::time::sleep_until(due).await;
        if client.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
