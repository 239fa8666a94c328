//! Guessing, forging and replaying, over the wire.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use social_core::Clock;
use social_core::auth::Keys;
use social_proto::v1;
use support::people::PASSWORD;
use support::{Failure, House, Line, Person, assert_refused, refused, request_id};
use tonic::Code;

/// A JSON text as a part of a token.
fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn read(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A value with some of its fields set anew.
fn with(value: &Value, change: &Value) -> Value {
    let mut value = value.clone();
    for (key, new) in change.as_object().unwrap() {
        value[key] = new.clone();
    }
    value
}

/// Headers that a forger may try: each with every kind of signature.
fn headers(header: &Value) -> Vec<Value> {
    let changes = [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": ""}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"alg": "RS256"}),
        json!({"kid": "unknown"}),
        json!({"kid": ""}),
        json!({"kid": "../../etc/passwd"}),
        json!({"typ": "JWT"}),
        json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}),
        json!({"jku": "https://evil.example.org/keys"}),
        json!({"x5u": "https://evil.example.org/chain"}),
        json!({"crit": ["exp"]}),
        json!({"b64": false}),
    ];
    changes.iter().map(|change| with(header, change)).collect()
}

/// What a forger may want a token to say.
fn payloads(payload: &Value, victim: &Person) -> Vec<Value> {
    let iat = payload["iat"].as_u64().unwrap();
    let changes = [
        json!({"sub": victim.id}),
        json!({"sub": victim.id, "sid": victim.session}),
        json!({"sid": victim.session}),
        json!({"exp": iat + 86_400}),
        json!({"exp": u64::MAX}),
        json!({"iat": iat + 100, "exp": iat + 700}),
        json!({"aud": "admin"}),
        json!({"iss": "somebody"}),
        json!({"nbf": 0}),
    ];
    changes.iter().map(|change| with(payload, change)).collect()
}

fn forgeries(own: &Person, victim: &Person) -> Vec<String> {
    let parts: Vec<&str> = own.access.split('.').collect();
    let [head, body, signature] = parts[..] else {
        panic!("a token has three parts")
    };
    let (header, payload) = (read(head), read(body));
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    let signatures = [signature, "", &zeros];
    let mut forged = Vec::new();
    for header in headers(&header) {
        forged.extend(signatures.map(|signature| format!("{}.{body}.{signature}", part(&header))));
    }
    for payload in payloads(&payload, victim) {
        forged.extend(signatures.map(|signature| format!("{head}.{}.{signature}", part(&payload))));
    }
    // Signed well, by a key of somebody else's, under its name and under ours.
    let keys = Keys::in_memory(Clock::system().now());
    let foreign = keys.issue(
        victim.id.parse().unwrap(),
        victim.session.parse().unwrap(),
        Clock::system().now(),
    );
    let foreign = foreign.unwrap().text.expose_secret().to_owned();
    let (_, rest) = foreign.split_once('.').unwrap();
    forged.push(format!("{head}.{rest}"));
    forged.push(foreign);
    forged.extend([
        format!("{}.", own.access),
        format!(".{}", own.access),
        format!("{head}.{body}"),
        format!("{head}..{signature}"),
        format!("{head}.{body}.{signature}="),
        format!("{head}=.{body}.{signature}"),
        own.access.to_uppercase(),
        own.access.replace('.', ","),
        // The end of a signature has bits that mean nothing; they must be as they were issued.
        format!("{head}.{body}.{}", turned_last(signature)),
    ]);
    forged
}

/// A base64 text whose last character has another value, where possible with the same bytes.
fn turned_last(text: &str) -> String {
    let (start, last) = text.split_at(text.len() - 1);
    let next = match last {
        "A" => "B",
        "Q" => "R",
        "g" => "h",
        "w" => "x",
        _ => "A",
    };
    format!("{start}{next}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_forged_token_is_let_in() {
    let house = House::open().await;
    let (own, victim) = tokio::join!(house.person("mallory"), house.person("alice"));
    let forged = forgeries(&own, &victim);
    let marker = v1::GetMarkerRequest {};
    let mut let_in = Vec::new();
    for token in &forged {
        let answer: Result<v1::GetMarkerResponse, Failure> =
            house.line.call("TimelineService/GetMarker", Some(token), &marker).await;
        match answer {
            Err(failure) if (failure.code, failure.reason.as_str()) == (Code::Unauthenticated, "TOKEN_INVALID") => {}
            answer => let_in.push(format!("{token}: {answer:?}")),
        }
    }
    assert!(let_in.is_empty(), "{}", let_in.join("\n"));
    let real = own.call::<v1::GetMarkerResponse>(&house.line, "TimelineService/GetMarker", &marker);
    real.await.unwrap();
    println!("{} forged tokens refused with TOKEN_INVALID", forged.len());
}

async fn log_in(line: &Line, handle: &str, password: &str) -> Result<v1::LoginResponse, Failure> {
    let request = v1::LoginRequest {
        handle: handle.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    };
    line.call("AuthService/Login", None, &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_and_unknown_accounts_look_like_known_ones() {
    let house = House::open().await;
    let (alice, bob) = tokio::join!(house.person("alice"), house.person("bob"));
    let line = &house.line;
    // Known and unknown accounts are refused in the same words, and about as fast.
    let mut fastest = [Duration::MAX; 2];
    let mut said = BTreeSet::new();
    for round in 0..4 {
        let unknown = format!("nobody_{round}");
        for (slot, handle) in fastest.iter_mut().zip([bob.handle.as_str(), unknown.as_str()]) {
            let asked = Instant::now();
            let refusal = refused(log_in(line, handle, "wrong horse").await);
            *slot = (*slot).min(asked.elapsed());
            assert_refused(&refusal, Code::Unauthenticated, "CREDENTIALS_INVALID");
            said.insert(refusal.message);
        }
    }
    assert_eq!(said.len(), 1, "{said:?}");
    let ratio = fastest[0].as_secs_f64() / fastest[1].as_secs_f64();
    assert!((0.3..3.0).contains(&ratio), "{fastest:?}");

    let mut guesses = 0;
    let throttled = loop {
        let refusal = refused(log_in(line, &alice.handle, "wrong horse").await);
        if refusal.code == Code::ResourceExhausted {
            break refusal;
        }
        assert_refused(&refusal, Code::Unauthenticated, "CREDENTIALS_INVALID");
        guesses += 1;
        assert!(guesses < 20, "guessing goes on for ever");
    };
    assert_refused(&throttled, Code::ResourceExhausted, "LOGIN_THROTTLED");
    assert!(throttled.retry_delay.is_some_and(|delay| delay > Duration::ZERO));
    // Who is logged in notices nothing, and other accounts are not slowed down.
    alice.post_id(line, "still here").await;
    log_in(line, &bob.handle, PASSWORD).await.unwrap();
    println!("known/unknown account: {fastest:?}; throttled after {guesses} guesses");
}

async fn refresh(line: &Line, token: &str, request_id: &str) -> Result<v1::TokenPair, Failure> {
    let request = v1::RefreshTokenRequest {
        refresh_token: token.to_owned(),
        request_id: request_id.to_owned(),
    };
    let answer: v1::RefreshTokenResponse = line.call("AuthService/RefreshToken", None, &request).await?;
    Ok(answer.tokens.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session() {
    let house = House::open().await;
    let line = &house.line;
    let alice = house.person("alice").await;
    let other_device = alice.log_in(line).await;
    let first = request_id();
    let lost = refresh(line, &alice.refresh, &first).await.unwrap();
    // The answer was lost: the same call again gives a pair, and voids the one that nobody got.
    let second = refresh(line, &alice.refresh, &first).await.unwrap();
    assert_ne!(lost.refresh_token, second.refresh_token);
    let void = refused(refresh(line, &lost.refresh_token, &request_id()).await);
    assert_refused(&void, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    let third = refresh(line, &second.refresh_token, &request_id()).await.unwrap();
    let marker = v1::GetMarkerRequest {};
    let method = "TimelineService/GetMarker";
    let token = Some(third.access_token.as_str());
    let _: v1::GetMarkerResponse = line.call(method, token, &marker).await.unwrap();
    // Used a second time: one of its two users is a thief, so neither goes on.
    let reused = refused(refresh(line, &second.refresh_token, &request_id()).await);
    assert_refused(&reused, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    for access in [&alice.access, &second.access_token, &third.access_token] {
        let refusal = refused(line.call::<v1::GetMarkerResponse>(method, Some(access), &marker).await);
        assert_refused(&refusal, Code::Unauthenticated, "SESSION_REVOKED");
    }
    let refusal = refused(refresh(line, &third.refresh_token, &request_id()).await);
    assert_refused(&refusal, Code::Unauthenticated, "SESSION_REVOKED");
    // The other device is another family.
    let _: v1::GetMarkerResponse = other_device.call(line, method, &marker).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_is_one_post_however_often_and_at_once() {
    let house = House::open().await;
    let line = &house.line;
    let (alice, bob) = tokio::join!(house.person("alice"), house.person("bob"));
    bob.follow(line, &alice).await;
    let request = v1::CreatePostRequest {
        content: "only once".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let calls = (0..32).map(|_| alice.call::<v1::CreatePostResponse>(line, "PostService/CreatePost", &request));
    let answers = futures::future::join_all(calls).await;
    let ids: Vec<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().post.unwrap().id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(alice.posts_of(line, &alice.id).await.unwrap().len(), 1);
    // Another's same request_id is another request.
    let bobs: v1::CreatePostResponse = bob.call(line, "PostService/CreatePost", &request).await.unwrap();
    assert_ne!(bobs.post.unwrap().id, ids[0]);
    let other = v1::CreatePostRequest {
        content: "something else".to_owned(),
        ..request
    };
    let reused = refused(
        alice
            .call::<v1::CreatePostResponse>(line, "PostService/CreatePost", &other)
            .await,
    );
    assert_refused(&reused, Code::InvalidArgument, "REQUEST_ID_REUSED");
}
