//! Accounts, credentials, sessions and markers.

pub(super) mod sessions;

use std::collections::HashSet;
use std::time::Duration;

use social_core::auth::{Rotation, Session};
use social_core::users::NewUser;
use social_core::{PostId, Reason, SessionId, UserId, limits};

use super::subject::{at_once, new_user, password, refused};
use super::{Subject, cases};

cases!["auth":
    a_registered_user_is_found_by_id_and_handle,
    a_taken_handle_is_refused,
    one_of_many_claims_of_a_handle_wins,
    registering_again_with_one_request_answers_the_first_user,
    concurrent_repetitions_of_one_registration_make_one_user,
    a_request_id_used_for_something_else_is_refused,
    a_request_is_forgotten_after_its_time,
    a_refused_request_may_be_repeated,
    credentials_are_kept,
    setting_a_password_revokes_the_other_sessions,
    setting_a_password_can_revoke_every_session,
    setting_a_password_again_with_one_request_revokes_nothing_more,
    nobody_has_no_password_to_set,
    accounts_and_sessions_survive_reopening,
    a_marker_moves_forward_only,
    a_marker_keeps_its_etag_and_survives_reopening,
];

pub(super) async fn a_session(t: &Subject) -> Session {
    let ann = t.user("ann").await;
    t.login(ann).await
}

pub(super) async fn live(t: &Subject, user: UserId) -> Vec<SessionId> {
    t.store()
        .sessions(user)
        .await
        .unwrap()
        .into_iter()
        .map(|session| session.id)
        .collect()
}

pub(super) fn rotated(rotation: Rotation) -> Session {
    match rotation {
        Rotation::Rotated(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn a_registered_user_is_found_by_id_and_handle(t: &Subject) {
    let ann = t.user("ann").await;
    let user = t.store().users(&[ann]).await.unwrap().remove(0).unwrap();
    assert_eq!(
        (user.id, user.handle.as_str(), user.display_name.as_str()),
        (ann, "ann", "ANN")
    );
    assert_eq!((user.version, user.created_at, user.updated_at), (1, t.now(), t.now()));
    let ids = t
        .store()
        .user_ids(&["Ann".parse().unwrap(), "nobody".parse().unwrap()])
        .await
        .unwrap();
    assert_eq!(ids, [Some(ann), None]);
}

async fn a_taken_handle_is_refused(t: &Subject) {
    let ann = t.user("ann").await;
    refused(
        t.store().create_user(new_user("ann"), t.key()).await,
        Reason::HandleTaken,
    );
    assert_eq!(
        t.store().user_ids(&["ann".parse().unwrap()]).await.unwrap(),
        [Some(ann)]
    );
}

async fn one_of_many_claims_of_a_handle_wins(t: &Subject) {
    let results = at_once(16, |_| {
        let (store, key) = (t.store(), t.key());
        async move { store.create_user(new_user("ann"), key).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results.into_iter().filter(Result::is_err) {
        refused(result, Reason::HandleTaken);
    }
}

async fn registering_again_with_one_request_answers_the_first_user(t: &Subject) {
    let key = t.key();
    let first = t.store().create_user(new_user("ann"), key).await.unwrap();
    let again = t.store().create_user(new_user("ann"), key).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.value, again.value);
}

async fn concurrent_repetitions_of_one_registration_make_one_user(t: &Subject) {
    let key = t.key();
    let results = at_once(32, |_| {
        let store = t.store();
        async move { store.create_user(new_user("ann"), key).await.unwrap() }
    })
    .await;
    let ids: HashSet<UserId> = results.iter().map(|outcome| outcome.value.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(results.iter().filter(|outcome| !outcome.replayed).count(), 1);
}

async fn a_request_id_used_for_something_else_is_refused(t: &Subject) {
    let mut key = t.key();
    t.store().create_user(new_user("ann"), key).await.unwrap();
    key.fingerprint = [2; 16];
    refused(
        t.store().create_user(new_user("bob"), key).await,
        Reason::RequestIdReused,
    );
    assert_eq!(t.store().user_ids(&["bob".parse().unwrap()]).await.unwrap(), [None]);
}

async fn a_request_is_forgotten_after_its_time(t: &Subject) {
    let key = t.key();
    t.store().create_user(new_user("ann"), key).await.unwrap();
    t.advance(limits::REQUEST_KEPT - Duration::from_secs(1));
    while t.store().expire(100).await.unwrap() > 0 {}
    assert!(t.store().create_user(new_user("ann"), key).await.unwrap().replayed);
    t.advance(Duration::from_secs(2));
    while t.store().expire(100).await.unwrap() > 0 {}
    refused(t.store().create_user(new_user("ann"), key).await, Reason::HandleTaken);
}

async fn a_refused_request_may_be_repeated(t: &Subject) {
    t.user("ann").await;
    let key = t.key();
    refused(t.store().create_user(new_user("ann"), key).await, Reason::HandleTaken);
    let outcome = t.store().create_user(new_user("bob"), key).await.unwrap();
    assert!(!outcome.replayed);
}

async fn credentials_are_kept(t: &Subject) {
    let new = NewUser {
        password: Some(password("first")),
        ..new_user("ann")
    };
    let ann = t.store().create_user(new, t.key()).await.unwrap().value.id;
    let bob = t.user("bob").await;
    let account = t.store().account(ann).await.unwrap().unwrap();
    assert_eq!(
        (account.user, account.password, account.changed_at),
        (ann, Some(password("first")), t.now())
    );
    assert_eq!(t.store().account(bob).await.unwrap().unwrap().password, None);
    assert_eq!(t.store().account(UserId(7)).await.unwrap(), None);
}

async fn setting_a_password_revokes_the_other_sessions(t: &Subject) {
    let ann = t.user("ann").await;
    let (phone, laptop, tablet) = (t.login(ann).await.id, t.login(ann).await.id, t.login(ann).await.id);
    let bystander = t.user("bob").await;
    let other = t.login(bystander).await;
    t.advance(Duration::from_secs(5));
    let outcome = t
        .store()
        .set_password(ann, password("second"), Some(laptop), t.key())
        .await
        .unwrap();
    let mut revoked = outcome.value;
    revoked.sort();
    assert_eq!(revoked, [phone, tablet]);
    assert_eq!(live(t, ann).await, [laptop]);
    assert_eq!(live(t, bystander).await, [other.id]);
    let account = t.store().account(ann).await.unwrap().unwrap();
    assert_eq!(
        (account.password, account.changed_at),
        (Some(password("second")), t.now())
    );
    assert_eq!(
        t.store().session(phone).await.unwrap().unwrap().revoked_at,
        Some(t.now())
    );
}

async fn setting_a_password_can_revoke_every_session(t: &Subject) {
    let ann = t.user("ann").await;
    t.login(ann).await;
    t.login(ann).await;
    let outcome = t
        .store()
        .set_password(ann, password("second"), None, t.key())
        .await
        .unwrap();
    assert_eq!(outcome.value.len(), 2);
    assert!(live(t, ann).await.is_empty());
}

async fn setting_a_password_again_with_one_request_revokes_nothing_more(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    t.store()
        .set_password(ann, password("second"), None, key)
        .await
        .unwrap();
    let session = t.login(ann).await;
    let again = t
        .store()
        .set_password(ann, password("second"), None, key)
        .await
        .unwrap();
    assert!(again.replayed);
    assert_eq!(live(t, ann).await, [session.id]);
}

async fn nobody_has_no_password_to_set(t: &Subject) {
    let result = t.store().set_password(UserId(7), password("x"), None, t.key()).await;
    refused(result, Reason::UserNotFound);
}

async fn accounts_and_sessions_survive_reopening(t: &Subject) {
    let new = NewUser {
        password: Some(password("first")),
        ..new_user("ann")
    };
    let ann = t.store().create_user(new, t.key()).await.unwrap().value;
    let session = t.login(ann.id).await;
    let account = t.store().account(ann.id).await.unwrap();
    t.reopen().await;
    assert_eq!(t.store().users(&[ann.id]).await.unwrap(), [Some(ann.clone())]);
    assert_eq!(
        t.store().user_ids(std::slice::from_ref(&ann.handle)).await.unwrap(),
        [Some(ann.id)]
    );
    assert_eq!(t.store().account(ann.id).await.unwrap(), account);
    assert_eq!(t.store().sessions(ann.id).await.unwrap(), [session]);
    refused(
        t.store().create_user(new_user("ann"), t.key()).await,
        Reason::HandleTaken,
    );
}

async fn a_marker_moves_forward_only(t: &Subject) {
    let ann = t.user("ann").await;
    assert_eq!(t.store().marker(ann).await.unwrap().last_read, None);
    let moved = t.store().set_marker(ann, PostId(20), None).await.unwrap();
    assert_eq!(
        (moved.last_read, moved.version, moved.updated_at),
        (Some(PostId(20)), 1, Some(t.now()))
    );
    for not_newer in [20, 10] {
        assert_eq!(t.store().set_marker(ann, PostId(not_newer), None).await.unwrap(), moved);
    }
    assert_eq!(t.store().marker(ann).await.unwrap(), moved);
}

async fn a_marker_keeps_its_etag_and_survives_reopening(t: &Subject) {
    let ann = t.user("ann").await;
    t.store().set_marker(ann, PostId(20), Some(0)).await.unwrap();
    refused(
        t.store().set_marker(ann, PostId(30), Some(0)).await,
        Reason::EtagMismatch,
    );
    let moved = t.store().set_marker(ann, PostId(40), Some(1)).await.unwrap();
    t.reopen().await;
    assert_eq!(t.store().marker(ann).await.unwrap(), moved);
}
