//! Tokens and the life of sessions.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use social_core::backend::{Channel, WakeKind};
use social_core::request::Caller;
use social_core::{Reason, SessionId, limits};

use super::world::*;

#[tokio::test]
async fn a_refresh_token_is_good_once() {
    let world = World::new();
    let (_, first) = world.register("ada").await;
    let second = world.refresh(&first.refresh, &uuid()).await.unwrap();
    assert_eq!(second.session, first.session);
    assert_ne!(second.refresh.expose_secret(), first.refresh.expose_secret());
    assert!(world.viewer(&first).await.is_ok() && world.viewer(&second).await.is_ok());
    refused(world.refresh(&first.refresh, &uuid()).await, Reason::RefreshTokenReused);
    for tokens in [&first, &second] {
        assert_eq!(world.viewer(tokens).await, Err(Reason::SessionRevoked));
        refused(world.refresh(&tokens.refresh, &uuid()).await, Reason::SessionRevoked);
    }
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_family_however_old() {
    let world = World::new();
    let (_, first) = world.register("ada").await;
    let mut last = first.clone();
    for _ in 0..5 {
        last = world.refresh(&last.refresh, &uuid()).await.unwrap();
    }
    refused(world.refresh(&first.refresh, &uuid()).await, Reason::RefreshTokenReused);
    assert_eq!(world.viewer(&last).await, Err(Reason::SessionRevoked));
    refused(world.refresh(&last.refresh, &uuid()).await, Reason::SessionRevoked);
}

#[tokio::test]
async fn a_lost_answer_is_issued_again_and_its_twin_is_void() {
    let world = World::new();
    let (_, first) = world.register("ada").await;
    let id = uuid();
    let lost = world.refresh(&first.refresh, &id).await.unwrap();
    world.pass(Duration::from_secs(29));
    let again = world.refresh(&first.refresh, &id).await.unwrap();
    // Never used: void, and no sign of theft.
    refused(world.refresh(&lost.refresh, &uuid()).await, Reason::RefreshTokenInvalid);
    let next = world.refresh(&again.refresh, &uuid()).await.unwrap();
    assert!(world.viewer(&next).await.is_ok());
    // By now it is two generations old, and somebody kept it.
    refused(world.refresh(&lost.refresh, &uuid()).await, Reason::RefreshTokenReused);
}

#[tokio::test]
async fn a_repetition_that_comes_late_is_reuse() {
    let world = World::new();
    let (_, first) = world.register("ada").await;
    let id = uuid();
    let second = world.refresh(&first.refresh, &id).await.unwrap();
    world.pass(limits::REFRESH_REPEAT + Duration::from_millis(1));
    refused(world.refresh(&first.refresh, &id).await, Reason::RefreshTokenReused);
    assert_eq!(world.viewer(&second).await, Err(Reason::SessionRevoked));
}

#[tokio::test]
async fn guesses_end_no_session() {
    let world = World::new();
    let (_, victim) = world.register("ada").await;
    let (_, attacker) = world.register("eve").await;
    let own = attacker.refresh.expose_secret();
    let forged = own.replace(&attacker.session.to_string(), &victim.session.to_string());
    for guess in [forged.as_str(), "", "rt_", &own[..own.len() - 1]] {
        refused(world.refresh(&guess.into(), &uuid()).await, Reason::RefreshTokenInvalid);
    }
    assert!(world.viewer(&victim).await.is_ok());
    assert!(world.refresh(&victim.refresh, &uuid()).await.is_ok());
    assert_eq!(field(world.refresh(&attacker.refresh, "x").await), "request_id");
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_ends() {
    let world = World::new();
    let (_, tokens) = world.register("ada").await;
    world.pass(limits::ACCESS_TOKEN_TTL);
    assert_eq!(world.viewer(&tokens).await, Err(Reason::TokenExpired));
    world.pass(limits::REFRESH_TOKEN_TTL);
    refused(
        world.refresh(&tokens.refresh, &uuid()).await,
        Reason::RefreshTokenInvalid,
    );
}

#[tokio::test]
async fn a_cached_token_expires_like_any_other() {
    let world = World::new();
    let (_, tokens) = world.register("ada").await;
    assert!(world.viewer(&tokens).await.is_ok());
    world.pass(limits::ACCESS_TOKEN_TTL - Duration::from_millis(1));
    assert!(world.viewer(&tokens).await.is_ok());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.viewer(&tokens).await, Err(Reason::TokenExpired));
    let forged = tokens.access.expose_secret().replace('.', "..");
    refused(
        world.auth.authenticate(&world.backend, &forged).await,
        Reason::TokenInvalid,
    );
}

#[tokio::test]
async fn logout_holds_at_once_and_wakes_streams() {
    let world = World::new();
    let (user, tokens) = world.register("ada").await;
    let other = world.login("ada", PASSWORD).await.unwrap();
    assert!(world.viewer(&tokens).await.is_ok());
    let mut listener = world.backend.signals.listen();
    listener.watch(Channel::Sessions(user.id));
    let caller = as_user(&user, &tokens);
    assert_eq!(
        field(world.auth.logout(&world.backend, &caller, "").await),
        "request_id"
    );
    world.auth.logout(&world.backend, &caller, &uuid()).await.unwrap();
    assert_eq!(world.viewer(&tokens).await, Err(Reason::SessionRevoked));
    assert!(world.viewer(&other).await.is_ok());
    let wake = tokio::time::timeout(Duration::from_secs(5), listener.next())
        .await
        .unwrap();
    assert_eq!(wake.kind, WakeKind::SessionRevoked);
    refused(world.refresh(&tokens.refresh, &uuid()).await, Reason::SessionRevoked);
    assert!(world.viewer(&other).await.is_ok());
    refused(
        world.auth.logout(&world.backend, &Caller::default(), &uuid()).await,
        Reason::TokenMissing,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_after_a_logout_slips_through_the_cache() {
    let world = Arc::new(World::new());
    let (user, _) = world.register("ada").await;
    for _ in 0..200 {
        let tokens = world.login("ada", PASSWORD).await.unwrap();
        let checks: Vec<_> = (0..4)
            .map(|_| {
                let (world, tokens) = (Arc::clone(&world), tokens.clone());
                tokio::spawn(async move {
                    while world.viewer(&tokens).await.is_ok() {
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        world
            .auth
            .logout(&world.backend, &as_user(&user, &tokens), &uuid())
            .await
            .unwrap();
        assert_eq!(world.viewer(&tokens).await, Err(Reason::SessionRevoked));
        for check in checks {
            check.await.unwrap();
        }
        assert_eq!(world.viewer(&tokens).await, Err(Reason::SessionRevoked));
    }
}

#[tokio::test]
async fn sessions_are_listed_by_page_and_revoked_by_their_owner() {
    let world = World::new();
    let (user, first) = world.register("ada").await;
    let mut ids = vec![first.session];
    for _ in 0..4 {
        world.pass(Duration::from_millis(1));
        ids.push(world.login("ada", PASSWORD).await.unwrap().session);
    }
    ids.reverse();
    let caller = as_user(&user, &first);
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = world
            .auth
            .list_sessions(&world.backend, &caller, 2, after)
            .await
            .unwrap();
        listed.extend(page.items.iter().map(|session| session.id));
        after = page.next.map(SessionId);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, ids);

    let (eve, eves) = world.register("eve").await;
    let revoke = |caller: Caller, id: SessionId| {
        let world = &world;
        async move { world.auth.revoke_session(&world.backend, &caller, id, &uuid()).await }
    };
    refused(
        revoke(as_user(&eve, &eves), first.session).await,
        Reason::SessionNotFound,
    );
    refused(revoke(caller, SessionId(12345)).await, Reason::SessionNotFound);
    assert!(world.viewer(&first).await.is_ok());
    revoke(caller, ids[0]).await.unwrap();
    revoke(caller, ids[0]).await.unwrap();
    assert_eq!(
        world
            .auth
            .list_sessions(&world.backend, &caller, 100, None)
            .await
            .unwrap()
            .items
            .len(),
        4
    );
    revoke(caller, first.session).await.unwrap();
    assert_eq!(world.viewer(&first).await, Err(Reason::SessionRevoked));
}

#[tokio::test]
async fn a_session_displaced_by_a_new_login_is_refused_at_once() {
    let world = World::new();
    let (user, first) = world.register("ada").await;
    assert!(world.viewer(&first).await.is_ok());
    for _ in 1..limits::SESSIONS {
        world.pass(Duration::from_millis(1));
        world.login("ada", PASSWORD).await.unwrap();
    }
    assert!(world.viewer(&first).await.is_ok());
    world.login("ada", PASSWORD).await.unwrap();
    assert_eq!(world.viewer(&first).await, Err(Reason::SessionRevoked));
    assert_eq!(
        world.backend.store.sessions(user.id).await.unwrap().len(),
        limits::SESSIONS
    );
}

#[tokio::test]
async fn no_secret_shows_in_debug_output() {
    let world = World::new();
    let (_, tokens) = world.register("ada").await;
    let shown = format!("{tokens:?} {:?}", world.auth);
    for secret in [tokens.access.expose_secret(), tokens.refresh.expose_secret(), PASSWORD] {
        assert!(!shown.contains(secret));
    }
}
