//! A server in this process, on free ports and a folder of its own, and ways to talk to it.

pub use super::request_id;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use social_proto::v1;
use social_proto::v1::auth_service_client::AuthServiceClient;
use social_server::{Config, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A server under test. Dropped without [`TestServer::stop`] it ends with the test's runtime.
pub struct TestServer {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<bool>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server whose configuration differs from that of tests.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(&folder.path().join("data"));
        change(&mut config);
        config.validate().unwrap();
        let bound = Server::open(config).await.unwrap().bind().await.unwrap();
        let (address, admin_address) = (bound.address().unwrap(), bound.admin_address());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            admin_address,
            folder,
            stop: Some(stop),
            served,
        }
    }

    pub fn admin_token(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("data/admin.token"))
            .unwrap()
            .trim()
            .to_owned()
    }

    pub async fn channel(&self) -> Channel {
        channel(self.address).await
    }

    pub async fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.channel().await)
    }

    /// Registers a user and answers the access token.
    pub async fn register(&self, handle: &str) -> String {
        let request = v1::RegisterRequest {
            handle: handle.to_owned(),
            password: "correct horse".to_owned(),
            request_id: request_id(),
            ..Default::default()
        };
        let registered = self.auth().await.register(request).await.unwrap().into_inner();
        registered.tokens.unwrap().access_token
    }

    /// Tells the server to stop.
    pub fn begin_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Stops the server; whether everything in hand could finish.
    pub async fn stop(mut self) -> bool {
        if self.stop.is_some() {
            self.begin_stop();
        }
        tokio::time::timeout(Duration::from_secs(20), self.served)
            .await
            .expect("it stops")
            .unwrap()
    }
}

pub async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// A request with a bearer token.
pub fn with_token<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The reason of a status, as its details tell it.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

#[track_caller]
pub fn assert_refused(status: &Status, code: Code, expected: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (code, expected), "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().domain, "social.v1");
}

/// A grpc-web message frame.
pub fn frame(message: &impl prost::Message) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend((message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut frame).unwrap();
    frame
}

/// An HTTP/1.1 answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The gRPC status, from the headers or from the trailers in the body.
    pub fn grpc_status(&self) -> Option<Code> {
        let text = self.header("grpc-status").map(str::to_owned).or_else(|| {
            let body = String::from_utf8_lossy(&self.body).into_owned();
            let (_, rest) = body.split_once("grpc-status:")?;
            Some(rest.split("\r\n").next()?.trim().to_owned())
        });
        text.map(|code| Code::from_bytes(code.as_bytes()))
    }
}

/// Sends one HTTP/1.1 request by hand and reads the whole answer.
pub async fn http1(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .expect("an answer")
        .unwrap();
    parse(&answer)
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a whole head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| {
        line.split_once(": ")
            .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
    });
    Answer {
        status,
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    }
}

/// A certificate and its key, written to `cert.pem` and `key.pem`; answers the certificate.
pub fn write_certificate(folder: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().to_vec()
}
