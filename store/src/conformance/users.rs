//! Profiles.

use std::time::Duration;

use social_core::users::ProfileEdit;
use social_core::{Reason, UserId};

use super::subject::{at_once, refused};
use super::{Subject, cases};

cases!["users":
    an_edit_changes_what_it_names,
    an_edit_that_changes_nothing_leaves_the_version,
    an_edit_of_an_older_version_is_refused_and_writes_nothing,
    an_edit_of_nobody_is_refused,
    an_edit_repeated_is_applied_once,
    a_repeated_edit_answers_the_profile_of_today,
    one_of_many_edits_with_one_etag_wins,
    a_batch_answers_in_the_order_asked_for,
    an_edit_survives_reopening,
];

fn name(text: &str) -> ProfileEdit {
    ProfileEdit {
        display_name: Some(text.into()),
        bio: None,
    }
}

fn bio(text: &str) -> ProfileEdit {
    ProfileEdit {
        display_name: None,
        bio: Some(text.into()),
    }
}

async fn an_edit_changes_what_it_names(t: &Subject) {
    let ann = t.user("ann").await;
    let created = t.now();
    t.advance(Duration::from_secs(9));
    let user = t
        .store()
        .update_profile(ann, bio("I read."), Some(1), t.key())
        .await
        .unwrap()
        .value;
    assert_eq!(
        (user.display_name.as_str(), user.bio.as_str(), user.version),
        ("ANN", "I read.", 2)
    );
    assert_eq!((user.created_at, user.updated_at), (created, t.now()));
    assert_eq!(t.store().users(&[ann]).await.unwrap(), [Some(user)]);
}

async fn an_edit_that_changes_nothing_leaves_the_version(t: &Subject) {
    let ann = t.user("ann").await;
    let before = t.store().update_profile(ann, bio("one"), None, t.key()).await.unwrap();
    t.advance(Duration::from_secs(1));
    for expected in [None, Some(2)] {
        let again = t.store().update_profile(ann, bio("one"), expected, t.key()).await;
        assert_eq!(again.unwrap().value, before.value);
    }
    assert_eq!(t.store().users(&[ann]).await.unwrap(), [Some(before.value)]);
}

async fn an_edit_of_an_older_version_is_refused_and_writes_nothing(t: &Subject) {
    let ann = t.user("ann").await;
    let user = t
        .store()
        .update_profile(ann, bio("one"), Some(1), t.key())
        .await
        .unwrap()
        .value;
    for stale in [1, 3] {
        let result = t.store().update_profile(ann, bio("two"), Some(stale), t.key()).await;
        refused(result, Reason::EtagMismatch);
    }
    assert_eq!(t.store().users(&[ann]).await.unwrap(), [Some(user)]);
}

async fn an_edit_of_nobody_is_refused(t: &Subject) {
    let result = t.store().update_profile(UserId(7), bio("x"), None, t.key()).await;
    refused(result, Reason::UserNotFound);
}

async fn an_edit_repeated_is_applied_once(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let results = at_once(8, |_| {
        let store = t.store();
        async move { store.update_profile(ann, bio("one"), Some(1), key).await.unwrap() }
    })
    .await;
    assert_eq!(results.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert!(results.iter().all(|outcome| outcome.value.version == 2));
}

async fn a_repeated_edit_answers_the_profile_of_today(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    t.store().update_profile(ann, bio("one"), None, key).await.unwrap();
    t.store()
        .update_profile(ann, name("Ann A."), None, t.key())
        .await
        .unwrap();
    let again = t.store().update_profile(ann, bio("one"), None, key).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.value.display_name.as_str(), again.value.version), ("Ann A.", 3));
}

async fn one_of_many_edits_with_one_etag_wins(t: &Subject) {
    let ann = t.user("ann").await;
    let results = at_once(16, |number| {
        let (store, key) = (t.store(), t.key());
        async move { store.update_profile(ann, bio(&number.to_string()), Some(1), key).await }
    })
    .await;
    let winners: Vec<_> = results.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(t.store().users(&[ann]).await.unwrap(), [Some(winners[0].value.clone())]);
}

async fn a_batch_answers_in_the_order_asked_for(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let users = t.store().users(&[bob, UserId(7), ann, bob]).await.unwrap();
    let ids: Vec<_> = users.iter().map(|user| user.as_ref().map(|user| user.id)).collect();
    assert_eq!(ids, [Some(bob), None, Some(ann), Some(bob)]);
    assert!(t.store().users(&[]).await.unwrap().is_empty());
}

async fn an_edit_survives_reopening(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let user = t
        .store()
        .update_profile(ann, bio("one"), None, key)
        .await
        .unwrap()
        .value;
    t.reopen().await;
    assert_eq!(t.store().users(&[ann]).await.unwrap(), [Some(user)]);
    assert!(
        t.store()
            .update_profile(ann, bio("one"), None, key)
            .await
            .unwrap()
            .replayed,
        "so does its request"
    );
}
