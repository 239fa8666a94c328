//! The fan-out policy as operators change it.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod world;

use social_core::fanout::{Policy, Strategy};
use social_core::{Reason, Result, admin};
use world::{World, request_id};

async fn set(
    world: &World,
    strategy: Strategy,
    threshold: impl Into<Option<u64>>,
    expected: impl Into<Option<u64>>,
) -> Result<Policy> {
    admin::set_policy(
        &world.backend,
        strategy,
        threshold.into(),
        expected.into(),
        &request_id(),
    )
    .await
}

#[tokio::test]
async fn a_threshold_left_out_stays() {
    let world = World::new();
    let first = set(&world, Strategy::Hybrid, 7, None).await.unwrap();
    let pulled = set(&world, Strategy::Pull, None, None).await.unwrap();
    assert_eq!((pulled.strategy, pulled.celebrity_threshold), (Strategy::Pull, 7));
    let stale = set(&world, Strategy::Push, None, first.version).await.unwrap_err();
    assert_eq!(stale.reason, Reason::EtagMismatch);
    let pushed = set(&world, Strategy::Push, None, pulled.version).await.unwrap();
    assert_eq!((pushed.strategy, pushed.celebrity_threshold), (Strategy::Push, 7));
    // The same call again, as after an answer that was lost.
    let again = set(&world, Strategy::Push, None, pulled.version).await.unwrap();
    assert_eq!(again, pushed);
}

#[tokio::test]
async fn a_threshold_of_nobody_is_refused() {
    let world = World::new();
    let refused = set(&world, Strategy::Hybrid, 0, None).await.unwrap_err();
    assert_eq!(refused.violations[0].field, "celebrity_threshold");
}
