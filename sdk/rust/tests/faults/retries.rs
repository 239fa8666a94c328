//! Retries: what is repeated, how often, when, and as the same request.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use social_sdk::{Client, Code, Origin, Reason, RetryPolicy, Uuid, v1};
use tonic::Status;

use crate::fake::{Fake, MINUTES, Seen, client, hasty, later, let_in, logged_in, reason, refusal, user};

fn posted() -> v1::CreatePostResponse {
    v1::CreatePostResponse {
        post: Some(v1::Post::default()),
        fanout_id: String::new(),
    }
}

#[tokio::test]
async fn all_attempts_of_a_call_carry_one_request_id() {
    let fake = Fake::default();
    let seen = Seen::new();
    let client = logged_in(&fake, MINUTES).await;
    let notes = seen.clone();
    fake.unary::<v1::CreatePostRequest>(move |request: tonic::Request<v1::CreatePostRequest>| {
        let nth = notes.note(request.into_inner().request_id);
        async move {
            if nth % 3 == 0 {
                Ok(posted())
            } else {
                Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE"))
            }
        }
    });
    client.posts().create("one").await.expect("posted");
    client.posts().create("two").await.expect("posted");
    let mine = Uuid::new_v4();
    client.posts().create("three").request_id(mine).await.expect("posted");
    let ids = seen.all();
    assert_eq!(ids.len(), 9);
    assert!(ids[0].parse::<Uuid>().expect("a UUID").get_version_num() == 4);
    assert!(ids[..3].iter().all(|id| *id == ids[0]) && ids[3..6].iter().all(|id| *id == ids[3]));
    assert_ne!(ids[0], ids[3]);
    assert!(ids[6..].iter().all(|id| *id == mine.to_string()));
}

#[tokio::test]
async fn what_cannot_help_is_not_repeated() {
    let finals = [
        (Code::Aborted, "ETAG_MISMATCH", Reason::EtagMismatch),
        (Code::Internal, "INTERNAL", Reason::Internal),
        (Code::InvalidArgument, "INVALID_FIELD", Reason::InvalidField),
        (Code::FailedPrecondition, "LIMIT_REACHED", Reason::LimitReached),
        (Code::ResourceExhausted, "TOO_MANY_STREAMS", Reason::TooManyStreams),
        (Code::NotFound, "OF_A_LATER_VERSION", Reason::Unknown),
    ];
    for (code, name, expected) in finals {
        let fake = Fake::default();
        let seen = Seen::new();
        let notes = seen.clone();
        fake.unary::<v1::GetUserRequest>(move |_| {
            notes.note(());
            async move { Err(refusal(code, name)) }
        });
        let error = client(fake.start().await)
            .users()
            .get_by_handle("ann")
            .await
            .expect_err("refused");
        assert_eq!(
            (error.code(), error.reason(), error.reason_name()),
            (code, expected, name)
        );
        assert_eq!((error.origin(), error.attempts(), seen.count()), (Origin::Server, 1, 1));
    }
}

#[tokio::test]
async fn attempts_go_on_until_the_timeout_and_are_counted() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |_| {
        notes.note(());
        async { Err(refusal(Code::Unavailable, "SHUTTING_DOWN")) }
    });
    let client = client(fake.start().await);
    let start = Instant::now();
    let call = client.users().get_by_handle("ann").timeout(Duration::from_millis(500));
    let error = call.await.expect_err("refused");
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(400) && took < Duration::from_secs(2),
        "{took:?}"
    );
    // The last refusal is told, not that the time is up.
    assert_eq!(error.reason(), Reason::ShuttingDown);
    assert!(error.attempts() > 10, "{} attempts", error.attempts());
    assert_eq!(error.attempts() as usize, seen.count());
}

#[tokio::test]
async fn attempts_are_bounded_where_the_policy_says_so() {
    let fake = Fake::default();
    fake.unary::<v1::GetUserRequest>(async |_| Err(refusal(Code::Unavailable, "SHUTTING_DOWN")));
    let client = Client::builder()
        .endpoint(format!("http://{}", fake.start().await))
        .retry(hasty().max_attempts(5))
        .build()
        .expect("a client");
    let error = client.users().get_by_handle("ann").await.expect_err("refused");
    assert_eq!((error.reason(), error.attempts()), (Reason::ShuttingDown, 5));
}

#[tokio::test]
async fn a_server_that_cannot_serve_is_passed_over_for_a_while() {
    let (sick, well) = (Fake::default(), Fake::default());
    let seen = Seen::new();
    let notes = seen.clone();
    sick.unary::<v1::GetUserRequest>(move |_| {
        notes.note(());
        async { Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE")) }
    });
    well.unary::<v1::GetUserRequest>(async |_| Ok(v1::GetUserResponse { user: Some(user()) }));
    let mut builder = Client::builder().retry(hasty());
    for fake in [&sick, &well] {
        builder = builder.endpoint(format!("http://{}", fake.start().await));
    }
    let client = builder.build().expect("a client");
    let start = Instant::now();
    for _ in 0..40 {
        client
            .users()
            .get_by_handle("ann")
            .await
            .expect("answered by the other");
    }
    let rests = start.elapsed().as_secs() as usize / 2;
    let asked = seen.count();
    assert!((1..=1 + rests).contains(&asked), "asked {asked} times");
    // It may be well again by then.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    for _ in 0..2 {
        client
            .users()
            .get_by_handle("ann")
            .await
            .expect("answered by the other");
    }
    assert!(seen.count() > asked);
}

#[tokio::test]
async fn a_server_that_starts_within_the_timeout_is_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let fake = Fake::default();
    let_in(&fake, MINUTES);
    fake.unary::<v1::CreatePostRequest>(async |_| Ok(posted()));
    // Nothing is hasty here: this is what a client does unless told otherwise.
    let client = Client::builder()
        .endpoint(format!("http://{address}"))
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client");
    let start = Instant::now();
    let waiting = tokio::spawn(async move {
        client.auth().login("ann", "a password").await?;
        client.posts().create("hello").await
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    fake.start_at(address).await;
    waiting.await.expect("joined").expect("posted");
    assert!(start.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn who_is_told_to_come_back_in_no_time_waits_and_gets_through() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |_| {
        let nth = notes.note(Instant::now());
        async move {
            if nth <= 8 {
                return Err(later("RATE_LIMITED", Duration::ZERO));
            }
            Ok(v1::GetUserResponse { user: Some(user()) })
        }
    });
    // Not even an empty budget is in the way: the server is well.
    let client = Client::builder()
        .endpoint(format!("http://{}", fake.start().await))
        .retry(
            hasty()
                .backoff(Duration::from_millis(40), Duration::from_millis(40))
                .budget(0.0, 0, 0.0),
        )
        .build()
        .expect("a client");
    client.users().get_by_handle("ann").await.expect("found");
    let at = seen.all();
    assert_eq!(at.len(), 9);
    assert!(
        at.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(20)),
        "{at:?}"
    );
}

#[tokio::test]
async fn an_empty_budget_is_waited_for() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |_| {
        notes.note(());
        async { Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE")) }
    });
    let client = Client::builder()
        .endpoint(format!("http://{}", fake.start().await))
        .retry(hasty().budget(0.0, 2, 5.0))
        .build()
        .expect("a client");
    let start = Instant::now();
    let calls = (0..20).map(|_| {
        client
            .users()
            .get_by_handle("ann")
            .timeout(Duration::from_secs(1))
            .into_future()
    });
    for outcome in join_all(calls).await {
        assert_eq!(reason(outcome), Reason::StoreUnavailable);
    }
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "nobody gives up before the timeout"
    );
    // 2 at once, and 5 in the second that it takes.
    let retries = seen.count() - 20;
    assert!((4..=8).contains(&retries), "{retries} retries");
}

#[tokio::test]
async fn what_an_earlier_attempt_may_have_done_is_not_forgotten() {
    let fake = Fake::default();
    let seen = Seen::new();
    let client = logged_in(&fake, MINUTES).await;
    let (notes, cutter) = (seen.clone(), fake.clone());
    fake.unary::<v1::CreatePostRequest>(move |_| {
        let nth = notes.note(());
        let cutter = cutter.clone();
        async move {
            if nth == 1 {
                cutter.cut();
                std::future::pending::<()>().await;
            }
            Err(later("RATE_LIMITED", Duration::from_secs(60)))
        }
    });
    let error = client.posts().create("hello").await.expect_err("refused");
    assert_eq!((error.reason(), error.attempts()), (Reason::RateLimited, 2));
    assert!(error.is_unknown_outcome());
    let error = client.posts().create("hello").await.expect_err("refused");
    assert!(!error.is_unknown_outcome());
}

#[tokio::test]
async fn the_delay_that_the_server_asks_for_is_kept() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |_| {
        let nth = notes.note(Instant::now());
        async move {
            if nth == 1 {
                return Err(later("RATE_LIMITED", Duration::from_millis(300)));
            }
            Ok(v1::GetUserResponse { user: Some(user()) })
        }
    });
    let client = client(fake.start().await);
    client.users().get_by_handle("ann").await.expect("found");
    let at = seen.all();
    assert!(at[1] - at[0] >= Duration::from_millis(300), "{:?}", at[1] - at[0]);
}

#[tokio::test]
async fn a_delay_beyond_the_timeout_is_answered_at_once() {
    let fake = Fake::default();
    fake.unary::<v1::GetUserRequest>(async |_| Err(later("RATE_LIMITED", Duration::from_secs(60))));
    let client = client(fake.start().await);
    let start = Instant::now();
    let error = client.users().get_by_handle("ann").await.expect_err("refused");
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(
        (error.attempts(), error.retry_delay()),
        (1, Some(Duration::from_secs(60)))
    );
}

#[tokio::test]
async fn the_timeout_bounds_all_attempts_and_each_is_told_what_is_left() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |request: tonic::Request<v1::GetUserRequest>| {
        let timeout = request
            .metadata()
            .get("grpc-timeout")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let nth = notes.note(timeout.unwrap_or_default());
        async move {
            let pause = if nth == 1 {
                Duration::from_millis(200)
            } else {
                Duration::from_secs(60)
            };
            tokio::time::sleep(pause).await;
            Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE"))
        }
    });
    let client = client(fake.start().await);
    let start = Instant::now();
    let call = client.users().get_by_handle("ann").timeout(Duration::from_millis(600));
    let error = call.await.expect_err("too late");
    assert_eq!(
        (error.origin(), error.code()),
        (Origin::Deadline, Code::DeadlineExceeded)
    );
    assert!(error.is_retryable() && error.is_unknown_outcome());
    assert!(
        error.message().ends_with("the attempt before failed: refused"),
        "{error}"
    );
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(500) && took < Duration::from_secs(2),
        "{took:?}"
    );
    let micros: Vec<u64> = seen.all().iter().map(|text| micros(text)).collect();
    assert_eq!(micros.len(), 2);
    assert!(micros[0] <= 600_000 && micros[1] <= micros[0] - 200_000, "{micros:?}");
}

/// The number of microseconds in a `grpc-timeout`.
fn micros(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number");
    match unit {
        "n" => number / 1_000,
        "u" => number,
        "m" => number * 1_000,
        _ => number * 1_000_000,
    }
}

#[tokio::test]
async fn retries_come_out_of_one_budget() {
    let fake = Fake::default();
    let seen = Seen::new();
    let notes = seen.clone();
    fake.unary::<v1::GetUserRequest>(move |_| {
        notes.note(());
        async { Err(refusal(Code::Unavailable, "STORE_UNAVAILABLE")) }
    });
    let client = Client::builder()
        .endpoint(format!("http://{}", fake.start().await))
        .retry(hasty().budget(0.1, 10, 0.0))
        .build()
        .expect("a client");
    for _ in 0..200 {
        client.users().get_by_handle("ann").await.expect_err("refused");
    }
    let retries = seen.count() - 200;
    assert!((25..=31).contains(&retries), "{retries} retries for 200 calls");
}

#[tokio::test]
async fn a_login_is_repeated_but_not_against_a_closed_door() {
    let cases = [
        (refusal(Code::Unavailable, "STORE_UNAVAILABLE"), true),
        (later("LOGIN_THROTTLED", Duration::from_millis(1)), false),
        (later("OVERLOADED", Duration::from_millis(1)), true),
    ];
    for (status, repeated) in cases {
        let fake = Fake::default();
        let seen = Seen::new();
        let (notes, shown) = (seen.clone(), format!("{status:?}"));
        fake.unary::<v1::LoginRequest>(move |_| {
            notes.note(());
            let status: Status = status.clone();
            async move { Err(status) }
        });
        let client = client(fake.start().await);
        let login = client
            .auth()
            .login("ann", "a password")
            .timeout(Duration::from_millis(300));
        login.await.expect_err("refused");
        assert_eq!(seen.count() > 1, repeated, "{shown}");
    }
}

#[tokio::test]
async fn a_call_on_a_connection_that_breaks_is_repeated_as_the_same() {
    let fake = Fake::default();
    let seen = Seen::new();
    let client = logged_in(&fake, MINUTES).await;
    let (notes, cutter) = (seen.clone(), fake.clone());
    fake.unary::<v1::CreatePostRequest>(move |request: tonic::Request<v1::CreatePostRequest>| {
        let nth = notes.note(request.into_inner().request_id);
        let cutter = cutter.clone();
        async move {
            if nth == 1 {
                cutter.cut();
                std::future::pending::<()>().await;
            }
            Ok(posted())
        }
    });
    client.posts().create("hello").await.expect("posted");
    let ids = seen.all();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_transport_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let client = client(address);
    let call = client.users().get_by_handle("ann").timeout(Duration::from_millis(300));
    let error = call.await.expect_err("nobody there");
    assert_eq!((error.origin(), error.code()), (Origin::Transport, Code::Unavailable));
    assert!(error.attempts() > 5, "{} attempts", error.attempts());
    assert!(error.is_retryable() && !error.is_unknown_outcome());
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_passed_over() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let away = gone.local_addr().expect("an address");
    drop(gone);
    let fake = Fake::default();
    fake.unary::<v1::GetUserRequest>(async |_| Ok(v1::GetUserResponse { user: Some(user()) }));
    let client = Client::builder()
        .endpoint(format!("http://{away}"))
        .endpoint(format!("http://{}", fake.start().await))
        .connections(2)
        .retry(RetryPolicy::none().max_attempts(3))
        .build()
        .expect("a client");
    for _ in 0..50 {
        client.users().get_by_handle("ann").await.expect("found");
    }
}

/// Two servers, of which the first never answers for `gone`. With them a client, and who was asked for at the first.
async fn half_silent() -> (Client, Seen<String>) {
    let (silent, well) = (Fake::default(), Fake::default());
    let seen = Seen::new();
    let notes = seen.clone();
    silent.unary::<v1::GetUserRequest>(move |request: tonic::Request<v1::GetUserRequest>| {
        let asked = match request.into_inner().user {
            Some(v1::get_user_request::User::Handle(handle)) => handle,
            _ => String::new(),
        };
        notes.note(asked.clone());
        async move {
            if asked == "gone" {
                std::future::pending::<()>().await;
            }
            Ok(v1::GetUserResponse { user: Some(user()) })
        }
    });
    well.unary::<v1::GetUserRequest>(async |_| Ok(v1::GetUserResponse { user: Some(user()) }));
    let mut builder = Client::builder().retry(hasty());
    for fake in [&silent, &well] {
        builder = builder.endpoint(format!("http://{}", fake.start().await));
    }
    (builder.build().expect("a client"), seen)
}

/// Asks the first server, whose turn it is, for the one that it is silent about; gives why there was no answer.
async fn unanswered(client: &Client, timeout: Duration) -> Origin {
    let call = client.users().get_by_handle("gone").timeout(timeout);
    call.await.expect_err("no answer").origin()
}

#[tokio::test]
async fn a_silent_server_is_passed_over_for_a_while() {
    let (client, seen) = half_silent().await;
    assert_eq!(
        unanswered(&client, Duration::from_millis(1_200)).await,
        Origin::Deadline
    );
    for _ in 0..10 {
        client
            .users()
            .get_by_handle("gone")
            .await
            .expect("answered by the other");
    }
    assert_eq!(seen.count(), 1);
    // It may be back by then.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    for _ in 0..2 {
        client.users().get_by_handle("ann").await.expect("answered");
    }
    assert_eq!(seen.all(), ["gone", "ann"]);
}

#[tokio::test]
async fn a_call_in_a_hurry_tells_nothing_of_its_server() {
    let (client, seen) = half_silent().await;
    assert_eq!(unanswered(&client, Duration::from_millis(100)).await, Origin::Deadline);
    for _ in 0..2 {
        client.users().get_by_handle("ann").await.expect("answered");
    }
    assert_eq!(seen.all(), ["gone", "ann"]);
}

#[tokio::test]
async fn a_server_that_answers_others_is_not_silent() {
    let (client, seen) = half_silent().await;
    let others = async {
        // The long call has the first turn.
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..2 {
            client.users().get_by_handle("ann").await.expect("answered");
        }
    };
    let long = unanswered(&client, Duration::from_millis(1_500));
    assert_eq!(join(long, others).await.0, Origin::Deadline);
    for _ in 0..2 {
        client.users().get_by_handle("bob").await.expect("answered");
    }
    assert_eq!(seen.all(), ["gone", "ann", "bob"]);
}

#[tokio::test]
async fn what_is_wrong_beforehand_is_not_sent() {
    let fake = Fake::default();
    let client = client(fake.start().await);
    let error = client.posts().get("no id").await.expect_err("no id");
    assert_eq!(
        (error.origin(), error.code(), error.attempts()),
        (Origin::Client, Code::InvalidArgument, 0)
    );
    assert_eq!(error.field_violations()[0].field, "post_id");
    assert_eq!(reason(client.posts().create("hello").await), Reason::TokenMissing);
    for url in ["", "ftp://x", "http://", "127.0.0.1:1"] {
        let error = Client::builder().endpoint(url).build().expect_err("no endpoint");
        assert_eq!(error.field_violations()[0].field, "endpoint", "{url}");
    }
    assert!(Client::builder().connections(0).build().is_err());
    assert!(Client::builder().build_admin("a\nb").is_err());
}
