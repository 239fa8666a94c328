//! Ids and write timestamps of this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use social_core::id::{IdSource, floor_at};
use social_core::{Clock, Error, Result, Time};

use super::moment::Moment;
use super::nodes::{Lease, Process};

/// Mints ids on a leased node number, and timestamps for writes.
pub(super) struct Ids {
    clock: Clock,
    lease: Arc<Lease>,
    source: Mutex<Source>,
    filing: Duration,
    last_stamp: Mutex<i64>,
}

impl Ids {
    pub(super) fn new(clock: Clock, lease: Arc<Lease>, filing: Duration) -> Self {
        let source = Source {
            ids: IdSource::new(lease.node(), lease.floor()),
            in_flight: BTreeMap::new(),
        };
        Self {
            clock,
            lease,
            source: Mutex::new(source),
            filing,
            last_stamp: Mutex::new(0),
        }
    }

    /// The node number of this process.
    pub(super) fn node(&self) -> u16 {
        self.lease.node()
    }

    /// Node numbers of the workers that are alive, this process included where it is one.
    pub(super) async fn live_workers(&self) -> Result<Vec<u16>> {
        self.lease.live_workers().await
    }

    /// Every process in the register.
    pub(super) async fn processes(&self) -> Result<Vec<Process>> {
        self.lease.processes().await
    }

    /// Now, by the clock that leases are compared by.
    pub(super) fn wall_time(&self) -> Time {
        self.lease.wall_time()
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The next id. STORE_UNAVAILABLE where the lease of the node number has run out: another process may hold it by now.
    pub(super) async fn mint(&self) -> Result<u64> {
        self.lease.check()?;
        let id = self.source.lock().ids.mint(self.clock.now());
        self.reserve(id).await?;
        Ok(id)
    }

    /// Mints above `floor` from now on.
    pub(super) fn raise(&self, floor: u64) {
        self.source.lock().ids.raise(floor);
    }

    /// The id of an event that is to be filed now. Until [`filed`](Self::filed), or the time that filing may take, the horizon stays below it.
    pub(super) async fn mint_event(&self) -> Result<u64> {
        self.lease.check()?;
        let id = {
            let mut source = self.source.lock();
            source.give_up_late(self.filing);
            let id = source.ids.mint(self.clock.now());
            source.in_flight.insert(id, Moment::now());
            id
        };
        self.reserve(id).await?;
        Ok(id)
    }

    /// The event is filed, or never will be.
    pub(super) fn filed(&self, event: u64) {
        self.source.lock().in_flight.remove(&event);
    }

    /// Whoever leases the number next mints above what is reserved.
    async fn reserve(&self, id: u64) -> Result<()> {
        if id < self.lease.reserved() {
            return Ok(());
        }
        self.lease.reserve(id).await
    }

    /// Gives the node number back at the end of the process.
    pub(super) async fn release(&self) -> Result<()> {
        self.lease.release(|| self.source.lock().ids.last()).await
    }

    /// Refuses an acknowledgement when the lease ran out while the write was under way.
    pub(super) fn check_lease(&self) -> Result<()> {
        self.lease.check()
    }

    /// A write timestamp: Unix microseconds, larger than every one that this process gave before.
    pub(super) fn stamp(&self) -> i64 {
        self.stamp_after(0)
    }

    /// A write timestamp that is also larger than that of the row which it replaces.
    pub(super) fn stamp_after(&self, before: i64) -> i64 {
        let now = self.clock.now().unix_ms() as i64 * 1_000;
        let mut last = self.last_stamp.lock();
        *last = now.max(*last + 1);
        // A row from a faster clock moves its own successor alone.
        (*last).max(before + 1)
    }

    /// An id above all that are filed, and not above any that is filed from now on, by any process: an id is filed
    /// at most `slack` after it was minted, clocks' differences included. Without slack this process is the only one.
    pub(super) fn horizon(&self, slack: Duration) -> u64 {
        if slack.is_zero() {
            return self.source.lock().first_to_come(self.filing);
        }
        let now = self.clock.now().unix_ms().saturating_sub(slack.as_millis() as u64);
        floor_at(Time::from_unix_ms(now))
    }
}

/// The ids of a process.
struct Source {
    ids: IdSource,
    /// Ids of events that are being filed, and since when.
    in_flight: BTreeMap<u64, Moment>,
}

impl Source {
    /// Forgets events that took too long to be filed. Ids rise, so the oldest come first.
    fn give_up_late(&mut self, filing: Duration) {
        while let Some(oldest) = self.in_flight.first_entry()
            && oldest.get().elapsed() >= filing
        {
            oldest.remove();
        }
    }

    fn first_to_come(&mut self, filing: Duration) -> u64 {
        self.give_up_late(filing);
        self.in_flight.keys().next().copied().unwrap_or(self.ids.last() + 1)
    }
}

/// The refusal of a process whose lease ran out.
pub(super) fn lease_lost() -> Error {
    Error::unavailable()
}
