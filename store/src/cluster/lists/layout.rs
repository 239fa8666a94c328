//! How a list is spread over buckets.
//!
//! Buckets come in generations, each of twice as many buckets as the one before. New entries go into the newest generation; when one of its
//! buckets is full, the next generation begins. So a bucket grows only while its generation is the newest, and stays below a bound that has
//! nothing to do with how long the list is.

use std::ops::Range;

/// Entries of a bucket beyond which the list gets its next generation.
pub(in crate::cluster) const BUCKET_ENTRIES: i64 = 10_000;
/// Buckets of one list at the most: 40 million entries. Those beyond share the last generation.
const BUCKETS_MAX: i32 = 4_096;
/// A full bucket is looked for once in so many insertions: counting costs a read of the bucket.
const LOOK_EVERY: u64 = 256;

/// The buckets of one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    buckets: i32,
}

impl Layout {
    /// A layout of so many buckets, as it is stored.
    pub(super) fn of(buckets: i32) -> Self {
        Self {
            buckets: buckets.clamp(1, BUCKETS_MAX),
        }
    }

    /// How many buckets there are, those of every generation together.
    pub(super) fn buckets(self) -> i32 {
        self.buckets
    }

    /// The bucket of a new entry.
    pub(super) fn bucket(self, key: u64) -> i32 {
        let newest = self.newest();
        newest.start + (spread(key) % newest.len() as u64) as i32
    }

    /// Whether new entries go into a bucket.
    pub(super) fn takes(self, bucket: i32) -> bool {
        self.newest().contains(&bucket)
    }

    /// With the next generation; none where there is no room for one.
    pub(super) fn next(self) -> Option<Self> {
        let buckets = self.buckets * 2 + 1;
        (buckets <= BUCKETS_MAX).then_some(Self { buckets })
    }

    /// The generations, oldest first. Together they are all buckets.
    pub(super) fn generations(self) -> Vec<Range<i32>> {
        let (mut generations, mut end) = (Vec::new(), self.buckets);
        while end > 0 {
            let newest = Self { buckets: end }.newest();
            end = newest.start;
            generations.push(newest);
        }
        generations.reverse();
        generations
    }

    fn newest(self) -> Range<i32> {
        let size = (self.buckets + 1) / 2;
        self.buckets - size..self.buckets
    }
}

/// Whether the bucket of a new entry is to be counted.
pub(super) fn is_looked_at(key: u64, owner: u64) -> bool {
    spread(key ^ owner).is_multiple_of(LOOK_EVERY)
}

/// Spreads ids, which differ little in their low bits, evenly.
pub(in crate::cluster) fn spread(id: u64) -> u64 {
    let mixed = (id ^ (id >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u64 = 77 << 22;
    /// What the largest bucket may hold, of however long a list: until a full one is found, and as hashes spread.
    const LARGEST: i64 = BUCKET_ENTRIES + BUCKET_ENTRIES / 10;

    /// The entries of each bucket after so many insertions under these keys.
    fn filled(keys: impl Iterator<Item = u64>) -> Vec<i64> {
        let (mut layout, mut entries) = (Layout::of(1), vec![0_i64; BUCKETS_MAX as usize]);
        for key in keys {
            let bucket = layout.bucket(key);
            entries[bucket as usize] += 1;
            if is_looked_at(key, OWNER) && entries[bucket as usize] > BUCKET_ENTRIES {
                layout = layout.next().unwrap();
            }
        }
        entries.truncate(layout.buckets() as usize);
        entries
    }

    /// Ids as they are minted by two processes: milliseconds, the node, a sequence.
    fn minted(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(|number| ((number / 6) << 22) | ((3 + number % 2) << 12) | (number / 2 % 3))
    }

    #[test]
    fn the_largest_bucket_does_not_grow_with_the_list() {
        for (count, most_buckets) in [(1_000_000, 127), (10_000_000, 1_023)] {
            let entries = filled(minted(count));
            assert_eq!(entries.iter().sum::<i64>(), count as i64);
            let largest = *entries.iter().max().unwrap();
            println!("{count} entries: {} buckets, the largest of {largest}", entries.len());
            assert!(largest <= LARGEST, "{largest} of {count}");
            // Nor are there more of them than the list needs: a page asks each.
            assert!(entries.len() <= most_buckets, "{} of {count}", entries.len());
        }
    }

    #[test]
    fn users_who_registered_together_are_spread_like_any() {
        let entries = filled((0..1_000_000).map(|user| (500_000_000 << 22) + user));
        let largest = *entries.iter().max().unwrap();
        assert!(
            largest <= LARGEST && entries.len() <= 127,
            "{largest}, {}",
            entries.len()
        );
    }

    #[test]
    fn a_process_that_does_not_know_the_newest_generation_fills_the_one_before() {
        let (before, after) = (Layout::of(3), Layout::of(7));
        assert_eq!(before.next(), Some(after));
        for key in minted(1_000) {
            assert!((1..3).contains(&before.bucket(key)) && (3..7).contains(&after.bucket(key)));
            assert!(!after.takes(before.bucket(key)), "which begins no further generation");
        }
    }

    #[test]
    fn generations_are_all_buckets_and_end_at_the_bound() {
        let mut layout = Layout::of(0);
        assert!(layout.generations().into_iter().eq(std::iter::once(0..1)));
        let mut generations = 1;
        while let Some(next) = layout.next() {
            assert_eq!(next.generations()[..generations], layout.generations());
            (layout, generations) = (next, generations + 1);
        }
        assert_eq!((layout.buckets(), generations), (4_095, 12));
        let buckets = layout.generations().into_iter().flatten();
        assert!(buckets.eq(0..4_095));
        // As the first layouts were: a power of two.
        assert_eq!(Layout::of(8).generations(), [0..1, 1..2, 2..4, 4..8]);
    }
}
