//! Edits and revisions.

use std::time::Duration;

use social_core::fanout::Payload;
use social_core::page::Range;
use social_core::posts::{PostDraft, PostEdit, Visibility};
use social_core::{EventId, PostId, Reason, limits};

use crate::conformance::subject::{at_once, draft, refused, text};
use crate::conformance::{Subject, cases};

cases!["posts":
    an_edit_keeps_what_was_before,
    an_edit_leaves_what_it_does_not_name,
    an_edit_that_changes_nothing_writes_nothing,
    an_edit_of_an_older_version_is_refused_and_writes_nothing,
    one_of_many_edits_with_one_etag_wins,
    an_edit_repeated_is_applied_once,
    a_deleted_post_is_not_edited,
    what_does_not_exist_cannot_be_changed,
    the_oldest_revisions_make_room,
    revisions_are_paged,
    widened_visibility_brings_a_post_back,
    narrowed_visibility_does_not,
];

async fn an_edit_keeps_what_was_before(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "one").await;
    let before = t.row(post).await;
    t.advance(Duration::from_secs(10));
    let edited = t.edit(post, "two").await;
    assert_eq!(
        (edited.content.as_str(), edited.version, edited.edited_at),
        ("two", 2, Some(t.now()))
    );
    assert_eq!(edited.revision, before.revision + 1);
    assert_eq!(t.row(post).await, edited);
    t.advance(Duration::from_secs(10));
    t.edit(post, "three").await;
    let revisions = t.store().post_revisions(post, Range::newest(None, 10)).await.unwrap();
    assert_eq!(revisions, [edited.as_revision(), before.as_revision()]);
}

async fn an_edit_leaves_what_it_does_not_name(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t
        .write(PostDraft {
            title: Some("title".into()),
            ..draft(ann, "one")
        })
        .await;
    let edit = PostEdit {
        visibility: Some(Visibility::Followers),
        ..PostEdit::default()
    };
    let edited = t
        .store()
        .edit_post(post, edit, None, t.key(), None)
        .await
        .unwrap()
        .value;
    assert_eq!(
        (edited.title.as_deref(), edited.content.as_str()),
        (Some("title"), "one")
    );
    assert_eq!(edited.visibility, Visibility::Followers);
    let edit = PostEdit {
        title: Some(None),
        ..PostEdit::default()
    };
    let edited = t
        .store()
        .edit_post(post, edit, None, t.key(), None)
        .await
        .unwrap()
        .value;
    assert_eq!((edited.title.as_deref(), edited.content.as_str()), (None, "one"));
    assert_eq!(t.row(post).await, edited);
}

async fn an_edit_that_changes_nothing_writes_nothing(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "one").await;
    let before = t.edit(post, "two").await;
    t.advance(Duration::from_secs(1));
    let same = PostEdit {
        title: Some(None),
        visibility: Some(before.visibility),
        ..text("two")
    };
    let key = t.key();
    for replayed in [false, true] {
        let outcome = t
            .store()
            .edit_post(post, same.clone(), Some(2), key, None)
            .await
            .unwrap();
        assert_eq!((outcome.replayed, &outcome.value), (replayed, &before));
    }
    let stale = t.store().edit_post(post, same, Some(1), t.key(), None).await;
    refused(stale, Reason::EtagMismatch);
    assert_eq!(t.row(post).await, before);
    let revisions = t.store().post_revisions(post, Range::newest(None, 9)).await.unwrap();
    assert_eq!(revisions.len(), 1);
}

async fn an_edit_of_an_older_version_is_refused_and_writes_nothing(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "one").await;
    let edited = t.edit(post, "two").await;
    for stale in [1, 3] {
        let result = t
            .store()
            .edit_post(post, text("three"), Some(stale), t.key(), None)
            .await;
        refused(result, Reason::EtagMismatch);
    }
    assert_eq!(t.row(post).await, edited);
    assert_eq!(
        t.store()
            .post_revisions(post, Range::newest(None, 10))
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn one_of_many_edits_with_one_etag_wins(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "one").await;
    let results = at_once(16, |number| {
        let (store, key) = (t.store(), t.key());
        async move {
            store
                .edit_post(post, text(&number.to_string()), Some(1), key, None)
                .await
        }
    })
    .await;
    let winners: Vec<_> = results.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(t.row(post).await, winners[0].value);
    assert_eq!(
        t.store()
            .post_revisions(post, Range::newest(None, 100))
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn an_edit_repeated_is_applied_once(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "one").await;
    let key = t.key();
    let outcomes = at_once(16, |_| {
        let store = t.store();
        async move { store.edit_post(post, text("two"), Some(1), key, None).await.unwrap() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert_eq!(t.row(post).await.version, 2);
}

async fn a_deleted_post_is_not_edited(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "one").await;
    let deleted = t.delete(post).await;
    refused(
        t.store().edit_post(post, text("two"), None, t.key(), None).await,
        Reason::PostDeleted,
    );
    assert_eq!(t.row(post).await, deleted);
}

async fn what_does_not_exist_cannot_be_changed(t: &Subject) {
    let nothing = PostId(7);
    refused(
        t.store().edit_post(nothing, text("x"), None, t.key(), None).await,
        Reason::PostNotFound,
    );
    refused(
        t.store().delete_post(nothing, None, t.key()).await,
        Reason::PostNotFound,
    );
    refused(
        t.store().undelete_post(nothing, None, t.key(), None).await,
        Reason::PostNotFound,
    );
    assert!(
        t.store()
            .post_revisions(nothing, Range::newest(None, 10))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn the_oldest_revisions_make_room(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "0").await;
    for number in 1..=limits::POST_REVISIONS + 3 {
        t.edit(post, &number.to_string()).await;
    }
    let revisions = t
        .store()
        .post_revisions(post, Range::oldest(None, 1_000))
        .await
        .unwrap();
    assert_eq!(revisions.len(), limits::POST_REVISIONS);
    assert_eq!(revisions[0].content, "3");
    assert_eq!(
        revisions.last().unwrap().content,
        (limits::POST_REVISIONS + 2).to_string()
    );
}

async fn revisions_are_paged(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "0").await;
    for number in 1..=5 {
        t.edit(post, &number.to_string()).await;
    }
    let mut contents = Vec::new();
    let mut after = None;
    loop {
        let page = t.store().post_revisions(post, Range::newest(after, 2)).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(u64::from(last.number));
        contents.extend(page.into_iter().map(|revision| revision.content));
    }
    assert_eq!(contents, ["4", "3", "2", "1", "0"]);
}

async fn widened_visibility_brings_a_post_back(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t
        .write(PostDraft {
            visibility: Visibility::Private,
            ..draft(ann, "x")
        })
        .await;
    t.settle().await;
    for wider in [Visibility::Followers, Visibility::Public] {
        let before = t.row(post).await.visible_since;
        let edit = PostEdit {
            visibility: Some(wider),
            ..PostEdit::default()
        };
        let edited = t
            .store()
            .edit_post(post, edit, None, t.key(), None)
            .await
            .unwrap()
            .value;
        assert!(edited.visible_since > before);
        let event = t.store().event(edited.visible_since).await.unwrap().unwrap();
        assert_eq!(event.payload, Payload::Restore { post, author: ann });
        assert_eq!(t.pending().await, [event.id]);
        t.settle().await;
    }
}

async fn narrowed_visibility_does_not(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.settle().await;
    let edit = PostEdit {
        visibility: Some(Visibility::Private),
        ..PostEdit::default()
    };
    let edited = t
        .store()
        .edit_post(post, edit, None, t.key(), None)
        .await
        .unwrap()
        .value;
    t.edit(post, "y").await;
    assert_eq!(edited.visible_since, EventId::from(post));
    assert!(t.pending().await.is_empty());
}
