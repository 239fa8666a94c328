//! Blocks, mutes and bounds.

use social_core::graph::{Direction, EdgeKind, Relation};
use social_core::import::{ImportBatch, ImportFollow};
use social_core::{Reason, UserId, limits};
use uuid::Uuid;

use crate::conformance::subject::{at_once, refused};
use crate::conformance::{Subject, cases};

use super::{crowd, ends, followees, followers, two};

cases!["graph":
    a_block_ends_follows_both_ways,
    nobody_follows_across_a_block,
    unblocking_brings_no_follow_back,
    a_follow_racing_a_block_does_not_outlive_it,
    a_mute_leaves_the_follow,
    blocks_and_mutes_are_listed_apart,
    following_has_a_bound,
    blocks_and_mutes_have_bounds,
];

async fn a_block_ends_follows_both_ways(t: &Subject) {
    let (ann, bob) = two(t).await;
    t.follow(ann, bob).await;
    t.follow(bob, ann).await;
    let change = t.block(ann, bob).await;
    assert!(change.active && change.changed);
    for user in [ann, bob] {
        assert!(followers(t, user).await.is_empty() && followees(t, user).await.is_empty());
        let counts = t.user_counts(user).await;
        assert_eq!((counts.followers, counts.following), (0, 0));
        assert!(t.store().following(user).await.unwrap().followees.is_empty());
        assert!(t.store().fanout_followers(user, None, 9).await.unwrap().is_empty());
    }
    assert_eq!(
        t.relation(ann, bob).await,
        Relation {
            blocking: true,
            ..Relation::default()
        }
    );
    assert_eq!(
        t.relation(bob, ann).await,
        Relation {
            blocked_by: true,
            ..Relation::default()
        }
    );
    assert!(!t.block(ann, bob).await.changed);
}

async fn nobody_follows_across_a_block(t: &Subject) {
    let (ann, bob) = two(t).await;
    t.block(ann, bob).await;
    for (from, to) in [(ann, bob), (bob, ann)] {
        refused(
            t.store().set_edge(EdgeKind::Follow, from, to, true, None).await,
            Reason::Blocked,
        );
        assert!(followees(t, from).await.is_empty());
        assert!(
            !t.unfollow(from, to).await.changed,
            "there is nothing to undo, which is no error"
        );
    }
    assert!(t.pending().await.is_empty());
}

async fn unblocking_brings_no_follow_back(t: &Subject) {
    let (ann, bob) = two(t).await;
    t.follow(ann, bob).await;
    t.block(bob, ann).await;
    assert!(t.set(EdgeKind::Block, bob, ann, false).await.changed);
    assert_eq!(t.relation(ann, bob).await, Relation::default());
    assert!(followers(t, bob).await.is_empty());
    assert!(t.follow(ann, bob).await.changed, "and nothing stands in its way");
}

async fn a_follow_racing_a_block_does_not_outlive_it(t: &Subject) {
    let (ann, bob) = two(t).await;
    for _ in 0..8 {
        at_once(6, |number| {
            let store = t.store();
            async move {
                let _ = match number {
                    0 => store.set_edge(EdgeKind::Block, bob, ann, true, None).await,
                    1 | 2 => store.set_edge(EdgeKind::Follow, bob, ann, true, None).await,
                    _ => store.set_edge(EdgeKind::Follow, ann, bob, true, None).await,
                };
            }
        })
        .await;
        assert!(followers(t, bob).await.is_empty() && followers(t, ann).await.is_empty());
        assert_eq!(
            (t.user_counts(bob).await.followers, t.user_counts(bob).await.following),
            (0, 0)
        );
        t.set(EdgeKind::Block, bob, ann, false).await;
    }
}

async fn a_mute_leaves_the_follow(t: &Subject) {
    let (ann, bob) = two(t).await;
    t.follow(ann, bob).await;
    assert!(t.set(EdgeKind::Mute, ann, bob, true).await.changed);
    assert!(!t.set(EdgeKind::Mute, ann, bob, true).await.changed);
    let relation = t.relation(ann, bob).await;
    assert!(relation.following && relation.muting);
    assert!(!t.relation(bob, ann).await.muting, "the muted cannot tell");
    assert!(!t.store().following(ann).await.unwrap().shows(bob));
    assert_eq!(t.user_counts(bob).await.followers, 1);
    assert_eq!(t.store().fanout_followers(bob, None, 9).await.unwrap(), [ann]);
    t.set(EdgeKind::Mute, ann, bob, false).await;
    assert!(t.store().following(ann).await.unwrap().shows(bob));
}

async fn blocks_and_mutes_are_listed_apart(t: &Subject) {
    let users = t.users("user", 5).await;
    let me = users[0];
    t.block(me, users[1]).await;
    t.set(EdgeKind::Mute, me, users[2], true).await;
    t.block(me, users[3]).await;
    t.set(EdgeKind::Mute, me, users[1], true).await;
    t.follow(me, users[4]).await;
    assert_eq!(
        ends(t, EdgeKind::Block, Direction::Outgoing, me).await,
        [users[3], users[1]]
    );
    assert_eq!(
        ends(t, EdgeKind::Mute, Direction::Outgoing, me).await,
        [users[1], users[2]]
    );
    assert_eq!(followees(t, me).await, [users[4]]);
    t.set(EdgeKind::Block, me, users[3], false).await;
    assert_eq!(ends(t, EdgeKind::Block, Direction::Outgoing, me).await, [users[1]]);
}

async fn following_has_a_bound(t: &Subject) {
    let me = t.user("me_too").await;
    let crowd = crowd(t, limits::FOLLOWING as usize + 2).await;
    let (within, beyond) = crowd.split_at(limits::FOLLOWING as usize);
    for (chunk, offset) in within.chunks(1_000).zip((0..).step_by(1_000)) {
        let follow = |followee: &UserId| {
            Ok(ImportFollow {
                follower: me,
                followee: *followee,
                created_at: t.now(),
            })
        };
        let items = chunk.iter().map(follow).collect();
        let batch = ImportBatch {
            import: Uuid::from_u128(2),
            offset,
            items,
        };
        assert_eq!(t.store().import_follows(batch).await.unwrap().progress.rejected, 0);
    }
    assert_eq!(t.user_counts(me).await.following, limits::FOLLOWING);
    refused(
        t.store().set_edge(EdgeKind::Follow, me, beyond[0], true, None).await,
        Reason::LimitReached,
    );
    let one_more = ImportFollow {
        follower: me,
        followee: beyond[0],
        created_at: t.now(),
    };
    let batch = ImportBatch {
        import: Uuid::from_u128(3),
        offset: 0,
        items: vec![Ok(one_more)],
    };
    assert_eq!(t.store().import_follows(batch).await.unwrap().progress.rejected, 1);
    assert!(
        !t.follow(me, within[5]).await.changed,
        "what is followed already is no error"
    );
    t.unfollow(me, within[5]).await;
    assert!(t.follow(me, beyond[0]).await.changed);
    refused(
        t.store().set_edge(EdgeKind::Follow, me, beyond[1], true, None).await,
        Reason::LimitReached,
    );
    assert_eq!(
        t.store().following(me).await.unwrap().followees.len() as u64,
        limits::FOLLOWING
    );
}

async fn blocks_and_mutes_have_bounds(t: &Subject) {
    let me = t.user("me_too").await;
    let crowd = crowd(t, limits::BLOCKS.max(limits::MUTES) as usize + 1).await;
    for (kind, bound) in [(EdgeKind::Block, limits::BLOCKS), (EdgeKind::Mute, limits::MUTES)] {
        let within: Vec<_> = crowd[..bound as usize].chunks(50).map(<[_]>::to_vec).collect();
        let changed = at_once(within.len(), |number| {
            let (store, users) = (t.store(), within[number].clone());
            async move {
                let mut changed = 0;
                for to in users {
                    changed += u64::from(store.set_edge(kind, me, to, true, None).await.unwrap().changed);
                }
                changed
            }
        })
        .await;
        assert_eq!(changed.into_iter().sum::<u64>(), bound);
        let last = crowd[bound as usize];
        refused(
            t.store().set_edge(kind, me, last, true, None).await,
            Reason::LimitReached,
        );
        t.set(kind, me, crowd[3], false).await;
        assert!(t.set(kind, me, last, true).await.changed);
    }
}
