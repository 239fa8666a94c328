//! Calls of any method by its path, and refusals as data.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

/// What every path of the contract begins with.
pub const PACKAGE: &str = "/social.v1.";

/// A connection to one port, over which any method can be called.
#[derive(Clone)]
pub struct Line(pub Channel);

impl Line {
    /// Connects.
    pub async fn to(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self(endpoint.connect().await.unwrap())
    }

    /// Connects at the first call, and again whenever the connection is gone.
    pub fn lazily_to(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self(endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy())
    }

    /// Calls a method (`PostService/GetPost`) with one message, and answers its first one.
    pub async fn call<A: Message + Default>(
        &self,
        method: &str,
        token: Option<&str>,
        message: &impl Message,
    ) -> Result<A, Failure> {
        let answer = self
            .raw(&format!("{PACKAGE}{method}"), token, vec![message.encode_to_vec()])
            .await?;
        Ok(A::decode(answer.as_slice()).unwrap())
    }

    /// Calls a method with encoded messages, and answers its first one, whatever kinds of streams it has.
    pub async fn raw(&self, path: &str, token: Option<&str>, messages: Vec<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        let mut answers = self.open(path, token, messages).await?;
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => panic!("{path} answered nothing"),
            Err(status) => return Err(status.into()),
        };
        // A call of one answer is read to its end, since dropping it before would reset its stream.
        let streams = |method: &&social_proto::Method| method.path == path && method.server_streaming;
        if social_proto::methods().iter().find(streams).is_none() {
            assert!(answers.message().await?.is_none(), "{path} answered twice");
        }
        Ok(answer)
    }

    /// Opens a method's stream of answers.
    pub async fn open(
        &self,
        path: &str,
        token: Option<&str>,
        messages: Vec<Vec<u8>>,
    ) -> Result<Streaming<Vec<u8>>, Failure> {
        let mut client = tonic::client::Grpc::new(self.0.clone())
            .max_decoding_message_size(16 << 20)
            .max_encoding_message_size(16 << 20);
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(futures::stream::iter(messages));
        request.set_timeout(Duration::from_secs(20));
        if let Some(token) = token {
            authorize(&mut request, token);
        }
        let path: PathAndQuery = path.parse().unwrap();
        Ok(client.streaming(request, path, Bytewise).await?.into_inner())
    }
}

/// Puts a bearer token on a request.
pub fn authorize<T>(request: &mut Request<T>, token: &str) {
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
}

/// A request with a bearer token.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    authorize(&mut request, token);
    request
}

/// A refusal, with everything that its details tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub code: Code,
    /// The name of an `ErrorReason` without its prefix; empty where there are no details.
    pub reason: String,
    pub domain: String,
    /// Paths of the fields at fault, and the hints to them.
    pub fields: Vec<(String, String)>,
    pub retry_delay: Option<Duration>,
    pub message: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            domain: info.map(|info| info.domain.clone()).unwrap_or_default(),
            fields: details.bad_request().map_or_else(Vec::new, |bad| {
                let violations = bad.field_violations.iter();
                violations
                    .map(|violation| (violation.field.clone(), violation.description.clone()))
                    .collect()
            }),
            retry_delay: details.retry_info().and_then(|retry| retry.retry_delay),
            message: status.message().to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields.iter().map(|(field, _)| field.as_str()).collect();
        write!(f, "{:?}/{} {fields:?} ({})", self.code, self.reason, self.message)
    }
}

impl Failure {
    /// Whether the refusal names this field.
    pub fn names(&self, field: &str) -> bool {
        self.fields
            .iter()
            .any(|(named, hint)| named == field && !hint.is_empty())
    }

    /// Whether the call may have happened, so that it is to be repeated: the server went away, or its time ran out.
    pub fn is_unknown_outcome(&self) -> bool {
        matches!(
            self.code,
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown
        ) || (self.code == Code::Internal && self.reason.is_empty())
    }
}

/// The failure of a call that had to be refused.
#[track_caller]
pub fn refused<T: fmt::Debug>(answer: Result<T, Failure>) -> Failure {
    match answer {
        Ok(answer) => panic!("answered {answer:?} instead of refusing"),
        Err(failure) => failure,
    }
}

/// Asserts what a refusal says.
#[track_caller]
pub fn assert_refused(failure: &Failure, code: Code, reason: &str) {
    assert_eq!((failure.code, failure.reason.as_str()), (code, reason), "{failure}");
    assert_eq!(failure.domain, "social.v1");
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug, Default)]
struct Bytewise;

impl Codec for Bytewise {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytewise {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytewise {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}
