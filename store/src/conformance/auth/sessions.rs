//! Sessions and the rotation of their refresh tokens.

use std::time::Duration;

use social_core::auth::{NewSession, Rotation};
use social_core::{SessionId, limits};

use crate::conformance::subject::at_once;
use crate::conformance::{Subject, cases};

use super::{a_session, live, rotated};

cases!["auth":
    a_session_lives_until_it_is_revoked,
    only_its_owner_revokes_a_session,
    live_sessions_are_listed_newest_first,
    a_login_repeated_answers_the_same_session_with_the_new_token,
    concurrent_repetitions_of_one_login_open_one_session,
    the_session_refreshed_longest_ago_makes_room,
    a_refresh_exchanges_the_token,
    a_token_used_twice_revokes_the_session,
    a_refresh_repeated_in_time_voids_its_successor,
    a_refresh_repeated_too_late_is_reuse,
    a_refresh_prolongs_the_session,
    a_session_not_refreshed_ends,
    an_unknown_token_is_refused_and_harms_nothing,
    one_of_many_concurrent_refreshes_wins,
    dead_sessions_are_cleared_away,
    a_rotation_and_a_revocation_survive_reopening,
];

async fn a_session_lives_until_it_is_revoked(t: &Subject) {
    let ann = t.user("ann").await;
    let session = t.login(ann).await;
    assert_eq!(
        (session.user, session.device.as_str(), session.created_at),
        (ann, "phone", t.now())
    );
    assert_eq!(t.store().session(session.id).await.unwrap(), Some(session.clone()));
    assert!(t.store().revoke_session(ann, session.id).await.unwrap());
    assert!(!t.store().revoke_session(ann, session.id).await.unwrap());
    let row = t.store().session(session.id).await.unwrap().unwrap();
    assert!(!row.is_live(t.now()));
    assert!(live(t, ann).await.is_empty());
    let rotation = t
        .store()
        .rotate_session(session.id, session.refresh, t.token(), [1; 16])
        .await
        .unwrap();
    assert_eq!(rotation, Rotation::Refused);
}

async fn only_its_owner_revokes_a_session(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let session = t.login(ann).await;
    assert!(!t.store().revoke_session(bob, session.id).await.unwrap());
    assert!(!t.store().revoke_session(ann, SessionId(7)).await.unwrap());
    assert_eq!(live(t, ann).await, [session.id]);
}

async fn live_sessions_are_listed_newest_first(t: &Subject) {
    let ann = t.user("ann").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(t.login(ann).await.id);
        t.advance(Duration::from_secs(1));
    }
    t.store().revoke_session(ann, ids[2]).await.unwrap();
    assert_eq!(live(t, ann).await, [ids[4], ids[3], ids[1], ids[0]]);
}

async fn a_login_repeated_answers_the_same_session_with_the_new_token(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let (lost, kept) = (t.token(), t.token());
    let session = |refresh| NewSession {
        user: ann,
        device: String::new(),
        address: None,
        refresh,
    };
    let first = t.store().create_session(session(lost), key).await.unwrap();
    let again = t.store().create_session(session(kept), key).await.unwrap();
    assert!(again.replayed);
    let (first, again) = (first.value.session, again.value.session);
    assert_eq!((again.id, again.refresh), (first.id, kept));
    let rotation = t
        .store()
        .rotate_session(again.id, kept, t.token(), [1; 16])
        .await
        .unwrap();
    assert!(matches!(rotation, Rotation::Rotated(_)));
}

async fn concurrent_repetitions_of_one_login_open_one_session(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let results = at_once(16, |_| {
        let (store, refresh) = (t.store(), t.token());
        let session = NewSession {
            user: ann,
            device: String::new(),
            address: None,
            refresh,
        };
        async move { store.create_session(session, key).await.unwrap() }
    })
    .await;
    assert_eq!(results.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert_eq!(live(t, ann).await, [results[0].value.session.id]);
}

async fn the_session_refreshed_longest_ago_makes_room(t: &Subject) {
    let ann = t.user("ann").await;
    let mut sessions = Vec::new();
    for _ in 0..limits::SESSIONS {
        sessions.push(t.login(ann).await);
        t.advance(Duration::from_secs(1));
    }
    let oldest = &sessions[0];
    t.store()
        .rotate_session(oldest.id, oldest.refresh, t.token(), [1; 16])
        .await
        .unwrap();
    let session = NewSession {
        user: ann,
        device: String::new(),
        address: None,
        refresh: t.token(),
    };
    let opened = t.store().create_session(session, t.key()).await.unwrap().value;
    assert_eq!(opened.displaced, [sessions[1].id]);
    let newest = opened.session;
    let live = live(t, ann).await;
    assert_eq!(live.len(), limits::SESSIONS);
    assert!(live.contains(&oldest.id) && live.contains(&newest.id));
    assert!(!live.contains(&sessions[1].id));
    assert!(
        t.store()
            .session(sessions[1].id)
            .await
            .unwrap()
            .unwrap()
            .revoked_at
            .is_some()
    );
}

async fn a_refresh_exchanges_the_token(t: &Subject) {
    let session = a_session(t).await;
    t.advance(Duration::from_secs(60));
    let next = t.token();
    let rotated = rotated(
        t.store()
            .rotate_session(session.id, session.refresh, next, [1; 16])
            .await
            .unwrap(),
    );
    assert_eq!((rotated.refresh, rotated.refreshed_at), (next, t.now()));
    assert_eq!(t.store().session(session.id).await.unwrap(), Some(rotated));
}

async fn a_token_used_twice_revokes_the_session(t: &Subject) {
    let session = a_session(t).await;
    let next = t.token();
    t.store()
        .rotate_session(session.id, session.refresh, next, [1; 16])
        .await
        .unwrap();
    let reused = t
        .store()
        .rotate_session(session.id, session.refresh, t.token(), [2; 16])
        .await
        .unwrap();
    assert!(matches!(reused, Rotation::Reused(_)));
    assert!(live(t, session.user).await.is_empty());
    let rotation = t
        .store()
        .rotate_session(session.id, next, t.token(), [3; 16])
        .await
        .unwrap();
    assert_eq!(rotation, Rotation::Refused);
}

async fn a_refresh_repeated_in_time_voids_its_successor(t: &Subject) {
    let session = a_session(t).await;
    let (lost, kept) = (t.token(), t.token());
    t.store()
        .rotate_session(session.id, session.refresh, lost, [1; 16])
        .await
        .unwrap();
    t.advance(limits::REFRESH_REPEAT);
    let again = rotated(
        t.store()
            .rotate_session(session.id, session.refresh, kept, [1; 16])
            .await
            .unwrap(),
    );
    assert_eq!(again.refresh, kept);
    let void = t
        .store()
        .rotate_session(session.id, lost, t.token(), [2; 16])
        .await
        .unwrap();
    assert!(!matches!(void, Rotation::Rotated(_)));
    let valid = t
        .store()
        .rotate_session(session.id, kept, t.token(), [3; 16])
        .await
        .unwrap();
    assert!(matches!(valid, Rotation::Rotated(_)), "a void token harms nobody");
}

async fn a_refresh_repeated_too_late_is_reuse(t: &Subject) {
    let session = a_session(t).await;
    t.store()
        .rotate_session(session.id, session.refresh, t.token(), [1; 16])
        .await
        .unwrap();
    t.advance(limits::REFRESH_REPEAT + Duration::from_millis(1));
    let reused = t
        .store()
        .rotate_session(session.id, session.refresh, t.token(), [1; 16])
        .await
        .unwrap();
    assert!(matches!(reused, Rotation::Reused(_)));
    assert!(live(t, session.user).await.is_empty());
}

async fn a_refresh_prolongs_the_session(t: &Subject) {
    let session = a_session(t).await;
    t.advance(limits::REFRESH_TOKEN_TTL - Duration::from_secs(1));
    t.store()
        .rotate_session(session.id, session.refresh, t.token(), [1; 16])
        .await
        .unwrap();
    t.advance(limits::REFRESH_TOKEN_TTL - Duration::from_secs(1));
    assert_eq!(live(t, session.user).await, [session.id]);
}

async fn a_session_not_refreshed_ends(t: &Subject) {
    let session = a_session(t).await;
    t.advance(limits::REFRESH_TOKEN_TTL);
    assert!(live(t, session.user).await.is_empty());
    let rotation = t
        .store()
        .rotate_session(session.id, session.refresh, t.token(), [1; 16])
        .await
        .unwrap();
    assert_eq!(rotation, Rotation::Refused);
    assert!(!t.store().revoke_session(session.user, session.id).await.unwrap());
}

async fn an_unknown_token_is_refused_and_harms_nothing(t: &Subject) {
    let session = a_session(t).await;
    for _ in 0..3 {
        let guess = t
            .store()
            .rotate_session(session.id, t.token(), t.token(), [1; 16])
            .await
            .unwrap();
        assert_eq!(guess, Rotation::Refused);
    }
    let nowhere = t
        .store()
        .rotate_session(SessionId(7), session.refresh, t.token(), [1; 16])
        .await
        .unwrap();
    assert_eq!(nowhere, Rotation::Refused);
    assert_eq!(live(t, session.user).await, [session.id]);
}

async fn one_of_many_concurrent_refreshes_wins(t: &Subject) {
    let session = a_session(t).await;
    let (id, refresh) = (session.id, session.refresh);
    let results = at_once(16, |number| {
        let (store, next) = (t.store(), t.token());
        async move {
            store
                .rotate_session(id, refresh, next, [number as u8; 16])
                .await
                .unwrap()
        }
    })
    .await;
    assert_eq!(
        results
            .iter()
            .filter(|result| matches!(result, Rotation::Rotated(_)))
            .count(),
        1
    );
    assert!(live(t, session.user).await.is_empty(), "the others were reuse");
}

async fn dead_sessions_are_cleared_away(t: &Subject) {
    let session = a_session(t).await;
    t.advance(limits::REFRESH_TOKEN_TTL + limits::REFRESH_TOKEN_TTL);
    let mut removed = 0;
    loop {
        let now = t.store().expire(1).await.unwrap();
        assert!(now <= 1, "no more than asked for");
        if now == 0 {
            break;
        }
        removed += now;
    }
    assert!(removed >= 1);
    assert_eq!(t.store().session(session.id).await.unwrap(), None);
}

async fn a_rotation_and_a_revocation_survive_reopening(t: &Subject) {
    let session = a_session(t).await;
    let revoked = t.login(session.user).await;
    t.store().revoke_session(session.user, revoked.id).await.unwrap();
    let next = t.token();
    let rotated = rotated(
        t.store()
            .rotate_session(session.id, session.refresh, next, [1; 16])
            .await
            .unwrap(),
    );
    t.reopen().await;
    assert_eq!(t.store().session(session.id).await.unwrap(), Some(rotated));
    assert_eq!(live(t, session.user).await, [session.id]);
    let reused = t
        .store()
        .rotate_session(session.id, session.refresh, t.token(), [2; 16])
        .await
        .unwrap();
    assert!(matches!(reused, Rotation::Reused(_)));
}
