//! What operators see of a cluster, through the SDK: its processes, and what waits in the event log.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use social_sdk::{AdminClient, Reason, TryStreamExt as _, v1};
use social_server::config::Role;

use crate::platform::{Platform, turn_to_come};
use crate::support::{Line, Person, Process, eventually};

/// Shards of the event log.
const SHARDS: usize = 16;
/// How far behind a shard of an idle cluster may be on a slow machine.
const AT_REST: Duration = Duration::from_secs(20);

fn operator(platform: &Platform, process: &Process, name: &str) -> AdminClient {
    AdminClient::builder()
        .endpoint(format!("http://{}", process.admin_address))
        .timeout(Duration::from_secs(20))
        .build_admin(platform.admin_token(name))
        .unwrap()
}

fn named<'a>(cluster: &'a v1::GetClusterResponse, name: &str) -> Option<&'a v1::ClusterProcess> {
    cluster.processes.iter().find(|process| process.name == name)
}

/// The shards that the named processes hold, where together they hold each once.
fn shared_out(cluster: &v1::GetClusterResponse, names: &[&str]) -> Option<Vec<usize>> {
    let held: Vec<&v1::ClusterProcess> = names.iter().map(|name| named(cluster, name)).collect::<Option<_>>()?;
    let shards: Vec<i32> = held.iter().flat_map(|process| process.shards.iter().copied()).collect();
    let each_once = shards.iter().collect::<BTreeSet<_>>().len() == SHARDS && shards.len() == SHARDS;
    each_once.then(|| held.iter().map(|process| process.shards.len()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_are_shown_and_the_shards_of_a_killed_worker_go_over_to_the_other() {
    let _turn = turn_to_come().await;
    let platform = Platform::migrated();
    let api = platform.start("api-1", &[Role::Api]);
    let victim = platform.start("worker-1", &[Role::Worker]);
    let survivor = platform.start("worker-2", &[Role::Worker]);
    let admin = operator(&platform, &api, "api-1");
    let (cluster, shares) = eventually("both workers to share the log", async || {
        let cluster = admin.cluster().await.ok()?;
        let shares = shared_out(&cluster, &["worker-1", "worker-2"])?;
        let is_swept = cluster.shards.iter().all(|shard| shard.settled_time.is_some());
        is_swept.then_some((cluster, shares))
    })
    .await;
    assert_eq!((cluster.backend.as_str(), cluster.processes.len()), ("cluster", 3));
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    let nodes: Vec<i32> = cluster.processes.iter().map(|process| process.node).collect();
    assert!(
        nodes.is_sorted() && nodes.iter().collect::<BTreeSet<_>>().len() == 3,
        "{nodes:?}"
    );
    for (name, role) in [
        ("api-1", v1::ProcessRole::Api),
        ("worker-1", v1::ProcessRole::Worker),
        ("worker-2", v1::ProcessRole::Worker),
    ] {
        let process = named(&cluster, name).unwrap();
        assert_eq!(process.roles().collect::<Vec<_>>(), [role], "{process:?}");
        assert_eq!(
            (process.state(), process.answered),
            (v1::ProcessState::Live, name == "api-1")
        );
        assert!(
            (1..=10_000).contains(&process.lease_left_ms) && process.start_time.is_some(),
            "{process:?}"
        );
        assert!(process.lag_ms < AT_REST.as_millis() as i64, "{process:?}");
    }
    // A process that serves no clients answers operators, too.
    let of_worker = operator(&platform, &survivor, "worker-2").cluster().await.unwrap();
    assert!(named(&of_worker, "worker-2").unwrap().answered);

    victim.kill();
    let killed = Instant::now();
    let cluster = eventually("the shards to go over", async || {
        let cluster = admin.cluster().await.ok()?;
        shared_out(&cluster, &["worker-2"]).map(|_| cluster)
    })
    .await;
    let lost = named(&cluster, "worker-1").unwrap();
    assert_eq!(
        (lost.state(), lost.shards.as_slice()),
        (v1::ProcessState::Lost, [].as_slice())
    );
    assert!(lost.lease_left_ms <= 0, "{lost:?}");
    println!(
        "two workers held {shares:?} of {SHARDS} shards; {:?} after one was killed the other held all",
        killed.elapsed()
    );

    // One that ends in order is shown no more.
    survivor.signal("TERM");
    assert!(survivor.ended().status.success());
    let cluster = admin.cluster().await.unwrap();
    assert!(named(&cluster, "worker-2").is_none(), "{cluster:?}");
    assert!(cluster.shards.iter().all(|shard| !shard.held), "{cluster:?}");

    let backup: Result<Vec<_>, _> = admin.back_up().try_collect().await;
    let refused = backup.unwrap_err();
    assert_eq!(refused.reason(), Reason::BackupUnsupported);
    assert!(refused.message().contains("CQL store"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_in_the_outbox_until_a_worker_comes() {
    let _turn = turn_to_come().await;
    let platform = Platform::migrated();
    let api = platform.start("api-1", &[Role::Api]);
    let line = Line::to(api.address).await;
    let admin = operator(&platform, &api, "api-1");
    let (author, fan) = (
        Person::register(&line, "author").await,
        Person::register(&line, "fan").await,
    );
    fan.follow(&line, &author).await;
    let mut posts = Vec::new();
    for number in 0..4 {
        posts.push(author.post_id(&line, &format!("post {number}")).await);
    }
    let counts = eventually("all to be stalled", async || {
        let page = admin.list_outbox_events().page().await.ok()?;
        let counts = page.counts.expect("the first page counts");
        (counts.stalled == 5).then_some(counts)
    })
    .await;
    assert_eq!((counts.pending, counts.dead, counts.exact), (5, 0, true));
    assert!(counts.oldest_pending_age_ms >= 2_000, "{counts:?}");

    let events: Vec<v1::OutboxEvent> = admin
        .list_outbox_events()
        .page_size(2)
        .stream()
        .try_collect()
        .await
        .unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "followed",
            "post_created",
            "post_created",
            "post_created",
            "post_created"
        ]
    );
    assert!(events.iter().map(|event| &event.event_id).is_sorted());
    let about: Vec<&String> = events[1..].iter().map(|event| &event.post_id).collect();
    assert_eq!(about, posts.iter().collect::<Vec<_>>());
    for event in &events[1..] {
        assert_eq!((event.mode(), &event.actor_id), (v1::FanoutMode::Push, &author.id));
        assert_eq!((event.delivered, event.attempts, event.stalled), (0, 0, true));
        assert!(event.create_time.is_some() && event.progress_time.is_some());
        assert!(event.trace_id.is_empty() || event.trace_id.len() == 32, "{event:?}");
    }
    let second = admin.list_outbox_events().page_size(2).page().await.unwrap();
    let next = admin
        .list_outbox_events()
        .page_size(2)
        .page_token(second.next_page_token)
        .page();
    assert_eq!(next.await.unwrap().counts, None, "later pages do not count again");

    let worker = platform.start("worker-1", &[Role::Worker]);
    eventually("an empty outbox", async || {
        let page = admin.list_outbox_events().page().await.ok()?;
        page.events.is_empty().then_some(())
    })
    .await;
    drop(worker);
}
