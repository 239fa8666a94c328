//! Clients that know nothing of this project: reflection, health, grpc-web over HTTP/1.1, CORS; and bounds on what any of them sends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use social_core::limits;
use social_proto::v1;
use support::{House, Line, in_time, refused};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// A client of one version of reflection: what it asks for, one question a stream as the simplest clients do.
macro_rules! reflection {
    ($name:ident, $version:ident) => {
        mod $name {
            use tonic_reflection::pb::$version as pb;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            /// A refusal comes as an answer, or as the stream's end.
            async fn ask(line: &crate::Line, question: MessageRequest) -> Result<MessageResponse, i32> {
                let request = pb::ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(question),
                };
                let mut client = ServerReflectionClient::new(line.0.clone());
                let answers = client
                    .server_reflection_info(futures::stream::iter([request]))
                    .await
                    .unwrap();
                match answers.into_inner().message().await {
                    Ok(answer) => Ok(answer.unwrap().message_response.unwrap()),
                    Err(status) => Err(status.code() as i32),
                }
            }

            pub(crate) async fn services(line: &crate::Line) -> Vec<String> {
                match ask(line, MessageRequest::ListServices(String::new())).await {
                    Ok(MessageResponse::ListServicesResponse(list)) => {
                        list.service.into_iter().map(|service| service.name).collect()
                    }
                    other => panic!("{other:?}"),
                }
            }

            /// The encoded file that declares a symbol, or the code of the refusal.
            pub(crate) async fn declaring(line: &crate::Line, symbol: &str) -> Result<Vec<Vec<u8>>, i32> {
                files(ask(line, MessageRequest::FileContainingSymbol(symbol.to_owned())).await?)
            }

            pub(crate) async fn named(line: &crate::Line, name: &str) -> Result<Vec<Vec<u8>>, i32> {
                files(ask(line, MessageRequest::FileByFilename(name.to_owned())).await?)
            }

            fn files(answer: MessageResponse) -> Result<Vec<Vec<u8>>, i32> {
                match answer {
                    MessageResponse::FileDescriptorResponse(files) => Ok(files.file_descriptor_proto),
                    MessageResponse::ErrorResponse(error) => Err(error.error_code),
                    other => panic!("{other:?}"),
                }
            }
        }
    };
}

reflection!(reflect_v1, v1);
reflection!(reflect_v1alpha, v1alpha);

/// Resolves everything that a port lists, as a generic client would; the methods found, by service.
macro_rules! resolve {
    ($reflect:ident, $line:expr) => {{
        let line = $line;
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for service in $reflect::services(line).await {
            let mut waiting = decoded(&$reflect::declaring(line, &service).await.unwrap());
            let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
            while let Some(file) = waiting.pop() {
                for name in &file.dependency {
                    if !files.contains_key(name) {
                        waiting.extend(decoded(&$reflect::named(line, name).await.unwrap()));
                    }
                }
                files.insert(file.name().to_owned(), file);
            }
            found.insert(service.clone(), methods_of(&service, &files));
        }
        found
    }};
}

fn decoded(files: &[Vec<u8>]) -> Vec<FileDescriptorProto> {
    files
        .iter()
        .map(|file| FileDescriptorProto::decode(file.as_slice()).unwrap())
        .collect()
}

/// The methods of a service; each of their types must be declared in the files.
fn methods_of(service: &str, files: &BTreeMap<String, FileDescriptorProto>) -> BTreeSet<String> {
    let types: BTreeSet<String> = files
        .values()
        .flat_map(|file| {
            file.message_type
                .iter()
                .map(|message| format!(".{}.{}", file.package(), message.name()))
        })
        .collect();
    let mut methods = BTreeSet::new();
    for file in files.values() {
        for declared in &file.service {
            if format!("{}.{}", file.package(), declared.name()) != service {
                continue;
            }
            for method in &declared.method {
                assert!(types.contains(method.input_type()), "{}", method.input_type());
                assert!(types.contains(method.output_type()), "{}", method.output_type());
                methods.insert(method.name().to_owned());
            }
        }
    }
    methods
}

/// The contract's methods at one port, by service.
fn contract(admin: bool) -> BTreeMap<String, BTreeSet<String>> {
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for method in social_proto::methods() {
        if method.service.ends_with(".AdminService") == admin {
            methods
                .entry(method.service.to_owned())
                .or_default()
                .insert(method.name.to_owned());
        }
    }
    methods
}

#[tokio::test]
async fn both_versions_of_reflection_resolve_each_port() {
    let house = House::open().await;
    for (line, admin) in [(&house.line, false), (&house.admin, true)] {
        let by_v1 = resolve!(reflect_v1, line);
        let by_v1alpha = resolve!(reflect_v1alpha, line);
        for found in [by_v1, by_v1alpha] {
            let ours = found.iter().filter(|(service, _)| service.starts_with("social."));
            let ours: BTreeMap<_, _> = ours
                .map(|(service, methods)| (service.clone(), methods.clone()))
                .collect();
            assert_eq!(ours, contract(admin));
            assert!(found.contains_key("grpc.health.v1.Health"));
            println!(
                "reflection: {} services, {} methods of ours",
                found.len(),
                ours.values().flatten().count()
            );
        }
        let not_found = Code::NotFound as i32;
        assert_eq!(
            reflect_v1::declaring(line, "social.v1.NoSuchThing").await,
            Err(not_found)
        );
        assert_eq!(reflect_v1alpha::named(line, "no/such.proto").await, Err(not_found));
    }
    // What the operators' port is for is not told at the public one.
    let symbol = "social.v1.AdminService";
    assert_eq!(
        reflect_v1::declaring(&house.line, symbol).await,
        Err(Code::NotFound as i32)
    );
    assert!(reflect_v1::declaring(&house.line, "social.v1.Post").await.is_ok());
}

#[tokio::test]
async fn reflection_is_off_unless_asked_for() {
    let house = House::open_with(|config| config.reflection = false, async |_| {}).await;
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let off = refused(house.line.raw(path, None, vec![Vec::new()]).await);
    assert_eq!(off.code, Code::Unimplemented);
}

#[tokio::test]
async fn health_speaks_of_each_service() {
    let mut house = House::open().await;
    let mut health = HealthClient::new(house.line.0.clone());
    let services = contract(false).into_keys().chain([String::new()]);
    for service in services {
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1);
    }
    let service = "social.v1.NoService".to_owned();
    let unknown = health.check(HealthCheckRequest { service }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    house.begin_stop();
    let changed = in_time("health to change", watch.message()).await.unwrap().unwrap();
    assert_eq!(changed.status, 2, "NOT_SERVING before it is gone");
}

const WEB: &str = "application/grpc-web+proto";
const WEB_TEXT: &str = "application/grpc-web-text+proto";
const GET_USER: &str = "/social.v1.UserService/GetUser";

/// An HTTP/1.1 answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Sends one HTTP/1.1 request.
async fn http1(address: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let (head, body) = in_time("an answer", sender.send_request(request))
        .await
        .unwrap()
        .into_parts();
    Answer {
        status: head.status,
        headers: head.headers,
        body: in_time("its body", body.collect()).await.unwrap().to_bytes(),
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The messages and the trailers of a grpc-web body; of an answer without a body, its headers are its trailers.
    fn frames(&self) -> (Vec<Vec<u8>>, BTreeMap<String, String>) {
        let mut body = match self.header("content-type") {
            // Each part is encoded by itself, so that padding may stand in the middle.
            Some(text) if text.starts_with("application/grpc-web-text") => self
                .body
                .chunks(4)
                .flat_map(|four| STANDARD.decode(four).unwrap())
                .collect(),
            _ => self.body.to_vec(),
        };
        let mut messages = Vec::new();
        let mut trailers: BTreeMap<String, String> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        while !body.is_empty() {
            let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
            let frame: Vec<u8> = body.drain(..5 + length).collect();
            if frame[0] & 0x80 == 0 {
                messages.push(frame[5..].to_vec());
                continue;
            }
            assert!(body.is_empty(), "trailers come last");
            for line in std::str::from_utf8(&frame[5..]).unwrap().lines() {
                let (name, value) = line.split_once(':').unwrap();
                trailers.insert(name.to_owned(), value.trim().to_owned());
            }
        }
        (messages, trailers)
    }

    /// The status, and the reason and the fields of its details.
    fn refusal(&self) -> (Code, String, Vec<String>) {
        let (_, trailers) = self.frames();
        let code = Code::from_bytes(trailers["grpc-status"].as_bytes());
        let details = STANDARD_NO_PAD
            .decode(trailers["grpc-status-details-bin"].trim_end_matches('='))
            .unwrap();
        let status = tonic::Status::with_details(code, "", details.into());
        let failure = support::Failure::from(status);
        assert_eq!(failure.domain, "social.v1");
        (
            code,
            failure.reason,
            failure.fields.into_iter().map(|(field, _)| field).collect(),
        )
    }
}

/// A grpc-web frame.
fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flags], &length[..], message].concat()
}

fn by_handle(handle: &str) -> Vec<u8> {
    let user = v1::get_user_request::User::Handle(handle.to_owned());
    frame(0, &v1::GetUserRequest { user: Some(user) }.encode_to_vec())
}

async fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    http1(address, Method::POST, path, headers, body).await
}

#[tokio::test]
async fn a_browser_calls_by_grpc_web() {
    let house = House::open().await;
    let alice = house.person("alice").await;
    // By HTTP/1.1, in both forms of grpc-web.
    let ask = by_handle(&alice.handle);
    let text = STANDARD.encode(&ask);
    let bodies = [
        (WEB, ask),
        (WEB_TEXT, text.clone().into_bytes()),
        // As `base64` writes it.
        (WEB_TEXT, format!("{}\n{}\r\n", &text[..6], &text[6..]).into_bytes()),
    ];
    for (kind, body) in bodies {
        let headers = [("content-type", kind), ("accept", kind), ("x-grpc-web", "1")];
        let answer = post(house.address, GET_USER, &headers, body).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, Some(kind))
        );
        let (messages, trailers) = answer.frames();
        assert_eq!(trailers["grpc-status"], "0");
        let found = v1::GetUserResponse::decode(messages[0].as_slice()).unwrap();
        assert_eq!((messages.len(), found.user.unwrap().id), (1, alice.id.clone()));
    }
    // With a token, and a mutation.
    let bearer = format!("Bearer {}", alice.access);
    let create = v1::CreatePostRequest {
        content: "from a browser".to_owned(),
        request_id: support::request_id(),
        ..Default::default()
    };
    let headers = [("content-type", WEB), ("authorization", bearer.as_str())];
    let body = frame(0, &create.encode_to_vec());
    let (messages, trailers) = post(house.address, "/social.v1.PostService/CreatePost", &headers, body)
        .await
        .frames();
    assert_eq!(trailers["grpc-status"], "0");
    let created = v1::CreatePostResponse::decode(messages[0].as_slice()).unwrap();
    assert_eq!(alice.home(&house.line).await.unwrap(), [created.post.unwrap().id]);
    // A stream begins, and ends at the deadline that was asked for.
    let headers = [headers[0], headers[1], ("grpc-timeout", "300m")];
    let subscribe = "/social.v1.TimelineService/SubscribeHomeTimeline";
    let stream = post(house.address, subscribe, &headers, frame(0, &[])).await;
    let (messages, trailers) = stream.frames();
    assert!(!messages.is_empty());
    assert_eq!(
        Code::from_bytes(trailers["grpc-status"].as_bytes()),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn refusals_reach_a_browser_with_their_details() {
    let house = House::open().await;
    let web = [("content-type", WEB)];
    let nobody = post(house.address, GET_USER, &web, by_handle("nobody_here")).await;
    assert_eq!(nobody.status, StatusCode::OK);
    assert_eq!(nobody.refusal(), (Code::NotFound, "USER_NOT_FOUND".to_owned(), vec![]));
    let bad = post(house.address, GET_USER, &web, by_handle("@")).await;
    let invalid = |field: &str| {
        (
            Code::InvalidArgument,
            "INVALID_FIELD".to_owned(),
            vec![field.to_owned()],
        )
    };
    assert_eq!(bad.refusal(), invalid("handle"));
    let home = "/social.v1.TimelineService/GetHomeTimeline";
    let missing = post(house.address, home, &web, frame(0, &[])).await;
    assert_eq!(
        missing.refusal(),
        (Code::Unauthenticated, "TOKEN_MISSING".to_owned(), vec![])
    );
    let nothing = post(house.address, "/social.v1.UserService/Nothing", &web, frame(0, &[])).await;
    assert_eq!(
        nothing.refusal(),
        (Code::Unimplemented, "UNIMPLEMENTED".to_owned(), vec![])
    );
    // Compressed messages are not taken, so no small one can become a large one.
    let gzip = [web[0], ("grpc-encoding", "gzip")];
    let bomb = post(house.address, GET_USER, &gzip, frame(1, &[0x1f, 0x8b, 8, 0])).await;
    let (code, reason, fields) = bomb.refusal();
    assert_eq!((code, reason.as_str()), (Code::Unimplemented, "UNIMPLEMENTED"));
    assert_eq!(fields, ["grpc-encoding"]);
    let unsaid = post(house.address, GET_USER, &web, frame(1, &[0x1f, 0x8b, 8, 0])).await;
    assert_eq!(unsaid.refusal().0, Code::InvalidArgument);
}

#[tokio::test]
async fn only_listed_origins_may_call() {
    let house = House::open_with(
        |config| config.cors_origins = vec!["https://app.example.org".to_owned(), "http://localhost:*".to_owned()],
        async |_| {},
    )
    .await;
    let preflight = async |address, origin: &'static str, method: &'static str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            (
                "access-control-request-headers",
                "authorization,content-type,x-grpc-web,grpc-timeout",
            ),
        ];
        http1(address, Method::OPTIONS, GET_USER, &headers, Vec::new()).await
    };
    for origin in ["https://app.example.org", "http://localhost:5173"] {
        let answer = preflight(house.address, origin, "POST").await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        let allowed = answer.header("access-control-allow-headers").unwrap();
        for header in ["authorization", "content-type", "x-grpc-web", "grpc-timeout"] {
            assert!(allowed.contains(header), "{allowed}");
        }
        // Tokens go in a header, so no cookie ever has to.
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let called = post(
            house.address,
            GET_USER,
            &[("content-type", WEB), ("origin", origin)],
            by_handle("x_y"),
        )
        .await;
        assert_eq!(called.header("access-control-allow-origin"), Some(origin));
        let exposed = called.header("access-control-expose-headers").unwrap();
        for header in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
            assert!(exposed.contains(header), "{exposed}");
        }
    }
    let bad = [
        "https://evil.example.org",
        "https://app.example.org.evil.net",
        "http://app.example.org",
        "null",
    ];
    for origin in bad {
        let answer = preflight(house.address, origin, "POST").await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        let called = post(
            house.address,
            GET_USER,
            &[("content-type", WEB), ("origin", origin)],
            by_handle("x_y"),
        )
        .await;
        assert_eq!(called.header("access-control-allow-origin"), None, "{origin}");
    }
    // No page is let in at the operators' port.
    let admin = preflight(house.admin_address, "https://app.example.org", "POST").await;
    assert_eq!(admin.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_server_goes_on() {
    let house = House::open().await;
    let web = [("content-type", WEB)];
    // A message of a little more than allowed: over HTTP/2 and over HTTP/1.1.
    let large = vec![0; limits::MESSAGE_BYTES + 1];
    let failure = refused(house.line.raw(GET_USER, None, vec![large.clone()]).await);
    support::assert_refused(&failure, Code::InvalidArgument, "INVALID_FIELD");
    let answer = post(house.address, GET_USER, &web, frame(0, &large)).await;
    assert_eq!(answer.refusal().0, Code::InvalidArgument);
    // One that says that it is larger still is refused before it comes.
    let claims = [&[0, 0xff, 0xff, 0xff, 0xff], &[0; 100][..]].concat();
    let answer = post(house.address, GET_USER, &web, claims).await;
    assert_eq!(answer.refusal().0, Code::InvalidArgument);
    // Headers of more than 16 KiB, in one and in many.
    let long = "a".repeat(17 << 10);
    let answer = post(house.address, GET_USER, &[web[0], ("x-large", &long)], by_handle("x_y")).await;
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    for number in 0..200 {
        let name = tonic::metadata::MetadataKey::from_bytes(format!("x-many-{number}").as_bytes()).unwrap();
        request.metadata_mut().insert(name, "a".repeat(100).parse().unwrap());
    }
    let line = Line::to(house.address).await;
    let mut health = HealthClient::new(line.0.clone());
    in_time("a refusal", health.check(request)).await.unwrap_err();
    // The largest message that is allowed is read; it only holds nothing of use.
    let whole = vec![0; limits::MESSAGE_BYTES];
    let failure = refused(house.line.raw(GET_USER, None, vec![whole]).await);
    assert_eq!(failure.code, Code::InvalidArgument);
    health.check(HealthCheckRequest::default()).await.unwrap();
}
