//! Dev mode's world: made once, gone on with after a crash, and one can log in to it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is all test code")]

mod support;

use social_core::page::Range;
use social_core::posts::PostCounts;
use social_core::users::UserCounts;
use social_proto::v1;
use social_proto::v1::timeline_service_client::TimelineServiceClient;
use social_server::{Config, Server, dev};
use support::served::{TestServer, with_token};

/// The counts of everybody and of everybody's posts.
async fn counts(server: &Server) -> Vec<(UserCounts, PostCounts)> {
    let backend = server.backend();
    let mut counts = Vec::new();
    let handles: Vec<_> = social_demo::World::new(42, 60)
        .users()
        .map(|user| user.handle.parse().unwrap())
        .collect();
    for user in backend.store.user_ids(&handles).await.unwrap() {
        let user = user.expect("everybody is there");
        let of_user = backend.counters.users(&[user]).await.unwrap()[0];
        let posts = backend.store.user_posts(user, Range::newest(None, 200)).await.unwrap();
        counts.extend(
            backend
                .counters
                .posts(&posts)
                .await
                .unwrap()
                .into_iter()
                .map(|post| (of_user, post)),
        );
    }
    counts
}

#[tokio::test]
async fn the_world_is_made_once_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = Config::for_tests(&data);
    config.dev.users = 60;

    let server = Server::open(config.clone()).await.unwrap();
    dev::seed(&server).await.unwrap();
    let made = counts(&server).await;
    assert!(
        made.iter().any(|(_, post)| post.comments > 0 && post.likes > 0),
        "{made:?}"
    );
    // As after a crash just before the end: everything is gone over again, and nothing is written twice.
    let marker = data.join("demo-world");
    let begun = std::fs::read_to_string(&marker).unwrap().replace("done", "");
    std::fs::write(&marker, begun).unwrap();
    dev::seed(&server).await.unwrap();
    assert_eq!(counts(&server).await, made);
    assert!(std::fs::read_to_string(&marker).unwrap().contains("done"));

    let bound = server.bind().await.unwrap();
    let address = bound.address().unwrap();
    let welcome = dev::welcome(&bound);
    assert!(
        welcome.contains("ada") && welcome.contains(&address.port().to_string()),
        "{welcome}"
    );
    tokio::spawn(bound.serve(std::future::pending()));
    let channel = support::served::channel(address).await;
    for handle in ["ada", "grace"] {
        let login = v1::LoginRequest {
            handle: handle.to_owned(),
            password: social_demo::PASSWORD.to_owned(),
            ..Default::default()
        };
        let mut auth = v1::auth_service_client::AuthServiceClient::new(channel.clone());
        let token = auth
            .login(login)
            .await
            .unwrap()
            .into_inner()
            .tokens
            .unwrap()
            .access_token;
        let home = v1::GetHomeTimelineRequest {
            page_size: 20,
            ..Default::default()
        };
        let mut timeline = TimelineServiceClient::new(channel.clone());
        let page = timeline
            .get_home_timeline(with_token(home, &token))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.items.len(), 20, "{handle} finds something to read");
    }
}

#[tokio::test]
async fn an_ordinary_server_is_empty() {
    let server = TestServer::start().await;
    let login = v1::LoginRequest {
        handle: "ada".to_owned(),
        password: social_demo::PASSWORD.to_owned(),
        ..Default::default()
    };
    server.auth().await.login(login).await.unwrap_err();
}
