//! What was withdrawn is refused although its token is cached: also where a call was cut, two logins raced, or a key was stolen.

use std::sync::Arc;
use std::time::Duration;

use social_core::auth::Keys;
use social_core::backend::Backend;
use social_core::{Reason, limits};
use social_store::embedded;
use social_store::faulty::{self, Plan};

use super::world::*;

#[tokio::test]
async fn a_password_change_that_is_cut_after_its_commit_ends_the_other_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = None;
    let world = Arc::new(World::with(Keys::in_memory(START), |clock| {
        let store = embedded::open(embedded::Config::new(dir.path(), clock)).unwrap();
        let backend = store.backend();
        opened = Some(store);
        backend
    }));
    let (user, here) = world.register("ada").await;
    let there = world.login("ada", PASSWORD).await.unwrap();
    assert!(world.viewer(&there).await.is_ok());
    let change = {
        let (world, user, session) = (Arc::clone(&world), user.id, here.session);
        tokio::spawn(async move {
            world
                .change_password(user, session, PASSWORD, "battery staple", &uuid())
                .await
        })
    };
    // One thread runs all tasks: none sees the commit that the store's own thread makes while this one sleeps.
    while world.backend.store.sessions(user.id).await.unwrap().len() > 1 {
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(5));
    }
    change.abort();
    assert!(change.await.unwrap_err().is_cancelled());
    let refused = async {
        while world.viewer(&there).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    assert!(world.viewer(&here).await.is_ok());
}

#[tokio::test]
async fn a_password_change_whose_outcome_is_unknown_ends_the_other_sessions() {
    let plan = Arc::new(Plan::new(7));
    let world = World::with(Keys::in_memory(START), |clock| {
        faulty::wrap(social_store::memory::open(clock), &plan)
    });
    let (user, here) = world.register("ada").await;
    let mut current = PASSWORD.to_owned();
    let mut unknown = 0;
    for round in 0..40 {
        let there = world.login("ada", &current).await.unwrap();
        assert!(world.viewer(&there).await.is_ok());
        let next = format!("battery staple {round}");
        plan.set_rate(0.2);
        let changed = world
            .change_password(user.id, here.session, &current, &next, &uuid())
            .await;
        plan.set_rate(0.0);
        let account = world.backend.store.session(there.session).await.unwrap().unwrap();
        if account.revoked_at.is_some() {
            unknown += usize::from(changed.is_err());
            assert_eq!(world.viewer(&there).await, Err(Reason::SessionRevoked));
            current = next;
        }
    }
    assert!(unknown > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_displaced_by_logins_at_once_are_refused() {
    let world = Arc::new(World::new());
    world.register("ada").await;
    let mut all = Vec::new();
    for _ in 2..limits::SESSIONS {
        world.pass(Duration::from_millis(1));
        let tokens = world.login("ada", PASSWORD).await.unwrap();
        assert!(world.viewer(&tokens).await.is_ok());
        all.push(tokens);
    }
    let logins: Vec<_> = (0..limits::PASSWORD_PLACES_PER_ADDRESS)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.login("ada", PASSWORD).await })
        })
        .collect();
    for login in logins {
        all.push(login.await.unwrap().unwrap());
    }
    for tokens in &all {
        let row = world.backend.store.session(tokens.session).await.unwrap().unwrap();
        assert_eq!(world.viewer(tokens).await.is_err(), row.revoked_at.is_some());
    }
}

#[tokio::test]
async fn a_token_of_a_stolen_key_is_refused_once_the_key_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let keys = Keys::open(&folder, START).unwrap();
    let world = World::with(keys, social_store::memory::open);
    let (_, tokens) = world.register("ada").await;
    assert!(world.viewer(&tokens).await.is_ok());
    world.auth.keys().rotate(START.plus_ms(10)).unwrap();
    assert!(world.viewer(&tokens).await.is_ok());
    std::fs::remove_file(folder.join(format!("signing-{}.pem", START.unix_ms()))).unwrap();
    world.auth.keys().reload().unwrap();
    assert_eq!(world.viewer(&tokens).await, Err(Reason::TokenInvalid));
    let fresh = world.refresh(&tokens.refresh, &uuid()).await.unwrap();
    assert!(world.viewer(&fresh).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_another_process_revokes_is_refused_within_the_time_of_trust() {
    let trust = Duration::from_secs(1);
    let dir = tempfile::tempdir().unwrap();
    let process = |backend: Option<&Backend>| {
        let keys = Keys::open(&dir.path().join("keys"), START).unwrap();
        let backend = backend.cloned();
        let world = World::with(keys, |clock| {
            backend.unwrap_or_else(|| social_store::memory::open(clock))
        });
        World {
            auth: world.auth.trusting_for(trust),
            ..world
        }
    };
    let one = process(None);
    let other = process(Some(&one.backend));
    let (user, here) = one.register("ada").await;
    let there = one.login("ada", PASSWORD).await.unwrap();
    for tokens in [&here, &there] {
        assert!(other.viewer(tokens).await.is_ok());
    }
    one.auth
        .revoke_session(&one.backend, &as_user(&user, &here), there.session, &uuid())
        .await
        .unwrap();
    assert_eq!(one.viewer(&there).await, Err(Reason::SessionRevoked));
    // As a single process would, the other one trusts what it saw …
    tokio::time::advance(trust - Duration::from_millis(1)).await;
    assert!(other.viewer(&there).await.is_ok());
    // … and no longer.
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(other.viewer(&there).await, Err(Reason::SessionRevoked));
    assert!(other.viewer(&here).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_looked_at_is_trusted_no_longer() {
    let plan = Arc::new(Plan::new(7));
    let world = World::with(Keys::in_memory(START), |clock| {
        faulty::wrap(social_store::memory::open(clock), &plan)
    });
    let world = World {
        auth: world.auth.trusting_for(Duration::from_secs(1)),
        ..world
    };
    let (_, tokens) = world.register("ada").await;
    assert!(world.viewer(&tokens).await.is_ok());
    plan.set_rate(1.0);
    let mut refused = 0;
    for _ in 0..20 {
        assert!(world.viewer(&tokens).await.is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        plan.set_rate(1.0);
        if let Err(reason) = world.viewer(&tokens).await {
            assert_eq!(reason, Reason::StoreUnavailable);
            refused += 1;
        }
        plan.set_rate(0.0);
        assert!(world.viewer(&tokens).await.is_ok(), "the store is back");
    }
    assert!(refused > 0);
}
