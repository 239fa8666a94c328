//! Connections: slow ones are cut, honest ones live, TLS follows its files, and a drain lets work finish.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is all test code")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use social_proto::v1;
use support::served::{TestServer, assert_refused, write_certificate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The head of a HEADERS frame of 100 bytes on stream 1, and a first few of them.
const HALF_HEADERS: &[u8] = &[0, 0, 100, 1, 4, 0, 0, 0, 1, 0x83, 0x86];

async fn impatient() -> TestServer {
    TestServer::start_with(|config| {
        config.connection.handshake_timeout_s = 1;
        config.connection.keepalive_interval_s = 1;
        config.connection.keepalive_timeout_s = 1;
    })
    .await
}

/// How long a connection that sends this and no more lives.
async fn life_of(address: SocketAddr, sent: &[&[u8]]) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for part in sent {
        stream.write_all(part).await.unwrap();
    }
    let opened = Instant::now();
    let mut buffer = [0; 1_024];
    let ended = timeout(Duration::from_secs(10), async {
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    });
    ended.await.expect("it is cut");
    opened.elapsed()
}

#[tokio::test]
async fn slow_connections_are_cut_and_honest_ones_live() {
    let server = impatient().await;
    let mut honest = HealthClient::new(server.channel().await);
    let address = server.address;
    let (half, head) = ([&PREFACE[..10]], [&b"POST / HTTP/1.1\r\nhost: x\r\n"[..]]);
    let (preface, headers) = ([PREFACE], [PREFACE, EMPTY_SETTINGS, HALF_HEADERS]);
    let slow: [&[&[u8]]; 5] = [&[], &half, &head, &preface, &headers];
    let lives = futures::future::join_all(slow.map(|sent| life_of(address, sent))).await;
    assert!(lives.iter().all(|life| *life < Duration::from_secs(5)), "{lives:?}");
    honest.check(HealthCheckRequest::default()).await.unwrap();
}

/// One frame of HTTP/2.
fn h2_frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    frame.extend(payload);
    frame
}

/// A call by hand, with a window of this size for its answer.
fn call_with_window(window: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let mut head = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &str| {
        head.extend(name);
        head.push(value.len() as u8);
        head.extend(value.as_bytes());
    };
    literal(&[0x04], path);
    literal(&[0x01], "localhost");
    literal(&[0x0f, 0x10], "application/grpc");
    literal(b"\x00\x02te", "trailers");
    let mut settings = vec![0, 4];
    settings.extend(window.to_be_bytes());
    let mut framed = vec![0, 0, 0, 0, message.len() as u8];
    framed.extend(message);
    [
        PREFACE.to_vec(),
        h2_frame(4, 0, 0, &settings),
        h2_frame(1, 4, 1, &head),
        h2_frame(0, 1, 1, &framed),
    ]
    .concat()
}

#[tokio::test]
async fn an_answer_that_is_never_taken_ends_its_connection() {
    is_cut(call_with_window(0, "/grpc.health.v1.Health/Check", &[])).await;
}

#[tokio::test]
async fn a_window_of_one_byte_does_not_make_an_answer_taken() {
    // The description of the contract: larger than what may stay with the transport.
    let symbol = b"social.v1.PostService";
    let mut message = vec![0x22, symbol.len() as u8];
    message.extend(symbol);
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    is_cut(call_with_window(1, path, &message)).await;
}

/// Asserts that who sends this, and answers every ping, is cut for the answer that is left.
async fn is_cut(sent: Vec<u8>) {
    let server = TestServer::start_with(|config| {
        config.connection.keepalive_interval_s = 1;
        config.connection.stall_timeout_s = 2;
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&sent).await.unwrap();
    let asked = Instant::now();
    // It answers every ping, so nothing else would ever end it.
    let polite = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            let is_ack = head[4] & 1 == 1;
            let answer = match head[3] {
                4 if !is_ack => h2_frame(4, 1, 0, &[]),
                6 if !is_ack => h2_frame(6, 1, 0, &payload),
                _ => continue,
            };
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(10), polite).await.expect("it is cut");
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_old_connection_ends_without_breaking_a_call() {
    let server = TestServer::start_with(|config| config.connection.max_age_s = 1).await;
    let mut client = HealthClient::new(server.channel().await);
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        client.check(HealthCheckRequest::default()).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let server = TestServer::start_with(|config| config.connection.max = 2).await;
    let _first = server.channel().await;
    let second = server.channel().await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let read = timeout(Duration::from_secs(5), third.read(&mut [0; 10])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    HealthClient::new(second)
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_drain_ends_streams_and_lets_calls_finish() {
    let mut server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    // A preface that never comes must not hold the drain up.
    let _stuck = TcpStream::connect(server.address).await.unwrap();
    let mut auth = server.auth().await;
    let login = v1::LoginRequest {
        handle: "nobody".to_owned(),
        password: "correct horse".to_owned(),
        ..Default::default()
    };
    let in_hand = tokio::spawn(async move { auth.login(login).await });
    sleep(Duration::from_millis(20)).await;

    let asked = Instant::now();
    server.begin_stop();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status,
        2,
        "NOT_SERVING comes first"
    );
    let end = watch.message().await.unwrap_err();
    assert_refused(&end, Code::Unavailable, "SHUTTING_DOWN");
    assert_refused(
        &in_hand.await.unwrap().unwrap_err(),
        Code::Unauthenticated,
        "CREDENTIALS_INVALID",
    );
    let address = server.address;
    assert!(server.stop().await, "everything in hand finished");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let server = TestServer::start().await;
    server.register("alice").await;
    let folder = server.folder.path().join("data");
    let token = server.admin_token();
    // The folder outlives the first server.
    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("data");
    assert!(server_stop_and_move(server, &folder, &copy).await);
    let again = TestServer::start_with(|config| config.data_dir.clone_from(&copy)).await;
    let login = v1::LoginRequest {
        handle: "alice".to_owned(),
        password: "correct horse".to_owned(),
        ..Default::default()
    };
    again.auth().await.login(login).await.unwrap();
    assert_eq!(std::fs::read_to_string(copy.join("admin.token")).unwrap().trim(), token);
}

async fn server_stop_and_move(mut server: TestServer, from: &std::path::Path, to: &std::path::Path) -> bool {
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());
    let clean = server.stop().await;
    std::fs::rename(from, to).unwrap();
    drop(folder);
    clean
}

/// The certificate that a server shows to a client that trusts only this one; none where it shows another.
async fn shows(address: SocketAddr, trusted: &[u8]) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(trusted.to_vec())).unwrap();
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    match connector
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
    {
        Ok(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        Err(_) => false,
    }
}

#[tokio::test]
async fn tls_follows_its_files() {
    let files = tempfile::tempdir().unwrap();
    let first = write_certificate(files.path());
    let server = TestServer::start_with(|config| {
        config.tls.cert = Some(files.path().join("cert.pem"));
        config.tls.key = Some(files.path().join("key.pem"));
        config.connection.handshake_timeout_s = 1;
    })
    .await;
    assert!(shows(server.address, &first).await);
    // A handshake that never comes is cut.
    assert!(life_of(server.address, &[]).await < Duration::from_secs(5));

    std::fs::write(files.path().join("cert.pem"), "not a certificate").unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(shows(server.address, &first).await, "a bad file changes nothing");

    let second = write_certificate(files.path());
    let until = Instant::now() + Duration::from_secs(10);
    while !shows(server.address, &second).await {
        assert!(Instant::now() < until, "the new certificate is not taken into use");
        sleep(Duration::from_millis(200)).await;
    }
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(
            std::fs::read(files.path().join("cert.pem")).unwrap(),
        ))
        .domain_name("localhost");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
}
