//! Lists, batches and counts.

use social_core::PostId;
use social_core::page::{Order, Range};
use social_core::posts::{PostDraft, PostEdit, Visibility};

use crate::conformance::subject::{at_once, draft};
use crate::conformance::{Subject, cases};

use super::listed;

cases!["posts":
    a_list_runs_both_ways_and_between_bounds,
    a_list_goes_on_while_others_write,
    a_list_has_no_gap_while_others_delete,
    a_batch_answers_in_the_order_asked_for,
    replies_are_counted,
    replies_that_not_everybody_sees_are_not_counted,
    counts_are_right_after_random_changes,
    posts_survive_reopening,
];

async fn a_list_runs_both_ways_and_between_bounds(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 6).await;
    let list = async |order, after: Option<usize>, until: Option<usize>, limit| {
        let key = |number: Option<usize>| number.map(|number| posts[number].0);
        let range = Range {
            order,
            after: key(after),
            until: key(until),
            limit,
        };
        let found = t.store().user_posts(ann, range).await.unwrap();
        found
            .iter()
            .map(|id| posts.iter().position(|post| post == id).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(Order::NewestFirst, None, None, 9).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(list(Order::NewestFirst, Some(4), None, 2).await, [3, 2]);
    assert_eq!(list(Order::NewestFirst, Some(5), Some(2), 9).await, [4, 3]);
    assert_eq!(list(Order::OldestFirst, None, None, 2).await, [0, 1]);
    assert_eq!(list(Order::OldestFirst, Some(2), Some(5), 9).await, [3, 4]);
    assert_eq!(list(Order::OldestFirst, Some(5), None, 9).await, [] as [usize; 0]);
    assert_eq!(list(Order::NewestFirst, None, None, 0).await, [] as [usize; 0]);
}

async fn a_list_goes_on_while_others_write(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let posts = t.posts(ann, 40).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = t.store().user_posts(ann, Range::newest(after, 7)).await.unwrap();
        at_once(4, |number| {
            let (store, key) = (t.store(), t.key());
            async move {
                store
                    .create_post(draft([ann, bob][number % 2], "new"), key, None)
                    .await
                    .unwrap()
            }
        })
        .await;
        let Some(last) = page.last() else { break };
        after = Some(last.0);
        seen.extend(page);
    }
    seen.reverse();
    assert_eq!(seen, posts, "neither a duplicate nor a gap");
}

async fn a_list_has_no_gap_while_others_delete(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 30).await;
    let mut seen = Vec::new();
    let mut after = None;
    let mut round = 0;
    loop {
        let page = t.store().user_posts(ann, Range::newest(after, 5)).await.unwrap();
        let Some(&last) = page.last() else { break };
        after = Some(last.0);
        seen.extend(page);
        // The key that the next page goes on behind is deleted, and a post that a later one would show.
        t.delete(last).await;
        if round < 4 {
            t.delete(posts[round]).await;
        }
        round += 1;
    }
    seen.reverse();
    assert_eq!(seen, posts[4..], "what was deleted is left out, all else is there once");
}

async fn a_batch_answers_in_the_order_asked_for(t: &Subject) {
    let ann = t.user("ann").await;
    let posts = t.posts(ann, 2).await;
    let rows = t
        .store()
        .posts(&[posts[1], PostId(7), posts[0], posts[1]])
        .await
        .unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| row.id)).collect();
    assert_eq!(ids, [Some(posts[1]), None, Some(posts[0]), Some(posts[1])]);
}

async fn replies_are_counted(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let post = t.post(ann, "x").await;
    let replies = [t.reply(bob, post).await, t.reply(ann, post).await];
    assert_eq!(t.row(replies[0]).await.in_reply_to, Some(post));
    assert_eq!(t.post_counts(post).await.replies, 2);
    t.delete(replies[0]).await;
    assert_eq!(t.post_counts(post).await.replies, 1);
    t.undelete(replies[0]).await;
    assert_eq!(t.post_counts(post).await.replies, 2);
    t.reopen().await;
    let counts = t.post_counts(post).await;
    assert_eq!(
        (counts.replies, counts.comments, counts.likes, counts.exact),
        (2, 0, 0, true)
    );
}

async fn replies_that_not_everybody_sees_are_not_counted(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let target = t.post(ann, "x").await;
    let reply = |visibility| PostDraft {
        in_reply_to: Some(target),
        visibility,
        ..draft(bob, "a reply")
    };
    let turn = async |post, visibility| {
        let edit = PostEdit {
            visibility: Some(visibility),
            ..PostEdit::default()
        };
        t.store().edit_post(post, edit, None, t.key(), None).await.unwrap();
    };
    let replies = async || t.post_counts(target).await.replies;
    let hidden = t.write(reply(Visibility::Private)).await;
    let shared = t.write(reply(Visibility::Followers)).await;
    let open = t.write(reply(Visibility::Public)).await;
    assert_eq!(replies().await, 1);
    t.delete(hidden).await;
    assert_eq!(replies().await, 1);
    t.undelete(hidden).await;
    turn(shared, Visibility::Public).await;
    assert_eq!(replies().await, 2);
    turn(open, Visibility::Followers).await;
    turn(open, Visibility::Private).await;
    assert_eq!(replies().await, 1);
    t.delete(shared).await;
    turn(hidden, Visibility::Public).await;
    for _ in ["as it runs", "reopened"] {
        assert_eq!(replies().await, 1);
        let (before, after) = t.counters().recount_post(target).await.unwrap();
        assert_eq!((before.replies, after.replies), (1, 1));
        t.reopen().await;
    }
}

async fn counts_are_right_after_random_changes(t: &Subject) {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    let users = t.users("user", 3).await;
    let target = t.post(users[0], "target").await;
    let mut posts = Vec::new();
    for _ in 0..60 {
        match rng.random_range(0..3) {
            0 => posts.push(t.reply(users[rng.random_range(0..3)], target).await),
            1 if !posts.is_empty() => {
                let post = posts[rng.random_range(0..posts.len())];
                let _ = t.store().delete_post(post, None, t.key()).await;
            }
            _ if !posts.is_empty() => drop(t.undelete(posts[rng.random_range(0..posts.len())]).await),
            _ => {}
        }
    }
    let rows = t.store().posts(&posts).await.unwrap();
    let living: Vec<_> = rows.into_iter().flatten().filter(|post| !post.is_deleted()).collect();
    for reopened in [false, true] {
        assert_eq!(
            t.post_counts(target).await.replies,
            living.len() as u64,
            "reopened: {reopened}"
        );
        for user in &users {
            let own = living.iter().filter(|post| post.author == *user).count() as u64;
            assert_eq!(t.user_counts(*user).await.posts, own + u64::from(*user == users[0]));
        }
        t.reopen().await;
    }
}

async fn posts_survive_reopening(t: &Subject) {
    let (ann, bob) = (t.user("ann").await, t.user("bob").await);
    let posts = t.posts(ann, 5).await;
    t.post(bob, "another's").await;
    t.edit(posts[1], "edited").await;
    t.delete(posts[2]).await;
    let rows = t.store().posts(&posts).await.unwrap();
    let revisions = t
        .store()
        .post_revisions(posts[1], Range::newest(None, 10))
        .await
        .unwrap();
    let counts = t.user_counts(ann).await;
    t.reopen().await;
    assert_eq!(t.store().posts(&posts).await.unwrap(), rows);
    assert_eq!(
        t.store()
            .post_revisions(posts[1], Range::newest(None, 10))
            .await
            .unwrap(),
        revisions
    );
    assert_eq!(listed(t, ann).await, [posts[4], posts[3], posts[1], posts[0]]);
    assert_eq!(t.user_counts(ann).await, counts);
}
