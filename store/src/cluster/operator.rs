//! The cluster as operators see it: its processes, and what waits in the event log.

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use social_core::admin::{Cluster, Lease, OutboxCounts, PendingEvent, Process, Shard};
use social_core::backend::{Backup, OperatorStore};
use social_core::fanout::State;
use social_core::id::minted_at;
use social_core::{Error, EventId, Reason, Result, Time, limits};

use super::nodes::{self, live_workers};
use super::outbox::Watermark;
use super::sweep::holders;
use super::truth::Truth;

/// Events that are looked up at once.
const AT_ONCE: usize = 32;

#[async_trait]
impl OperatorStore for Truth {
    async fn cluster(&self) -> Result<Cluster> {
        let registered = self.ids.processes().await?;
        let wall = self.ids.wall_time();
        let holders = holders(&live_workers(&registered, wall));
        let watermarks = self.outbox.watermarks(&self.db).await?;
        let now = self.now();
        let shards = holders.iter().zip(&watermarks).zip(0..);
        let mut processes: Vec<Process> = registered.into_iter().filter_map(|known| shown(known, wall)).collect();
        processes.sort_unstable_by_key(|process| process.node);
        Ok(Cluster {
            backend: "cluster",
            answered_by: self.ids.node(),
            processes,
            shards: shards
                .map(|((holder, watermark), number)| shard(number, *holder, *watermark, now))
                .collect(),
        })
    }

    async fn outbox_counts(&self) -> Result<OutboxCounts> {
        let open = self.open_ids().await?;
        let exact = open.len() <= limits::OUTBOX_COUNTED;
        let now = self.now();
        let mut counts = OutboxCounts {
            pending: 0,
            stalled: 0,
            dead: self.dead_letter_count().await?,
            oldest_pending: None,
            exact,
        };
        let counted = open.into_iter().take(limits::OUTBOX_COUNTED);
        let mut looked_up = stream::iter(counted)
            .map(|id| self.waiting(id))
            .buffer_unordered(AT_ONCE);
        while let Some(found) = looked_up.next().await {
            if let Some(pending) = found? {
                counts.pending += 1;
                counts.stalled += u64::from(pending.is_stalled(now));
                let filed_at = pending.event.filed_at;
                counts.oldest_pending = Some(counts.oldest_pending.map_or(filed_at, |oldest| oldest.min(filed_at)));
            }
        }
        Ok(counts)
    }

    async fn outbox_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<PendingEvent>> {
        let after = after.map_or(0, |after| after.0);
        let mut open = self.open_ids().await?;
        open.retain(|id| *id > after);
        let mut events = Vec::new();
        let mut looked_up = stream::iter(open).map(|id| self.waiting(id)).buffered(AT_ONCE);
        while events.len() < limit
            && let Some(found) = looked_up.next().await
        {
            events.extend(found?);
        }
        Ok(events)
    }

    async fn back_up(&self) -> Result<Box<dyn Backup>> {
        let why = "this server is one of a cluster, whose rows are in its CQL store: back that up by its own snapshots";
        Err(Error::new(Reason::BackupUnsupported, why))
    }
}

impl Truth {
    /// An event, where it is pending. Its rows may not be written yet: that is left to the sweep. One that a newer program filed is left out.
    async fn waiting(&self, id: u64) -> Result<Option<PendingEvent>> {
        let Some(filed) = self.outbox.find_readable(&self.db, id).await? else {
            return Ok(None);
        };
        let event = filed.event().filter(|event| event.state == State::Pending);
        let moved_at = filed.moved_at;
        Ok(event.map(|event| PendingEvent { event, moved_at }))
    }
}

/// A process of the register, where operators are shown it: not one that ended in order, nor one that vanished long ago.
fn shown(known: nodes::Process, now: Time) -> Option<Process> {
    let lease = match known.expires_at.since(now) {
        Duration::ZERO if known.expires_at == Time::default() => return None,
        Duration::ZERO => Lease::RanOut(now.since(known.expires_at)),
        left if known.roles == nodes::PAUSED => Lease::Paused(left),
        left => Lease::Held(left),
    };
    let is_shown = !matches!(lease, Lease::RanOut(ago) if ago > limits::PROCESS_SHOWN);
    is_shown.then_some(Process {
        node: known.node,
        name: known.name,
        roles: known.roles,
        started_at: known.started_at,
        lease,
    })
}

fn shard(number: u16, holder: Option<u16>, watermark: Watermark, now: Time) -> Shard {
    let settled = (watermark.settled > 0).then(|| minted_at(watermark.settled));
    Shard {
        number,
        holder,
        settled,
        lag: settled.map_or(Duration::ZERO, |settled| now.since(settled)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_unix_ms(1_800_000_000_000);

    fn process(expires_at: Time) -> nodes::Process {
        nodes::Process {
            node: 7,
            name: "worker-1".to_owned(),
            roles: "worker".to_owned(),
            started_at: Time::from_unix_ms(1_799_999_000_000),
            expires_at,
        }
    }

    #[test]
    fn a_process_is_shown_while_it_lives_and_for_a_while_after_it_vanished() {
        let lease = |expires_at| shown(process(expires_at), NOW).map(|process| process.lease);
        let seconds = Duration::from_secs;
        assert_eq!(lease(NOW.plus(seconds(4))), Some(Lease::Held(seconds(4))));
        let paused = nodes::Process {
            roles: nodes::PAUSED.to_owned(),
            ..process(NOW.plus(seconds(4)))
        };
        assert_eq!(
            shown(paused, NOW).map(|process| process.lease),
            Some(Lease::Paused(seconds(4)))
        );
        let ago = |time: Duration| Time::from_unix_ms(NOW.unix_ms() - time.as_millis() as u64);
        assert_eq!(lease(ago(seconds(9))), Some(Lease::RanOut(seconds(9))));
        assert_eq!(lease(NOW), Some(Lease::RanOut(Duration::ZERO)));
        assert_eq!(lease(ago(limits::PROCESS_SHOWN + seconds(1))), None, "long gone");
        assert_eq!(lease(Time::default()), None, "it gave its number back");
    }

    #[test]
    fn a_shard_lags_from_its_watermark_on() {
        let settled = social_core::id::floor_at(Time::from_unix_ms(NOW.unix_ms() - 6_000));
        let swept = shard(3, Some(7), Watermark { settled, applied: 0 }, NOW);
        assert_eq!((swept.number, swept.holder), (3, Some(7)));
        assert_eq!(swept.lag, Duration::from_secs(6));
        let never = shard(0, None, Watermark::default(), NOW);
        assert_eq!((never.settled, never.lag), (None, Duration::ZERO));
    }
}
