use std::collections::HashSet;
use std::time::Instant;

use fred::clients::Client;
use fred::interfaces::PubsubInterface;
use fred::types::Value;
use futures::future::join_all;
use social_core::backend::Wake;
use tokio::time::{sleep, timeout};

use super::super::tests::{ClusterOfTwo, Server, soon};
use super::*;

const SOON: Duration = Duration::from_secs(10);
const A_MOMENT: Duration = Duration::from_millis(200);
const HOME: Channel = Channel::Home(UserId(1));

/// Takes over soon, so that tests need not wait for long.
const QUICK: Pace = Pace {
    every: Duration::from_millis(300),
    left: Duration::from_millis(1_200),
};

async fn process(redis: Redis, name: &str) -> Arc<RedisSignals> {
    Arc::new(RedisSignals::paced(&redis, name, QUICK).await)
}

async fn two(server: &Server) -> [Arc<RedisSignals>; 2] {
    [
        process(server.open().await, "one").await,
        process(server.open().await, "two").await,
    ]
}

async fn work(signals: &RedisSignals) -> EventId {
    timeout(SOON, signals.next_work()).await.expect("work comes soon")
}

/// Whatever comes until nothing comes for a moment.
async fn all_work(signals: &RedisSignals) -> Vec<EventId> {
    let mut events = Vec::new();
    while let Ok(event) = timeout(A_MOMENT, signals.next_work()).await {
        signals.done(event);
        events.push(event);
    }
    events
}

fn listener(signals: &RedisSignals, channels: &[Channel]) -> Box<dyn Listener> {
    let mut listener = signals.listen();
    for channel in channels {
        listener.watch(*channel);
    }
    listener
}

async fn next(listener: &mut Box<dyn Listener>) -> Wake {
    timeout(SOON, listener.next()).await.expect("a wake comes soon")
}

async fn is_quiet(listener: &mut Box<dyn Listener>) -> bool {
    timeout(A_MOMENT, listener.next()).await.is_err()
}

/// Wakes until the wake arrives, as subscriptions take a moment; how long that took.
async fn crosses(from: &RedisSignals, to: &mut Box<dyn Listener>, channel: Channel) -> Duration {
    let started = Instant::now();
    let mut number = 0;
    loop {
        assert!(started.elapsed() < SOON, "wakes cross");
        number += 1;
        from.wake(channel, WakeKind::Arrived(PostId(number)));
        while let Ok(wake) = timeout(Duration::from_millis(20), to.next()).await {
            if matches!(wake.kind, WakeKind::Arrived(_)) {
                let took = started.elapsed();
                while timeout(A_MOMENT, to.next()).await.is_ok() {}
                return took;
            }
        }
    }
}

async fn entries(signals: &RedisSignals, client: &Client) -> u64 {
    let mut entries = 0;
    for stream in signals.streams.all() {
        entries += client.xlen::<u64, _>(signals.streams.key(stream)).await.unwrap();
    }
    entries
}

async fn each_event_goes_to_one([one, two]: [Arc<RedisSignals>; 2]) {
    let (sent, mut handed) = tokio::sync::mpsc::unbounded_channel();
    for signals in [&one, &two] {
        for _ in 0..4 {
            let (signals, sent) = (Arc::clone(signals), sent.clone());
            tokio::spawn(async move {
                loop {
                    let event = signals.next_work().await;
                    sleep(Duration::from_micros(200)).await;
                    signals.done(event);
                    sent.send((event, Arc::as_ptr(&signals) as usize)).unwrap();
                }
            });
        }
    }
    let started = Instant::now();
    for event in 0..5_000 {
        [&one, &two][event as usize % 2].offer(EventId(event << 20));
    }
    let (mut seen, mut workers, mut repeated) = (HashSet::new(), HashSet::new(), 0);
    while seen.len() < 5_000 {
        let (event, worker) = timeout(SOON, handed.recv()).await.expect("each event comes").unwrap();
        repeated += usize::from(!seen.insert(event));
        workers.insert(worker);
    }
    println!("5,000 events in {:?}", started.elapsed());
    assert_eq!(workers.len(), 2, "both work");
    while timeout(A_MOMENT, handed.recv()).await.is_ok() {
        repeated += 1;
    }
    // A machine that is slow for half a second is a Redis that is away, and its offers are handed out twice.
    assert!(repeated <= BATCH, "{repeated} more than once");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_goes_to_one_process() {
    let server = Server::own(&[]);
    let one = Arc::new(RedisSignals::new(&server.open().await, "one").await);
    let two = Arc::new(RedisSignals::new(&server.open().await, "two").await);
    each_event_goes_to_one([Arc::clone(&one), two]).await;
    let client = server.client().await;
    soon("finished entries are gone", async || entries(&one, &client).await == 0).await;
    assert_eq!(one.dropped(), 0);
}

#[tokio::test]
async fn an_offer_waits_for_the_first_worker() {
    let server = Server::own(&[]);
    let [api, worker] = two(&server).await;
    for event in 1..=3 {
        api.offer(EventId(event));
    }
    api.offers.drained().await;
    for event in 1..=3 {
        assert_eq!(work(&worker).await, EventId(event));
    }
}

#[tokio::test]
async fn a_hint_is_quick() {
    let server = Server::own(&[]);
    let [api, worker] = two(&server).await;
    api.offer(EventId(0));
    work(&worker).await;
    let mut times = Vec::new();
    for event in 1..=100 {
        let started = Instant::now();
        api.offer(EventId(event));
        assert_eq!(work(&worker).await, EventId(event));
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!("offer to work: median {:?}, p99 {:?}", times[50], times[98]);
    assert!(times[50] < Duration::from_millis(50));
}

#[tokio::test]
async fn what_a_dead_process_held_is_taken_over() {
    let server = Server::own(&[]);
    let [dying, living] = two(&server).await;
    for event in 1..=5 {
        dying.offer(EventId(event));
        assert_eq!(work(&dying).await, EventId(event));
    }
    dying.done(EventId(1));
    dying.finished.drained().await;
    dying.redis.close();
    let started = Instant::now();
    let mut events: Vec<_> = join_all((0..4).map(|_| work(&living))).await;
    println!(
        "taken over after {:?}, where {:?} count as left",
        started.elapsed(),
        QUICK.left
    );
    events.sort_unstable();
    assert_eq!(events, [2, 3, 4, 5].map(EventId));
    events.into_iter().for_each(|event| living.done(event));
    let client = server.client().await;
    soon("finished entries are gone", async || {
        entries(&living, &client).await == 0
    })
    .await;
}

#[tokio::test]
async fn what_is_worked_on_for_long_stays_with_its_process() {
    let server = Server::own(&[]);
    let [slow, other] = two(&server).await;
    slow.offer(EventId(1));
    assert_eq!(work(&slow).await, EventId(1));
    assert!(
        timeout(QUICK.left * 3, other.next_work()).await.is_err(),
        "nobody takes it"
    );
    slow.redis.close();
    assert_eq!(work(&other).await, EventId(1), "once it is gone");
}

#[tokio::test]
async fn what_is_unfinished_at_the_end_is_handed_to_another_at_once() {
    let server = Server::own(&[]);
    // Usual processes: what is left behind would be taken over much later.
    let leaving = RedisSignals::new(&server.open().await, "one").await;
    for event in 1..=20 {
        leaving.offer(EventId(event));
    }
    // Some are finished, some a worker has, and the others wait for one.
    for _ in 0..5 {
        let event = work(&leaving).await;
        leaving.done(event);
    }
    work(&leaving).await;
    soon("all are handed out", async || leaving.handout.held.len() == 15).await;
    let staying = RedisSignals::new(&server.open().await, "two").await;
    let started = Instant::now();
    let of_the_sweep = [EventId(99)];
    let (mut events, ()) = tokio::join!(
        async {
            let mut events = HashSet::new();
            while events.len() < 16 {
                let event = work(&staying).await;
                staying.done(event);
                assert!(events.insert(event), "{event} twice");
            }
            events
        },
        leaving.leave(&of_the_sweep),
    );
    println!("given back and taken after {:?}", started.elapsed());
    assert!(started.elapsed() < Pace::default().every, "{:?}", started.elapsed());
    assert!(events.remove(&of_the_sweep[0]));
    assert!(events.iter().all(|event| (1..=20).contains(&event.0)), "{events:?}");
    let client = server.client().await;
    soon("nothing is left of them", async || {
        entries(&staying, &client).await == 0
    })
    .await;
    assert!(
        timeout(A_MOMENT, leaving.next_work()).await.is_err(),
        "it takes no more work"
    );
}

#[tokio::test]
async fn leaving_does_not_wait_for_a_redis_that_is_away() {
    let server = Server::own(&[]);
    let leaving = process(server.open().await, "one").await;
    leaving.offer(EventId(1));
    work(&leaving).await;
    server.kill();
    let started = Instant::now();
    leaving.leave(&[EventId(1)]).await;
    assert!(started.elapsed() < LEAVING * 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_process_that_starts_again_goes_on() {
    let server = Server::own(&[]);
    // Sooner than anything would be taken over.
    let first = RedisSignals::new(&server.open().await, "one").await;
    for event in 1..=200 {
        first.offer(EventId(event));
    }
    let mut taken = HashSet::new();
    while taken.len() < 50 {
        taken.insert(work(&first).await);
    }
    first.redis.close();
    let again = RedisSignals::new(&server.open().await, "one").await;
    let mut events = HashSet::new();
    while events.len() < 200 {
        assert!(events.insert(work(&again).await), "each once");
    }
}

#[tokio::test]
async fn an_event_offered_twice_is_handed_out_once_at_a_time() {
    let server = Server::own(&[]);
    let [api, worker] = two(&server).await;
    api.offer(EventId(1));
    api.offer(EventId(1));
    assert_eq!(work(&worker).await, EventId(1));
    assert!(timeout(A_MOMENT, worker.next_work()).await.is_err());
    worker.done(EventId(1));
    let client = server.client().await;
    soon("both entries are gone", async || entries(&worker, &client).await == 0).await;
    api.offer(EventId(1));
    assert_eq!(work(&worker).await, EventId(1));
}

#[tokio::test]
async fn trimmed_entries_are_noticed_and_ended() {
    let server = Server::own(&[]);
    let [dying, living] = two(&server).await;
    for event in 1..=3 {
        dying.offer(EventId(event));
        work(&dying).await;
    }
    dying.redis.close();
    let client = server.client().await;
    for stream in dying.streams.all() {
        client
            .xtrim::<i64, _, _>(dying.streams.key(stream), ("MAXLEN", 0))
            .await
            .unwrap();
    }
    timeout(A_MOMENT, living.next_work()).await.unwrap_err();
    timeout(SOON, living.lost()).await.expect("the loss is noticed");
    soon("nothing is pending", async || {
        for stream in living.streams.all() {
            let key = living.streams.key(stream);
            let pending: Vec<Value> = client.xpending(key, GROUP, ()).await.unwrap();
            if pending[0].as_u64() != Some(0) {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test]
async fn wakes_cross_processes() {
    let server = Server::own(&[]);
    let [one, two] = two(&server).await;
    let (mut here, mut there) = (listener(&one, &[HOME]), listener(&two, &[HOME]));
    sleep(A_MOMENT).await;
    one.wake(HOME, WakeKind::GraphChanged);
    for listener in [&mut here, &mut there] {
        assert_eq!(next(listener).await.kind, WakeKind::GraphChanged);
        assert!(is_quiet(listener).await, "once");
    }
    let crowd: Vec<_> = (1..1_000).map(UserId).collect();
    let mut times = Vec::new();
    for number in 0..100 {
        let started = Instant::now();
        one.wake_homes(&crowd, PostId(number));
        assert_eq!(next(&mut there).await.kind, WakeKind::Arrived(PostId(number)));
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!(
        "a chunk of 999 homes to another process: median {:?}, p99 {:?}",
        times[50], times[98]
    );
    drop(there);
    sleep(Duration::from_secs(6)).await;
    let client = server.client().await;
    let channels: Vec<String> = client.pubsub_channels("*").await.unwrap();
    assert_eq!(channels.len(), 1, "only where someone listens");
    let mut there = listener(&two, &[HOME]);
    crosses(&one, &mut there, HOME).await;
}

#[tokio::test]
async fn a_flush_is_healed() {
    let server = Server::own(&[]);
    let [api, worker] = two(&server).await;
    let mut listening = listener(&worker, &[HOME]);
    api.offer(EventId(1));
    assert_eq!(work(&worker).await, EventId(1));
    timeout(SOON, worker.lost()).await.unwrap();
    for round in 0..3 {
        server.flush().await;
        let started = Instant::now();
        timeout(SOON, worker.lost()).await.expect("the loss is noticed");
        println!("a flush is noticed after {:?}", started.elapsed());
        api.offer(EventId(10 + round));
        assert_eq!(work(&worker).await, EventId(10 + round));
    }
    crosses(&api, &mut listening, HOME).await;
}

/// Offers reach a worker of the same process while Redis is away, and wakes its listeners.
async fn goes_on_alone(both: &RedisSignals) {
    let mut listening = listener(both, &[HOME]);
    for event in 100..110 {
        both.offer(EventId(event));
    }
    let events: HashSet<_> = all_work(both).await.into_iter().collect();
    assert!((100..110).all(|event| events.contains(&EventId(event))), "{events:?}");
    both.wake(HOME, WakeKind::GraphChanged);
    assert_eq!(next(&mut listening).await.kind, WakeKind::GraphChanged);
}

/// An offer of one reaches either. What was on its way as Redis went may come again before it.
async fn is_shared(one: &RedisSignals, two: &RedisSignals) {
    one.offer(EventId(2));
    loop {
        let event = tokio::select! {
            event = work(one) => event,
            event = work(two) => event,
        };
        if event == EventId(2) {
            return;
        }
    }
}

async fn has_missed(listener: &mut Box<dyn Listener>) {
    while next(listener).await.kind != WakeKind::Missed {}
}

#[tokio::test]
async fn a_killed_redis_is_done_without() {
    let server = Server::own(&[]);
    let [one, two] = two(&server).await;
    let mut listening = listener(&two, &[HOME]);
    one.offer(EventId(1));
    all_work(&one).await;
    all_work(&two).await;
    server.kill();
    for signals in [&one, &two] {
        goes_on_late(signals).await;
    }
    sleep(Duration::from_secs(1)).await;
    assert!(server.start());
    let started = Instant::now();
    has_missed(&mut listening).await;
    println!("restarted: listeners told after {:?}", started.elapsed());
    crosses(&one, &mut listening, HOME).await;
    soon("both are back", async || one.is_up() && two.is_up()).await;
    is_shared(&one, &two).await;
}

#[tokio::test]
async fn a_frozen_redis_is_done_without() {
    let server = Server::own(&[]);
    let [one, two] = two(&server).await;
    let mut listening = listener(&two, &[HOME]);
    one.offer(EventId(1));
    all_work(&one).await;
    all_work(&two).await;
    server.freeze();
    for _ in 0..2 {
        for signals in [&one, &two] {
            goes_on_late(signals).await;
        }
    }
    sleep(Duration::from_secs(5)).await;
    server.thaw();
    let started = Instant::now();
    has_missed(&mut listening).await;
    println!("thawed: listeners told after {:?}", started.elapsed());
    println!(
        "and wakes cross after {:?} more",
        crosses(&one, &mut listening, HOME).await
    );
    soon("both are back", async || one.is_up() && two.is_up()).await;
    is_shared(&one, &two).await;
}

/// The first offer takes as long as it takes to find Redis frozen.
async fn goes_on_late(both: &RedisSignals) {
    both.offer(EventId(99));
    while work(both).await != EventId(99) {}
    both.done(EventId(99));
    goes_on_alone(both).await;
}

#[tokio::test]
async fn draining_sends_what_waits() {
    let server = Server::own(&[]);
    let [leaving, staying] = two(&server).await;
    for event in 0..1_000 {
        leaving.offer(EventId(event));
    }
    leaving.drain(SOON).await;
    leaving.redis.close();
    let mut events = HashSet::new();
    while events.len() < 1_000 {
        let event = work(&staying).await;
        staying.done(event);
        assert!(events.insert(event), "each once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_work_on_redis_cluster() {
    let cluster = ClusterOfTwo::own().await;
    let one = Arc::new(RedisSignals::new(&cluster.open().await, "one").await);
    let two = Arc::new(RedisSignals::new(&cluster.open().await, "two").await);
    let users: Vec<_> = (0..40).map(UserId).collect();
    let channels: Vec<_> = users.iter().copied().map(Channel::Home).collect();
    let mut there = listener(&two, &channels);
    crosses(&one, &mut there, channels[7]).await;
    one.wake_homes(&users, PostId(9));
    let mut woken = HashSet::new();
    while woken.len() < users.len() {
        assert!(woken.insert(next(&mut there).await.channel));
    }
    each_event_goes_to_one([one, two]).await;
}
