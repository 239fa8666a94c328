//! The sweep: finds events that were left half-way, and says how far each shard has come.
//!
//! It alone guarantees that an event ends. Each shard is swept by one of the live workers, chosen by a hash of both, so that the shards spread evenly and go
//! over to others when a worker is gone. Two that sweep one shard for a moment only do the same twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use social_core::Result;
use social_core::fanout::Event;
use social_core::id::minted_at;

use super::lists::spread;
use super::outbox::{SHARDS, Slot, Stage, Watermark, minute_of};
use super::pulled::KNOWN_FOR;
use super::truth::Truth;

/// By how much less than it was asked for an event may have been left alone: the next sweep is to take up what this one saw.
const EARLY: Duration = Duration::from_millis(500);
/// Open events that are looked at at once.
const AT_ONCE: usize = 32;

/// What is known of the shards.
#[derive(Default)]
pub(super) struct Sweep {
    shards: Mutex<BTreeMap<i32, Shard>>,
}

/// What is known of a shard: every event below `cursor` has ended, or is in `open`.
#[derive(Default, Clone)]
struct Shard {
    cursor: u64,
    open: BTreeMap<u64, Open>,
    /// Events whose rows this process wrote, and when. Others may not know yet that an author's posts are pulled.
    written: BTreeMap<u64, Instant>,
}

impl Shard {
    /// Up to where all that was filed can be read, when not all could be looked at from `unknown` up.
    fn applied(&mut self, unknown: Option<u64>) -> u64 {
        self.written.retain(|_, at| at.elapsed() < KNOWN_FOR);
        let written = self.written.keys().next().copied();
        unknown.into_iter().chain(written).min().unwrap_or(self.cursor)
    }
}

/// What is seen of an open event.
struct Seen {
    stage: Stage,
    steps: u32,
    /// Its rows were written just now.
    is_written: bool,
}

/// An event that has not ended.
#[derive(Clone, Copy)]
struct Open {
    /// Steps that its worker has noted.
    steps: u32,
    /// Since when it has noted no further one.
    since: Instant,
}

impl Open {
    fn new() -> Self {
        Self {
            steps: 0,
            since: Instant::now(),
        }
    }

    fn note(&mut self, steps: u32) {
        if self.steps != steps {
            *self = Self { steps, ..Self::new() };
        }
    }
}

impl Sweep {
    /// Open events that are wanted, and how far each shard was swept.
    fn open(&self, is_wanted: impl Fn(u64, &Open) -> bool) -> (Vec<u64>, Vec<(i32, u64)>) {
        let shards = self.shards.lock();
        let open = shards.values().flat_map(|shard| shard.open.iter());
        let wanted = open.filter(|(id, open)| is_wanted(**id, open)).map(|(id, _)| *id);
        let reached = shards.iter().map(|(number, shard)| (*number, shard.cursor));
        (wanted.collect(), reached.collect())
    }
}

impl Truth {
    /// Looks through the shards that are this process's, and writes down how far they have come.
    /// What fails is tried again by the next one, and hinders nothing else.
    pub(super) async fn sweep(&self) {
        if let Err(error) = self.sweep_shards().await {
            tracing::warn!(?error, "a sweep of the event log failed; the next one follows");
        }
    }

    async fn sweep_shards(&self) -> Result<()> {
        let shards = self.own_shards().await?;
        self.events
            .sweep
            .shards
            .lock()
            .retain(|shard, _| shards.contains(shard));
        let watermarks = self.outbox.watermarks(&self.db).await?;
        for shard in shards {
            if let Err(error) = self.sweep_shard(shard, watermarks[shard as usize]).await {
                tracing::warn!(
                    ?error,
                    shard,
                    "a shard of the event log could not be swept; the next sweep follows"
                );
            }
        }
        for filed in self.replayed().await? {
            let mut known = self.events.sweep.shards.lock();
            if let Some(shard) = known.get_mut(&filed.slot.shard) {
                shard.open.entry(filed.id).or_insert_with(Open::new);
            }
        }
        Ok(())
    }

    /// Events of the last sweep, behind an id, that nobody has brought further for `idle`; without that, also those which no sweep has come to yet.
    pub(super) async fn stalled(&self, after: u64, limit: usize, idle: Duration) -> Result<Vec<Event>> {
        let idle_for = idle.saturating_sub(EARLY);
        let (mut ids, reached) = self
            .events
            .sweep
            .open(|id, open| id > after && open.since.elapsed() >= idle_for);
        if idle.is_zero() {
            for (shard, cursor) in reached {
                ids.extend(self.open_from(shard, cursor.max(after + 1), u64::MAX).await?);
            }
        }
        ids.sort_unstable();
        let mut events = Vec::new();
        for id in ids {
            match self.workable(id).await {
                Ok(event) => events.extend(event),
                Err(error) => tracing::warn!(?error, event = id, "a stalled event cannot be looked at"),
            }
            if events.len() == limit {
                break;
            }
        }
        Ok(events)
    }

    /// Ids of every event that has not ended, whoever sweeps its shard, ascending.
    pub(super) async fn open_ids(&self) -> Result<Vec<u64>> {
        let mut open: Vec<u64> = self.replayed().await?.into_iter().map(|filed| filed.id).collect();
        for (shard, mark) in self.outbox.watermarks(&self.db).await?.into_iter().enumerate() {
            open.extend(self.open_from(shard as i32, mark.settled, u64::MAX).await?);
        }
        open.sort_unstable();
        open.dedup();
        Ok(open)
    }

    async fn sweep_shard(&self, number: i32, mark: Watermark) -> Result<()> {
        let known = self.events.sweep.shards.lock().get(&number).cloned();
        let mut shard = known.unwrap_or_else(|| Shard {
            cursor: mark.settled,
            ..Shard::default()
        });
        let bound = self.ids.horizon(self.events.timing().slack);
        if bound > shard.cursor {
            let found = self.open_from(number, shard.cursor, bound).await?;
            shard.open.extend(found.into_iter().map(|id| (id, Open::new())));
            shard.cursor = bound;
        }
        let unknown = self.follow_up(&mut shard).await;
        let settled = shard.open.keys().next().copied().unwrap_or(shard.cursor);
        let applied = match self.events.timing().slack.is_zero() {
            true => unknown.unwrap_or(shard.cursor),
            false => shard.applied(unknown),
        };
        self.outbox
            .raise(&self.db, number, Watermark { settled, applied })
            .await?;
        self.events.sweep.shards.lock().insert(number, shard);
        Ok(())
    }

    /// Sees how far the open events have come; writes the rows of those whose writer did not. Answers the first one that could not be
    /// looked at, or whose rows could not be written: it stays open, and those behind it are looked at all the same.
    async fn follow_up(&self, shard: &mut Shard) -> Option<u64> {
        let mut unknown = None;
        let ids: Vec<u64> = shard.open.keys().copied().collect();
        let mut looked_at = stream::iter(ids)
            .map(|id| async move { (id, self.look_at(id).await) })
            .buffered(AT_ONCE);
        while let Some((id, seen)) = looked_at.next().await {
            match seen {
                Ok(seen) => {
                    if seen.is_written {
                        shard.written.insert(id, Instant::now());
                    }
                    if seen.stage.is_open() {
                        shard.open.entry(id).and_modify(|open| open.note(seen.steps));
                    } else {
                        shard.open.remove(&id);
                    }
                }
                Err(error) => {
                    tracing::warn!(?error, event = id, "an open event cannot be looked at");
                    unknown = unknown.or(Some(id));
                }
            }
        }
        unknown
    }

    /// Where an event stands, its rows being written.
    async fn look_at(&self, id: u64) -> Result<Seen> {
        let seen = |stage, steps, is_written| Seen {
            stage,
            steps,
            is_written,
        };
        let Some(filed) = self.outbox.find(&self.db, id).await? else {
            return Ok(seen(Stage::Done, 0, false));
        };
        let steps = filed.progress.steps;
        Ok(match filed.stage {
            Stage::Filed => seen(self.roll_forward(&filed).await?, steps, true),
            stage => seen(stage, steps, false),
        })
    }

    /// Events of a shard that have not ended, from an id up and below another.
    async fn open_from(&self, shard: i32, from: u64, below: u64) -> Result<Vec<u64>> {
        let mut open = Vec::new();
        let first = minute_of(minted_at(from));
        for minute in self.outbox.minutes(&self.db, shard, first).await? {
            let slot = Slot { shard, minute };
            let stages = self.outbox.stages(&self.db, slot, from.saturating_sub(1)).await?;
            open.extend(
                stages
                    .into_iter()
                    .filter(|(id, stage)| *id < below && stage.is_open())
                    .map(|(id, _)| id),
            );
        }
        Ok(open)
    }

    /// The shards that this process sweeps.
    async fn own_shards(&self) -> Result<Vec<i32>> {
        let me = Some(self.ids.node());
        let holders = holders(&self.ids.live_workers().await?);
        let own = (0..).zip(holders).filter(|(_, holder)| *holder == me);
        Ok(own.map(|(shard, _)| shard).collect())
    }
}

/// Which of the live workers sweeps each shard; none where there is none.
pub(super) fn holders(workers: &[u16]) -> [Option<u16>; SHARDS as usize] {
    std::array::from_fn(|shard| {
        let weight = |node: &u16| spread(spread(shard as u64) ^ u64::from(*node));
        workers.iter().copied().max_by_key(weight)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_late_is_passed_when_all_processes_know_of_it() {
        let mut shard = Shard {
            cursor: 90,
            ..Shard::default()
        };
        assert_eq!((shard.applied(None), shard.applied(Some(50))), (90, 50));
        shard.written.insert(40, Instant::now());
        assert_eq!((shard.applied(None), shard.applied(Some(30))), (40, 30));
        let before = Instant::now().checked_sub(KNOWN_FOR).unwrap();
        shard.written.insert(40, before);
        assert_eq!(shard.applied(None), 90);
    }

    #[test]
    fn shards_spread_over_the_workers_and_only_those_of_a_dead_one_move() {
        assert_eq!(holders(&[]), [None; SHARDS as usize]);
        assert_eq!(holders(&[5]), [Some(5); SHARDS as usize]);
        let (both, one) = (holders(&[5, 900]), holders(&[900, 5, 17]));
        for node in [5, 900] {
            assert!(both.contains(&Some(node)), "{both:?}");
        }
        for (with, without) in one.iter().zip(both) {
            assert!(*with == Some(17) || *with == without, "{one:?} {both:?}");
        }
    }
}
