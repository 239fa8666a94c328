//! What browsers need: grpc-web over HTTP/1.1, and CORS for an allow-list.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is all test code")]

mod support;

use social_proto::v1;
use support::served::{TestServer, frame, http1};
use tonic::Code;

const GET_USER: &str = "/social.v1.UserService/GetUser";
const WEB: (&str, &str) = ("content-type", "application/grpc-web+proto");

fn nobody() -> Vec<u8> {
    frame(&v1::GetUserRequest {
        user: Some(v1::get_user_request::User::Handle("nobody_here".to_owned())),
    })
}

async fn server() -> TestServer {
    TestServer::start_with(|config| {
        config.cors_origins = vec!["https://app.example.org".to_owned(), "http://localhost:*".to_owned()];
    })
    .await
}

#[tokio::test]
async fn a_call_over_http1_is_answered_with_its_type() {
    let server = server().await;
    let answer = http1(server.address, "POST", GET_USER, &[WEB], &nobody()).await;
    assert_eq!(
        (answer.status, answer.grpc_status()),
        (200, Some(Code::NotFound)),
        "{answer:?}"
    );
    assert!(answer.header("grpc-status-details-bin").is_some(), "{answer:?}");
    let health = http1(
        server.address,
        "POST",
        "/grpc.health.v1.Health/Check",
        &[WEB],
        &[0, 0, 0, 0, 0],
    )
    .await;
    assert_eq!(health.grpc_status(), Some(Code::Ok), "{health:?}");
    // The message says SERVING.
    assert_eq!(
        health.body[health.body.windows(7).position(|w| w == [0, 0, 0, 0, 2, 8, 1]).unwrap()..][5..7],
        [8, 1]
    );
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_the_clients_mistake() {
    let server = server().await;
    let bodies: [(&str, &[u8]); 5] = [
        ("application/grpc-web-text", b"!!!! this is no base64 !!!!"),
        ("application/grpc-web-text+proto", b"AAA"),
        // Base64 of a frame that says more than there is.
        ("application/grpc-web-text", b"AAAAAAk="),
        ("application/grpc-web+proto", &[0, 0, 0, 0, 9, 1]),
        ("application/grpc-web+proto", &[0, 0, 0, 0, 2, 0xff, 0xff]),
    ];
    for (kind, body) in bodies {
        let answer = http1(server.address, "POST", GET_USER, &[("content-type", kind)], body).await;
        // The log names what ends INTERNAL, and only that.
        assert_eq!(
            (answer.status, answer.grpc_status()),
            (200, Some(Code::InvalidArgument)),
            "{kind}: {answer:?}"
        );
        assert!(answer.header("grpc-status-details-bin").is_some(), "{kind}: {answer:?}");
    }
}

#[tokio::test]
async fn anything_else_over_http1_is_refused() {
    let server = server().await;
    assert_eq!(http1(server.address, "GET", "/", &[], &[]).await.status, 400);
    assert_eq!(http1(server.address, "GET", GET_USER, &[WEB], &[]).await.status, 405);
}

#[tokio::test]
async fn only_listed_origins_are_let_in() {
    let server = server().await;
    let preflight = async |origin: &'static str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type,x-grpc-web,grpc-timeout",
            ),
        ];
        http1(server.address, "OPTIONS", GET_USER, &headers, &[]).await
    };
    for origin in ["https://app.example.org", "http://localhost:5173"] {
        let answer = preflight(origin).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert!(
            answer
                .header("access-control-allow-headers")
                .unwrap()
                .contains("authorization")
        );
    }
    for origin in ["https://evil.example.org", "null", "http://localhost.evil.org"] {
        assert_eq!(preflight(origin).await.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_script_can_read_the_status_and_the_limits() {
    let server = server().await;
    let headers = [WEB, ("origin", "https://app.example.org")];
    let answer = http1(server.address, "POST", GET_USER, &headers, &nobody()).await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://app.example.org")
    );
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in [
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "ratelimit-remaining",
    ] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_layers_reaches_a_browser_with_its_type() {
    let server = server().await;
    let body = frame(&v1::GetHomeTimelineRequest::default());
    let answer = http1(
        server.address,
        "POST",
        "/social.v1.TimelineService/GetHomeTimeline",
        &[WEB],
        &body,
    )
    .await;
    assert_eq!(
        (answer.status, answer.grpc_status()),
        (200, Some(Code::Unauthenticated)),
        "{answer:?}"
    );
    assert!(answer.header("grpc-status-details-bin").is_some());
    assert_eq!(answer.header("content-type"), Some("application/grpc-web+proto"));
}
