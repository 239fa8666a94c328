//! Deletion and undeletion.

use std::time::Duration;

use social_core::fanout::Payload;
use social_core::page::Range;
use social_core::posts::{PostDraft, Visibility};
use social_core::{EventId, Reason, limits};

use crate::conformance::subject::{at_once, draft, refused};
use crate::conformance::{Subject, cases};

use super::listed;

cases!["posts":
    a_deleted_post_leaves_the_list_and_the_count,
    deleted_posts_stay_in_the_list_of_all,
    a_deletion_is_repeated_by_its_request_only,
    a_deletion_of_an_older_version_is_refused,
    one_of_many_deletions_wins,
    an_undeleted_post_is_back,
    an_undeletion_is_a_new_arrival,
    undeleting_a_private_post_brings_it_back_to_its_author,
    undeleting_what_is_not_deleted_changes_nothing,
    undeletion_ends_with_its_window,
    a_deleted_post_never_resurfaces,
];

async fn a_deleted_post_leaves_the_list_and_the_count(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 3).await;
    t.advance(Duration::from_secs(1));
    let deleted = t.delete(posts[1]).await;
    assert_eq!((deleted.deleted_at, deleted.version), (Some(t.now()), 2));
    assert_eq!(t.row(posts[1]).await, deleted);
    assert_eq!(listed(t, ann).await, [posts[2], posts[0]]);
    assert_eq!(t.user_counts(ann).await.posts, 2);
}

async fn deleted_posts_stay_in_the_list_of_all(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let posts = t.posts(ann, 5).await;
    let of_bob = t.post(bob, "another's").await;
    for post in [posts[0], posts[3], posts[4], of_bob] {
        t.delete(post).await;
    }
    t.undelete(posts[4]).await;
    let all = async |range| t.store().all_user_posts(ann, range).await.unwrap();
    for _ in ["as it runs", "reopened"] {
        let newest: Vec<_> = posts.iter().rev().copied().collect();
        assert_eq!(all(Range::newest(None, 9)).await, newest);
        assert_eq!(all(Range::newest(Some(posts[4].0), 2)).await, [posts[3], posts[2]]);
        assert_eq!(all(Range::oldest(Some(posts[0].0), 3)).await, posts[1..4]);
        assert_eq!(listed(t, ann).await, [posts[4], posts[2], posts[1]]);
        t.reopen().await;
    }
}

async fn a_deletion_is_repeated_by_its_request_only(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    let key = t.key();
    let first = t.store().delete_post(post, Some(1), key).await.unwrap();
    let again = t.store().delete_post(post, Some(1), key).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.value, again.value);
    refused(t.store().delete_post(post, None, t.key()).await, Reason::PostDeleted);
    assert_eq!(t.user_counts(ann).await.posts, 0);
}

async fn a_deletion_of_an_older_version_is_refused(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    t.edit(post, "y").await;
    refused(
        t.store().delete_post(post, Some(1), t.key()).await,
        Reason::EtagMismatch,
    );
    assert!(!t.row(post).await.is_deleted());
    t.store().delete_post(post, Some(2), t.key()).await.unwrap();
    refused(
        t.store().undelete_post(post, Some(2), t.key(), None).await,
        Reason::EtagMismatch,
    );
    assert!(t.row(post).await.is_deleted());
}

async fn one_of_many_deletions_wins(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    let post = posts[0];
    let results = at_once(16, |_| {
        let (store, key) = (t.store(), t.key());
        async move { store.delete_post(post, None, key).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(t.user_counts(ann).await.posts, 1);
}

async fn an_undeleted_post_is_back(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    t.delete(posts[0]).await;
    let back = t.undelete(posts[0]).await;
    assert_eq!(
        (back.deleted_at, back.version, back.content.as_str()),
        (None, 3, "post 0")
    );
    assert_eq!(listed(t, ann).await, [posts[1], posts[0]]);
    assert_eq!(t.user_counts(ann).await.posts, 2);
    t.reopen().await;
    assert_eq!(t.row(posts[0]).await, back);
    assert_eq!(listed(t, ann).await, [posts[1], posts[0]]);
}

async fn an_undeletion_is_a_new_arrival(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    t.settle().await;
    t.delete(posts[0]).await;
    assert!(t.pending().await.is_empty(), "a deletion is filtered by readers");
    let key = t.key();
    let back = t.store().undelete_post(posts[0], None, key, None).await.unwrap().value;
    assert!(back.visible_since > EventId::from(posts[1]));
    assert_eq!(t.pending().await, [back.visible_since]);
    let event = t.store().event(back.visible_since).await.unwrap().unwrap();
    assert_eq!(
        event.payload,
        Payload::Restore {
            post: posts[0],
            author: ann
        }
    );
    let again = t.store().undelete_post(posts[0], None, key, None).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.value, back);
    assert_eq!(t.pending().await.len(), 1);
}

async fn undeleting_a_private_post_brings_it_back_to_its_author(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t
        .write(PostDraft {
            visibility: Visibility::Private,
            ..draft(ann, "x")
        })
        .await;
    t.settle().await;
    t.delete(post).await;
    let back = t.undelete(post).await;
    assert_eq!(t.pending().await, [back.visible_since]);
}

async fn undeleting_what_is_not_deleted_changes_nothing(t: &Subject) {
    let ann = t.user("ann").await;
    let post = t.post(ann, "x").await;
    let row = t.row(post).await;
    assert_eq!(t.undelete(post).await, row);
    assert_eq!(t.row(post).await, row);
    assert_eq!(t.pending().await, [EventId::from(post)]);
    assert_eq!(t.user_counts(ann).await.posts, 1);
}

async fn undeletion_ends_with_its_window(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    t.delete(posts[0]).await;
    t.delete(posts[1]).await;
    t.advance(limits::UNDELETE_WINDOW);
    t.undelete(posts[0]).await;
    t.advance(Duration::from_millis(1));
    refused(
        t.store().undelete_post(posts[1], None, t.key(), None).await,
        Reason::UndeleteExpired,
    );
    assert_eq!(listed(t, ann).await, [posts[0]]);
}

async fn a_deleted_post_never_resurfaces(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let posts = t.posts(ann, 6).await;
    t.delete(posts[3]).await;
    t.like(bob, posts[3], true).await;
    t.posts(ann, 2).await;
    for _ in 0..3 {
        t.reopen().await;
        let listed = listed(t, ann).await;
        assert!(!listed.contains(&posts[3]));
        assert_eq!(listed.len(), 7);
        assert!(t.row(posts[3]).await.is_deleted());
        assert_eq!(t.user_counts(ann).await.posts, 7);
    }
}
