//! Comments and answers to them.

use std::collections::HashSet;
use std::time::Duration;

use social_core::comments::{Comment, CommentDraft};
use social_core::page::Range;
use social_core::{CommentId, PostId, Reason, UserId};

use super::subject::{at_once, comment_draft, refused};
use super::{Subject, cases};

cases!["comments":
    a_comment_is_readable_at_once,
    answers_are_listed_below_their_parent,
    a_post_counts_comments_at_any_depth,
    a_comment_counts_direct_answers,
    comments_are_listed_both_ways,
    a_list_goes_on_while_others_write,
    a_comment_repeated_is_written_once,
    concurrent_repetitions_of_one_comment_write_one_row,
    a_request_id_used_for_another_comment_is_refused,
    a_parent_must_be_of_the_same_post,
    a_deleted_parent_takes_no_answer,
    a_deleted_post_takes_no_comment,
    an_edit_changes_the_text,
    an_edit_that_changes_nothing_leaves_the_version,
    an_edit_of_an_older_version_is_refused,
    an_edit_repeated_is_applied_once,
    a_deleted_comment_is_not_edited,
    a_deletion_leaves_the_place_without_the_text,
    a_deletion_lowers_the_counts,
    a_deletion_is_repeated_by_its_request_only,
    a_deletion_of_an_older_version_is_refused,
    one_of_many_deletions_wins,
    a_repeated_comment_does_not_resurface,
    a_batch_answers_in_the_order_asked_for,
    counts_are_right_after_random_changes,
    comments_survive_reopening,
];

/// Ann, and a post of hers.
async fn a_post(t: &Subject) -> (UserId, PostId) {
    let ann = t.user("ann").await;
    (ann, t.post(ann, "x").await)
}

async fn listed(t: &Subject, post: PostId, parent: Option<&Comment>) -> Vec<CommentId> {
    let range = Range::oldest(None, 1_000);
    let comments = t
        .store()
        .list_comments(post, parent.map(|parent| parent.id), range)
        .await
        .unwrap();
    comments.into_iter().map(|comment| comment.id).collect()
}

async fn row(t: &Subject, id: CommentId) -> Comment {
    t.store().comments(&[id]).await.unwrap().remove(0).unwrap()
}

async fn delete(t: &Subject, id: CommentId) -> Comment {
    t.store().delete_comment(id, None, t.key()).await.unwrap().value
}

async fn a_comment_is_readable_at_once(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    assert_eq!(
        (comment.author, comment.post, comment.parent, comment.depth),
        (ann, post, None, 0)
    );
    assert_eq!((comment.created_at, comment.version, comment.replies), (t.now(), 1, 0));
    assert_eq!(row(t, comment.id).await, comment);
    assert_eq!(listed(t, post, None).await, [comment.id]);
    assert_eq!(t.post_counts(post).await.comments, 1);
}

async fn answers_are_listed_below_their_parent(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let (one, two) = (t.comment(ann, post).await, t.comment(ann, post).await);
    let answer = t.answer(ann, &one).await;
    let deep = t.answer(ann, &answer).await;
    assert_eq!((deep.parent, deep.depth), (Some(answer.id), 2));
    assert_eq!(listed(t, post, None).await, [one.id, two.id]);
    assert_eq!(listed(t, post, Some(&one)).await, [answer.id]);
    assert_eq!(listed(t, post, Some(&answer)).await, [deep.id]);
    assert!(listed(t, post, Some(&two)).await.is_empty());
}

async fn a_post_counts_comments_at_any_depth(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let mut comment = t.comment(ann, post).await;
    for count in 2..=5 {
        comment = t.answer(ann, &comment).await;
        assert_eq!(t.post_counts(post).await.comments, count);
    }
}

async fn a_comment_counts_direct_answers(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    let answer = t.answer(ann, &comment).await;
    t.answer(ann, &comment).await;
    t.answer(ann, &answer).await;
    assert_eq!(row(t, comment.id).await.replies, 2);
    let listed = t
        .store()
        .list_comments(post, Some(comment.id), Range::oldest(None, 9))
        .await
        .unwrap();
    assert_eq!(listed[0].replies, 1);
    assert_eq!(
        row(t, comment.id).await.version,
        1,
        "an answer is no change of its parent"
    );
}

async fn comments_are_listed_both_ways(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(t.comment(ann, post).await.id);
    }
    assert!(ids.is_sorted_by(|a, b| a < b));
    let list = async |range| {
        let comments = t.store().list_comments(post, None, range).await.unwrap();
        comments.into_iter().map(|comment| comment.id).collect::<Vec<_>>()
    };
    assert_eq!(list(Range::oldest(Some(ids[1].0), 2)).await, ids[2..4]);
    assert_eq!(list(Range::newest(Some(ids[2].0), 9)).await, [ids[1], ids[0]]);
    assert_eq!(
        list(Range {
            until: Some(ids[3].0),
            ..Range::oldest(Some(ids[0].0), 9)
        })
        .await,
        ids[1..3]
    );
}

async fn a_list_goes_on_while_others_write(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let mut before = Vec::new();
    for _ in 0..20 {
        before.push(t.comment(ann, post).await.id);
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = t
            .store()
            .list_comments(post, None, Range::newest(after, 3))
            .await
            .unwrap();
        t.comment(ann, post).await;
        let Some(last) = page.last() else { break };
        after = Some(last.id.0);
        seen.extend(page.into_iter().map(|comment| comment.id));
    }
    seen.reverse();
    assert_eq!(seen, before);
}

async fn a_comment_repeated_is_written_once(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let key = t.key();
    let first = t
        .store()
        .create_comment(comment_draft(ann, post, None), key)
        .await
        .unwrap();
    let again = t
        .store()
        .create_comment(comment_draft(ann, post, None), key)
        .await
        .unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.value, again.value);
    assert_eq!(t.post_counts(post).await.comments, 1);
}

async fn concurrent_repetitions_of_one_comment_write_one_row(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let parent = t.comment(ann, post).await;
    let draft = comment_draft(ann, post, Some(&parent));
    let key = t.key();
    let outcomes = at_once(32, |_| {
        let (store, draft) = (t.store(), draft.clone());
        async move { store.create_comment(draft, key).await.unwrap() }
    })
    .await;
    let ids: HashSet<_> = outcomes.iter().map(|outcome| outcome.value.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert_eq!(row(t, parent.id).await.replies, 1);
    assert_eq!(t.post_counts(post).await.comments, 2);
}

async fn a_request_id_used_for_another_comment_is_refused(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let mut key = t.key();
    t.store()
        .create_comment(comment_draft(ann, post, None), key)
        .await
        .unwrap();
    key.fingerprint = [9; 16];
    let result = t.store().create_comment(comment_draft(ann, post, None), key).await;
    refused(result, Reason::RequestIdReused);
    assert_eq!(t.post_counts(post).await.comments, 1);
}

async fn a_parent_must_be_of_the_same_post(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let elsewhere = t.post(ann, "y").await;
    let stranger = t.comment(ann, elsewhere).await;
    let drafts = [
        comment_draft(ann, post, Some(&stranger)),
        CommentDraft {
            parent: Some(CommentId(7)),
            ..comment_draft(ann, post, None)
        },
    ];
    for draft in drafts {
        refused(t.store().create_comment(draft, t.key()).await, Reason::CommentNotFound);
    }
    assert_eq!(t.post_counts(post).await.comments, 0);
    assert_eq!(row(t, stranger.id).await.replies, 0);
}

async fn a_deleted_parent_takes_no_answer(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let parent = t.comment(ann, post).await;
    delete(t, parent.id).await;
    let result = t
        .store()
        .create_comment(comment_draft(ann, post, Some(&parent)), t.key())
        .await;
    refused(result, Reason::CommentNotFound);
}

async fn a_deleted_post_takes_no_comment(t: &Subject) {
    let (ann, post) = a_post(t).await;
    t.delete(post).await;
    for target in [post, PostId(7)] {
        let result = t
            .store()
            .create_comment(comment_draft(ann, target, None), t.key())
            .await;
        refused(result, Reason::PostNotFound);
    }
    assert_eq!(t.post_counts(post).await.comments, 0);
}

async fn an_edit_changes_the_text(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    t.answer(ann, &comment).await;
    t.advance(Duration::from_secs(3));
    let edited = t
        .store()
        .edit_comment(comment.id, "two".into(), vec![], Some(1), t.key())
        .await
        .unwrap()
        .value;
    assert_eq!(
        (edited.content.as_str(), edited.version, edited.edited_at),
        ("two", 2, Some(t.now()))
    );
    assert_eq!(row(t, comment.id).await, Comment { replies: 1, ..edited });
}

async fn an_edit_that_changes_nothing_leaves_the_version(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    t.advance(Duration::from_secs(3));
    let (content, facets) = (comment.content.clone(), comment.facets.clone());
    let outcome = t
        .store()
        .edit_comment(comment.id, content, facets, Some(1), t.key())
        .await;
    assert_eq!(outcome.unwrap().value, comment);
    assert_eq!(row(t, comment.id).await, comment);
}

async fn an_edit_of_an_older_version_is_refused(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    let result = t
        .store()
        .edit_comment(comment.id, "two".into(), vec![], Some(2), t.key())
        .await;
    refused(result, Reason::EtagMismatch);
    assert_eq!(row(t, comment.id).await, comment);
}

async fn an_edit_repeated_is_applied_once(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    let key = t.key();
    for replayed in [false, true] {
        let outcome = t
            .store()
            .edit_comment(comment.id, "two".into(), vec![], Some(1), key)
            .await
            .unwrap();
        assert_eq!((outcome.replayed, outcome.value.version), (replayed, 2));
    }
}

async fn a_deleted_comment_is_not_edited(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    delete(t, comment.id).await;
    for id in [comment.id, CommentId(7)] {
        let result = t.store().edit_comment(id, "two".into(), vec![], None, t.key()).await;
        refused(result, Reason::CommentNotFound);
    }
    assert_eq!(row(t, comment.id).await.content, "");
}

async fn a_deletion_leaves_the_place_without_the_text(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    let answer = t.answer(ann, &comment).await;
    t.advance(Duration::from_secs(3));
    let deleted = delete(t, comment.id).await;
    assert_eq!(
        (deleted.content.as_str(), deleted.deleted_at, deleted.version),
        ("", Some(t.now()), 2)
    );
    assert!(row(t, comment.id).await.is_deleted());
    assert_eq!(listed(t, post, None).await, [comment.id]);
    assert_eq!(listed(t, post, Some(&comment)).await, [answer.id]);
}

async fn a_deletion_lowers_the_counts(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    let answer = t.answer(ann, &comment).await;
    delete(t, answer.id).await;
    assert_eq!(row(t, comment.id).await.replies, 0);
    assert_eq!(t.post_counts(post).await.comments, 1);
    delete(t, comment.id).await;
    assert_eq!(t.post_counts(post).await.comments, 0);
}

async fn a_deletion_is_repeated_by_its_request_only(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    t.comment(ann, post).await;
    let key = t.key();
    for replayed in [false, true] {
        let outcome = t.store().delete_comment(comment.id, Some(1), key).await.unwrap();
        assert_eq!((outcome.replayed, outcome.value.version), (replayed, 2));
    }
    for id in [comment.id, CommentId(7)] {
        refused(
            t.store().delete_comment(id, None, t.key()).await,
            Reason::CommentNotFound,
        );
    }
    assert_eq!(t.post_counts(post).await.comments, 1);
}

async fn a_deletion_of_an_older_version_is_refused(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let comment = t.comment(ann, post).await;
    refused(
        t.store().delete_comment(comment.id, Some(2), t.key()).await,
        Reason::EtagMismatch,
    );
    assert_eq!(row(t, comment.id).await, comment);
    assert_eq!(t.post_counts(post).await.comments, 1);
}

async fn one_of_many_deletions_wins(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let parent = t.comment(ann, post).await;
    let (gone, _) = (t.answer(ann, &parent).await, t.answer(ann, &parent).await);
    let id = gone.id;
    let results = at_once(16, |_| {
        let (store, key) = (t.store(), t.key());
        async move { store.delete_comment(id, None, key).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(row(t, parent.id).await.replies, 1);
    assert_eq!(t.post_counts(post).await.comments, 2);
}

async fn a_repeated_comment_does_not_resurface(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let key = t.key();
    let comment = t
        .store()
        .create_comment(comment_draft(ann, post, None), key)
        .await
        .unwrap()
        .value;
    delete(t, comment.id).await;
    let again = t
        .store()
        .create_comment(comment_draft(ann, post, None), key)
        .await
        .unwrap();
    assert!(again.replayed && again.value.is_deleted());
    assert_eq!(t.post_counts(post).await.comments, 0);
}

async fn a_batch_answers_in_the_order_asked_for(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let (one, two) = (t.comment(ann, post).await, t.comment(ann, post).await);
    let rows = t.store().comments(&[two.id, CommentId(7), one.id]).await.unwrap();
    assert_eq!(rows, [Some(two), None, Some(one)]);
}

async fn counts_are_right_after_random_changes(t: &Subject) {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let (ann, post) = a_post(t).await;
    let mut all = vec![t.comment(ann, post).await];
    for _ in 0..80 {
        let chosen = all[rng.random_range(0..all.len())].clone();
        match rng.random_range(0..3) {
            0 => all.push(t.comment(ann, post).await),
            1 => {
                let draft = comment_draft(ann, post, Some(&chosen));
                all.extend(
                    t.store()
                        .create_comment(draft, t.key())
                        .await
                        .ok()
                        .map(|outcome| outcome.value),
                );
            }
            _ => drop(t.store().delete_comment(chosen.id, None, t.key()).await),
        }
    }
    let ids: Vec<_> = all.iter().map(|comment| comment.id).collect();
    for reopened in [false, true] {
        let rows: Vec<_> = t.store().comments(&ids).await.unwrap().into_iter().flatten().collect();
        let living = || rows.iter().filter(|comment| !comment.is_deleted());
        assert_eq!(
            t.post_counts(post).await.comments,
            living().count() as u64,
            "reopened: {reopened}"
        );
        for comment in &rows {
            let answers = living().filter(|other| other.parent == Some(comment.id)).count() as u64;
            assert_eq!(comment.replies, answers, "reopened: {reopened}");
        }
        t.reopen().await;
    }
}

async fn comments_survive_reopening(t: &Subject) {
    let (ann, post) = a_post(t).await;
    let (one, two) = (t.comment(ann, post).await, t.comment(ann, post).await);
    let answer = t.answer(ann, &one).await;
    delete(t, one.id).await;
    let ids = [one.id, two.id, answer.id];
    let rows = t.store().comments(&ids).await.unwrap();
    t.reopen().await;
    assert_eq!(t.store().comments(&ids).await.unwrap(), rows);
    assert_eq!(listed(t, post, None).await, [one.id, two.id]);
    assert_eq!(listed(t, post, Some(&one)).await, [answer.id]);
    assert_eq!(t.post_counts(post).await.comments, 2);
}
