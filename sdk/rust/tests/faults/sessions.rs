//! Tokens: exchanged once for many, in time, as the same exchange, and given up when refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use social_sdk::{Client, Code, FileTokenStore, Origin, Reason, TokenStore, v1};
use tonic::{Request, Status};

use crate::fake::{Fake, MINUTES, Seen, client_with, let_in, logged_in, reason, refusal, token_of, tokens};

/// Takes access tokens of generation `from` and later, and refuses older ones.
fn accept_from(fake: &Fake, from: usize) {
    fake.unary::<v1::GetMarkerRequest>(move |request: Request<_>| {
        let generation: usize = token_of(&request)
            .trim_start_matches("access-")
            .parse()
            .unwrap_or_default();
        async move {
            if generation < from {
                return Err(refusal(Code::Unauthenticated, "TOKEN_EXPIRED"));
            }
            Ok(v1::GetMarkerResponse {
                marker: Some(v1::Marker::default()),
            })
        }
    });
}

/// Exchanges tokens, and notes refresh token and request_id of each exchange.
fn exchange(fake: &Fake, life: Duration) -> Seen<(String, String)> {
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::RefreshTokenRequest>(move |request: Request<v1::RefreshTokenRequest>| {
        let request = request.into_inner();
        let nth = notes.note((request.refresh_token, request.request_id));
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(v1::RefreshTokenResponse {
                tokens: Some(tokens(nth, life)),
            })
        }
    });
    seen
}

fn refuse_exchange(fake: &Fake, name: &'static str) -> Seen<()> {
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::RefreshTokenRequest>(move |_| {
        notes.note(());
        async move { Err(refusal(Code::Unauthenticated, name)) }
    });
    seen
}

async fn marker(client: &Client) -> Result<v1::Marker, social_sdk::Error> {
    client.timeline().marker().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_at_once_share_one_exchange() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    accept_from(&fake, 1);
    let exchanges = exchange(&fake, MINUTES);
    let calls = (0..50).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { marker(&client).await })
    });
    for outcome in join_all(calls).await {
        outcome.expect("joined").expect("answered");
    }
    assert_eq!(exchanges.count(), 1);
    assert_eq!(client.credentials().expect("logged in").access_token(), "access-1");
}

#[tokio::test]
async fn tokens_are_exchanged_before_they_end() {
    let fake = Fake::default();
    let client = logged_in(&fake, Duration::from_millis(500)).await;
    accept_from(&fake, 0);
    let exchanges = exchange(&fake, MINUTES);
    marker(&client).await.expect("answered");
    assert_eq!(exchanges.count(), 0);
    // 450 ms on, nine tenths of the life are over.
    tokio::time::sleep(Duration::from_millis(470)).await;
    marker(&client).await.expect("answered");
    marker(&client).await.expect("answered");
    assert_eq!(exchanges.count(), 1);
}

#[tokio::test]
async fn a_clock_that_is_ahead_leaves_it_to_the_server() {
    let fake = Fake::default();
    // By the client's clock the tokens are past their time when they come.
    let_in(&fake, Duration::ZERO);
    let client = client_with(fake.start().await, social_sdk::MemoryTokenStore::new());
    client.auth().login("ann", "a password").await.expect("logged in");
    accept_from(&fake, 0);
    let exchanges = exchange(&fake, Duration::ZERO);
    for _ in 0..5 {
        marker(&client).await.expect("answered");
    }
    assert_eq!(exchanges.count(), 0);
}

#[tokio::test]
async fn an_exchange_is_repeated_as_the_same_also_by_the_next_run() {
    let fake = Fake::default();
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileTokenStore::new(folder.path().join("tokens"));
    let_in(&fake, MINUTES);
    accept_from(&fake, 1);
    let seen = Seen::new();
    let (notes, well) = (seen.clone(), Arc::new(AtomicBool::new(false)));
    let is_well = well.clone();
    fake.unary::<v1::RefreshTokenRequest>(move |request: Request<v1::RefreshTokenRequest>| {
        let request = request.into_inner();
        notes.note((request.refresh_token, request.request_id));
        let well = is_well.load(Ordering::Relaxed);
        async move {
            if !well {
                return Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE"));
            }
            Ok(v1::RefreshTokenResponse {
                tokens: Some(tokens(1, MINUTES)),
            })
        }
    });
    let address = fake.start().await;
    let first = client_with(address, store.clone());
    first.auth().login("ann", "a password").await.expect("logged in");
    let call = first.timeline().marker().timeout(Duration::from_millis(300));
    assert_eq!(reason(call.await), Reason::StoreUnavailable);
    assert!(first.credentials().is_some(), "a server in trouble logs nobody out");
    drop(first);

    well.store(true, Ordering::Relaxed);
    let second = client_with(address, store.clone());
    marker(&second).await.expect("answered");
    let all = seen.all();
    assert!(all.len() > 5, "{all:?}");
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    assert_eq!(store.load().expect("loaded").expect("kept").access_token(), "access-1");
}

#[tokio::test]
async fn a_refused_exchange_logs_out() {
    for (name, expected) in [
        ("REFRESH_TOKEN_REUSED", Reason::RefreshTokenReused),
        ("SESSION_REVOKED", Reason::SessionRevoked),
    ] {
        let fake = Fake::default();
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileTokenStore::new(folder.path().join("tokens"));
        let_in(&fake, MINUTES);
        accept_from(&fake, 1);
        let exchanges = refuse_exchange(&fake, name);
        let client = client_with(fake.start().await, store.clone());
        client.auth().login("ann", "a password").await.expect("logged in");
        let error = marker(&client).await.expect_err("refused");
        assert_eq!((error.reason(), error.origin()), (expected, Origin::Server));
        assert!(error.is_logged_out());
        assert!(client.credentials().is_none() && store.load().expect("loaded").is_none());
        let error = marker(&client).await.expect_err("nobody there");
        assert_eq!((error.reason(), error.origin()), (Reason::TokenMissing, Origin::Client));
        assert_eq!(exchanges.count(), 1);
    }
}

#[tokio::test]
async fn a_session_that_the_server_does_not_know_is_told_and_kept() {
    let fake = Fake::default();
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileTokenStore::new(folder.path().join("tokens"));
    let_in(&fake, MINUTES);
    accept_from(&fake, 1);
    let exchanges = refuse_exchange(&fake, "REFRESH_TOKEN_INVALID");
    let address = fake.start().await;
    let client = client_with(address, store.clone());
    client.auth().login("ann", "a password").await.expect("logged in");
    // The second time it is remembered: the server is not asked with every call.
    for _ in 0..3 {
        let error = marker(&client).await.expect_err("refused");
        assert_eq!(
            (error.reason(), error.origin()),
            (Reason::RefreshTokenInvalid, Origin::Server)
        );
        assert!(error.is_logged_out());
    }
    assert_eq!(exchanges.count(), 1);
    assert!(client.credentials().is_some() && store.load().expect("loaded").is_some());
    client
        .auth()
        .login("ann", "a password")
        .await
        .expect("a login is not in its own way");
    accept_from(&fake, 0);
    marker(&client).await.expect("answered");

    // The right server is back.
    accept_from(&fake, 1);
    let exchanges = exchange(&fake, MINUTES);
    let next_run = client_with(address, store.clone());
    marker(&next_run).await.expect("answered");
    assert_eq!(exchanges.count(), 1);
}

#[tokio::test]
async fn calls_that_need_a_new_token_wait_for_a_server_that_is_away() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    accept_from(&fake, 1);
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::RefreshTokenRequest>(move |request: Request<v1::RefreshTokenRequest>| {
        let nth = notes.note(request.into_inner().request_id);
        async move {
            if nth <= 8 {
                return Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE"));
            }
            Ok(v1::RefreshTokenResponse {
                tokens: Some(tokens(1, MINUTES)),
            })
        }
    });
    marker(&client).await.expect("answered");
    let ids = seen.all();
    assert!(ids.len() == 9 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_revoked_session_logs_out() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    fake.unary::<v1::GetMarkerRequest>(async |_| Err(refusal(Code::Unauthenticated, "SESSION_REVOKED")));
    assert_eq!(reason(marker(&client).await), Reason::SessionRevoked);
    assert!(client.credentials().is_none());
}

#[tokio::test]
async fn two_processes_on_one_store_exchange_once() {
    let fake = Fake::default();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    let_in(&fake, MINUTES);
    accept_from(&fake, 1);
    let exchanges = exchange(&fake, MINUTES);
    let address = fake.start().await;
    let first = client_with(address, FileTokenStore::new(&path));
    first.auth().login("ann", "a password").await.expect("logged in");
    let others: Vec<Client> = (0..4)
        .map(|_| client_with(address, FileTokenStore::new(&path)))
        .collect();
    for outcome in join_all(others.iter().chain([&first]).map(marker)).await {
        outcome.expect("answered");
    }
    assert_eq!(exchanges.count(), 1);
}

#[tokio::test]
async fn an_exchange_outlives_the_caller_who_gives_up() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    accept_from(&fake, 1);
    let exchanges = exchange(&fake, MINUTES);
    let call = client.timeline().marker().timeout(Duration::from_millis(25));
    assert_eq!(call.await.expect_err("too late").origin(), Origin::Deadline);
    tokio::time::sleep(Duration::from_millis(100)).await;
    marker(&client).await.expect("answered");
    assert_eq!(exchanges.count(), 1);
}

#[tokio::test]
async fn a_new_token_that_is_refused_too_is_the_end() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    accept_from(&fake, 100);
    let exchanges = exchange(&fake, MINUTES);
    assert_eq!(reason(marker(&client).await), Reason::TokenExpired);
    assert_eq!(exchanges.count(), 1);
}

#[tokio::test]
async fn a_logout_is_one_even_when_its_answer_was_lost() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::LogoutRequest>(move |_| {
        let nth = notes.note(());
        async move {
            Err::<v1::LogoutResponse, Status>(if nth == 1 {
                refusal(Code::Unavailable, "STORE_UNAVAILABLE")
            } else {
                refusal(Code::Unauthenticated, "SESSION_REVOKED")
            })
        }
    });
    client.auth().logout().await.expect("logged out");
    assert!(client.credentials().is_none() && seen.count() == 2);
}

#[tokio::test]
async fn clients_on_one_transport_are_users_of_their_own() {
    let fake = Fake::default();
    let ann = logged_in(&fake, MINUTES).await;
    let nobody = ann
        .with_token_store(social_sdk::MemoryTokenStore::new())
        .expect("a client");
    assert!(ann.user_id().is_some() && nobody.user_id().is_none());
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |request: Request<_>| {
        notes.note(token_of(&request));
        async {
            Ok(v1::GetUserResponse {
                user: Some(v1::User::default()),
            })
        }
    });
    ann.users().get_by_handle("bob").await.expect("found");
    nobody.users().get_by_handle("bob").await.expect("found");
    assert_eq!(seen.all(), ["access-0", ""]);
}

#[tokio::test]
async fn a_login_during_an_exchange_has_the_last_word() {
    let fake = Fake::default();
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileTokenStore::new(folder.path().join("tokens"));
    let_in(&fake, MINUTES);
    accept_from(&fake, 1);
    exchange(&fake, MINUTES);
    let client = client_with(fake.start().await, store.clone());
    client.auth().login("ann", "a password").await.expect("logged in");
    let slow = tokio::spawn({
        let client = client.clone();
        async move { marker(&client).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    fake.unary::<v1::LoginRequest>(async |_| {
        let session_id = "0000000000007".to_owned();
        let tokens = v1::TokenPair {
            session_id,
            access_token: "access-9".into(),
            ..tokens(9, MINUTES)
        };
        Ok(v1::LoginResponse {
            user: Some(crate::fake::user()),
            tokens: Some(tokens),
        })
    });
    client.auth().login("ann", "a password").await.expect("logged in");
    slow.await.expect("joined").expect("answered");
    assert_eq!(client.credentials().expect("logged in").access_token(), "access-9");
    assert_eq!(store.load().expect("loaded").expect("kept").access_token(), "access-9");
}

/// A store whose disk is full after the first login.
#[derive(Clone, Default)]
struct FullStore(Arc<social_sdk::MemoryTokenStore>);

impl TokenStore for FullStore {
    fn load(&self) -> std::io::Result<Option<social_sdk::Credentials>> {
        self.0.load()
    }

    fn save(&self, credentials: &social_sdk::Credentials) -> std::io::Result<()> {
        if self.0.load()?.is_some() {
            Err(std::io::ErrorKind::StorageFull.into())
        } else {
            self.0.save(credentials)
        }
    }

    fn clear(&self) -> std::io::Result<()> {
        self.0.clear()
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_does_not_end_the_session() {
    let fake = Fake::default();
    let_in(&fake, MINUTES);
    accept_from(&fake, 1);
    let exchanges = exchange(&fake, MINUTES * 2);
    let client = client_with(fake.start().await, FullStore::default());
    client.auth().login("ann", "a password").await.expect("logged in");
    marker(&client).await.expect("answered");
    accept_from(&fake, 2);
    marker(&client).await.expect("answered");
    let refresh_tokens: Vec<String> = exchanges.all().into_iter().map(|(token, _)| token).collect();
    assert_eq!(refresh_tokens, ["refresh-0", "refresh-1"]);
    let error = client.auth().login("ann", "a password").await.expect_err("full");
    assert_eq!(error.origin(), Origin::TokenStore);
}

#[tokio::test]
async fn an_attempt_that_stalls_leaves_time_for_another() {
    let fake = Fake::default();
    let client = logged_in(&fake, MINUTES).await;
    accept_from(&fake, 1);
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::RefreshTokenRequest>(move |request: Request<v1::RefreshTokenRequest>| {
        let nth = notes.note(request.into_inner().request_id);
        async move {
            if nth == 1 {
                std::future::pending::<()>().await;
            }
            Ok(v1::RefreshTokenResponse {
                tokens: Some(tokens(1, MINUTES)),
            })
        }
    });
    let answer = client.timeline().marker().timeout(Duration::from_secs(15)).await;
    answer.expect("answered");
    let ids = seen.all();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1], "both are the same exchange");
}
