//! One viewer's home timeline in memory: which posts, and in which order they arrived.

use social_core::PostId;
use social_core::backend::{Position, Since, TimelineSlice};
use social_core::limits::TIMELINE_ENTRIES;

/// Dropped entries that stay in the arrays until so many can be moved out at once. A full ring thereby takes a new entry
/// without a look at its oldest ones, which are in no cache of the processor.
const SLACK: usize = 64;

/// Entries by ascending id, in two arrays of 8 and 4 bytes. Only the last [`TIMELINE_ENTRIES`] count: those before are
/// dropped.
pub(super) struct Ring {
    ids: Vec<u64>,
    /// When each entry arrived: arrivals so far, counted from the filling.
    arrivals: Vec<u32>,
    arrived: u32,
    /// The latest arrival among the entries that were moved out.
    moved_out_arrival: u32,
    /// The smallest id that the ring speaks for, as far as no entry in the arrays is dropped.
    filled_from: u64,
    generation: u64,
}

/// What adding an entry came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It is in the ring now, or was already.
    Held,
    /// It lies below what the ring covers.
    Below,
    /// The ring can count no more arrivals and is to be made anew.
    Exhausted,
}

impl Ring {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            ids: Vec::new(),
            arrivals: Vec::new(),
            arrived: 0,
            moved_out_arrival: 0,
            filled_from: 0,
            generation,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len() - self.dropped()
    }

    /// Adds a post. Where it is there already that is no arrival, unless it is to `renew`.
    pub(super) fn add(&mut self, post: u64, renew: bool) -> Added {
        let Some(arrival) = self.arrived.checked_add(1) else {
            return Added::Exhausted;
        };
        let is_newest = post >= self.filled_from && self.ids.last().is_none_or(|last| *last < post);
        if is_newest {
            self.insert(self.ids.len(), post, arrival);
            return Added::Held;
        }
        self.add_late(post, renew, arrival)
    }

    fn add_late(&mut self, post: u64, renew: bool, arrival: u32) -> Added {
        if post < self.covers_from() {
            return Added::Below;
        }
        let dropped = self.dropped();
        match self.ids[dropped..].binary_search(&post) {
            Ok(place) if renew => {
                self.arrivals[dropped + place] = arrival;
                self.arrived = arrival;
            }
            Ok(_) => {}
            Err(place) => self.insert(dropped + place, post, arrival),
        }
        // In a full ring a late post may be the smallest, and go at once.
        if post < self.covers_from() {
            Added::Below
        } else {
            Added::Held
        }
    }

    /// Adds the newest posts of truth, from `covers_from` up. They were there from the beginning and count as no arrivals.
    pub(super) fn fill(&mut self, posts: impl Iterator<Item = u64>, covers_from: u64) {
        let covers_from = covers_from.max(self.covers_from());
        let mut ids: Vec<u64> = self
            .ids
            .iter()
            .copied()
            .chain(posts)
            .filter(|id| *id >= covers_from)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let surplus = ids.len().saturating_sub(TIMELINE_ENTRIES);
        let filled_from = surplus.checked_sub(1).map_or(covers_from, |last| ids[last] + 1);
        let ids = ids[surplus..].to_vec();
        // The filling is where positions begin: everything in it is before the first of them.
        *self = Self {
            arrivals: vec![0; ids.len()],
            ids,
            filled_from,
            ..Self::new(self.generation)
        };
    }

    /// The newest `limit` entries below `before`.
    pub(super) fn read(&self, before: Option<u64>, limit: usize) -> TimelineSlice {
        let ids = &self.ids[self.dropped()..];
        let end = before.map_or(ids.len(), |before| ids.partition_point(|id| *id < before));
        let posts = ids[..end].iter().rev().take(limit).map(|id| PostId(*id)).collect();
        self.slice(posts)
    }

    /// What arrived after a position.
    pub(super) fn since(&self, position: Position) -> Since {
        if position.generation != self.generation {
            return Since::OtherGeneration;
        }
        let (dropped, kept) = self.arrivals.split_at(self.dropped());
        let after = |arrival: &u32| u64::from(*arrival) > position.sequence;
        if after(&self.moved_out_arrival) || dropped.iter().any(after) {
            return Since::Dropped { head: self.head() };
        }
        let entries = self.ids[dropped.len()..].iter().zip(kept).rev();
        let posts = entries.filter(|(_, arrival)| after(arrival));
        Since::Arrived(self.slice(posts.map(|(id, _)| PostId(*id)).collect()))
    }

    fn slice(&self, posts: Vec<PostId>) -> TimelineSlice {
        TimelineSlice {
            posts,
            covers_from: PostId(self.covers_from()),
            head: self.head(),
        }
    }

    fn head(&self) -> Position {
        Position {
            generation: self.generation,
            sequence: u64::from(self.arrived),
        }
    }

    /// How many entries at the front are dropped.
    fn dropped(&self) -> usize {
        self.ids.len().saturating_sub(TIMELINE_ENTRIES)
    }

    fn covers_from(&self) -> u64 {
        let last_dropped = self.dropped().checked_sub(1);
        last_dropped.map_or(self.filled_from, |last| self.ids[last] + 1)
    }

    fn insert(&mut self, place: usize, post: u64, arrival: u32) {
        if self.ids.len() == self.ids.capacity() {
            self.make_room();
        }
        self.ids.insert(place, post);
        self.arrivals.insert(place, arrival);
        self.arrived = arrival;
        if self.ids.len() >= TIMELINE_ENTRIES + SLACK {
            self.move_out_dropped();
        }
    }

    /// Grows by an eighth, not by doubling: memory is what bounds the number of timelines.
    fn make_room(&mut self) {
        let more = (self.ids.len() / 8).clamp(8, SLACK);
        self.ids.reserve_exact(more);
        self.arrivals.reserve_exact(more);
    }

    fn move_out_dropped(&mut self) {
        let dropped = self.dropped();
        self.filled_from = self.covers_from();
        let latest = self.arrivals.drain(..dropped).max().unwrap_or_default();
        self.moved_out_arrival = self.moved_out_arrival.max(latest);
        self.ids.drain(..dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ids(slice: &TimelineSlice) -> Vec<u64> {
        slice.posts.iter().map(|post| post.0).collect()
    }

    fn arrived(ring: &Ring, sequence: u64) -> Option<Vec<u64>> {
        match ring.since(Position {
            generation: ring.generation,
            sequence,
        }) {
            Since::Arrived(slice) => Some(ids(&slice)),
            _ => None,
        }
    }

    #[test]
    fn late_posts_are_found_by_arrival() {
        let mut ring = Ring::new(1);
        ring.fill([10, 20, 30].into_iter(), 5);
        let head = ring.head().sequence;
        assert_eq!(ring.add(25, false), Added::Held);
        assert_eq!(ring.add(30, false), Added::Held, "being there is no arrival");
        assert_eq!(ring.add(4, false), Added::Below);
        assert_eq!(arrived(&ring, head), Some(vec![25]));
        assert_eq!(ring.add(10, true), Added::Held);
        assert_eq!(arrived(&ring, head), Some(vec![25, 10]));
        assert_eq!(ids(&ring.read(Some(25), 10)), [20, 10]);
        assert_eq!(ring.read(None, 2).covers_from, PostId(5));
    }

    #[test]
    fn overflow_raises_what_is_covered_and_is_told() {
        let mut ring = Ring::new(1);
        ring.fill(std::iter::empty(), 0);
        for post in 1..=(TIMELINE_ENTRIES + 200) as u64 {
            assert_eq!(ring.add(post, false), Added::Held);
        }
        assert_eq!(ring.len(), TIMELINE_ENTRIES);
        assert_eq!(ring.read(None, 1).covers_from, PostId(201));
        assert_eq!(arrived(&ring, 199), None, "arrival 200 is gone");
        assert_eq!(arrived(&ring, 200).map(|posts| posts.len()), Some(TIMELINE_ENTRIES));
        assert!(ring.ids.capacity() <= TIMELINE_ENTRIES + 2 * SLACK);
    }

    proptest! {
        /// The ring against a map of id -> arrival.
        #[test]
        fn a_ring_is_a_bounded_map(steps in prop::collection::vec((0u64..2_500, prop::bool::ANY), 0..3_000), since in 0u64..3_000) {
            let (mut ring, mut model, mut sequence, mut covers, mut dropped) = (Ring::new(9), BTreeMap::new(), 0u64, 100u64, 0);
            ring.fill([150, 160].into_iter(), 100);
            model.insert(150, 0);
            model.insert(160, 0);
            for (post, renew) in steps {
                ring.add(post, renew);
                if post < covers || (model.contains_key(&post) && !renew) {
                    continue;
                }
                sequence += 1;
                model.insert(post, sequence);
                if model.len() > TIMELINE_ENTRIES {
                    let (first, arrival) = model.pop_first().unwrap();
                    (covers, dropped) = (first + 1, dropped.max(arrival));
                }
            }
            prop_assert_eq!(ids(&ring.read(None, usize::MAX)), model.keys().rev().copied().collect::<Vec<_>>());
            prop_assert_eq!(ring.covers_from(), covers);
            let expected: Vec<u64> = model.iter().rev().filter(|(_, at)| **at > since).map(|(id, _)| *id).collect();
            prop_assert_eq!(arrived(&ring, since), (dropped <= since).then_some(expected));
        }
    }
}
