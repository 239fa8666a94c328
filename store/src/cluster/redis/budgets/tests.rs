use std::time::Instant;

use fred::interfaces::KeysInterface as _;

use super::super::tests::Server;
use super::*;

fn taken(bucket: &str, calls: u32) -> Taken {
    Taken {
        bucket: bucket.to_owned(),
        cost: Duration::from_secs(10),
        calls,
    }
}

/// Seconds until buckets are full, rounded to tens: time passes.
async fn tens(budgets: &RedisBudgets, all: &[Taken]) -> Vec<u64> {
    let until_full = budgets.take(all).await.unwrap();
    until_full.iter().map(|until| (until.as_secs() + 5) / 10).collect()
}

#[tokio::test]
async fn processes_take_from_the_same_buckets() {
    let server = Server::own(&[]);
    let (one, other) = (server.open().await, server.open().await);
    let (one, other) = (RedisBudgets::new(&one).await, RedisBudgets::new(&other).await);
    assert_eq!(tens(&one, &[taken("a", 2), taken("b", 1)]).await, [2, 1]);
    assert_eq!(
        tens(&other, &[taken("b", 1), taken("c", 5), taken("a", 3)]).await,
        [2, 5, 5]
    );
    assert_eq!(one.take(&[]).await, Ok(Vec::new()));
    // Many at once, over all parts.
    let many: Vec<Taken> = (0..500).map(|number| taken(&format!("user:{number}"), 1)).collect();
    assert_eq!(tens(&one, &many).await, vec![1; 500]);
    assert_eq!(tens(&other, &many).await, vec![2; 500]);
    // A bucket that is full is no key.
    let brief = Taken {
        cost: Duration::from_millis(1),
        ..taken("brief", 1)
    };
    one.take(&[brief]).await.unwrap();
    let client = server.client().await;
    let key = format!("{}brief", one.parts[part("brief")]);
    assert_eq!(client.exists::<i64, _>(&key).await, Ok(1));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(client.exists::<i64, _>(&key).await, Ok(0));
}

#[tokio::test]
async fn a_redis_that_stands_still_is_told_of_soon() {
    let server = Server::own(&[]);
    let redis = server.open().await;
    let budgets = RedisBudgets::new(&redis).await;
    assert_eq!(tens(&budgets, &[taken("a", 1)]).await, [1]);
    server.freeze();
    for _ in 0..3 {
        let asked = Instant::now();
        let refused = budgets.take(&[taken("a", 1)]).await.unwrap_err();
        assert_eq!(refused, Error::unavailable());
        assert!(asked.elapsed() < redis.shared.patience * 2, "{:?}", asked.elapsed());
    }
    server.thaw();
    let asked = Instant::now();
    while budgets.take(&[taken("a", 1)]).await.is_err() {
        assert!(asked.elapsed() < Duration::from_secs(20), "it is asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
