//! A way to the CQL store that harms what goes over it: of a share of the statements the answer is lost, late or cut off, after the store has done what
//! they say; or they come to the store when nobody waits for them any more.
//!
//! The driver stays on this way: it asks the node that it was told of where the others are, and there are none.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::platform::{Platform, cql_address};
use crate::site::Store;

/// What decides which statements are harmed.
const SEED: u64 = 6;
/// How late is late: the driver waits 10 s for an answer.
const LATE: Duration = Duration::from_secs(12);

/// Bytes of a frame before its body (protocol version 4): version, flags, stream (2), opcode, length (4).
const HEAD: usize = 9;
const EXECUTE: u8 = 0x0A;
/// The body of an answer that says nothing but that it is done.
const VOID: [u8; 4] = [0, 0, 0, 1];
/// The column that says whether a conditional write took effect.
const APPLIED: &[u8] = b"[applied]";

/// What happens to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Its answer never comes; the connection stays.
    AnswerLost,
    /// Its answer comes when nobody waits for it any more.
    AnswerLate,
    /// The connection ends in the middle of its answer.
    AnswerCut,
    /// It comes to the store when nobody waits for its answer any more.
    RequestLate,
}

impl Harm {
    fn is_of_request(self) -> bool {
        self == Self::RequestLate
    }
}

/// How many statements were harmed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Harmed {
    pub(crate) statements: u64,
    /// Those among them that had written, as their answers said.
    pub(crate) writes: u64,
}

/// The way.
pub(crate) struct Proxy {
    harms: Arc<Mutex<Harms>>,
    accepting: JoinHandle<()>,
}

struct Harms {
    dice: StdRng,
    /// What happens now, to what share of the statements.
    present: Option<(Harm, f64)>,
    harmed: Harmed,
}

impl Store for Proxy {
    async fn open(redis: String) -> (Self, Platform) {
        let mut platform = Platform::over(cql_address(), redis);
        platform.make();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let store = std::mem::replace(&mut platform.cql, address);
        let harms = Harms {
            dice: StdRng::seed_from_u64(SEED),
            present: None,
            harmed: Harmed::default(),
        };
        let harms = Arc::new(Mutex::new(harms));
        let accepting = tokio::spawn(accept(listener, store, Arc::clone(&harms)));
        (Self { harms, accepting }, platform)
    }

    fn mend(&mut self) {
        self.heal();
    }
}

impl Proxy {
    /// From now on harms a share of all statements.
    pub(crate) fn harm(&self, harm: Harm, share: f64) {
        let mut harms = self.harms.lock();
        harms.present = Some((harm, share));
        harms.harmed = Harmed::default();
    }

    /// Harms nothing any more; what was harmed until now.
    pub(crate) fn heal(&self) -> Harmed {
        let mut harms = self.harms.lock();
        harms.present = None;
        harms.harmed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Harms {
    /// What happens to a statement whose request has come.
    fn of_request(&mut self) -> Option<Harm> {
        self.roll(true)
    }

    /// What happens to a statement whose answer has come.
    fn of_answer(&mut self, answer: &Frame) -> Option<Harm> {
        let harm = self.roll(false)?;
        self.harmed.writes += u64::from(answer.is_of_write());
        Some(harm)
    }

    fn roll(&mut self, is_of_request: bool) -> Option<Harm> {
        let (harm, share) = self.present.filter(|(harm, _)| harm.is_of_request() == is_of_request)?;
        let is_harmed = self.dice.random_bool(share);
        self.harmed.statements += u64::from(is_harmed);
        is_harmed.then_some(harm)
    }
}

async fn accept(listener: TcpListener, store: String, harms: Arc<Mutex<Harms>>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (store, harms) = (store.clone(), Arc::clone(&harms));
        tokio::spawn(async move {
            // Either end may go away at any time.
            let _ = connect(client, &store, &harms).await;
        });
    }
}

/// One connection, until either end closes it or it is cut.
async fn connect(client: TcpStream, store: &str, harms: &Mutex<Harms>) -> io::Result<()> {
    let server = TcpStream::connect(store).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (to_client, to_server) = (Way::new(to_client), Way::new(to_server));
    let executing = Mutex::default();
    tokio::select! {
        ended = requests(from_client, &to_server, harms, &executing) => ended,
        ended = answers(from_server, &to_client, harms, &executing) => ended,
    }
}

/// Streams on which a prepared statement is carried out; nothing else is harmed.
type Executing = Mutex<HashSet<[u8; 2]>>;

async fn requests(from: OwnedReadHalf, to: &Way, harms: &Mutex<Harms>, executing: &Executing) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let frame = Frame::read(&mut from).await?;
        if frame.opcode() != EXECUTE {
            executing.lock().remove(&frame.stream());
            to.send(&frame).await?;
            continue;
        }
        executing.lock().insert(frame.stream());
        let harm = harms.lock().of_request();
        match harm {
            Some(_) => to.send_late(frame),
            None => to.send(&frame).await?,
        }
    }
}

async fn answers(from: OwnedReadHalf, to: &Way, harms: &Mutex<Harms>, executing: &Executing) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let frame = Frame::read(&mut from).await?;
        let is_of_statement = executing.lock().remove(&frame.stream());
        let harm = match is_of_statement {
            true => harms.lock().of_answer(&frame),
            false => None,
        };
        match harm {
            Some(Harm::AnswerLost) => {}
            Some(Harm::AnswerLate) => to.send_late(frame),
            Some(Harm::AnswerCut) => return to.send_half(&frame).await,
            Some(Harm::RequestLate) | None => to.send(&frame).await?,
        }
    }
}

/// One direction of a connection.
struct Way(Arc<tokio::sync::Mutex<OwnedWriteHalf>>);

impl Way {
    fn new(to: OwnedWriteHalf) -> Self {
        Self(Arc::new(tokio::sync::Mutex::new(to)))
    }

    async fn send(&self, frame: &Frame) -> io::Result<()> {
        self.0.lock().await.write_all(&frame.0).await
    }

    async fn send_half(&self, frame: &Frame) -> io::Result<()> {
        self.0.lock().await.write_all(&frame.0[..frame.0.len() / 2]).await
    }

    fn send_late(&self, frame: Frame) {
        let to = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            if let Some(to) = to.upgrade() {
                // The connection may have ended.
                let _ = Self(to).send(&frame).await;
            }
        });
    }
}

/// A message of the CQL protocol.
struct Frame(Vec<u8>);

impl Frame {
    async fn read(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Self> {
        let mut bytes = vec![0; HEAD];
        from.read_exact(&mut bytes).await?;
        let length = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        bytes.resize(HEAD + length as usize, 0);
        from.read_exact(&mut bytes[HEAD..]).await?;
        Ok(Self(bytes))
    }

    fn stream(&self) -> [u8; 2] {
        [self.0[2], self.0[3]]
    }

    fn opcode(&self) -> u8 {
        self.0[4]
    }

    /// Of an answer: whether it is one to a write.
    fn is_of_write(&self) -> bool {
        let body = &self.0[HEAD..];
        body == VOID || body.windows(APPLIED.len()).any(|bytes| bytes == APPLIED)
    }
}
