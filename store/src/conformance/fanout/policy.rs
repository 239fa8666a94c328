//! The policy, the mode of a post, and stretches of pulled ones.

use std::time::Duration;

use social_core::fanout::{Mode, Payload, Policy, Strategy};
use social_core::{PostId, Reason, Time, limits};

use crate::conformance::subject::{at_once, draft, refused};
use crate::conformance::{Subject, cases};

use super::{event, stretches};

cases!["fanout":
    a_policy_changes_and_survives_reopening,
    a_policy_keeps_its_etag,
    the_mode_is_decided_at_creation,
    a_threshold_crossing_changes_later_posts_only,
    the_mode_in_the_event_is_the_one_answered,
    pulled_posts_lengthen_a_stretch,
    a_pushed_post_ends_a_stretch,
    stretches_are_bounded_and_hold_every_pulled_post,
    pulled_followees_are_those_followed_now,
    pulled_followees_are_never_older_than_the_last_post,
    stretches_survive_reopening,
];

async fn a_policy_changes_and_survives_reopening(t: &Subject) {
    let first = t.store().policy().await.unwrap();
    assert_eq!((first.strategy, first.celebrity_threshold), (Strategy::Hybrid, 10_000));
    let wanted = Policy {
        strategy: Strategy::Pull,
        celebrity_threshold: 5,
        version: 99,
        updated_at: Time::default(),
    };
    t.advance(Duration::from_secs(1));
    let policy = t.store().set_policy(wanted, None).await.unwrap();
    let expected = Policy {
        version: first.version + 1,
        updated_at: t.now(),
        ..wanted
    };
    assert_eq!(policy, expected);
    assert_eq!(t.store().policy().await.unwrap(), policy);
    t.reopen().await;
    assert_eq!(t.store().policy().await.unwrap(), policy);
}

async fn a_policy_keeps_its_etag(t: &Subject) {
    let first = t.store().policy().await.unwrap();
    let wanted = Policy {
        strategy: Strategy::Push,
        ..first
    };
    let policy = t.store().set_policy(wanted, Some(first.version)).await.unwrap();
    refused(
        t.store().set_policy(first, Some(first.version)).await,
        Reason::EtagMismatch,
    );
    assert_eq!(t.store().policy().await.unwrap(), policy);
}

async fn the_mode_is_decided_at_creation(t: &Subject) {
    let ann = t.user("ann").await;
    let mut posts = Vec::new();
    for (strategy, mode) in [
        (Strategy::Push, Mode::Push),
        (Strategy::Pull, Mode::Pull),
        (Strategy::Hybrid, Mode::Push),
    ] {
        t.set_strategy(strategy, 10).await;
        let key = t.key();
        let created = t.store().create_post(draft(ann, "x"), key, None).await.unwrap().value;
        assert_eq!(created.mode, mode);
        posts.push((created.post.id, key, mode));
    }
    for (post, key, mode) in posts {
        assert_eq!(
            event(t, post).await.payload,
            Payload::Post {
                post,
                author: ann,
                mode
            }
        );
        let again = t.store().create_post(draft(ann, "x"), key, None).await.unwrap();
        assert_eq!(
            (again.replayed, again.value.mode),
            (true, mode),
            "a repetition does not decide anew"
        );
    }
}

async fn a_threshold_crossing_changes_later_posts_only(t: &Subject) {
    let star = t.user("star").await;
    let fans = t.users("fan", 2).await;
    t.set_strategy(Strategy::Hybrid, 2).await;
    let mode = async || {
        t.store()
            .create_post(draft(star, "x"), t.key(), None)
            .await
            .unwrap()
            .value
            .mode
    };
    t.follow(fans[0], star).await;
    assert_eq!(mode().await, Mode::Push);
    t.follow(fans[1], star).await;
    assert_eq!(mode().await, Mode::Pull);
    t.unfollow(fans[0], star).await;
    assert_eq!(mode().await, Mode::Push);
    t.follow(fans[0], star).await;
    t.set_strategy(Strategy::Hybrid, 3).await;
    assert_eq!(mode().await, Mode::Push);
    let events = t.store().pending_events(None, 99).await.unwrap();
    let modes: Vec<_> = events
        .iter()
        .filter_map(|event| match event.payload {
            Payload::Post { mode, .. } => Some(mode),
            _ => None,
        })
        .collect();
    assert_eq!(modes, [Mode::Push, Mode::Pull, Mode::Push, Mode::Push]);
}

async fn the_mode_in_the_event_is_the_one_answered(t: &Subject) {
    let (star, fan) = (t.user("star").await, t.user("fan").await);
    t.follow(fan, star).await;
    let outcomes = at_once(40, |number| {
        let (store, key) = (t.store(), t.key());
        async move {
            if number % 8 == 0 {
                let strategy = if number % 16 == 0 {
                    Strategy::Pull
                } else {
                    Strategy::Push
                };
                let policy = Policy {
                    strategy,
                    celebrity_threshold: 1,
                    ..Policy::default()
                };
                store.set_policy(policy, None).await.unwrap();
            }
            store.create_post(draft(star, "x"), key, None).await.unwrap().value
        }
    })
    .await;
    let stretches = stretches(t, fan, star).await;
    assert!(stretches.iter().all(|(from, to)| from <= to));
    assert!(
        stretches.is_sorted_by(|a, b| a.1 < b.0),
        "they ascend and do not overlap"
    );
    for created in outcomes {
        let post = created.post.id;
        assert_eq!(
            event(t, post).await.payload,
            Payload::Post {
                post,
                author: star,
                mode: created.mode
            }
        );
        let is_covered = stretches.iter().any(|(from, to)| (*from..=*to).contains(&post));
        assert!(
            is_covered || created.mode == Mode::Push,
            "every pulled post is in a stretch"
        );
    }
}

async fn pulled_posts_lengthen_a_stretch(t: &Subject) {
    let (star, fan, other) = (t.user("star").await, t.user("fan").await, t.user("other").await);
    t.follow(fan, star).await;
    t.set_strategy(Strategy::Pull, 0).await;
    let first = t.post(star, "x").await;
    assert_eq!(stretches(t, fan, star).await, [(first, first)]);
    t.post(other, "of no concern").await;
    let second = t.post(star, "x").await;
    t.delete(second).await;
    let third = t.post(star, "x").await;
    assert_eq!(stretches(t, fan, star).await, [(first, third)]);
}

async fn a_pushed_post_ends_a_stretch(t: &Subject) {
    let (star, fan) = (t.user("star").await, t.user("fan").await);
    t.follow(fan, star).await;
    let mut pulled = Vec::new();
    for _ in 0..3 {
        t.set_strategy(Strategy::Pull, 0).await;
        pulled.push((t.post(star, "x").await, t.post(star, "x").await));
        t.set_strategy(Strategy::Push, 0).await;
        t.post(star, "x").await;
    }
    assert_eq!(stretches(t, fan, star).await, pulled);
}

async fn stretches_are_bounded_and_hold_every_pulled_post(t: &Subject) {
    let (star, fan) = (t.user("star").await, t.user("fan").await);
    t.follow(fan, star).await;
    let mut pulled = Vec::new();
    for _ in 0..limits::PULLED_STRETCHES + 6 {
        t.set_strategy(Strategy::Pull, 0).await;
        pulled.push(t.post(star, "x").await);
        t.set_strategy(Strategy::Push, 0).await;
        t.post(star, "x").await;
    }
    for _ in 0..2 {
        let stretches = stretches(t, fan, star).await;
        assert!(stretches.len() <= limits::PULLED_STRETCHES);
        assert!(stretches.is_sorted_by(|a, b| a.1 < b.0));
        assert_eq!(stretches[0].0, pulled[0]);
        assert_eq!(
            stretches.last().unwrap(),
            &(*pulled.last().unwrap(), *pulled.last().unwrap())
        );
        let is_covered = |post: &PostId| stretches.iter().any(|(from, to)| from <= post && post <= to);
        assert!(pulled.iter().all(is_covered));
        t.reopen().await;
    }
}

async fn pulled_followees_are_those_followed_now(t: &Subject) {
    let users = t.users("user", 4).await;
    let me = users[0];
    t.follow(me, users[1]).await;
    t.follow(me, users[2]).await;
    t.post(users[1], "pushed").await;
    t.set_strategy(Strategy::Pull, 0).await;
    t.post(users[2], "pulled").await;
    t.post(users[3], "pulled").await;
    let authors = async || {
        let mut authors: Vec<_> = t
            .store()
            .sources(me)
            .await
            .unwrap()
            .pulled
            .iter()
            .map(|pulled| pulled.author)
            .collect();
        authors.sort();
        authors
    };
    assert_eq!(authors().await, [users[2]]);
    t.follow(me, users[3]).await;
    assert_eq!(authors().await, [users[2], users[3]]);
    t.unfollow(me, users[2]).await;
    assert_eq!(authors().await, [users[3]]);
    t.block(users[3], me).await;
    assert!(authors().await.is_empty());
}

async fn pulled_followees_are_never_older_than_the_last_post(t: &Subject) {
    let (star, fan) = (t.user("star").await, t.user("fan").await);
    t.follow(fan, star).await;
    t.set_strategy(Strategy::Pull, 0).await;
    for _ in 0..10 {
        let post = t.post(star, "x").await;
        assert_eq!(stretches(t, fan, star).await.last().unwrap().1, post);
    }
}

async fn stretches_survive_reopening(t: &Subject) {
    let (star, fan) = (t.user("star").await, t.user("fan").await);
    t.follow(fan, star).await;
    t.set_strategy(Strategy::Pull, 0).await;
    let first = t.post(star, "x").await;
    t.reopen().await;
    assert_eq!(stretches(t, fan, star).await, [(first, first)]);
    let second = t.post(star, "x").await;
    assert_eq!(
        stretches(t, fan, star).await,
        [(first, second)],
        "it goes on where it was"
    );
    t.set_strategy(Strategy::Push, 0).await;
    t.post(star, "x").await;
    t.reopen().await;
    t.set_strategy(Strategy::Pull, 0).await;
    let third = t.post(star, "x").await;
    assert_eq!(stretches(t, fan, star).await, [(first, second), (third, third)]);
}
