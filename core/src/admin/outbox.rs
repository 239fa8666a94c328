//! What waits in the event log.

use crate::backend::Backend;
use crate::clock::Time;
use crate::cursor::{Binding, Listed, PageRequest};
use crate::error::Result;
use crate::fanout::Event;
use crate::id::EventId;
use crate::limits;
use crate::page::next_after;
use crate::request::Viewer;

/// How many events have not ended, by where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxCounts {
    /// To be worked on, or at work.
    pub pending: u64,
    /// Those of them that nobody brought further for [`limits::EVENT_STALE`].
    pub stalled: u64,
    /// Given up: dead letters.
    pub dead: u64,
    /// When the oldest pending one was filed.
    pub oldest_pending: Option<Time>,
    /// False where there were too many to look at each: then `pending` and `stalled` are at least so many.
    pub exact: bool,
}

/// An event that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEvent {
    /// The event.
    pub event: Event,
    /// When it was brought further last, or failed, or was filed, as far as the store knows.
    pub moved_at: Time,
}

impl PendingEvent {
    /// Whether nobody has brought it further for [`limits::EVENT_STALE`].
    pub fn is_stalled(&self, now: Time) -> bool {
        is_stalled(self.moved_at, now)
    }
}

/// Whether an event that was brought further at a moment and not since stands still.
pub fn is_stalled(moved_at: Time, now: Time) -> bool {
    now.since(moved_at) >= limits::EVENT_STALE
}

/// A page of what waits in the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPage {
    /// Pending events, oldest first.
    pub listed: Listed<PendingEvent>,
    /// How many there are; on the first page alone.
    pub counts: Option<OutboxCounts>,
    /// When this was so.
    pub now: Time,
}

/// Pending events, oldest first, and how many events have not ended.
pub async fn list_outbox(backend: &Backend, page: PageRequest<'_>) -> Result<OutboxPage> {
    let binding = Binding::new("outbox", Viewer::Anonymous, &[]);
    let (size, after) = (page.size()?, page.after(&binding)?);
    let counts = match after {
        None => Some(backend.store.outbox_counts().await?),
        Some(_) => None,
    };
    let events = backend.store.outbox_events(after.map(EventId), size).await?;
    let next = next_after(&events, size, |pending| pending.event.id.0);
    Ok(OutboxPage {
        listed: Listed::new(events, next, &binding),
        counts,
        now: backend.clock.now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_stalled_from_the_moment_that_the_sweep_goes_by() {
        let moved_at = Time::from_unix_ms(10_000);
        let stale = moved_at.plus(limits::EVENT_STALE);
        assert!(is_stalled(moved_at, stale));
        assert!(!is_stalled(moved_at, Time::from_unix_ms(stale.unix_ms() - 1)));
        assert!(!is_stalled(moved_at, Time::from_unix_ms(1)), "a clock stepped back");
    }
}
