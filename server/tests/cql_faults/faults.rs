//! The faults of a node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::check::conclude;
use crate::load::{AFTER, BEFORE, Load, Working};
use crate::ring::Ring;
use crate::site;
use crate::support::Line;

type Site = site::Site<Ring>;

/// The nodes that suffer.
const KILLED: usize = 1;
const FROZEN: usize = 2;
/// Between two operations of a client: three nodes share the machine, and one takes a while to start.
const PAUSE: Duration = Duration::from_millis(500);
/// Acknowledgements while a node is away.
const MEANWHILE: u64 = 120;
/// How long a node stands still.
const STANDSTILL: Duration = Duration::from_secs(13);
/// A call that takes longer hangs. The store's own bounds are 10 s.
const ENDLESS: Duration = Duration::from_secs(8);
/// Of so many calls one may have to be repeated, since a busy machine lets calls fail by itself; while a node stood still without anybody minding,
/// it was every second one.
const REPEATED_OF: u64 = 8;
/// Looks at which a process may not have been ready, of some hundred.
const UNREADY: u64 = 10;
/// How often the health of a process is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A node dies, is away for a while, and comes back with its data.
pub(crate) async fn node_killed(site: &mut Site) {
    let mut working = Working::begin(&site.crowd, PAUSE);
    working.further(BEFORE).await;
    let watch = Watch::begin(site);
    site.store.server(KILLED).kill();
    working.further(MEANWHILE).await;
    site.store.start(KILLED);
    let back = Instant::now();
    working.further(AFTER).await;
    let load = working.finish().await;
    went_on(site, "CQL node killed, started again", &load, back, watch).await;
}

/// A node takes connections and answers nothing, for a while.
pub(crate) async fn node_frozen(site: &mut Site) {
    let mut working = Working::begin(&site.crowd, PAUSE);
    working.further(BEFORE).await;
    let watch = Watch::begin(site);
    site.store.server(FROZEN).freeze().unwrap();
    let frozen = Instant::now();
    working.further(MEANWHILE).await;
    tokio::time::sleep(STANDSTILL.saturating_sub(frozen.elapsed())).await;
    site.store.server(FROZEN).thaw().unwrap();
    let back = Instant::now();
    working.further(AFTER).await;
    let load = working.finish().await;
    went_on(site, "CQL node frozen for 13 s", &load, back, watch).await;
}

/// Concludes, and asserts that clients noticed nothing but a pause.
async fn went_on(site: &Site, fault: &str, load: &Load, back: Instant, watch: Watch) {
    let unready = watch.end();
    let note = format!("; looks at which a process was not ready {unready}");
    conclude(site, fault, load, back, &note).await;
    let totals = load.totals();
    assert!(
        totals.repeats <= totals.operations / REPEATED_OF,
        "calls failed: {totals:?}"
    );
    assert!(totals.slowest < ENDLESS, "a call hung: {totals:?}");
    assert!(unready <= UNREADY, "processes stayed ready: {unready}");
}

/// Looks at the health of all processes all the time.
struct Watch {
    looking: Vec<JoinHandle<()>>,
    unready: Arc<AtomicU64>,
}

impl Watch {
    fn begin(site: &Site) -> Self {
        let unready = Arc::new(AtomicU64::new(0));
        let processes = [&site.apis, &site.workers];
        let processes = processes.into_iter().flat_map(|crew| [crew.member(0), crew.member(1)]);
        let looking = processes.map(|process| tokio::spawn(look(process.admin_address, Arc::clone(&unready))));
        Self {
            looking: looking.collect(),
            unready,
        }
    }

    /// At how many looks a process was not ready.
    fn end(self) -> u64 {
        self.looking.iter().for_each(JoinHandle::abort);
        self.unready.load(Ordering::Relaxed)
    }
}

async fn look(address: SocketAddr, unready: Arc<AtomicU64>) {
    let Line(channel) = Line::lazily_to(address);
    let mut health = HealthClient::new(channel);
    loop {
        let answer = health.check(HealthCheckRequest::default()).await;
        let is_ready = answer.is_ok_and(|answer| answer.get_ref().status == 1);
        unready.fetch_add(u64::from(!is_ready), Ordering::Relaxed);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
