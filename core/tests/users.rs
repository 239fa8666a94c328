//! Profiles, relationships and mentions, on the reference store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

use social_core::backend::Backend;
use social_core::graph::EdgeKind;
use social_core::request::{Caller, RequestKey, Viewer};
use social_core::text::{self, Facet, FacetKind};
use social_core::users::{self, NewUser, ProfileEdit, UserRef};
use social_core::{Clock, Reason, Result, SessionId, Time, UserId, limits};
use social_store::memory;
use uuid::Uuid;

fn backend() -> Backend {
    memory::open(Clock::manual(Time::from_unix_ms(1_800_000_000_000)))
}

async fn user(backend: &Backend, handle: &str) -> UserId {
    let new = NewUser {
        handle: handle.parse().unwrap(),
        display_name: handle.to_uppercase(),
        bio: String::new(),
        password: None,
        created_at: None,
    };
    let key = RequestKey::new(&Caller::default(), "Register", &uuid(), &[]).unwrap();
    backend.store.create_user(new, key).await.unwrap().value.id
}

fn uuid() -> String {
    Uuid::new_v4().to_string()
}

fn viewer(id: UserId) -> Viewer {
    Viewer::User {
        id,
        session: SessionId(1),
    }
}

fn caller(id: UserId) -> Caller {
    Caller {
        viewer: viewer(id),
        ..Caller::default()
    }
}

#[track_caller]
fn reason<T>(result: Result<T>) -> (Reason, Option<String>) {
    match result {
        Ok(_) => panic!("should be refused"),
        Err(error) => (
            error.reason,
            error.violations.first().map(|violation| violation.field.clone()),
        ),
    }
}

#[tokio::test]
async fn a_profile_is_found_by_id_and_handle_and_says_how_the_viewer_stands_to_it() {
    let backend = backend();
    let (ann, bob) = (user(&backend, "ann").await, user(&backend, "bob").await);
    backend
        .store
        .set_edge(EdgeKind::Follow, ann, bob, true, None)
        .await
        .unwrap();
    let by_handle = UserRef::Handle("BOB".parse().unwrap());
    let view = users::get(&backend, viewer(ann), &by_handle).await.unwrap();
    assert_eq!((view.user.id, view.counts.followers), (bob, 1));
    assert!(view.relation.unwrap().following);
    let own = users::get(&backend, viewer(bob), &UserRef::Id(bob)).await.unwrap();
    assert_eq!(own.relation, None);
    assert_eq!(
        users::get(&backend, Viewer::Anonymous, &by_handle)
            .await
            .unwrap()
            .relation,
        None
    );
    backend
        .store
        .set_edge(EdgeKind::Block, bob, ann, true, None)
        .await
        .unwrap();
    let view = users::get(&backend, viewer(ann), &by_handle).await.unwrap();
    assert!(view.relation.unwrap().blocked_by);
    for missing in [UserRef::Id(UserId(5)), UserRef::Handle("nobody".parse().unwrap())] {
        assert_eq!(
            reason(users::get(&backend, viewer(ann), &missing).await).0,
            Reason::UserNotFound
        );
    }
}

#[tokio::test]
async fn batches_are_partial_ordered_and_bounded() {
    let backend = backend();
    let (ann, bob) = (user(&backend, "ann").await, user(&backend, "bob").await);
    let ids = [bob, UserId(7), ann, bob, UserId(6), UserId(7)];
    let batch = users::batch_get(&backend, viewer(ann), &ids).await.unwrap();
    assert_eq!(
        batch.found.iter().map(|view| view.user.id).collect::<Vec<_>>(),
        [bob, ann]
    );
    assert_eq!(batch.not_found, [UserId(7), UserId(6)]);
    let relations = users::relationships(&backend, &caller(ann), &ids).await.unwrap();
    assert_eq!(
        relations.found.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [bob, ann]
    );
    assert_eq!(relations.not_found, [UserId(7), UserId(6)]);

    let field = Some("user_ids".to_owned());
    let many: Vec<_> = (0..=limits::BATCH as u64).map(UserId).collect();
    for ids in [&[][..], &many] {
        assert_eq!(
            reason(users::batch_get(&backend, viewer(ann), ids).await),
            (Reason::InvalidField, field.clone())
        );
        assert_eq!(
            reason(users::relationships(&backend, &caller(ann), ids).await),
            (Reason::InvalidField, field.clone())
        );
    }
    assert!(users::batch_get(&backend, Viewer::Anonymous, &many[1..]).await.is_ok());
    assert_eq!(
        reason(users::relationships(&backend, &Caller::default(), &ids).await).0,
        Reason::TokenMissing
    );
}

#[tokio::test]
async fn a_profile_is_changed_by_its_owner_field_by_field() {
    let backend = backend();
    let ann = user(&backend, "ann").await;
    let edit = |display_name: Option<&str>, bio: Option<&str>| ProfileEdit {
        display_name: display_name.map(str::to_owned),
        bio: bio.map(str::to_owned),
    };
    let update = |edit: ProfileEdit, version: Option<u64>, id: String| {
        let backend = &backend;
        async move { users::update_profile(backend, &caller(ann), edit, version, &id).await }
    };
    let id = uuid();
    let first = update(edit(None, Some("hello")), Some(1), id.clone())
        .await
        .unwrap()
        .user;
    assert_eq!(
        (first.display_name.as_str(), first.bio.as_str(), first.version),
        ("ANN", "hello", 2)
    );
    let replayed = update(edit(None, Some("hello")), Some(1), id.clone())
        .await
        .unwrap()
        .user;
    assert_eq!(replayed.version, 2);
    assert_eq!(
        reason(update(edit(Some("hello"), None), Some(1), id).await).0,
        Reason::RequestIdReused
    );
    for version in [1, 3, u64::MAX] {
        assert_eq!(
            reason(update(edit(None, Some("x")), Some(version), uuid()).await).0,
            Reason::EtagMismatch
        );
    }
    assert_eq!(update(edit(None, Some("")), None, uuid()).await.unwrap().user.bio, "");

    let invalid = [
        ("update_mask", edit(None, None), uuid()),
        ("display_name", edit(Some(""), None), uuid()),
        ("display_name", edit(Some("a\u{7}"), None), uuid()),
        ("display_name", edit(Some(&"x".repeat(51)), Some("fine")), uuid()),
        ("bio", edit(None, Some(&"x".repeat(501))), uuid()),
        ("request_id", edit(None, Some("x")), String::new()),
    ];
    for (field, edit, id) in invalid {
        assert_eq!(
            reason(update(edit, None, id).await),
            (Reason::InvalidField, Some(field.to_owned()))
        );
    }
    let anonymous = users::update_profile(&backend, &Caller::default(), edit(None, Some("x")), None, &uuid()).await;
    assert_eq!(reason(anonymous).0, Reason::TokenMissing);
}

#[tokio::test]
async fn mentions_are_of_users_who_exist() {
    let backend = backend();
    let ann = user(&backend, "ann").await;
    let content = "@Ann and @nobody: #Ünïted, @ann";
    let facets = text::facets(backend.store.as_ref(), content).await.unwrap();
    let mention = || FacetKind::Mention {
        user: ann,
        handle: "ann".parse().unwrap(),
    };
    let expected = [
        Facet {
            start: 0,
            end: 4,
            kind: mention(),
        },
        Facet {
            start: 18,
            end: 27,
            kind: FacetKind::Hashtag("ünïted".to_owned()),
        },
        Facet {
            start: 29,
            end: 33,
            kind: mention(),
        },
    ];
    assert_eq!(facets, expected);
    assert!(text::facets(backend.store.as_ref(), "plain").await.unwrap().is_empty());
}
