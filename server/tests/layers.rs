//! What every call passes: typed refusals, deadlines, limits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is all test code")]

mod support;

use std::time::{Duration, Instant};

use social_proto::v1;
use social_proto::v1::admin_service_client::AdminServiceClient;
use social_proto::v1::post_service_client::PostServiceClient;
use social_proto::v1::timeline_service_client::TimelineServiceClient;
use social_server::config::Rate;
use support::served::{TestServer, assert_refused, frame, http1, request_id, with_token};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// Calls any path with any message.
async fn call(channel: Channel, path: &'static str, message: v1::LoginRequest) -> Result<v1::LoginResponse, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec: tonic_prost::ProstCodec<v1::LoginRequest, v1::LoginResponse> = tonic_prost::ProstCodec::default();
    let answer = client
        .unary(Request::new(message), path.parse().unwrap(), codec)
        .await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn what_does_not_exist_is_unimplemented() {
    let server = TestServer::start().await;
    for path in [
        "/social.v1.PostService/Nothing",
        "/social.v2.PostService/GetPost",
        "/nothing",
    ] {
        let refused = call(server.channel().await, path, v1::LoginRequest::default())
            .await
            .unwrap_err();
        assert_refused(&refused, Code::Unimplemented, "UNIMPLEMENTED");
    }
    // The other port's services do not exist here.
    let refused = AdminServiceClient::new(server.channel().await)
        .get_fanout_policy(with_token(v1::GetFanoutPolicyRequest {}, &server.admin_token()))
        .await
        .unwrap_err();
    assert_refused(&refused, Code::Unimplemented, "UNIMPLEMENTED");
}

#[tokio::test]
async fn credentials_are_refused_with_their_reason() {
    let server = TestServer::start().await;
    let mut timeline = TimelineServiceClient::new(server.channel().await);
    let missing = timeline.get_marker(v1::GetMarkerRequest {}).await.unwrap_err();
    assert_refused(&missing, Code::Unauthenticated, "TOKEN_MISSING");
    for token in ["x", "a.b.c", &server.admin_token()] {
        let invalid = timeline
            .get_marker(with_token(v1::GetMarkerRequest {}, token))
            .await
            .unwrap_err();
        assert_refused(&invalid, Code::Unauthenticated, "TOKEN_INVALID");
    }
    let token = server.register("alice").await;
    timeline
        .get_marker(with_token(v1::GetMarkerRequest {}, &token))
        .await
        .unwrap();
    // Where a token is optional, a wrong one is still refused.
    let mut posts = PostServiceClient::new(server.channel().await);
    let batch = v1::BatchGetPostsRequest {
        post_ids: vec!["0000000000001".to_owned()],
    };
    posts.batch_get_posts(batch.clone()).await.unwrap();
    let invalid = posts.batch_get_posts(with_token(batch, "x")).await.unwrap_err();
    assert_refused(&invalid, Code::Unauthenticated, "TOKEN_INVALID");
}

#[tokio::test]
async fn the_admin_port_opens_to_the_admin_token_alone() {
    let server = TestServer::start().await;
    let user = server.register("alice").await;
    let channel = support::served::channel(server.admin_address).await;
    let mut admin = AdminServiceClient::new(channel.clone());
    let ask = || v1::GetFanoutPolicyRequest {};
    assert_refused(
        &admin.get_fanout_policy(ask()).await.unwrap_err(),
        Code::Unauthenticated,
        "TOKEN_MISSING",
    );
    let refused = admin.get_fanout_policy(with_token(ask(), &user)).await.unwrap_err();
    assert_refused(&refused, Code::Unauthenticated, "TOKEN_INVALID");
    admin
        .get_fanout_policy(with_token(ask(), &server.admin_token()))
        .await
        .unwrap();
    let refused = call(channel, "/social.v1.AuthService/Login", v1::LoginRequest::default())
        .await
        .unwrap_err();
    assert_refused(&refused, Code::Unimplemented, "UNIMPLEMENTED");
}

#[tokio::test]
async fn messages_are_bounded_and_must_be_messages() {
    let server = TestServer::start().await;
    let large = v1::LoginRequest {
        handle: "a".repeat(2 << 20),
        ..Default::default()
    };
    let refused = server.auth().await.login(large).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
    let web = [("content-type", "application/grpc-web+proto")];
    let garbage = [0, 0, 0, 0, 3, 0xff, 0xff, 0xff];
    let cut_short = [0, 0, 0, 0, 9, 1];
    for body in [&garbage[..], &cut_short, &[]] {
        let answer = http1(server.address, "POST", "/social.v1.AuthService/Login", &web, body).await;
        assert_eq!(
            answer.grpc_status(),
            Some(Code::InvalidArgument),
            "{body:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_header_list_that_is_too_large_is_refused() {
    let server = TestServer::start().await;
    let mut auth = server.auth().await;
    let mut request = Request::new(v1::LoginRequest::default());
    request
        .metadata_mut()
        .insert("x-large", "a".repeat(20 << 10).parse().unwrap());
    auth.login(request).await.unwrap_err();
    let web = [
        ("content-type", "application/grpc-web+proto"),
        ("x-large", &"a".repeat(20 << 10)),
    ];
    assert_eq!(
        http1(server.address, "POST", "/social.v1.AuthService/Login", &web, &[])
            .await
            .status,
        431
    );
    // And the server goes on.
    let refused = auth.login(v1::LoginRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_deadline_is_answered_in_time_and_with_its_type() {
    let server = TestServer::start().await;
    // Hashing a password takes far longer than a microsecond.
    let body = frame(&v1::LoginRequest {
        handle: "nobody".to_owned(),
        password: "correct horse".to_owned(),
        ..Default::default()
    });
    let web = [("content-type", "application/grpc-web+proto"), ("grpc-timeout", "1u")];
    let asked = Instant::now();
    let answer = http1(server.address, "POST", "/social.v1.AuthService/Login", &web, &body).await;
    assert_eq!(answer.grpc_status(), Some(Code::DeadlineExceeded), "{answer:?}");
    assert!(answer.header("grpc-status-details-bin").is_some());
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let server = TestServer::start().await;
    let web = [("content-type", "application/grpc-web+proto"), ("grpc-timeout", "300m")];
    let asked = Instant::now();
    let answer = http1(
        server.address,
        "POST",
        "/grpc.health.v1.Health/Watch",
        &web,
        &[0, 0, 0, 0, 0],
    )
    .await;
    assert_eq!(answer.grpc_status(), Some(Code::DeadlineExceeded), "{answer:?}");
    assert!(asked.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn rate_limits_are_told_and_kept() {
    let rate = Rate {
        user_per_second: 1,
        user_burst: 3,
        address_per_second: 0,
        address_burst: 0,
    };
    let server = TestServer::start_with(|config| config.rate_limits.read = rate).await;
    let token = server.register("alice").await;
    let mut timeline = TimelineServiceClient::new(server.channel().await);
    let mut remaining = Vec::new();
    for _ in 0..3 {
        let answer = timeline
            .get_marker(with_token(v1::GetMarkerRequest {}, &token))
            .await
            .unwrap();
        assert_eq!(answer.metadata().get("ratelimit-limit").unwrap(), "3");
        assert!(answer.metadata().contains_key("ratelimit-reset"));
        remaining.push(
            answer
                .metadata()
                .get("ratelimit-remaining")
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(remaining, ["2", "1", "0"]);
    let refused = timeline
        .get_marker(with_token(v1::GetMarkerRequest {}, &token))
        .await
        .unwrap_err();
    assert_refused(&refused, Code::ResourceExhausted, "RATE_LIMITED");
    let details = refused.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.unwrap() <= Duration::from_secs(1));
    assert!(
        details.quota_failure().unwrap().violations[0]
            .subject
            .starts_with("user:")
    );
    assert_eq!(refused.metadata().get("ratelimit-remaining").unwrap(), "0");
    // Another user has a bucket of their own, and after the pause there is room again.
    let other = server.register("bob_builder").await;
    timeline
        .get_marker(with_token(v1::GetMarkerRequest {}, &other))
        .await
        .unwrap();
    tokio::time::sleep(details.retry_info().unwrap().retry_delay.unwrap() + Duration::from_millis(50)).await;
    timeline
        .get_marker(with_token(v1::GetMarkerRequest {}, &token))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_address_is_limited_before_its_tokens_are_looked_at() {
    let rate = Rate {
        user_per_second: 0,
        user_burst: 0,
        address_per_second: 1,
        address_burst: 2,
    };
    let server = TestServer::start_with(|config| config.rate_limits.read = rate).await;
    let mut timeline = TimelineServiceClient::new(server.channel().await);
    for _ in 0..2 {
        let refused = timeline
            .get_marker(with_token(v1::GetMarkerRequest {}, "x"))
            .await
            .unwrap_err();
        assert_refused(&refused, Code::Unauthenticated, "TOKEN_INVALID");
        assert_eq!(refused.metadata().get("ratelimit-limit").unwrap(), "2");
    }
    let refused = timeline
        .get_marker(with_token(v1::GetMarkerRequest {}, "x"))
        .await
        .unwrap_err();
    assert_refused(&refused, Code::ResourceExhausted, "RATE_LIMITED");
    assert_eq!(
        refused.get_error_details().quota_failure().unwrap().violations[0].subject,
        "address:127.0.0.1"
    );
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart() {
    let rate = Rate {
        address_per_second: 1,
        address_burst: 1,
        ..Rate::default()
    };
    for (trusted, subject) in [(true, "address:198.51.100.7"), (false, "address:127.0.0.1")] {
        let server = TestServer::start_with(|config| {
            config.rate_limits.read = rate;
            config.trusted_proxies = trusted.then(|| "127.0.0.0/8".parse().unwrap()).into_iter().collect();
        })
        .await;
        let mut timeline = TimelineServiceClient::new(server.channel().await);
        let mut call = async |forwarded: &str| {
            let mut request = with_token(v1::GetMarkerRequest {}, "x");
            request
                .metadata_mut()
                .insert("x-forwarded-for", forwarded.parse().unwrap());
            timeline.get_marker(request).await.unwrap_err()
        };
        assert_refused(
            &call("203.0.113.1, 198.51.100.7").await,
            Code::Unauthenticated,
            "TOKEN_INVALID",
        );
        // What the client itself wrote further left makes it nobody else.
        let refused = call("203.0.113.2, 198.51.100.7").await;
        assert_refused(&refused, Code::ResourceExhausted, "RATE_LIMITED");
        assert_eq!(
            refused.get_error_details().quota_failure().unwrap().violations[0].subject,
            subject
        );
        let other = call("198.51.100.8").await;
        assert_eq!(other.code() == Code::Unauthenticated, trusted, "{other:?}");
    }
}

#[tokio::test]
async fn one_user_cannot_open_streams_without_end() {
    let server = TestServer::start().await;
    let token = server.register("alice").await;
    let mut timeline = TimelineServiceClient::new(server.channel().await);
    let mut open = Vec::new();
    for _ in 0..social_core::limits::STREAMS_PER_USER {
        let request = with_token(v1::SubscribeHomeTimelineRequest::default(), &token);
        open.push(timeline.subscribe_home_timeline(request).await.unwrap().into_inner());
    }
    let request = with_token(v1::SubscribeHomeTimelineRequest::default(), &token);
    let refused = timeline.subscribe_home_timeline(request).await.unwrap_err();
    assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    // One that is closed makes room for another.
    open.pop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let request = with_token(v1::SubscribeHomeTimelineRequest::default(), &token);
    timeline.subscribe_home_timeline(request).await.unwrap();
}

#[tokio::test]
async fn a_mutation_without_request_id_names_the_field() {
    let server = TestServer::start().await;
    let token = server.register("alice").await;
    let mut posts = PostServiceClient::new(server.channel().await);
    let post = v1::CreatePostRequest {
        content: "hello".to_owned(),
        ..Default::default()
    };
    let refused = posts.create_post(with_token(post.clone(), &token)).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(
        refused.get_error_details().bad_request().unwrap().field_violations[0].field,
        "request_id"
    );
    let post = v1::CreatePostRequest {
        request_id: request_id(),
        ..post
    };
    posts.create_post(with_token(post, &token)).await.unwrap();
}
