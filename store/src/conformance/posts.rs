//! Posts: writing, editing, deleting, undeleting and listing them.

pub(super) mod change;
pub(super) mod delete;
pub(super) mod list;

use std::collections::HashSet;
use std::time::Duration;

use social_core::fanout::Mode;
use social_core::page::Range;
use social_core::posts::{PostDraft, Visibility};
use social_core::text::{Facet, FacetKind};
use social_core::{EventId, PostId, Reason, UserId};

use super::subject::{at_once, draft, refused};
use super::{Subject, cases};

cases!["posts":
    a_post_is_readable_at_once,
    everything_of_a_post_is_kept,
    a_writer_sees_each_own_post_at_once,
    ids_ascend_in_commit_order,
    ids_of_concurrent_posts_differ,
    ids_ascend_though_the_clock_steps_back_and_forward,
    ids_ascend_after_reopening_with_the_clock_stepped_back,
    a_post_repeated_is_written_once,
    concurrent_repetitions_of_one_post_write_one_row,
    a_request_id_used_for_another_post_is_refused,
    a_repeated_post_answers_the_row_of_today,
    a_repeated_post_does_not_resurface,
    a_request_survives_reopening,
];

/// Ids of all of an author's posts, newest first.
pub(super) async fn listed(t: &Subject, author: UserId) -> Vec<PostId> {
    t.store().user_posts(author, Range::newest(None, 10_000)).await.unwrap()
}

async fn a_post_is_readable_at_once(t: &Subject) {
    let ann = t.user("ann").await;
    let outcome = t.store().create_post(draft(ann, "hello"), t.key(), None).await.unwrap();
    assert!(!outcome.replayed);
    let created = outcome.value;
    assert_eq!(created.mode, Mode::Push);
    assert_eq!(
        (created.post.author, created.post.content.as_str(), created.post.version),
        (ann, "hello", 1)
    );
    assert_eq!(
        (created.post.created_at, created.post.edited_at, created.post.deleted_at),
        (t.now(), None, None)
    );
    assert_eq!(created.post.visible_since, EventId::from(created.post.id));
    assert_eq!(t.row(created.post.id).await, created.post);
    assert_eq!(listed(t, ann).await, [created.post.id]);
    assert_eq!(t.user_counts(ann).await.posts, 1);
}

async fn everything_of_a_post_is_kept(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let target = t.post(bob, "question").await;
    let mention = FacetKind::Mention {
        user: bob,
        handle: "bob".parse().unwrap(),
    };
    let full = PostDraft {
        author: ann,
        title: Some("Ça va?".into()),
        content: "@bob 👩‍👩‍👧 #yes".into(),
        visibility: Visibility::Followers,
        in_reply_to: Some(target),
        facets: vec![
            Facet {
                start: 0,
                end: 4,
                kind: mention,
            },
            Facet {
                start: 24,
                end: 28,
                kind: FacetKind::Hashtag("yes".into()),
            },
        ],
    };
    let id = t.write(full.clone()).await;
    let row = t.row(id).await;
    assert_eq!(*row, full.into_post(id, t.now()));
    t.reopen().await;
    assert_eq!(t.row(id).await, row);
}

async fn a_writer_sees_each_own_post_at_once(t: &Subject) {
    let ann = t.user("ann").await;
    for number in 1..=20 {
        let post = t.post(ann, "x").await;
        assert_eq!(t.store().user_posts(ann, Range::newest(None, 1)).await.unwrap(), [post]);
        assert_eq!(t.user_counts(ann).await.posts, number);
    }
}

async fn ids_ascend_in_commit_order(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 30).await;
    assert!(posts.is_sorted_by(|a, b| a < b));
    assert_eq!(posts[0].time(), t.now());
    t.advance(Duration::from_secs(1));
    assert_eq!(t.post(ann, "later").await.time(), t.now());
}

async fn ids_of_concurrent_posts_differ(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = at_once(64, |_| {
        let (store, key) = (t.store(), t.key());
        async move {
            store
                .create_post(draft(ann, "x"), key, None)
                .await
                .unwrap()
                .value
                .post
                .id
        }
    })
    .await;
    let distinct: HashSet<PostId> = posts.iter().copied().collect();
    assert_eq!(distinct.len(), 64);
    let all = listed(t, ann).await;
    assert!(all.is_sorted_by(|a, b| a > b));
    assert_eq!(all.into_iter().collect::<HashSet<_>>(), distinct);
    assert_eq!(t.user_counts(ann).await.posts, 64);
}

async fn ids_ascend_though_the_clock_steps_back_and_forward(t: &Subject) {
    let ann = t.user("ann").await;
    let mut posts = vec![t.post(ann, "now").await];
    t.step_back(Duration::from_secs(3600));
    posts.extend(t.posts(ann, 3).await);
    t.advance(Duration::from_secs(7200));
    posts.extend(t.posts(ann, 3).await);
    t.step_back(Duration::from_secs(60));
    posts.extend(t.posts(ann, 3).await);
    assert!(posts.is_sorted_by(|a, b| a < b), "{posts:?}");
}

async fn ids_ascend_after_reopening_with_the_clock_stepped_back(t: &Subject) {
    let ann = t.user("ann").await;
    let mut posts = t.posts(ann, 3).await;
    t.reopen().await;
    t.step_back(Duration::from_secs(3600));
    posts.extend(t.posts(ann, 3).await);
    t.reopen().await;
    posts.extend(t.posts(ann, 3).await);
    assert!(posts.is_sorted_by(|a, b| a < b), "{posts:?}");
}

async fn a_post_repeated_is_written_once(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let first = t.store().create_post(draft(ann, "x"), key, None).await.unwrap();
    t.advance(Duration::from_secs(60));
    let again = t.store().create_post(draft(ann, "x"), key, None).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(
        (&first.value.post, first.value.mode),
        (&again.value.post, again.value.mode)
    );
    assert_eq!(listed(t, ann).await, [first.value.post.id]);
    assert_eq!(t.user_counts(ann).await.posts, 1);
}

async fn concurrent_repetitions_of_one_post_write_one_row(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let outcomes = at_once(48, |_| {
        let store = t.store();
        async move { store.create_post(draft(ann, "x"), key, None).await.unwrap() }
    })
    .await;
    let id = outcomes[0].value.post.id;
    assert!(outcomes.iter().all(|outcome| outcome.value.post.id == id));
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert_eq!(listed(t, ann).await, [id]);
    assert_eq!(t.pending().await, [EventId::from(id)]);
    assert_eq!(t.user_counts(ann).await.posts, 1);
}

async fn a_request_id_used_for_another_post_is_refused(t: &Subject) {
    let ann = t.user("ann").await;
    let mut key = t.key();
    let post = t
        .store()
        .create_post(draft(ann, "x"), key, None)
        .await
        .unwrap()
        .value
        .post
        .id;
    key.fingerprint = [9; 16];
    refused(
        t.store().create_post(draft(ann, "y"), key, None).await,
        Reason::RequestIdReused,
    );
    assert_eq!(listed(t, ann).await, [post]);
}

async fn a_repeated_post_answers_the_row_of_today(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let post = t
        .store()
        .create_post(draft(ann, "x"), key, None)
        .await
        .unwrap()
        .value
        .post
        .id;
    let edited = t.edit(post, "y").await;
    let again = t.store().create_post(draft(ann, "x"), key, None).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.value.post, edited);
}

async fn a_repeated_post_does_not_resurface(t: &Subject) {
    let ann = t.user("ann").await;
    let key = t.key();
    let post = t
        .store()
        .create_post(draft(ann, "x"), key, None)
        .await
        .unwrap()
        .value
        .post
        .id;
    t.delete(post).await;
    let again = t.store().create_post(draft(ann, "x"), key, None).await.unwrap();
    assert!(again.replayed && again.value.post.is_deleted());
    assert!(listed(t, ann).await.is_empty());
    assert_eq!(t.user_counts(ann).await.posts, 0);
}

async fn a_request_survives_reopening(t: &Subject) {
    let ann = t.user("ann").await;
    let mut key = t.key();
    let post = t
        .store()
        .create_post(draft(ann, "x"), key, None)
        .await
        .unwrap()
        .value
        .post
        .id;
    t.reopen().await;
    let again = t.store().create_post(draft(ann, "x"), key, None).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.value.post.id, post);
    key.fingerprint = [9; 16];
    refused(
        t.store().create_post(draft(ann, "y"), key, None).await,
        Reason::RequestIdReused,
    );
    assert_eq!(listed(t, ann).await, [post]);
}
