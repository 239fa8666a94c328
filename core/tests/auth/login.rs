//! Registration, login and passwords.

use std::sync::Arc;
use std::time::Duration;

use social_core::auth::Registration;
use social_core::request::Viewer;
use social_core::{Reason, limits};

use super::world::*;

#[tokio::test]
async fn registering_logs_in() {
    let world = World::new();
    let (user, tokens) = world.register("Ada").await;
    assert_eq!((user.handle.as_str(), user.display_name.as_str()), ("ada", "ada"));
    assert_eq!(
        world.viewer(&tokens).await,
        Ok(Viewer::User {
            id: user.id,
            session: tokens.session
        })
    );
    assert_eq!(tokens.access_expires_at, START.plus(limits::ACCESS_TOKEN_TTL));
    assert_eq!(tokens.refresh_expires_at, START.plus(limits::REFRESH_TOKEN_TTL));
    assert!(world.login("ADA", PASSWORD).await.is_ok());
    let other = world
        .auth
        .register(&world.backend, &caller(), registration("ada", PASSWORD, &uuid()))
        .await;
    refused(other, Reason::HandleTaken);
}

#[tokio::test]
async fn a_registration_is_checked_field_by_field() {
    let world = World::new();
    let good = || registration("ada", PASSWORD, &uuid());
    let cases = [
        (
            "handle",
            Registration {
                handle: "a!".to_owned(),
                ..good()
            },
        ),
        (
            "display_name",
            Registration {
                display_name: "a\nb".to_owned(),
                ..good()
            },
        ),
        (
            "display_name",
            Registration {
                display_name: "x".repeat(51),
                ..good()
            },
        ),
        (
            "bio",
            Registration {
                bio: "x".repeat(501),
                ..good()
            },
        ),
        (
            "password",
            Registration {
                password: "short".into(),
                ..good()
            },
        ),
        (
            "password",
            Registration {
                password: "x".repeat(257).into(),
                ..good()
            },
        ),
        (
            "device_name",
            Registration {
                device: "a\u{202E}b".to_owned(),
                ..good()
            },
        ),
        (
            "request_id",
            Registration {
                request_id: String::new(),
                ..good()
            },
        ),
        (
            "request_id",
            Registration {
                request_id: "7".to_owned(),
                ..good()
            },
        ),
    ];
    for (name, case) in cases {
        assert_eq!(field(world.auth.register(&world.backend, &caller(), case).await), name);
    }
    assert_eq!(
        world.backend.store.user_ids(&["ada".parse().unwrap()]).await.unwrap(),
        [None]
    );
}

#[tokio::test]
async fn a_repeated_registration_answers_the_same_to_who_knows_the_password() {
    let world = World::new();
    let id = uuid();
    let here = caller();
    let register = |password: &'static str| {
        world
            .auth
            .register(&world.backend, &here, registration("ada", password, &id))
    };
    let (user, first) = register(PASSWORD).await.unwrap();
    let (again, second) = register(PASSWORD).await.unwrap();
    assert_eq!((again.id, second.session), (user.id, first.session));
    refused(register("another horse").await, Reason::RequestIdReused);
    let other_content = Registration {
        bio: "hi".to_owned(),
        ..registration("ada", PASSWORD, &id)
    };
    refused(
        world.auth.register(&world.backend, &caller(), other_content).await,
        Reason::RequestIdReused,
    );
    // The tokens of the last answer hold; the first refresh token is void, which harms nobody.
    refused(
        world.refresh(&first.refresh, &uuid()).await,
        Reason::RefreshTokenInvalid,
    );
    assert!(world.refresh(&second.refresh, &uuid()).await.is_ok());
    assert_eq!(world.backend.store.sessions(user.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_handles_and_wrong_passwords_are_not_told_apart() {
    let world = World::new();
    world.register("ada").await;
    let errors = [
        refused(world.login("ada", "wrong horse").await, Reason::CredentialsInvalid),
        refused(world.login("nobody", PASSWORD).await, Reason::CredentialsInvalid),
        refused(world.login("no handle!", PASSWORD).await, Reason::CredentialsInvalid),
    ];
    assert!(errors.iter().all(|error| *error == errors[0]));
    assert_eq!(field(world.login("ada", "").await), "password");
    assert_eq!(field(world.login("ada", &"x".repeat(257)).await), "password");
    assert_eq!(field(world.login(&"x".repeat(31), PASSWORD).await), "handle");
    assert!(!format!("{:?}", errors[0]).contains("horse"));
}

#[tokio::test]
async fn guessing_is_throttled_and_locks_out_nobody_else() {
    let world = World::new();
    world.register("ada").await;
    for handle in ["ada", "nobody"] {
        for _ in 0..limits::LOGIN_FAILURES_FREE {
            refused(
                world.login_from(handle, "wrong horse", from("203.0.113.5")).await,
                Reason::CredentialsInvalid,
            );
        }
        let error = refused(
            world.login_from(handle, PASSWORD, from("203.0.113.5")).await,
            Reason::LoginThrottled,
        );
        assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
    }
    assert!(world.login("ada", PASSWORD).await.is_ok());
    world.pass(Duration::from_secs(1));
    assert!(world.login_from("ada", PASSWORD, from("203.0.113.5")).await.is_ok());
}

#[tokio::test]
async fn many_right_logins_at_once_are_no_guesses() {
    let world = World::new();
    world.register("ada").await;
    let logins = (0..32).map(|_| world.login_from("ada", PASSWORD, from("203.0.113.5")));
    let outcomes = futures::future::join_all(logins).await;
    let (here, refusals): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(here.len() >= limits::PASSWORD_PLACES_PER_ADDRESS);
    for refusal in refusals {
        refused(refusal, Reason::Overloaded);
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let world = World::new();
    let (user, here) = world.register("ada").await;
    let there = world.login("ada", PASSWORD).await.unwrap();
    assert!(world.viewer(&there).await.is_ok());
    let change = |current: &'static str, new: &'static str, id: String| {
        let world = &world;
        let (user, session) = (user.id, here.session);
        async move { world.change_password(user, session, current, new, &id).await }
    };
    refused(
        change("wrong horse", "battery staple", uuid()).await,
        Reason::CredentialsInvalid,
    );
    assert_eq!(field(change(PASSWORD, "short", uuid()).await), "new_password");
    assert_eq!(field(change("", "battery staple", uuid()).await), "current_password");
    assert_eq!(
        field(change(PASSWORD, "battery staple", "x".to_owned()).await),
        "request_id"
    );
    let id = uuid();
    assert_eq!(change(PASSWORD, "battery staple", id.clone()).await.unwrap(), 1);
    assert!(world.viewer(&here).await.is_ok());
    assert_eq!(world.viewer(&there).await, Err(Reason::SessionRevoked));
    refused(world.login("ada", PASSWORD).await, Reason::CredentialsInvalid);
    let later = world.login("ada", "battery staple").await.unwrap();
    // A repetition changes and ends nothing more, and still needs a password that is right.
    assert!(change(PASSWORD, "battery staple", id.clone()).await.is_ok());
    assert!(world.viewer(&later).await.is_ok());
    refused(change(PASSWORD, "another horse", id).await, Reason::CredentialsInvalid);
    refused(
        change("wrong horse", "battery staple", uuid()).await,
        Reason::CredentialsInvalid,
    );
}

#[tokio::test]
async fn guessing_the_current_password_is_throttled() {
    let world = World::new();
    let (user, tokens) = world.register("ada").await;
    let guess = || {
        world.change_password(
            user.id,
            tokens.session,
            "wrong horse",
            "battery staple",
            "6f1f64a4-0a3b-4e51-8a58-a0b0a6c5c1f0",
        )
    };
    for _ in 0..limits::LOGIN_FAILURES_FREE {
        refused(guess().await, Reason::CredentialsInvalid);
    }
    refused(guess().await, Reason::LoginThrottled);
    assert!(world.login("ada", PASSWORD).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_login_with_the_old_password_outlives_its_change() {
    for _ in 0..50 {
        let world = Arc::new(World::new());
        let (user, here) = world.register("ada").await;
        let logins: Vec<_> = (0..3)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.login("ada", PASSWORD).await })
            })
            .collect();
        world
            .change_password(user.id, here.session, PASSWORD, "battery staple", &uuid())
            .await
            .unwrap();
        for login in logins {
            if let Ok(tokens) = login.await.unwrap() {
                assert_eq!(world.viewer(&tokens).await, Err(Reason::SessionRevoked));
            }
        }
        let live = world.backend.store.sessions(user.id).await.unwrap();
        assert_eq!(
            live.iter().map(|session| session.id).collect::<Vec<_>>(),
            [here.session]
        );
    }
}
