//! As much of the CQL protocol (version 4) as these tests need: a statement run by hand, a store that says nothing, and a way to the real
//! one that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const REQUEST: u8 = 0x04;
const ERROR: u8 = 0x00;
const STARTUP: u8 = 0x01;
const AUTHENTICATE: u8 = 0x03;
const QUERY: u8 = 0x07;
const AUTH_RESPONSE: u8 = 0x0f;
const ONE: u16 = 0x0001;

struct Frame {
    opcode: u8,
    body: Vec<u8>,
}

impl Frame {
    fn read(from: &mut impl std::io::Read) -> std::io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_be_bytes(head[5..].try_into().unwrap()) as usize];
        from.read_exact(&mut body)?;
        Ok(Self { opcode: head[4], body })
    }

    fn write(&self, to: &mut impl std::io::Write) -> std::io::Result<()> {
        let mut bytes = vec![REQUEST, 0, 0, 0, self.opcode];
        bytes.extend(u32::try_from(self.body.len()).unwrap().to_be_bytes());
        bytes.extend(&self.body);
        to.write_all(&bytes)
    }
}

fn short(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let mut body = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    body.extend(bytes);
    body
}

/// Runs a statement.
pub(crate) fn run(address: &str, statement: &str) {
    run_as(address, ("", ""), statement);
}

/// Runs a statement as a user, where the store asks for one.
pub(crate) fn run_as(address: &str, (user, password): (&str, &str), statement: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut ask = |opcode, body| {
        Frame { opcode, body }.write(&mut stream).unwrap();
        let answer = Frame::read(&mut stream).unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_ne!(answer.opcode, ERROR, "{statement}: {text}");
        answer.opcode
    };
    let options = [vec![0, 1], short("CQL_VERSION"), short("3.0.0")].concat();
    if ask(STARTUP, options) == AUTHENTICATE {
        ask(AUTH_RESPONSE, long(format!("\0{user}\0{password}").as_bytes()));
    }
    let mut query = long(statement.as_bytes());
    query.extend(ONE.to_be_bytes());
    query.push(0);
    ask(QUERY, query);
}

/// A store that takes connections and says nothing; its address.
pub(crate) fn that_is_silent() -> String {
    serve(|mut stream| {
        let mut sink = [0; 1024];
        while stream.read(&mut sink).is_ok_and(|read| read > 0) {}
    })
}

/// A way to a store on which everything stands still while it is cut.
pub(crate) struct Way {
    pub(crate) address: String,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    pub(crate) fn to(store: &str) -> Self {
        let is_cut = Arc::new(AtomicBool::new(false));
        let (store, cut) = (store.to_owned(), Arc::clone(&is_cut));
        let address = serve(move |client| {
            let server = TcpStream::connect(&store).unwrap();
            let there = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let back = Arc::clone(&cut);
            thread::spawn(move || pass(server, client, &back));
            pass(there.0, there.1, &cut);
        });
        Self { address, is_cut }
    }

    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut bytes = [0; 64 << 10];
    while let Ok(read) = from.read(&mut bytes) {
        while is_cut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// Serves each connection on a thread of its own; the address.
fn serve(connection: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connection = Arc::new(connection);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = Arc::clone(&connection);
            thread::spawn(move || connection(stream));
        }
    });
    address
}
