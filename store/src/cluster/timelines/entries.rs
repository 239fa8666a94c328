//! Entries of home timelines: how their arrivals are written, and what a partition of them says.
//!
//! **Arrivals.** An entry holds one `arrived`: a stamp of the process that wrote it, in microseconds. Which of several writes of one entry counts is
//! decided by their CQL timestamps, which are made so that
//! - among appends within one [`WINDOW_US`] the first one counts: what both of two racing callers bring arrives once;
//! - an append in a later window replaces it. It has to: an earlier attempt whose outcome was unknown may come to light on another replica at any
//!   later time, and with *its* stamp the entry would be overlooked by whoever read in between;
//! - a renewal replaces everything up to its own window.
//!
//! **Why a cursor is safe.** Claim: whatever a read that began at real time T did not see ends up with an arrival above the read's sequence Q less
//! the [slack](Slack). Q is the reader's clock at T: at most T + skew. An entry is *promised* only once a write of it was acknowledged by a quorum. If the read did not see it, that happened
//! after T, and the writer had checked that its stamp was at most [`WRITE_WITHIN_US`] old by then: stamp >= T - within - skew. What may stand in
//! its place is another write with a higher timestamp: one of a later window, hence with a later stamp, or one of the same window, or a renewal
//! of the window before: its stamp is above stamp - 2 windows. So the slack has to be within + 2 skew + 2 windows. An entry that is visible before its write was acknowledged may be overlooked until then, not longer.
//!
//! Entries of a fill have the arrival 0. They are there before the timeline is ready, and so before any cursor of it, which sees all of them.

use std::time::Duration;

use social_core::PostId;
use social_core::limits::TIMELINE_ENTRIES;

/// Within so many microseconds the first of several appends counts.
const WINDOW_US: i64 = 500_000;
/// A stamp that was older than this when its write was acknowledged is replaced by a new one.
pub(super) const WRITE_WITHIN_US: i64 = 1_500_000;

/// How an entry gets its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The first one counts.
    Append,
    /// The last one counts.
    Renewal,
    /// A fill's has none: it is there before the timeline is ready, and an append that races it changes nothing.
    None,
}

impl Arrival {
    /// The CQL timestamp of a write with this stamp. Never further from the stamp than a window, since stores refuse timestamps of the far future.
    pub(super) fn timestamp(self, stamp: i64) -> i64 {
        match self {
            Self::Append => {
                let into = stamp.rem_euclid(WINDOW_US);
                stamp - into + (WINDOW_US - 1 - into)
            }
            Self::Renewal | Self::None => stamp + WINDOW_US,
        }
    }

    /// What an entry of this stamp holds.
    pub(super) fn arrived(self, stamp: i64) -> i64 {
        if self == Self::None { 0 } else { stamp }
    }

    /// Whether a write with this stamp was acknowledged in time.
    pub(super) fn is_in_time(self, stamp: i64, now_us: i64) -> bool {
        self == Self::None || now_us - stamp <= WRITE_WITHIN_US
    }
}

/// The CQL timestamp of a deletion: above every entry that was written by `stamp`.
pub(super) fn deletion_timestamp(stamp: i64) -> i64 {
    stamp + 2 * WINDOW_US
}

/// By how much a position is moved back before arrivals are compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slack(u64);

impl Slack {
    /// `slack` is what a write may take and what clocks may differ, together: see the proof above. Nothing is right only where appends to one viewer
    /// follow each other and the clock stands still, as in the conformance suite, which counts arrivals exactly.
    pub(super) fn new(slack: Duration) -> Self {
        if slack.is_zero() {
            return Self(0);
        }
        Self(slack.as_micros() as u64 + 2 * WINDOW_US as u64)
    }

    /// The sequence of a read that began at `now` and met arrivals up to `newest`. Without slack it goes by what was met alone.
    pub(super) fn sequence(self, now: u64, newest: u64) -> u64 {
        if self.0 == 0 { newest.max(now - 1) } else { now }
    }

    /// Arrivals above this may not have been seen by who holds a position.
    pub(super) fn before(self, sequence: u64) -> u64 {
        sequence.saturating_sub(self.0)
    }
}

/// An entry as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) post: u64,
    pub(super) arrived: u64,
}

impl From<(i64, i64)> for Entry {
    fn from((post, arrived): (i64, i64)) -> Self {
        Self {
            post: post as u64,
            arrived: arrived as u64,
        }
    }
}

/// What a timeline speaks for: stored with its state, or cut by this process, which both only ever rises within a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Range {
    /// The smallest post.
    pub(super) covers_from: u64,
    /// The largest arrival among what was dropped below.
    pub(super) dropped: u64,
}

impl Range {
    /// What both speak for.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            covers_from: self.covers_from.max(other.covers_from),
            dropped: self.dropped.max(other.dropped),
        }
    }

    /// Keeps the newest [`TIMELINE_ENTRIES`] of all entries of the range, newest first; how many it cut off.
    pub(super) fn cut(&mut self, entries: &mut Vec<Entry>) -> usize {
        let excess = entries.split_off(entries.len().min(TIMELINE_ENTRIES));
        if let Some(newest) = excess.first() {
            self.covers_from = self.covers_from.max(newest.post + 1);
        }
        self.dropped = excess.iter().map(|entry| entry.arrived).fold(self.dropped, u64::max);
        excess.len()
    }
}

/// The newest [`TIMELINE_ENTRIES`] of a filling's posts, and the range that they speak for.
pub(super) fn filling(posts: &[PostId], covers_from: PostId) -> (Vec<u64>, u64) {
    let mut posts: Vec<u64> = posts
        .iter()
        .map(|post| post.0)
        .filter(|post| *post >= covers_from.0)
        .collect();
    posts.sort_unstable_by(|a, b| b.cmp(a));
    posts.dedup();
    let excess = posts.split_off(posts.len().min(TIMELINE_ENTRIES));
    let covers_from = excess.first().map_or(covers_from.0, |newest| newest + 1);
    (posts, covers_from)
}

/// Ids as the store holds them: those that do not fit are above all that are minted.
pub(super) fn stored(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The stamp that counts among writes of one entry.
    fn winner(writes: &[(Arrival, i64)]) -> i64 {
        let wins = writes.iter().max_by_key(|(how, stamp)| (how.timestamp(*stamp), *stamp));
        wins.map(|(_, stamp)| *stamp).unwrap()
    }

    #[test]
    fn the_first_append_of_a_window_counts() {
        let at = 1_800_000_000_000_000;
        let appends = [at + 7, at + 8, at + 400_000].map(|stamp| (Arrival::Append, stamp));
        assert_eq!(winner(&appends), at + 7);
        let later = (Arrival::Append, at + WINDOW_US);
        assert_eq!(winner(&[appends[0], later]), later.1);
    }

    proptest! {
        #[test]
        fn what_counts_is_never_two_windows_older_than_any_write(
            writes in proptest::collection::vec((any::<bool>(), 0..5 * WINDOW_US), 1..6),
        ) {
            let writes: Vec<_> = writes.into_iter().map(|(renews, stamp)| {
                (if renews { Arrival::Renewal } else { Arrival::Append }, stamp)
            }).collect();
            let newest = writes.iter().map(|write| write.1).max().unwrap();
            prop_assert!(winner(&writes) > newest - 2 * WINDOW_US);
            let renewed = writes.iter().filter(|write| write.0 == Arrival::Renewal).map(|write| write.1).max();
            prop_assert!(renewed.is_none_or(|renewed| winner(&writes) >= renewed));
            let end = deletion_timestamp(newest);
            prop_assert!(writes.iter().all(|(how, stamp)| how.timestamp(*stamp) < end));
        }
    }

    #[test]
    fn a_cut_keeps_the_newest_and_remembers_what_arrived_last_below() {
        let count = TIMELINE_ENTRIES as u64 + 2;
        let mut entries: Vec<Entry> = (1..=count)
            .rev()
            .map(|post| Entry {
                post,
                arrived: 100 - post.min(50),
            })
            .collect();
        let mut range = Range::default();
        assert_eq!(range.cut(&mut entries), 2);
        assert_eq!(
            range,
            Range {
                covers_from: 3,
                dropped: 99
            }
        );
        assert_eq!((entries.len(), entries.last().unwrap().post), (TIMELINE_ENTRIES, 3));
        assert_eq!(range.cut(&mut entries), 0);
    }
}
