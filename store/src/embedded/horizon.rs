//! Which events are to be worked on, and how far everything has come.

use std::collections::BTreeSet;
use std::ops::Bound;

use parking_lot::Mutex;
use social_core::backend::Horizon;
use social_core::fanout::State;
use social_core::{EventId, PostId};

use super::effects::Effect;

/// Pending and dead events, and the last committed id: one lock, so that a horizon is of one moment.
pub(super) struct Events {
    now: Mutex<Now>,
}

struct Now {
    pending: BTreeSet<EventId>,
    dead: BTreeSet<EventId>,
    last_id: u64,
    imports: u64,
}

impl Events {
    /// What is stored.
    pub(super) fn new(pending: BTreeSet<EventId>, dead: BTreeSet<EventId>, last_id: u64, imports: u64) -> Self {
        Self {
            now: Mutex::new(Now {
                pending,
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
                Effect::Event(id, state) => now.set(id, state),
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
            .first()
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
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.now
            .lock()
            .pending
            .range((low, Bound::Unbounded))
            .take(limit)
            .copied()
            .collect()
    }

    /// How many are pending, the oldest of them, and how many are dead.
    pub(super) fn backlog(&self) -> (u64, Option<EventId>, u64) {
        let now = self.now.lock();
        (
            now.pending.len() as u64,
            now.pending.first().copied(),
            now.dead.len() as u64,
        )
    }
}

impl Now {
    fn set(&mut self, id: EventId, state: State) {
        let (in_pending, in_dead) = match state {
            State::Pending => (true, false),
            State::DeadLettered => (false, true),
            State::Done => (false, false),
        };
        put(&mut self.pending, id, in_pending);
        put(&mut self.dead, id, in_dead);
    }
}

fn put(set: &mut BTreeSet<EventId>, id: EventId, within: bool) {
    if within {
        set.insert(id);
    } else {
        set.remove(&id);
    }
}
