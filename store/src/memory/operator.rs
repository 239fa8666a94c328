//! The store as operators see it.

use std::ops::Bound;

use async_trait::async_trait;
use social_core::admin::{Cluster, Lease, OutboxCounts, PendingEvent, Process};
use social_core::backend::{Backup, OperatorStore};
use social_core::fanout::{Event, State};
use social_core::{Error, EventId, Reason, Result, Time};

use super::{Memory, Rows};

#[async_trait]
impl OperatorStore for Memory {
    async fn cluster(&self) -> Result<Cluster> {
        let rows = self.rows();
        let process = Process {
            node: 0,
            name: "memory".to_owned(),
            roles: "api,worker".to_owned(),
            started_at: rows.started_at,
            lease: Lease::Alone,
        };
        let oldest = rows.pending(None).map(|pending| pending.event.filed_at).min();
        Ok(Cluster::alone("memory", process, oldest, rows.now()))
    }

    async fn outbox_counts(&self) -> Result<OutboxCounts> {
        let rows = self.rows();
        let now = rows.now();
        let dead = rows.events.values().filter(|event| event.state == State::DeadLettered);
        Ok(OutboxCounts {
            pending: rows.pending(None).count() as u64,
            stalled: rows.pending(None).filter(|pending| pending.is_stalled(now)).count() as u64,
            dead: dead.count() as u64,
            oldest_pending: rows.pending(None).map(|pending| pending.event.filed_at).min(),
            exact: true,
        })
    }

    async fn outbox_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<PendingEvent>> {
        Ok(self.rows().pending(after).take(limit).collect())
    }

    async fn back_up(&self) -> Result<Box<dyn Backup>> {
        let why = "the store is nowhere but in the memory of its process, and ends with it";
        Err(Error::new(Reason::BackupUnsupported, why))
    }
}

impl Rows {
    /// Pending events behind an id, ascending.
    fn pending(&self, after: Option<EventId>) -> impl Iterator<Item = PendingEvent> {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let pending = self.events.range(behind).map(|(_, event)| event);
        pending
            .filter(|event| event.state == State::Pending)
            .map(|event| PendingEvent {
                moved_at: self.moved_at(event),
                event: event.clone(),
            })
    }

    fn moved_at(&self, event: &Event) -> Time {
        self.moved.get(&event.id).copied().unwrap_or(event.filed_at)
    }
}
