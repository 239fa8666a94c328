//! Which events are to be worked on, and how far everything has come.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use parking_lot::Mutex;
use social_core::admin::is_stalled;
use social_core::backend::Horizon;
use social_core::fanout::State;
use social_core::{EventId, PostId, Time, limits};

use super::effects::Effect;

/// Pending and dead events, and the last committed id: one lock, so that a horizon is of one moment.
pub(super) struct Events {
    now: Mutex<Now>,
}

struct Now {
    /// Each with the time since which it stands where it does, or that of the start.
    pending: BTreeMap<EventId, Time>,
    dead: BTreeSet<EventId>,
    last_id: u64,
    imports: u64,
}

impl Events {
    /// What is stored, at the start.
    pub(super) fn new(
        pending: BTreeSet<EventId>,
        dead: BTreeSet<EventId>,
        last_id: u64,
        imports: u64,
        start: Time,
    ) -> Self {
        Self {
            now: Mutex::new(Now {
                pending: pending.into_iter().map(|id| (id, start)).collect(),
                dead,
                last_id,
                imports,
            }),
        }
    }

    /// Applies a committed group.
    pub(super) fn apply(&self, effects: &[Effect], last_id: u64) {
        let mut now = self.now.lock();
        for effect in effects {
            match *effect {
                Effect::Event(id, state, at) => now.set(id, state, at),
                Effect::Imports(imports) => now.imports = imports,
                _ => {}
            }
        }
        now.last_id = last_id;
    }

    /// The horizon now. What is below the smallest event at work is done, and what is not minted yet is above it.
    pub(super) fn horizon(&self) -> Horizon {
        let now = self.now.lock();
        let next = EventId(now.last_id + 1);
        let settled = now
            .pending
            .keys()
            .next()
            .into_iter()
            .chain(now.dead.first())
            .min()
            .copied()
            .unwrap_or(next);
        Horizon {
            settled: settled.min(next),
            visible: PostId(now.last_id),
            imports: now.imports,
        }
    }

    /// Pending events behind `after`, ascending.
    pub(super) fn pending(&self, after: Option<EventId>, limit: usize) -> Vec<EventId> {
        let waiting = self.waiting(after, limit);
        waiting.into_iter().map(|(id, _)| id).collect()
    }

    /// Pending events behind `after`, ascending, each with the time since which it stands where it does.
    pub(super) fn waiting(&self, after: Option<EventId>, limit: usize) -> Vec<(EventId, Time)> {
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.now
            .lock()
            .pending
            .range((low, Bound::Unbounded))
            .take(limit)
            .map(|(id, since)| (*id, *since))
            .collect()
    }

    /// How many of the pending events stand still, of the first [`limits::OUTBOX_COUNTED`]; and whether those are all.
    pub(super) fn stalled(&self, at: Time) -> (u64, bool) {
        let now = self.now.lock();
        let counted = now.pending.values().take(limits::OUTBOX_COUNTED);
        let stalled = counted.filter(|since| is_stalled(**since, at)).count();
        (stalled as u64, now.pending.len() <= limits::OUTBOX_COUNTED)
    }

    /// How many are pending, the oldest of them, and how many are dead.
    pub(super) fn backlog(&self) -> (u64, Option<EventId>, u64) {
        let now = self.now.lock();
        (
            now.pending.len() as u64,
            now.pending.keys().next().copied(),
            now.dead.len() as u64,
        )
    }
}

impl Now {
    fn set(&mut self, id: EventId, state: State, at: Time) {
        if state == State::Pending {
            self.pending.insert(id, at);
        } else {
            self.pending.remove(&id);
        }
        if state == State::DeadLettered {
            self.dead.insert(id);
        } else {
            self.dead.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Time = Time::from_unix_ms(1_800_000_000_000);

    fn events(pending: u64) -> Events {
        Events::new((1..=pending).map(EventId).collect(), BTreeSet::new(), pending, 0, START)
    }

    #[test]
    fn events_stand_still_from_their_last_move_on() {
        let events = events(3);
        let later = START.plus(limits::EVENT_STALE);
        assert_eq!(events.stalled(START.plus(Duration::from_millis(1))), (0, true));
        assert_eq!(events.stalled(later), (3, true));
        let moved = [
            Effect::Event(EventId(2), State::Pending, later),
            Effect::Event(EventId(3), State::Done, later),
        ];
        events.apply(&moved, 3);
        assert_eq!(events.stalled(later), (1, true));
        assert_eq!(events.waiting(Some(EventId(1)), 9), [(EventId(2), later)]);
        assert_eq!(events.backlog(), (2, Some(EventId(1)), 0));
    }

    #[test]
    fn not_all_of_very_many_are_looked_at() {
        let bound = limits::OUTBOX_COUNTED as u64;
        let later = START.plus(limits::EVENT_STALE);
        assert_eq!(events(bound).stalled(later), (bound, true));
        assert_eq!(events(bound + 1).stalled(later), (bound, false));
        assert_eq!(
            events(bound + 1).backlog().0,
            bound + 1,
            "how many there are is known all the same"
        );
    }
}
