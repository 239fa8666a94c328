//! Entries that were handed to this process and are not finished.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use social_core::EventId;

/// Events that are remembered. An entry of a further one is handed out again later.
const HELD: usize = 65_536;

/// How long an event is a worker's. One that has not ended by then may have been forgotten, and ended by another process.
const KEPT: Duration = Duration::from_secs(300);

/// An entry of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) stream: usize,
    pub(super) id: EntryId,
}

/// The id of an entry within its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct EntryId {
    ms: u64,
    sequence: u64,
}

impl EntryId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, sequence) = text.split_once('-')?;
        Some(Self {
            ms: ms.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

/// Which entries an event has: more than one where it was offered again.
#[derive(Default)]
pub(super) struct Held {
    events: Mutex<HashMap<EventId, Event>>,
}

struct Event {
    entries: Vec<Entry>,
    /// Since when a worker has it. One that only waits for a worker may go to another process.
    taken: Option<Instant>,
}

impl Held {
    /// Adds an entry; whether its event is to be handed out, as it was not before.
    pub(super) fn add(&self, event: EventId, entry: Entry) -> bool {
        let mut held = self.events.lock();
        if let Some(event) = held.get_mut(&event) {
            if !event.entries.contains(&entry) {
                event.entries.push(entry);
            }
            return false;
        }
        if held.len() < HELD {
            let entries = vec![entry];
            held.insert(event, Event { entries, taken: None });
        }
        true
    }

    /// A worker takes an event.
    pub(super) fn take(&self, event: EventId) {
        if let Some(event) = self.events.lock().get_mut(&event) {
            event.taken = Some(Instant::now());
        }
    }

    /// Forgets an event: its entries.
    pub(super) fn remove(&self, event: EventId) -> Vec<Entry> {
        let event = self.events.lock().remove(&event);
        event.map(|event| event.entries).unwrap_or_default()
    }

    /// How many events there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.events.lock().len()
    }

    /// The entries of all that workers have. Forgets what they had for too long.
    pub(super) fn taken(&self) -> Vec<Entry> {
        let mut held = self.events.lock();
        held.retain(|_, event| event.taken.is_none_or(|taken| taken.elapsed() < KEPT));
        let taken = held.values().filter(|event| event.taken.is_some());
        taken.flat_map(|event| &event.entries).copied().collect()
    }
}

/// The ids of entries by their stream.
pub(super) fn by_stream(entries: &[Entry]) -> HashMap<usize, Vec<String>> {
    let mut streams: HashMap<_, Vec<_>> = HashMap::new();
    for entry in entries {
        streams.entry(entry.stream).or_default().push(entry.id.to_string());
    }
    streams
}
