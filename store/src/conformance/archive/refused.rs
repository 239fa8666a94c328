//! Archives that are refused.

use std::sync::Arc;
use std::time::Duration;

use social_core::archive::{self, Batch, Record};
use social_core::posts::Post;
use social_core::{PostId, Reason, Result, UserId, limits};
use uuid::Uuid;

use super::{Taken, restore};
use crate::conformance::subject::refused;
use crate::conformance::{Kind, Subject, cases};

cases!["archive":
    a_platform_that_is_used_takes_no_archive,
    a_platform_takes_one_archive,
    a_hole_is_refused,
    a_header_that_changed_is_refused,
    nothing_comes_behind_the_end,
    a_row_that_is_there_and_differs_is_a_conflict,
    a_handle_of_another_is_a_conflict,
    a_record_that_points_to_nothing_is_refused,
    an_archive_of_the_future_is_refused,
];

/// A user, a post and a like, in this order behind the policy.
async fn small() -> (Taken, UserId, PostId) {
    let source = Subject::open(Kind::Memory).await;
    let ann = source.user("ann").await;
    let post = source.post(ann, "x").await;
    source.like(ann, post, true).await;
    (Taken::from(&source).await, ann, post)
}

fn field(result: Result<impl std::fmt::Debug>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.reason, Reason::InvalidField, "{error:?}");
    error.violations[0].field.clone()
}

async fn a_platform_that_is_used_takes_no_archive(t: &Subject) {
    t.user("bob").await;
    let (taken, ..) = small().await;
    refused(restore(t, taken.batch(0, 4)).await, Reason::PlatformNotEmpty);
    assert_eq!(t.store().archive().await.unwrap(), None);
    assert_eq!(t.store().user_ids(&["ann".parse().unwrap()]).await.unwrap(), [None]);
}

async fn a_platform_takes_one_archive(t: &Subject) {
    let (taken, ..) = small().await;
    restore(t, taken.batch(0, 2)).await.unwrap();
    let mut other = taken.batch(0, 4);
    other.header.archive = Uuid::from_u128(77);
    refused(restore(t, other).await, Reason::PlatformNotEmpty);
    refused(
        archive::progress(&t.backend(), Uuid::from_u128(77)).await,
        Reason::ImportNotFound,
    );
    restore(t, taken.batch(2, 4)).await.unwrap();
}

async fn a_hole_is_refused(t: &Subject) {
    let (taken, ..) = small().await;
    assert_eq!(field(restore(t, taken.batch(1, 2)).await), "offset");
    restore(t, taken.batch(0, 2)).await.unwrap();
    let mut hole = taken.batch(3, 4);
    hole.records = vec![None];
    assert_eq!(field(restore(t, hole).await), "offset");
}

async fn a_header_that_changed_is_refused(t: &Subject) {
    let (taken, ..) = small().await;
    restore(t, taken.batch(0, 2)).await.unwrap();
    let mut changed = taken.batch(2, 4);
    changed.header.bound += 1;
    assert_eq!(field(restore(t, changed).await), "header");
    let mut newer = taken.batch(2, 4);
    newer.header.format += 1;
    assert_eq!(field(restore(t, newer).await), "header.format");
}

async fn nothing_comes_behind_the_end(t: &Subject) {
    let (taken, ..) = small().await;
    restore(t, taken.batch(0, 4)).await.unwrap();
    let more = Batch {
        offset: 4,
        ..taken.batch(3, 4)
    };
    assert_eq!(field(restore(t, more).await), "offset");
}

async fn a_row_that_is_there_and_differs_is_a_conflict(t: &Subject) {
    let (taken, _, post) = small().await;
    restore(t, taken.batch(0, 3)).await.unwrap();
    let mut again = taken.batch(3, 4);
    let other = |record: &Record| match record {
        Record::Post(post) => Some(Record::Post(Arc::new(Post {
            content: "another".into(),
            ..Post::clone(post)
        }))),
        _ => None,
    };
    again.records = taken.records.iter().filter_map(other).map(Some).collect();
    let error = restore(t, again).await.unwrap_err();
    assert_eq!(error.reason, Reason::ArchiveConflict);
    assert!(error.message.contains(&post.to_string()), "{error:?}");
    // The same row again is none.
    let mut same = taken.batch(2, 3);
    same.offset = 3;
    restore(t, same).await.unwrap();
    assert_eq!(t.row(post).await.content, "x");
}

async fn a_handle_of_another_is_a_conflict(t: &Subject) {
    let (taken, ..) = small().await;
    restore(t, taken.batch(0, 1)).await.unwrap();
    let thief = t.user("ann").await;
    let error = restore(t, taken.batch(1, 4)).await.unwrap_err();
    assert_eq!(error.reason, Reason::ArchiveConflict);
    assert!(error.message.contains("handle ann"), "{error:?}");
    assert_eq!(
        t.store().user_ids(&["ann".parse().unwrap()]).await.unwrap(),
        [Some(thief)]
    );
    assert_eq!(t.store().archive().await.unwrap().unwrap().next_offset, 1);
}

async fn a_record_that_points_to_nothing_is_refused(t: &Subject) {
    let (taken, ..) = small().await;
    let mut without_author = taken.batch(0, 4);
    without_author.records[1] = None;
    assert_eq!(field(restore(t, without_author).await), "records[2].post.author_id");
    let mut without_post = taken.batch(0, 4);
    without_post.records[2] = None;
    assert_eq!(field(restore(t, without_post).await), "records[3].like.post_id");
    let mut beyond = taken.batch(0, 4);
    beyond.header.bound = 5;
    assert_eq!(field(restore(t, beyond).await), "records[1]");
    assert_eq!(t.store().archive().await.unwrap(), None);
}

async fn an_archive_of_the_future_is_refused(t: &Subject) {
    let source = Subject::open(Kind::Memory).await;
    source.advance(limits::ARCHIVE_AHEAD + Duration::from_secs(1));
    source.user("ann").await;
    let taken = Taken::from(&source).await;
    assert_eq!(field(restore(t, taken.batch(0, 2)).await), "header.bound_id");
    t.advance(Duration::from_secs(2));
    restore(t, taken.batch(0, 2)).await.unwrap();
}
