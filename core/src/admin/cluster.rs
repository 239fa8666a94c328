//! The processes of the platform, and who takes up which part of the event log.

use std::time::Duration;

use crate::backend::Backend;
use crate::clock::Time;
use crate::error::Result;

/// The processes that share a store, as the one that was asked knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Which backend it is: `memory`, `embedded`, `cluster`.
    pub backend: &'static str,
    /// Node number of the process that was asked.
    pub answered_by: u16,
    /// The processes, ascending by node number.
    pub processes: Vec<Process>,
    /// Every shard of the event log, ascending by number.
    pub shards: Vec<Shard>,
}

/// A process of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its node number, which no other live process has.
    pub node: u16,
    /// What operators know it by.
    pub name: String,
    /// What it does, as in `api,worker`.
    pub roles: String,
    /// When it started.
    pub started_at: Time,
    /// Whether and for how long others count on it.
    pub lease: Lease,
}

/// How long a process is taken to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// The store has one process, which lives as long as it answers.
    Alone,
    /// It lives, and holds its node number for so long unless it renews that.
    Held(Duration),
    /// It holds it, too, and does nothing until its clock agrees with the store's.
    Paused(Duration),
    /// It ran out so long ago, and was not given back: the process was killed, is frozen, or cannot reach the store.
    RanOut(Duration),
}

/// A part of the event log. Stalled events of it are taken up by the process that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 0.
    pub number: u16,
    /// The node number of the process that holds it; none where no worker lives.
    pub holder: Option<u16>,
    /// What happened before this has ended, dead letters aside; none where that was never looked at.
    pub settled: Option<Time>,
    /// How long ago that is, zero where all that happened has ended; of a shard that was never looked at, zero too.
    pub lag: Duration,
}

impl Cluster {
    /// The shards that a process holds, ascending by number.
    pub fn shards_of(&self, node: u16) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |shard| shard.holder == Some(node))
    }

    /// What a process alone answers: it does everything, and holds the one shard that there is.
    pub fn alone(backend: &'static str, process: Process, oldest_pending: Option<Time>, now: Time) -> Self {
        let shard = Shard {
            number: 0,
            holder: Some(process.node),
            settled: Some(oldest_pending.unwrap_or(now)),
            lag: oldest_pending.map_or(Duration::ZERO, |filed_at| now.since(filed_at)),
        };
        Self {
            backend,
            answered_by: process.node,
            processes: vec![process],
            shards: vec![shard],
        }
    }
}

/// The processes of the platform now.
pub async fn cluster(backend: &Backend) -> Result<Cluster> {
    backend.store.cluster().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Process {
        Process {
            node: 3,
            name: "only".to_owned(),
            roles: "api,worker".to_owned(),
            started_at: Time::from_unix_ms(1_000),
            lease: Lease::Alone,
        }
    }

    #[test]
    fn a_process_alone_holds_everything_and_lags_as_its_oldest_event() {
        let now = Time::from_unix_ms(9_000);
        let quiet = Cluster::alone("memory", process(), None, now);
        let shards: Vec<_> = quiet.shards_of(3).collect();
        assert_eq!((shards.len(), shards[0].lag), (1, Duration::ZERO));
        assert_eq!(quiet.shards_of(4).count(), 0);
        let busy = Cluster::alone("memory", process(), Some(Time::from_unix_ms(2_000)), now);
        assert_eq!(busy.shards[0].lag, Duration::from_secs(7));
        assert_eq!(busy.answered_by, 3);
    }
}
