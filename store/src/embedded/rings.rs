//! Home timelines of all viewers, in shards of short locks.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use social_core::backend::{Append, Filled, Position, Since, TimelineSlice, Timelines};
use social_core::limits::TIMELINES_LIVE;
use social_core::{PostId, Result, UserId};

use super::ring::{Added, Ring};

const SHARDS: usize = 256;
/// A filler that took this long is taken for gone (its call was cancelled), and another may begin.
const FILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Every home timeline that is kept ready.
pub(super) struct Rings {
    shards: Box<[Mutex<Shard>]>,
    next_generation: AtomicU64,
    /// Counts fillings: which timeline was not read for longest is told in these.
    ticks: AtomicU32,
    per_shard: usize,
}

type Shard = HashMap<u64, Slot, BuildHasherDefault<IdHasher>>;

struct Slot {
    ring: Ring,
    /// Since when it is being filled; `None` where it is ready.
    filling: Option<Instant>,
    read_at: u32,
}

/// Spreads ids by one multiplication: they are ours, so nobody can choose them to collide.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only numbers are hashed");
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = spread(id);
    }
}

fn spread(id: u64) -> u64 {
    let mixed = (id ^ (id >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

fn shard_of(viewer: u64) -> usize {
    // Other bits than the map's buckets use.
    (spread(viewer) >> 40) as usize % SHARDS
}

impl Default for Rings {
    fn default() -> Self {
        Self::new(TIMELINES_LIVE)
    }
}

impl Rings {
    /// Room for this many viewers.
    pub(super) fn new(viewers: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            // Never used by another process: cursors hold it.
            next_generation: AtomicU64::new(rand::random()),
            ticks: AtomicU32::new(0),
            per_shard: viewers.div_ceil(SHARDS),
        }
    }

    fn shard(&self, viewer: UserId) -> MutexGuard<'_, Shard> {
        self.shards[shard_of(viewer.0)].lock()
    }

    fn add(&self, viewers: &[UserId], post: PostId, renew: bool) -> Append {
        let mut append = Append::default();
        // Each shard is locked once.
        let (places, starts) = by_shard(viewers);
        for (shard, range) in self.shards.iter().zip(starts.windows(2)) {
            let places = &places[range[0] as usize..range[1] as usize];
            if places.is_empty() {
                continue;
            }
            let mut shard = shard.lock();
            for place in places {
                add_one(&mut shard, viewers[*place as usize], post, renew, &mut append);
            }
        }
        append
    }

    /// With a ready timeline, which this counts as a reading of.
    fn with_ready<T>(&self, viewer: UserId, read: impl FnOnce(&Ring) -> T) -> Option<T> {
        let tick = self.ticks.load(Ordering::Relaxed);
        let mut shard = self.shard(viewer);
        let slot = shard.get_mut(&viewer.0).filter(|slot| slot.filling.is_none())?;
        slot.read_at = tick;
        Some(read(&slot.ring))
    }
}

/// The viewers' places in the slice, shard by shard, and where each shard's begin: a counting sort.
fn by_shard(viewers: &[UserId]) -> (Vec<u32>, [u32; SHARDS + 1]) {
    let mut starts = [0; SHARDS + 1];
    for viewer in viewers {
        starts[shard_of(viewer.0) + 1] += 1;
    }
    for shard in 0..SHARDS {
        starts[shard + 1] += starts[shard];
    }
    let (mut places, mut next) = (vec![0; viewers.len()], starts);
    for (place, viewer) in viewers.iter().enumerate() {
        let slot = &mut next[shard_of(viewer.0)];
        places[*slot as usize] = place as u32;
        *slot += 1;
    }
    (places, starts)
}

fn add_one(shard: &mut Shard, viewer: UserId, post: PostId, renew: bool, append: &mut Append) {
    let Some(slot) = shard.get_mut(&viewer.0) else {
        append.skipped += 1;
        return;
    };
    match slot.ring.add(post.0, renew) {
        Added::Held => append.delivered += 1,
        // The timeline does not speak for that stretch; readers take it from truth.
        Added::Below => {}
        Added::Exhausted => {
            shard.remove(&viewer.0);
            append.skipped += 1;
        }
    }
}

/// Makes room for one more by dropping whichever was not read for longest.
fn evict(shard: &mut Shard, per_shard: usize, tick: u32) {
    if shard.len() < per_shard {
        return;
    }
    // The counter may wrap, so ages are compared, not ticks.
    let oldest = shard
        .iter()
        .max_by_key(|(_, slot)| tick.wrapping_sub(slot.read_at))
        .map(|(viewer, _)| *viewer);
    if let Some(viewer) = oldest {
        shard.remove(&viewer);
    }
}

#[async_trait]
impl Timelines for Rings {
    async fn append(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        Ok(self.add(viewers, post, false))
    }

    async fn insert(&self, viewer: UserId, posts: &[PostId]) -> Result<bool> {
        let mut shard = self.shard(viewer);
        let Some(slot) = shard.get_mut(&viewer.0) else {
            return Ok(false);
        };
        let exhausted = posts
            .iter()
            .any(|post| slot.ring.add(post.0, false) == Added::Exhausted);
        if exhausted {
            shard.remove(&viewer.0);
        }
        Ok(!exhausted)
    }

    async fn renew(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        Ok(self.add(viewers, post, true))
    }

    async fn read(&self, viewer: UserId, before: Option<PostId>, limit: usize) -> Result<Option<TimelineSlice>> {
        Ok(self.with_ready(viewer, |ring| ring.read(before.map(|post| post.0), limit)))
    }

    async fn since(&self, viewer: UserId, position: Position) -> Result<Option<Since>> {
        Ok(self.with_ready(viewer, |ring| ring.since(position)))
    }

    async fn begin(&self, viewer: UserId) -> Result<Filled> {
        let now = Instant::now();
        let mut shard = self.shard(viewer);
        match shard.get(&viewer.0).map(|slot| slot.filling) {
            Some(None) => return Ok(Filled::Ready),
            Some(Some(since)) if now.duration_since(since) < FILL_TIMEOUT => return Ok(Filled::UnderWay),
            _ => {}
        }
        let read_at = self.ticks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        evict(&mut shard, self.per_shard, read_at);
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        shard.insert(
            viewer.0,
            Slot {
                ring: Ring::new(generation),
                filling: Some(now),
                read_at,
            },
        );
        Ok(Filled::Begun(generation))
    }

    async fn fill(&self, viewer: UserId, generation: u64, posts: &[PostId], covers_from: PostId) -> Result<()> {
        let mut shard = self.shard(viewer);
        let slot = shard
            .get_mut(&viewer.0)
            .filter(|slot| slot.ring.generation() == generation && slot.filling.is_some());
        if let Some(slot) = slot {
            slot.ring.fill(posts.iter().map(|post| post.0), covers_from.0);
            slot.filling = None;
        }
        Ok(())
    }

    async fn forget(&self, viewer: UserId) -> Result<()> {
        self.shard(viewer).remove(&viewer.0);
        Ok(())
    }

    async fn forget_all(&self) -> Result<()> {
        for shard in &self.shards {
            // Swapped out: freeing thousands of timelines takes longer than anybody should wait for the lock.
            let dropped = std::mem::take(&mut *shard.lock());
            drop(dropped);
        }
        Ok(())
    }

    async fn stats(&self) -> Result<(u64, u64)> {
        let mut stats = (0, 0);
        for shard in &self.shards {
            let shard = shard.lock();
            for slot in shard.values().filter(|slot| slot.filling.is_none()) {
                stats.0 += 1;
                stats.1 += slot.ring.len() as u64;
            }
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewers(count: u64) -> Vec<UserId> {
        (1..=count).map(|id| UserId(id << 12)).collect()
    }

    async fn make(rings: &Rings, viewer: UserId, posts: &[PostId]) {
        let Filled::Begun(generation) = rings.begin(viewer).await.unwrap() else {
            panic!("begun")
        };
        rings.fill(viewer, generation, posts, PostId(0)).await.unwrap();
    }

    #[tokio::test]
    async fn one_append_reaches_everybody_who_has_a_timeline() {
        let (rings, all) = (Rings::default(), viewers(1_000));
        for viewer in &all[..600] {
            make(&rings, *viewer, &[]).await;
        }
        let filling = rings.begin(all[600]).await.unwrap();
        let append = rings.append(&all, PostId(7)).await.unwrap();
        assert_eq!(
            append,
            Append {
                delivered: 601,
                skipped: 399
            }
        );
        assert_eq!(rings.read(all[5], None, 9).await.unwrap().unwrap().posts, [PostId(7)]);
        assert_eq!(rings.read(all[600], None, 9).await.unwrap(), None);
        let Filled::Begun(generation) = filling else {
            panic!("begun")
        };
        rings.fill(all[600], generation, &[PostId(3)], PostId(2)).await.unwrap();
        assert_eq!(
            rings.read(all[600], None, 9).await.unwrap().unwrap().posts,
            [PostId(7), PostId(3)]
        );
    }

    #[tokio::test]
    async fn those_not_read_for_longest_make_room() {
        let (rings, all) = (Rings::new(SHARDS * 4), viewers(40_000));
        let crowd: Vec<_> = all
            .into_iter()
            .filter(|viewer| shard_of(viewer.0) == 3)
            .take(10)
            .collect();
        for viewer in &crowd {
            make(&rings, *viewer, &[]).await;
            rings.read(crowd[0], None, 1).await.unwrap();
        }
        assert_eq!(rings.stats().await.unwrap().0, 4);
        for kept in [crowd[0], crowd[7], crowd[8], crowd[9]] {
            assert!(rings.read(kept, None, 1).await.unwrap().is_some(), "{kept}");
        }
    }

    #[tokio::test]
    async fn a_fill_of_another_generation_is_ignored() {
        let (rings, viewer) = (Rings::default(), UserId(1));
        let Filled::Begun(old) = rings.begin(viewer).await.unwrap() else {
            panic!("begun")
        };
        rings.forget(viewer).await.unwrap();
        let Filled::Begun(new) = rings.begin(viewer).await.unwrap() else {
            panic!("begun")
        };
        rings.fill(viewer, old, &[PostId(1)], PostId(0)).await.unwrap();
        assert_eq!(rings.begin(viewer).await.unwrap(), Filled::UnderWay);
        rings.fill(viewer, new, &[PostId(2)], PostId(0)).await.unwrap();
        assert_eq!(rings.read(viewer, None, 9).await.unwrap().unwrap().posts, [PostId(2)]);
    }
}
