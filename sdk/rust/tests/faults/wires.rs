//! Below the calls: TLS, headers, several connections.

use std::collections::HashSet;
use std::time::Duration;

use social_sdk::{Client, Origin, v1};
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::fake::{Fake, Seen, hasty, user};

#[tokio::test]
async fn headers_and_agent_go_along() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |request: Request<_>| {
        let header = |name: &str| {
            request
                .metadata()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        notes.note((
            header("user-agent").unwrap_or_default(),
            header("traceparent").unwrap_or_default(),
        ));
        async { Ok(v1::GetUserResponse { user: Some(user()) }) }
    });
    let client = Client::builder()
        .endpoint(format!("grpc://{}", fake.start().await))
        .user_agent("my-app/1.0")
        .headers(|headers| {
            headers.insert("traceparent", tonic::metadata::MetadataValue::from_static("00-1-2-01"));
        })
        .build()
        .expect("a client");
    client.users().get_by_handle("ann").await.expect("found");
    let (agent, trace) = seen.all().remove(0);
    assert!(agent.starts_with("my-app/1.0 social-sdk-rust/"), "{agent}");
    assert_eq!(trace, "00-1-2-01");
}

#[tokio::test]
async fn calls_take_turns_on_several_connections() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |request: Request<_>| {
        notes.note(request.remote_addr());
        async { Ok(v1::GetUserResponse { user: Some(user()) }) }
    });
    let builder = Client::builder().endpoint(format!("http://{}", fake.start().await));
    let client = builder.connections(3).build().expect("a client");
    for _ in 0..9 {
        client.users().get_by_handle("ann").await.expect("found");
    }
    let peers: HashSet<_> = seen.all().into_iter().collect();
    assert_eq!(peers.len(), 3);
}

/// A user service with one user. Only this test goes through a generated server stub, since only it needs TLS.
struct OneUser;

#[tonic::async_trait]
impl v1::user_service_server::UserService for OneUser {
    async fn get_user(&self, _: Request<v1::GetUserRequest>) -> Result<Response<v1::GetUserResponse>, Status> {
        Ok(Response::new(v1::GetUserResponse { user: Some(user()) }))
    }

    async fn batch_get_users(
        &self,
        _: Request<v1::BatchGetUsersRequest>,
    ) -> Result<Response<v1::BatchGetUsersResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn update_profile(
        &self,
        _: Request<v1::UpdateProfileRequest>,
    ) -> Result<Response<v1::UpdateProfileResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn batch_get_relationships(
        &self,
        _: Request<v1::BatchGetRelationshipsRequest>,
    ) -> Result<Response<v1::BatchGetRelationshipsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_trusted_and_no_other() {
    let pair = rcgen::generate_simple_self_signed(["social.test".to_owned()]).expect("a certificate");
    let pem = pair.cert.pem();
    let identity = Identity::from_pem(&pem, pair.signing_key.serialize_pem());
    let incoming =
        tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = incoming.local_addr().expect("an address");
    let server = tonic::transport::Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .expect("a configuration")
        .add_service(v1::user_service_server::UserServiceServer::new(OneUser));
    tokio::spawn(server.serve_with_incoming(incoming));

    let builder = || {
        Client::builder()
            .endpoint(format!("https://{address}"))
            .retry(hasty())
            .timeout(Duration::from_secs(5))
    };
    let client = builder()
        .ca_pem(pem.clone())
        .tls_domain("social.test")
        .build()
        .expect("a client");
    assert_eq!(client.users().get_by_handle("ann").await.expect("found").handle, "ann");

    let stranger = builder()
        .ca_pem(pem)
        .tls_domain("another.test")
        .build()
        .expect("a client");
    let error = stranger.users().get_by_handle("ann").await.expect_err("another name");
    assert_eq!(error.origin(), Origin::Transport);
    let other = rcgen::generate_simple_self_signed(["social.test".to_owned()]).expect("a certificate");
    let distrustful = builder()
        .ca_pem(other.cert.pem())
        .tls_domain("social.test")
        .build()
        .expect("a client");
    let error = distrustful
        .users()
        .get_by_handle("ann")
        .await
        .expect_err("another certificate");
    assert_eq!(error.origin(), Origin::Transport);
    assert!(builder().ca_pem("no certificate").build().is_err());
}
