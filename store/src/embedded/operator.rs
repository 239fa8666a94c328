//! The store as operators see it: one process, which holds everything.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::admin::{Cluster, Lease, OutboxCounts, PendingEvent, Process};
use social_core::backend::{Backup, OperatorStore};
use social_core::error::Reason;
use social_core::fanout::State;
use social_core::{Error, EventId, Result, Time};

use super::backup::Copying;
use super::truth::Truth;
use super::writer::NODE;

/// What the process is to others.
#[derive(Debug, Clone)]
pub(super) struct Own {
    /// What operators know it by.
    pub(super) name: String,
    /// When it opened the store.
    pub(super) started_at: Time,
}

#[async_trait]
impl OperatorStore for Truth {
    async fn cluster(&self) -> Result<Cluster> {
        let process = Process {
            node: NODE,
            name: self.own.name.clone(),
            roles: "api,worker".to_owned(),
            started_at: self.own.started_at,
            lease: Lease::Alone,
        };
        let oldest = self.oldest_pending()?;
        Ok(Cluster::alone("embedded", process, oldest, self.clock.now()))
    }

    async fn outbox_counts(&self) -> Result<OutboxCounts> {
        let (pending, _, dead) = self.caches.events().backlog();
        let (stalled, exact) = self.caches.events().stalled(self.clock.now());
        Ok(OutboxCounts {
            pending,
            stalled,
            dead,
            oldest_pending: self.oldest_pending()?,
            exact,
        })
    }

    async fn outbox_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<PendingEvent>> {
        let mut found = Vec::new();
        let mut after = after;
        while found.len() < limit {
            let waiting = self.caches.events().waiting(after, limit - found.len());
            let Some((last, _)) = waiting.last() else { break };
            after = Some(*last);
            for (id, moved_at) in waiting {
                let event = self.readable_event(id)?;
                let pending = event.filter(|event| event.state == State::Pending);
                found.extend(pending.map(|event| PendingEvent { event, moved_at }));
            }
        }
        Ok(found)
    }

    async fn back_up(&self) -> Result<Box<dyn Backup>> {
        let place = Arc::clone(&self.backups).try_acquire_owned();
        let place = place.map_err(|_| Error::new(Reason::Overloaded, "another backup is under way"))?;
        // Before the snapshot: what was acknowledged by then is in it.
        let taken_at = self.clock.now();
        let copy = Copying::begin(self.db.snapshot(), Arc::clone(&self.tables), taken_at, place);
        Ok(Box::new(copy))
    }
}

impl Truth {
    /// When the oldest pending event was filed.
    pub(super) fn oldest_pending(&self) -> Result<Option<Time>> {
        let (_, oldest, _) = self.caches.events().backlog();
        let oldest = oldest.map(|id| self.readable_event(id)).transpose()?.flatten();
        Ok(oldest.map(|event| event.filed_at))
    }
}
