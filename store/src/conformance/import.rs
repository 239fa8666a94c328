//! Bulk loading.

use std::collections::HashSet;
use std::time::Duration;

use social_core::graph::{Direction, EdgeKind};
use social_core::import::{ImportBatch, ImportFollow, ImportKind, ImportPost, Rejection};
use social_core::page::Range;
use social_core::posts::Visibility;
use social_core::users::NewUser;
use social_core::{Error, PostId, Reason, Result, Time, UserId, id};
use uuid::Uuid;

use super::subject::{at_once, new_user, refused};
use super::{Subject, cases};

cases!["import":
    users_are_found_with_their_history,
    an_import_goes_on_where_it_was,
    a_batch_that_overlaps_is_committed_in_part,
    a_hole_is_refused_and_writes_nothing,
    refused_items_are_named_and_counted,
    a_taken_handle_rejects_one_item_only,
    a_batch_repeated_at_once_is_committed_once,
    an_import_keeps_to_its_kind,
    posts_carry_the_time_they_were_written_at,
    posts_of_one_millisecond_all_fit,
    posts_of_one_time_keep_their_order,
    posts_are_listed_among_later_ones,
    posts_and_replies_are_counted,
    imported_posts_are_edited_and_deleted_as_others,
    posts_bring_no_work,
    follows_carry_their_time,
    a_follow_that_exists_counts_as_imported,
    a_follow_across_a_block_is_rejected,
    follows_bring_no_work,
    sealing_raises_the_horizon,
    what_timelines_show_raises_the_horizon_at_once,
    progress_survives_reopening,
    ids_go_on_after_reopening,
];

const OLD: Time = Time::from_unix_ms(1_300_000_000_000);

fn import(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn users(import: Uuid, offset: u64, handles: &[&str]) -> ImportBatch<NewUser> {
    let user = |handle: &&str| {
        Ok(NewUser {
            created_at: Some(OLD),
            ..new_user(handle)
        })
    };
    ImportBatch {
        import,
        offset,
        items: handles.iter().map(user).collect(),
    }
}

fn post(author: UserId, created_at: Time) -> ImportPost {
    ImportPost {
        author,
        title: None,
        content: "long ago".into(),
        visibility: Visibility::Public,
        in_reply_to: None,
        facets: Vec::new(),
        created_at,
    }
}

fn posts(import: Uuid, posts: impl IntoIterator<Item = ImportPost>) -> ImportBatch<ImportPost> {
    ImportBatch {
        import,
        offset: 0,
        items: posts.into_iter().map(Ok).collect(),
    }
}

fn follows(import: Uuid, follows: &[(UserId, UserId, Time)]) -> ImportBatch<ImportFollow> {
    let follow = |&(follower, followee, created_at): &_| {
        Ok(ImportFollow {
            follower,
            followee,
            created_at,
        })
    };
    ImportBatch {
        import,
        offset: 0,
        items: follows.iter().map(follow).collect(),
    }
}

async fn ids(t: &Subject, handles: &[&str]) -> Vec<Option<UserId>> {
    let handles: Vec<_> = handles.iter().map(|handle| handle.parse().unwrap()).collect();
    t.store().user_ids(&handles).await.unwrap()
}

async fn listed(t: &Subject, author: UserId) -> Vec<PostId> {
    t.store()
        .user_posts(author, Range::oldest(None, 100_000))
        .await
        .unwrap()
}

async fn users_are_found_with_their_history(t: &Subject) {
    assert_eq!(t.store().import_progress(import(1)).await.unwrap(), None);
    let outcome = t
        .store()
        .import_users(users(import(1), 0, &["ann", "bob"]))
        .await
        .unwrap();
    let progress = outcome.progress;
    assert_eq!(
        (progress.kind, progress.next_offset, outcome.skipped),
        (ImportKind::Users, 2, 0)
    );
    assert_eq!((progress.imported, progress.rejected), (2, 0));
    let ann = ids(t, &["ann"]).await[0].unwrap();
    let user = t.store().users(&[ann]).await.unwrap().remove(0).unwrap();
    assert_eq!((user.created_at, user.display_name.as_str()), (OLD, "ANN"));
    assert_eq!(t.store().account(ann).await.unwrap().unwrap().password, None);
    assert_eq!(t.store().import_progress(import(1)).await.unwrap(), Some(progress));
}

async fn an_import_goes_on_where_it_was(t: &Subject) {
    t.store()
        .import_users(users(import(1), 0, &["ann", "bob"]))
        .await
        .unwrap();
    let again = t
        .store()
        .import_users(users(import(1), 0, &["ann", "bob"]))
        .await
        .unwrap();
    assert_eq!(
        (again.skipped, again.progress.imported, again.progress.rejected),
        (2, 2, 0)
    );
    let next = t.store().import_users(users(import(1), 2, &["eve"])).await.unwrap();
    assert_eq!(
        (next.skipped, next.progress.imported, next.progress.next_offset),
        (0, 3, 3)
    );
    assert!(ids(t, &["ann", "bob", "eve"]).await.iter().all(Option::is_some));
}

async fn a_batch_that_overlaps_is_committed_in_part(t: &Subject) {
    t.store()
        .import_users(users(import(1), 0, &["ann", "bob"]))
        .await
        .unwrap();
    let outcome = t
        .store()
        .import_users(users(import(1), 1, &["bob", "eve"]))
        .await
        .unwrap();
    assert_eq!(
        (outcome.skipped, outcome.progress.imported, outcome.progress.rejected),
        (1, 3, 0)
    );
    assert_eq!(outcome.progress.next_offset, 3);
}

async fn a_hole_is_refused_and_writes_nothing(t: &Subject) {
    refused(
        t.store().import_users(users(import(1), 1, &["ann"])).await,
        Reason::InvalidField,
    );
    t.store().import_users(users(import(1), 0, &["bob"])).await.unwrap();
    let error = t.store().import_users(users(import(1), 2, &["ann"])).await.unwrap_err();
    assert_eq!(error.violations[0].field, "offset");
    assert_eq!(ids(t, &["ann"]).await, [None]);
    assert_eq!(
        t.store().import_progress(import(1)).await.unwrap().unwrap().next_offset,
        1
    );
}

async fn refused_items_are_named_and_counted(t: &Subject) {
    let bad: Result<NewUser> = Err(Error::field("users.handle", "must be short"));
    let items = vec![Ok(new_user("ann")), bad, Ok(new_user("bob"))];
    let outcome = t
        .store()
        .import_users(ImportBatch {
            import: import(1),
            offset: 0,
            items,
        })
        .await
        .unwrap();
    let progress = outcome.progress;
    assert_eq!((progress.imported, progress.rejected, progress.next_offset), (2, 1, 3));
    let named = &progress.rejections[0];
    assert_eq!(
        (named.offset, named.field.as_str(), named.reason),
        (1, "users.handle", Reason::InvalidField)
    );
}

async fn a_taken_handle_rejects_one_item_only(t: &Subject) {
    let ann = t.user("ann").await;
    let outcome = t
        .store()
        .import_users(users(import(1), 0, &["bob", "ann", "eve", "bob"]))
        .await
        .unwrap();
    assert_eq!((outcome.progress.imported, outcome.progress.rejected), (2, 2));
    let taken = |rejection: &Rejection| rejection.reason == Reason::HandleTaken;
    assert!(outcome.progress.rejections.iter().all(taken));
    let offsets: Vec<_> = outcome
        .progress
        .rejections
        .iter()
        .map(|rejection| rejection.offset)
        .collect();
    assert_eq!(offsets, [1, 3], "also where the other is of the same batch");
    assert_eq!(ids(t, &["ann"]).await, [Some(ann)]);
}

async fn a_batch_repeated_at_once_is_committed_once(t: &Subject) {
    let ann = t.user("ann").await;
    let outcomes = at_once(8, |_| {
        let store = t.store();
        let batch = posts(import(1), (0..10).map(|number| post(ann, OLD.plus_ms(number))));
        async move { store.import_posts(batch).await.unwrap() }
    })
    .await;
    assert!(outcomes.iter().all(|outcome| outcome.progress.imported == 10));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.skipped == 0).count(), 1);
    assert_eq!(listed(t, ann).await.len(), 10);
    assert_eq!(t.user_counts(ann).await.posts, 10);
}

async fn an_import_keeps_to_its_kind(t: &Subject) {
    let ann = t.user("ann").await;
    t.store().import_users(users(import(1), 0, &["bob"])).await.unwrap();
    let error = t
        .store()
        .import_posts(posts(import(1), [post(ann, OLD)]))
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason, error.violations[0].field.as_str()),
        (Reason::InvalidField, "import_id")
    );
    t.store()
        .import_posts(posts(import(2), [post(ann, OLD)]))
        .await
        .unwrap();
    assert_eq!(listed(t, ann).await.len(), 1);
}

async fn posts_carry_the_time_they_were_written_at(t: &Subject) {
    let ann = t.user("ann").await;
    let times = [OLD.plus_ms(20), OLD, OLD.plus_ms(10), OLD];
    t.store()
        .import_posts(posts(import(1), times.map(|time| post(ann, time))))
        .await
        .unwrap();
    let listed = listed(t, ann).await;
    let rows = t.store().posts(&listed).await.unwrap();
    let written: Vec<_> = rows
        .into_iter()
        .flatten()
        .map(|post| (post.id.time(), post.created_at))
        .collect();
    assert_eq!(
        written,
        [OLD, OLD, OLD.plus_ms(10), OLD.plus_ms(20)].map(|time| (time, time))
    );
}

async fn posts_of_one_millisecond_all_fit(t: &Subject) {
    let ann = t.user("ann").await;
    let count = id::IMPORTS_A_MS as usize + 100;
    for (offset, size) in [(0, 2_000), (2_000, 2_000), (4_000, count - 4_000)] {
        let batch = ImportBatch {
            offset,
            ..posts(import(1), (0..size).map(|_| post(ann, OLD)))
        };
        assert_eq!(t.store().import_posts(batch).await.unwrap().progress.rejected, 0);
    }
    let listed = listed(t, ann).await;
    assert_eq!(listed.iter().collect::<HashSet<_>>().len(), count);
    assert_eq!(listed[0].time(), OLD);
    assert_eq!(listed[count - 1].time(), OLD.plus_ms(1));
}

async fn posts_of_one_time_keep_their_order(t: &Subject) {
    let ann = t.user("ann").await;
    let (count, step) = (6_000, 1_000);
    for offset in (0..count).step_by(step) {
        let numbered = |number: usize| ImportPost {
            content: number.to_string(),
            ..post(ann, OLD)
        };
        let batch = ImportBatch {
            offset: offset as u64,
            ..posts(import(1), (offset..offset + step).map(numbered))
        };
        assert_eq!(t.store().import_posts(batch).await.unwrap().progress.rejected, 0);
        if offset == 4 * step {
            t.reopen().await;
        }
    }
    let listed = listed(t, ann).await;
    assert_eq!(listed.len(), count);
    assert!(listed.is_sorted_by(|a, b| a < b), "each id once");
    let rows = t.store().posts(&listed).await.unwrap();
    for (number, post) in rows.into_iter().flatten().enumerate() {
        assert_eq!(post.content, number.to_string());
    }
}

async fn posts_are_listed_among_later_ones(t: &Subject) {
    let ann = t.user("ann").await;
    let first = t.post(ann, "x").await;
    t.advance(Duration::from_secs(60));
    let between = Time::from_unix_ms(t.now().unix_ms() - 30_000);
    let last = t.post(ann, "y").await;
    t.store()
        .import_posts(posts(import(1), [post(ann, between), post(ann, OLD)]))
        .await
        .unwrap();
    let listed = listed(t, ann).await;
    assert_eq!((listed.len(), listed[1], listed[3]), (4, first, last));
    assert_eq!((listed[0].time(), listed[2].time()), (OLD, between));
    assert!(t.post(ann, "z").await > last);
}

async fn posts_and_replies_are_counted(t: &Subject) {
    let ann = t.user("ann").await;
    let target = t.post(ann, "x").await;
    let reply = ImportPost {
        in_reply_to: Some(target),
        ..post(ann, OLD)
    };
    t.store()
        .import_posts(posts(import(1), [post(ann, OLD), reply]))
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(t.user_counts(ann).await.posts, 3);
        assert_eq!(t.post_counts(target).await.replies, 1);
        t.reopen().await;
    }
}

async fn imported_posts_are_edited_and_deleted_as_others(t: &Subject) {
    let ann = t.user("ann").await;
    t.store()
        .import_posts(posts(import(1), [post(ann, OLD), post(ann, OLD)]))
        .await
        .unwrap();
    let imported = listed(t, ann).await;
    t.edit(imported[0], "new").await;
    t.delete(imported[1]).await;
    assert_eq!(listed(t, ann).await, [imported[0]]);
    assert_eq!(t.row(imported[0]).await.content, "new");
    t.undelete(imported[1]).await;
    assert_eq!(listed(t, ann).await, imported);
    assert_eq!(t.pending().await, [t.row(imported[1]).await.visible_since]);
}

async fn posts_bring_no_work(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    t.follow(bob, ann).await;
    t.settle().await;
    t.store()
        .import_posts(posts(import(1), [post(ann, OLD)]))
        .await
        .unwrap();
    assert!(t.pending().await.is_empty());
}

async fn follows_carry_their_time(t: &Subject) {
    let fans = t.users("fan", 4).await;
    let star = t.user("star").await;
    t.follow(fans[3], star).await;
    let times = [OLD.plus_ms(20), OLD, OLD.plus_ms(10)];
    let batch: Vec<_> = fans.iter().zip(times).map(|(fan, time)| (*fan, star, time)).collect();
    let outcome = t.store().import_follows(follows(import(1), &batch)).await.unwrap();
    assert_eq!(
        (outcome.progress.kind, outcome.progress.imported),
        (ImportKind::Follows, 3)
    );
    let edges = t
        .store()
        .edges(EdgeKind::Follow, Direction::Incoming, star, Range::oldest(None, 9))
        .await
        .unwrap();
    let order: Vec<_> = edges.iter().map(|edge| edge.user).collect();
    assert_eq!(order, [fans[1], fans[2], fans[0], fans[3]]);
    assert!(edges.is_sorted_by(|a, b| a.since < b.since));
    assert_eq!(id::minted_at(edges[0].since), OLD);
    assert_eq!(t.user_counts(star).await.followers, 4);
    assert!(t.relation(fans[0], star).await.following);
    assert_eq!(t.store().fanout_followers(star, None, 9).await.unwrap().len(), 4);
}

async fn a_follow_that_exists_counts_as_imported(t: &Subject) {
    let users = t.users("user", 3).await;
    t.follow(users[0], users[1]).await;
    let batch = [
        (users[0], users[1], OLD),
        (users[0], users[2], OLD),
        (users[0], users[2], OLD),
    ];
    let outcome = t.store().import_follows(follows(import(1), &batch)).await.unwrap();
    assert_eq!((outcome.progress.imported, outcome.progress.rejected), (3, 0));
    assert_eq!(t.user_counts(users[0]).await.following, 2);
    assert_eq!(t.user_counts(users[2]).await.followers, 1);
    let edges = t
        .store()
        .edges(EdgeKind::Follow, Direction::Outgoing, users[0], Range::newest(None, 9))
        .await
        .unwrap();
    assert_eq!(edges.len(), 2);
}

async fn a_follow_across_a_block_is_rejected(t: &Subject) {
    let users = t.users("user", 3).await;
    t.block(users[1], users[0]).await;
    let batch = [
        (users[0], users[1], OLD),
        (users[1], users[0], OLD),
        (users[0], users[2], OLD),
    ];
    let outcome = t.store().import_follows(follows(import(1), &batch)).await.unwrap();
    assert_eq!((outcome.progress.imported, outcome.progress.rejected), (1, 2));
    assert_eq!(t.user_counts(users[0]).await.following, 1);
    assert!(!t.relation(users[0], users[1]).await.following);
}

async fn follows_bring_no_work(t: &Subject) {
    let users = t.users("user", 2).await;
    t.store()
        .import_follows(follows(import(1), &[(users[0], users[1], OLD)]))
        .await
        .unwrap();
    assert!(t.pending().await.is_empty());
    assert!(
        t.store().following(users[0]).await.unwrap().shows(users[1]),
        "but are seen at once"
    );
}

async fn sealing_raises_the_horizon(t: &Subject) {
    let before = t.store().horizon().await.unwrap().imports;
    t.store().seal_imports().await.unwrap();
    let after = t.store().horizon().await.unwrap().imports;
    assert!(after > before);
    t.reopen().await;
    assert_eq!(t.store().horizon().await.unwrap().imports, after);
}

async fn what_timelines_show_raises_the_horizon_at_once(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let imports = || async { t.store().horizon().await.unwrap().imports };
    let before = imports().await;
    let new_users = users(import(1), 0, &["eve"]);
    t.store().import_users(new_users).await.unwrap();
    let nobodys = posts(import(2), [post(UserId(1), OLD)]);
    t.store().import_posts(nobodys).await.unwrap();
    assert_eq!(imports().await, before, "no timeline shows these");

    t.store()
        .import_posts(posts(import(3), [post(ann, OLD)]))
        .await
        .unwrap();
    let posted = imports().await;
    assert!(
        posted > before,
        "a crash before the seal must not leave cursors as they were"
    );
    let follow = [(bob, ann, OLD)];
    t.store().import_follows(follows(import(4), &follow)).await.unwrap();
    let followed = imports().await;
    assert!(followed > posted);

    t.store()
        .import_posts(posts(import(3), [post(ann, OLD)]))
        .await
        .unwrap();
    t.store().import_follows(follows(import(5), &follow)).await.unwrap();
    assert_eq!(imports().await, followed, "what is there already changes nothing");
    t.reopen().await;
    assert_eq!(t.store().horizon().await.unwrap().imports, followed);
}

async fn progress_survives_reopening(t: &Subject) {
    let ann = t.user("ann").await;
    t.store()
        .import_users(users(import(1), 0, &["bob", "ann"]))
        .await
        .unwrap();
    t.store()
        .import_posts(posts(import(2), [post(ann, OLD)]))
        .await
        .unwrap();
    let before = t.store().import_progress(import(1)).await.unwrap();
    t.reopen().await;
    assert_eq!(t.store().import_progress(import(1)).await.unwrap(), before);
    let again = t
        .store()
        .import_posts(posts(import(2), [post(ann, OLD)]))
        .await
        .unwrap();
    assert_eq!((again.skipped, again.progress.imported), (1, 1));
    assert_eq!(listed(t, ann).await.len(), 1);
}

async fn ids_go_on_after_reopening(t: &Subject) {
    let ann = t.user("ann").await;
    for round in 1..=3 {
        let batch = posts(import(round), [post(ann, OLD), post(ann, OLD)]);
        assert_eq!(t.store().import_posts(batch).await.unwrap().progress.imported, 2);
        t.reopen().await;
    }
    let listed = listed(t, ann).await;
    assert_eq!(listed.len(), 6, "a row of the same millisecond is never written over");
    assert!(listed.iter().all(|id| id.time() == OLD));
}
