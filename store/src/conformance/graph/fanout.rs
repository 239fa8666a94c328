//! Followers as fan-out meets them.

use std::collections::HashSet;

use social_core::graph::EdgeKind;

use crate::conformance::{Subject, cases};

use super::fanned_out;

cases!["graph":
    fanout_reaches_each_follower_once,
    fanout_reaches_everybody_while_others_follow,
    fanout_keeps_its_order,
];

async fn fanout_reaches_each_follower_once(t: &Subject) {
    let star = t.user("star").await;
    let users = t.users("user", 23).await;
    for user in &users {
        t.follow(*user, star).await;
    }
    t.unfollow(users[7], star).await;
    let expected: HashSet<_> = users.iter().copied().filter(|user| *user != users[7]).collect();
    for step in [1, 2, 5, 11, 22, 100] {
        let reached = fanned_out(t, star, step).await;
        assert_eq!(reached.len(), 22, "in steps of {step}");
        assert_eq!(
            reached.into_iter().collect::<HashSet<_>>(),
            expected,
            "in steps of {step}"
        );
    }
    assert!(t.store().fanout_followers(users[0], None, 9).await.unwrap().is_empty());
}

async fn fanout_reaches_everybody_while_others_follow(t: &Subject) {
    let star = t.user("star").await;
    let steady = t.users("steady", 30).await;
    let fickle = t.users("fickle", 12).await;
    for user in steady.iter().chain(&fickle[..6]) {
        t.follow(*user, star).await;
    }
    let mut reached = Vec::new();
    let mut round = 0;
    loop {
        let step = t
            .store()
            .fanout_followers(star, reached.last().copied(), 3)
            .await
            .unwrap();
        let is_end = step.len() < 3;
        reached.extend(step);
        if is_end {
            break;
        }
        // Whoever was reached last leaves, and comes back; others come and go.
        let last = *reached.last().unwrap();
        t.unfollow(last, star).await;
        t.set(EdgeKind::Follow, fickle[round % 12], star, round % 2 == 0).await;
        t.follow(last, star).await;
        round += 1;
    }
    let distinct: HashSet<_> = reached.iter().copied().collect();
    assert_eq!(distinct.len(), reached.len(), "nobody twice");
    assert!(steady.iter().all(|user| distinct.contains(user)), "nobody left out");
}

async fn fanout_keeps_its_order(t: &Subject) {
    let star = t.user("star").await;
    let users = t.users("user", 12).await;
    for user in users.iter().rev() {
        t.follow(*user, star).await;
    }
    let order = fanned_out(t, star, 5).await;
    t.unfollow(order[4], star).await;
    t.follow(order[4], star).await;
    assert_eq!(fanned_out(t, star, 3).await, order);
    t.reopen().await;
    assert_eq!(fanned_out(t, star, 4).await, order);
}
