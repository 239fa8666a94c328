//! As much of the CQL protocol (version 4) as these tests need: a statement run by hand, a store that refuses every login, and a way to
//! the real one that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const REQUEST: u8 = 0x04;
const RESPONSE: u8 = 0x84;
const ERROR: u8 = 0x00;
const STARTUP: u8 = 0x01;
const AUTHENTICATE: u8 = 0x03;
const OPTIONS: u8 = 0x05;
const SUPPORTED: u8 = 0x06;
const QUERY: u8 = 0x07;
const ONE: u16 = 0x0001;
const BAD_CREDENTIALS: u32 = 0x0100;

struct Frame {
    version: u8,
    stream: [u8; 2],
    opcode: u8,
    body: Vec<u8>,
}

impl Frame {
    fn read(from: &mut impl std::io::Read) -> std::io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_be_bytes(head[5..].try_into().unwrap()) as usize];
        from.read_exact(&mut body)?;
        Ok(Self {
            version: head[0],
            stream: [head[2], head[3]],
            opcode: head[4],
            body,
        })
    }

    fn write(&self, to: &mut impl std::io::Write) -> std::io::Result<()> {
        let mut bytes = vec![self.version, 0, self.stream[0], self.stream[1], self.opcode];
        bytes.extend(u32::try_from(self.body.len()).unwrap().to_be_bytes());
        bytes.extend(&self.body);
        to.write_all(&bytes)
    }

    fn answer(&self, opcode: u8, body: Vec<u8>) -> Self {
        Self {
            version: RESPONSE,
            stream: self.stream,
            opcode,
            body,
        }
    }
}

fn short(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// Runs a statement.
pub(crate) fn run(address: &str, statement: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut ask = |opcode, body| {
        let request = Frame {
            version: REQUEST,
            stream: [0, 0],
            opcode,
            body,
        };
        request.write(&mut stream).unwrap();
        let answer = Frame::read(&mut stream).unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_ne!(answer.opcode, ERROR, "{statement}: {text}");
    };
    let options = [vec![0, 1], short("CQL_VERSION"), short("3.0.0")].concat();
    ask(STARTUP, options);
    let mut query = u32::try_from(statement.len()).unwrap().to_be_bytes().to_vec();
    query.extend(statement.as_bytes());
    query.extend(ONE.to_be_bytes());
    query.push(0);
    ask(QUERY, query);
}

/// A store that knows no user; its address.
pub(crate) fn that_refuses_logins() -> String {
    serve(|mut stream| {
        while let Ok(request) = Frame::read(&mut stream) {
            let answer = match request.opcode {
                OPTIONS => request.answer(SUPPORTED, vec![0, 0]),
                STARTUP => request.answer(AUTHENTICATE, short("org.apache.cassandra.auth.PasswordAuthenticator")),
                _ => {
                    let refusal = short("Provided username somebody and/or password are incorrect");
                    request.answer(ERROR, [BAD_CREDENTIALS.to_be_bytes().to_vec(), refusal].concat())
                }
            };
            if answer.write(&mut stream).is_err() {
                return;
            }
        }
    })
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
