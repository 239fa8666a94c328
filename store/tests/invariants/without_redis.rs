//! I6: no acknowledgement depends on Redis.

use std::time::{Duration, Instant};

use social_core::Backend;
use xtask::services::Redis;
use xtask::services::redis::Options;

use crate::site::Site;
use crate::world::deeds;

/// How long an acknowledgement may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(5);
/// How long this process would wait for Redis, wherever it does: so that waiting for it is seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Broken where a mutation waits for anything in Redis before it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_no_acknowledgement_waits_for_redis() {
    let mut redis = Redis::start(&Options::default()).unwrap();
    let site = Site::on(redis.url()).await;
    let mut config = site.config("api");
    config.redis.timeout = PATIENCE;
    config.redis.patience = PATIENCE;
    let process = site.open_with(config).await.unwrap();
    let server = redis.nodes_mut()[0].server();
    // Well before each: who has found it dead does not wait for it again.
    let freeze = |freeze| if freeze { server.freeze() } else { server.thaw() }.unwrap();
    acknowledged_in_time(&process.backend, "frozen", freeze).await;
    redis.nodes_mut()[0].server().kill();
    acknowledged_in_time(&process.backend, "killed", |_| {}).await;
    // And one that never met a Redis.
    let late = site.open("late").await;
    acknowledged_in_time(&late.backend, "absent", |_| {}).await;
    drop((process, late));
    site.end().await;
}

/// Does everything that can be done, each thing after `harm(true)`.
async fn acknowledged_in_time(backend: &Backend, state: &'static str, mut harm: impl FnMut(bool)) {
    let deeds = deeds(backend, state).await;
    let mut slowest = (Duration::ZERO, "");
    for deed in &deeds {
        harm(true);
        let began = Instant::now();
        deed.run(backend).await.unwrap();
        let took = began.elapsed();
        harm(false);
        slowest = slowest.max((took, deed.name));
        assert!(took < WITHIN, "{state}: {} took {took:?}", deed.name);
    }
    println!(
        "Redis {state}: {} acknowledgements, the slowest after {:?} ({})",
        deeds.len(),
        slowest.0,
        slowest.1
    );
}
