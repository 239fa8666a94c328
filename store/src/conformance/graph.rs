//! Follows, blocks and mutes.

pub(super) mod block;
pub(super) mod fanout;

use std::collections::HashSet;

use social_core::graph::{Direction, EdgeKind, Relation};
use social_core::import::ImportBatch;
use social_core::page::Range;
use social_core::{Reason, UserId};
use uuid::Uuid;

use super::subject::{at_once, new_user, refused};
use super::{Subject, cases};

cases!["graph":
    a_follow_is_seen_from_both_ends,
    a_follow_again_changes_nothing,
    an_unfollow_is_seen_from_both_ends,
    followed_again_is_a_new_follow,
    a_follow_is_not_settled_before_its_backfill,
    two_devices_following_at_once_count_once,
    followers_are_listed_both_ways,
    a_list_of_followers_goes_on_while_others_follow,
    relations_answer_in_the_order_asked_for,
    following_is_never_older_than_the_last_change,
    counts_are_right_after_random_toggles,
    edges_survive_reopening,
    what_was_undone_stays_so_after_reopening,
];

pub(super) async fn two(t: &Subject) -> (UserId, UserId) {
    (t.user("ann").await, t.user("bob").await)
}

pub(super) async fn ends(t: &Subject, kind: EdgeKind, direction: Direction, user: UserId) -> Vec<UserId> {
    let edges = t
        .store()
        .edges(kind, direction, user, Range::newest(None, 100_000))
        .await
        .unwrap();
    edges.into_iter().map(|edge| edge.user).collect()
}

pub(super) async fn followers(t: &Subject, user: UserId) -> Vec<UserId> {
    ends(t, EdgeKind::Follow, Direction::Incoming, user).await
}

pub(super) async fn followees(t: &Subject, user: UserId) -> Vec<UserId> {
    ends(t, EdgeKind::Follow, Direction::Outgoing, user).await
}

/// Every follower that fan-out meets, in its order, `step` at a time.
pub(super) async fn fanned_out(t: &Subject, author: UserId, step: usize) -> Vec<UserId> {
    let mut all = Vec::new();
    loop {
        let followers = t
            .store()
            .fanout_followers(author, all.last().copied(), step)
            .await
            .unwrap();
        let is_end = followers.len() < step;
        all.extend(followers);
        if is_end {
            return all;
        }
    }
}

/// So many accounts, loaded in bulk.
pub(super) async fn crowd(t: &Subject, count: usize) -> Vec<UserId> {
    let handles: Vec<_> = (0..count).map(|number| format!("crowd_{number}")).collect();
    let import = Uuid::from_u128(1);
    for (chunk, offset) in handles.chunks(1_000).zip((0..).step_by(1_000)) {
        let items = chunk.iter().map(|handle| Ok(new_user(handle))).collect();
        t.store()
            .import_users(ImportBatch { import, offset, items })
            .await
            .unwrap();
    }
    let handles: Vec<_> = handles.iter().map(|handle| handle.parse().unwrap()).collect();
    t.store()
        .user_ids(&handles)
        .await
        .unwrap()
        .into_iter()
        .map(Option::unwrap)
        .collect()
}

async fn a_follow_is_seen_from_both_ends(t: &Subject) {
    let (ann, bob) = two(t).await;
    let change = t.follow(ann, bob).await;
    assert!(change.active && change.changed && change.event.is_some());
    assert_eq!(followees(t, ann).await, [bob]);
    assert_eq!(followers(t, bob).await, [ann]);
    assert!(followers(t, ann).await.is_empty() && followees(t, bob).await.is_empty());
    assert_eq!(
        t.relation(ann, bob).await,
        Relation {
            following: true,
            ..Relation::default()
        }
    );
    assert_eq!(
        t.relation(bob, ann).await,
        Relation {
            followed_by: true,
            ..Relation::default()
        }
    );
    let (of_ann, of_bob) = (t.user_counts(ann).await, t.user_counts(bob).await);
    assert_eq!((of_ann.following, of_ann.followers, of_ann.exact), (1, 0, true));
    assert_eq!((of_bob.following, of_bob.followers), (0, 1));
    assert!(t.store().following(ann).await.unwrap().shows(bob));
}

async fn a_follow_again_changes_nothing(t: &Subject) {
    let (ann, bob) = two(t).await;
    t.follow(ann, bob).await;
    let edges = t
        .store()
        .edges(EdgeKind::Follow, Direction::Incoming, bob, Range::newest(None, 9))
        .await
        .unwrap();
    let again = t.follow(ann, bob).await;
    assert_eq!((again.active, again.changed, again.event), (true, false, None));
    assert_eq!(t.pending().await.len(), 1);
    assert_eq!(t.user_counts(bob).await.followers, 1);
    let now = t
        .store()
        .edges(EdgeKind::Follow, Direction::Incoming, bob, Range::newest(None, 9))
        .await
        .unwrap();
    assert_eq!(now, edges);
}

async fn an_unfollow_is_seen_from_both_ends(t: &Subject) {
    let (ann, bob) = two(t).await;
    t.follow(ann, bob).await;
    let change = t.unfollow(ann, bob).await;
    assert_eq!((change.active, change.changed, change.event), (false, true, None));
    let again = t.unfollow(ann, bob).await;
    assert_eq!((again.active, again.changed), (false, false));
    assert!(followers(t, bob).await.is_empty() && followees(t, ann).await.is_empty());
    assert_eq!(t.relation(ann, bob).await, Relation::default());
    assert_eq!(
        (t.user_counts(ann).await.following, t.user_counts(bob).await.followers),
        (0, 0)
    );
    assert!(!t.store().following(ann).await.unwrap().shows(bob));
    assert!(t.store().fanout_followers(bob, None, 9).await.unwrap().is_empty());
}

async fn followed_again_is_a_new_follow(t: &Subject) {
    let users = t.users("user", 3).await;
    let first = t.follow(users[1], users[0]).await;
    t.follow(users[2], users[0]).await;
    t.unfollow(users[1], users[0]).await;
    let again = t.follow(users[1], users[0]).await;
    assert!(again.changed);
    assert!(again.event > first.event, "a new follow has a backfill of its own");
    assert_eq!(followers(t, users[0]).await, [users[1], users[2]]);
    assert_eq!(t.user_counts(users[0]).await.followers, 2);
}

async fn a_follow_is_not_settled_before_its_backfill(t: &Subject) {
    let (ann, bob) = two(t).await;
    t.post(bob, "x").await;
    t.settle().await;
    let event = t.follow(ann, bob).await.event.unwrap();
    for _ in 0..2 {
        let newest = Range::newest(None, 1);
        let edge = t
            .store()
            .edges(EdgeKind::Follow, Direction::Outgoing, ann, newest)
            .await
            .unwrap()[0];
        let newest = Range::newest(None, 1);
        let same = t
            .store()
            .edges(EdgeKind::Follow, Direction::Incoming, bob, newest)
            .await
            .unwrap()[0];
        assert_eq!((edge.since, same.since), (event.0, event.0));
        assert_eq!(t.store().following(ann).await.unwrap().followees[&bob], event.0);
        let settled = t.store().horizon().await.unwrap().settled.0;
        assert!(settled <= edge.since, "a cursor of now owes the followee's posts");
        t.reopen().await;
    }
    t.settle().await;
    assert!(t.store().horizon().await.unwrap().settled > event);
}

async fn two_devices_following_at_once_count_once(t: &Subject) {
    let (ann, bob) = two(t).await;
    let changes = at_once(24, |_| {
        let store = t.store();
        async move { store.set_edge(EdgeKind::Follow, ann, bob, true, None).await.unwrap() }
    })
    .await;
    assert_eq!(changes.iter().filter(|change| change.changed).count(), 1);
    assert_eq!(changes.iter().filter(|change| change.event.is_some()).count(), 1);
    assert_eq!(t.user_counts(bob).await.followers, 1);
    assert_eq!(followers(t, bob).await, [ann]);
    assert_eq!(t.pending().await.len(), 1);
}

async fn followers_are_listed_both_ways(t: &Subject) {
    let star = t.user("star").await;
    let users = t.users("user", 6).await;
    for user in &users {
        t.follow(*user, star).await;
    }
    let list = async |range| {
        t.store()
            .edges(EdgeKind::Follow, Direction::Incoming, star, range)
            .await
            .unwrap()
    };
    let all = list(Range::oldest(None, 99)).await;
    assert!(all.is_sorted_by(|a, b| a.since < b.since));
    assert_eq!(all.iter().map(|edge| edge.user).collect::<Vec<_>>(), users);
    assert_eq!(list(Range::oldest(Some(all[1].since), 2)).await, all[2..4]);
    assert_eq!(list(Range::newest(Some(all[2].since), 9)).await, [all[1], all[0]]);
    let between = Range {
        until: Some(all[4].since),
        ..Range::oldest(Some(all[1].since), 9)
    };
    assert_eq!(list(between).await, all[2..4]);
}

async fn a_list_of_followers_goes_on_while_others_follow(t: &Subject) {
    let star = t.user("star").await;
    let (users, late) = (t.users("user", 20).await, t.users("late", 9).await);
    for user in &users {
        t.follow(*user, star).await;
    }
    let mut late = late.into_iter();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let range = Range::newest(after, 3);
        let page = t
            .store()
            .edges(EdgeKind::Follow, Direction::Incoming, star, range)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.since);
        // The follower whose key the next page goes on behind leaves.
        t.unfollow(last.user, star).await;
        seen.extend(page.into_iter().map(|edge| edge.user));
        if let Some(user) = late.next() {
            t.follow(user, star).await;
        }
    }
    seen.reverse();
    assert_eq!(seen, users);
}

async fn relations_answer_in_the_order_asked_for(t: &Subject) {
    let users = t.users("user", 4).await;
    let me = users[0];
    t.follow(me, users[1]).await;
    t.follow(users[2], me).await;
    t.block(users[3], me).await;
    let relations = t
        .store()
        .relations(me, &[users[3], users[2], UserId(7), users[1], me])
        .await
        .unwrap();
    assert!(relations[0].blocked_by && !relations[0].blocking);
    assert!(relations[1].followed_by && !relations[1].following);
    assert_eq!((relations[2], relations[4]), (Relation::default(), Relation::default()));
    assert!(relations[3].following);
}

async fn following_is_never_older_than_the_last_change(t: &Subject) {
    let users = t.users("user", 5).await;
    let me = users[0];
    for round in 0..12 {
        let other = users[1 + round % 4];
        let active = round % 3 != 0;
        t.set(EdgeKind::Follow, me, other, active).await;
        t.set(EdgeKind::Mute, me, other, round % 5 == 0).await;
        let following = t.store().following(me).await.unwrap();
        assert_eq!(following.followees.contains_key(&other), active);
        assert_eq!(following.muted.contains(&other), round % 5 == 0);
        let listed: HashSet<_> = followees(t, me).await.into_iter().collect();
        assert_eq!(following.followees.keys().copied().collect::<HashSet<_>>(), listed);
    }
    let edges = t
        .store()
        .edges(EdgeKind::Follow, Direction::Outgoing, me, Range::newest(None, 9))
        .await
        .unwrap();
    let following = t.store().following(me).await.unwrap();
    assert!(edges.iter().all(|edge| following.followees[&edge.user] == edge.since));
}

async fn counts_are_right_after_random_toggles(t: &Subject) {
    use rand::{RngExt, SeedableRng};
    let users = t.users("user", 5).await;
    at_once(8, |number| {
        let (store, users) = (t.store(), users.clone());
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(number as u64);
        async move {
            for _ in 0..40 {
                let (from, to) = (rng.random_range(0..5), rng.random_range(0..5));
                let kind = if rng.random_bool(0.1) {
                    EdgeKind::Block
                } else {
                    EdgeKind::Follow
                };
                let active = rng.random_bool(0.6);
                if from != to {
                    let _ = store.set_edge(kind, users[from], users[to], active, None).await;
                }
            }
        }
    })
    .await;
    for reopened in [false, true] {
        for user in &users {
            let counts = t.user_counts(*user).await;
            assert_eq!(
                counts.followers,
                followers(t, *user).await.len() as u64,
                "reopened: {reopened}"
            );
            assert_eq!(
                counts.following,
                followees(t, *user).await.len() as u64,
                "reopened: {reopened}"
            );
            assert_eq!(
                fanned_out(t, *user, 2).await.len() as u64,
                counts.followers,
                "reopened: {reopened}"
            );
        }
        for from in &users {
            for to in &users {
                let relation = t.relation(*from, *to).await;
                assert!(!(relation.following && relation.is_blocked()), "reopened: {reopened}");
                assert_eq!(
                    relation.following,
                    followers(t, *to).await.contains(from),
                    "reopened: {reopened}"
                );
            }
        }
        t.reopen().await;
    }
}

async fn edges_survive_reopening(t: &Subject) {
    let users = t.users("user", 4).await;
    let me = users[0];
    t.follow(users[1], me).await;
    t.follow(users[2], me).await;
    t.follow(me, users[1]).await;
    t.set(EdgeKind::Mute, me, users[1], true).await;
    t.block(me, users[3]).await;
    let list = async |direction| {
        t.store()
            .edges(EdgeKind::Follow, direction, me, Range::newest(None, 9))
            .await
            .unwrap()
    };
    let before = (
        list(Direction::Incoming).await,
        list(Direction::Outgoing).await,
        t.user_counts(me).await,
    );
    let following = t.store().following(me).await.unwrap();
    t.reopen().await;
    let after = (
        list(Direction::Incoming).await,
        list(Direction::Outgoing).await,
        t.user_counts(me).await,
    );
    assert_eq!(after, before);
    assert_eq!(t.store().following(me).await.unwrap(), following);
    assert!(t.relation(me, users[1]).await.muting && t.relation(users[3], me).await.blocked_by);
    refused(
        t.store().set_edge(EdgeKind::Follow, users[3], me, true, None).await,
        Reason::Blocked,
    );
}

async fn what_was_undone_stays_so_after_reopening(t: &Subject) {
    let users = t.users("user", 3).await;
    let me = users[0];
    for user in &users[1..] {
        t.follow(*user, me).await;
        t.set(EdgeKind::Mute, me, *user, true).await;
        t.set(EdgeKind::Mute, me, *user, false).await;
    }
    t.unfollow(users[1], me).await;
    t.block(me, users[2]).await;
    t.set(EdgeKind::Block, me, users[2], false).await;
    for _ in 0..2 {
        t.reopen().await;
        assert!(followers(t, me).await.is_empty());
        assert!(t.store().fanout_followers(me, None, 9).await.unwrap().is_empty());
        assert_eq!(t.user_counts(me).await.followers, 0);
        for user in &users[1..] {
            assert_eq!(t.relation(me, *user).await, Relation::default());
        }
    }
}
