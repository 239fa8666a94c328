//! Asks whether a service answers, in as much of its protocol as that takes.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
/// Frames of CQL that are asked for here are small.
const MAX_FRAME: usize = 1 << 20;

/// What is said of a CQL store that wants a password, when none is known.
pub(super) const PASSWORD: &str = "it asks for a password";

/// User and password of a CQL store.
pub(super) type Login<'a> = (&'a str, &'a str);

/// How many replicas must answer a CQL query.
#[derive(Clone, Copy, Debug)]
pub(super) enum Consistency {
    One = 1,
    All = 5,
}

// Operations of the native protocol, version 4.
const STARTUP: u8 = 0x01;
const READY: u8 = 0x02;
const AUTHENTICATE: u8 = 0x03;
const QUERY: u8 = 0x07;
const RESULT: u8 = 0x08;
const AUTH_RESPONSE: u8 = 0x0F;
const AUTH_SUCCESS: u8 = 0x10;
const ERROR: u8 = 0x00;

/// What went wrong on a connection, in words: of a frozen server the system only says to try again.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer within {} s", PATIENCE.as_secs()),
        _ => error.to_string(),
    }
}

fn connect(address: &str) -> Result<TcpStream, String> {
    let explain = |error: io::Error| format!("{address}: {}", explain(&error));
    let mut last = format!("{address}: no such address");
    for resolved in address.to_socket_addrs().map_err(explain)? {
        match TcpStream::connect_timeout(&resolved, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).map_err(explain)?;
                stream.set_write_timeout(Some(PATIENCE)).map_err(explain)?;
                return Ok(stream);
            }
            Err(error) => last = explain(error),
        }
    }
    Err(last)
}

/// An error when nobody listens there.
pub(super) fn listens(address: &str) -> Result<(), String> {
    connect(address).map(drop)
}

/// Runs a query on a CQL node; an error is what the node said.
pub(super) fn cql(address: &str, login: Option<Login<'_>>, query: &str, level: Consistency) -> Result<(), String> {
    let mut stream = connect(address)?;
    let mut hello = 1_u16.to_be_bytes().to_vec();
    for text in ["CQL_VERSION", "3.0.0"] {
        hello.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
        hello.extend(text.as_bytes());
    }
    let mut answer = call(&mut stream, STARTUP, &hello)?;
    if answer == AUTHENTICATE {
        let (user, password) = login.ok_or_else(|| PASSWORD.to_owned())?;
        let token = format!("\0{user}\0{password}");
        answer = call(&mut stream, AUTH_RESPONSE, &long(token.as_bytes()))?;
    }
    if answer != READY && answer != AUTH_SUCCESS {
        return Err(format!("{address} answers {answer} to a greeting"));
    }
    let mut body = long(query.as_bytes());
    body.extend((level as u16).to_be_bytes());
    body.push(0);
    match call(&mut stream, QUERY, &body)? {
        RESULT => Ok(()),
        other => Err(format!("{address} answers {other} to a query")),
    }
}

/// Bytes behind their length.
fn long(bytes: &[u8]) -> Vec<u8> {
    let mut body = u32::try_from(bytes.len()).unwrap_or_default().to_be_bytes().to_vec();
    body.extend(bytes);
    body
}

/// Sends a frame and gives the operation of the answer.
fn call(stream: &mut TcpStream, operation: u8, body: &[u8]) -> Result<u8, String> {
    let mut frame = vec![4, 0, 0, 1, operation];
    frame.extend(long(body));
    stream.write_all(&frame).map_err(|error| explain(&error))?;
    let mut header = [0; 9];
    stream.read_exact(&mut header).map_err(|error| explain(&error))?;
    let [.., a, b, c, d] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME {
        return Err("not an answer in CQL".to_owned());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(|error| explain(&error))?;
    match header[4] {
        // A code of four bytes, a length of two, and the text.
        ERROR => Err(String::from_utf8_lossy(body.get(6..).unwrap_or_default()).into_owned()),
        other => Ok(other),
    }
}

/// Sends one command to a Redis, with the password before it where there is one, and gives the answer as text.
pub(super) fn redis(address: &str, password: Option<&str>, command: &[&str]) -> Result<String, String> {
    let stream = connect(address)?;
    let mut reader = BufReader::new(stream);
    if let Some(password) = password {
        ask(&mut reader, &["AUTH", password])?;
    }
    ask(&mut reader, command)
}

fn ask(stream: &mut BufReader<TcpStream>, command: &[&str]) -> Result<String, String> {
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    let sent = stream.get_mut().write_all(request.as_bytes());
    sent.map_err(|error| explain(&error))?;
    reply(stream)
}

/// A simple string, a number, or a bulk string; lists are not asked for here.
fn reply(stream: &mut impl io::BufRead) -> Result<String, String> {
    let mut line = String::new();
    let mut limited = stream.by_ref().take(64 * 1024);
    limited.read_line(&mut line).map_err(|error| explain(&error))?;
    let line = line.trim_end();
    match (line.get(..1), line.get(1..)) {
        (Some("+" | ":"), Some(text)) => Ok(text.to_owned()),
        (Some("-"), Some(text)) => Err(text.to_owned()),
        (Some("$"), Some(length)) => {
            let length: usize = length.parse().map_err(|_| "nothing is there".to_owned())?;
            let mut body = vec![0; length.min(MAX_FRAME) + 2];
            stream.read_exact(&mut body).map_err(|error| explain(&error))?;
            body.truncate(length);
            Ok(String::from_utf8_lossy(&body).into_owned())
        }
        _ => Err("not an answer of Redis".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_redis_answers() {
        assert_eq!(reply(&mut "+PONG\r\n".as_bytes()), Ok("PONG".to_owned()));
        assert_eq!(reply(&mut "$5\r\na\r\nbc\r\n".as_bytes()), Ok("a\r\nbc".to_owned()));
        assert_eq!(reply(&mut "-ERR no\r\n".as_bytes()), Err("ERR no".to_owned()));
        assert!(reply(&mut "HTTP/1.1 400\r\n".as_bytes()).is_err());
        assert!(reply(&mut "".as_bytes()).is_err());
    }

    #[test]
    fn nobody_there_is_an_error() {
        let address = "127.0.0.1:1";
        assert!(cql(address, None, "", Consistency::One).is_err());
        assert!(redis(address, None, &["PING"]).is_err());
    }
}
