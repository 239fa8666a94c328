//! The states that a fan-out goes by, so that it need not ask for each of them with each post.
//!
//! Viewers are spread over groups with a random mark each, which changes when a timeline of the group begins or is forgotten. A process remembers a state
//! with the mark that it read *before* the state, and an append to many reads the marks after its post is in truth: a state whose mark is the same holds.
//! Epoch and life of a remembered state are looked at with each use.
//!
//! **Why no filler's post is overlooked.** A beginning (1) stores its state, (2) writes a new mark, (3) has its filler read truth. All of it is by
//! quorums, and each step waits for the one before. An append that reads the marks
//! - before (2) is acknowledged has its post in truth before (3), where the filler meets it;
//! - later finds the new mark, or one that came after. A state that is remembered with the mark found was read after (1) had been stored.
//!
//! The marks that were read for a post's first append serve the later ones too: it has been in truth since. Not so for one that was deleted or hidden in
//! between, so that a renewal reads them anew.
//!
//! The second point needs that no mark read before (1) is ever found again after (2). Marks are random, so that none comes twice, and (2) is written with
//! a timestamp above that of the mark found *after* (1), so above whatever was read before (1): reads of a quorum bring what they found to a quorum (read
//! repair, on by default). Of beginnings that race each other in a group one mark wins; it is as new to those who looked before. A beginning whose mark
//! may not have been written fails: its generation is never filled, and a later beginning takes another. A group without a mark is not gone by, so that a
//! table that was lost does no harm; one that was set back to a snapshot takes that all processes are started anew.
//!
//! **What only costs.** An older remembered state may be less ready, or of a longer range: entries below a range that rose are not read. A forgotten
//! timeline gets entries that nobody reads: of posts whose marks were read before, and, where the process ended before it changed the mark, for
//! [`KNOWN_FOR`] at most; those that come after its rows were deleted stay until they expire. Where many begin, more states have to be asked for, those of
//! their groups alone, and by each post whose marks are of another time; with as many beginnings a second as groups it is most of them again, and the
//! marks come on top.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use quick_cache::sync::Cache;
use social_core::Result;
use social_core::limits::TIMELINES_LIVE;

use super::entries::Arrival;
use super::states::{State, States};
use crate::cluster::db::{Db, statements};
use crate::cluster::ids::Ids;
use crate::cluster::lists::spread;

/// Partitions that the marks are spread over.
const PARTS: usize = 4;
/// Marks of a partition.
const SLOTS: usize = 512;
/// Stands for the mark of a group that has none.
const NONE: i64 = 0;
/// Posts whose marks are remembered: 16 KiB each.
const POSTS: usize = 256;
/// How long a state is remembered at most: whoever forgot a timeline may have ended before it changed the mark.
const KNOWN_FOR: Duration = Duration::from_secs(600);

statements!(Statements {
    read: Read "SELECT slot, mark FROM timeline_marks WHERE part = ?",
    stamp: Read "SELECT WRITETIME(mark) FROM timeline_marks WHERE part = ? AND slot = ?",
    set: Write "INSERT INTO timeline_marks (part, slot, mark) VALUES (?, ?, ?) USING TIMESTAMP ?",
});

/// The marks of all groups, as they were read together.
struct Marks(Box<[i64]>);

impl Marks {
    fn of(&self, viewer: u64) -> i64 {
        self.0[group(viewer)]
    }
}

/// What was read of a viewer. No state is worth knowing, too.
#[derive(Clone, Copy)]
struct Known {
    state: Option<State>,
    mark: i64,
    at: Instant,
}

/// States that are remembered.
pub(super) struct Remembered {
    statements: Statements,
    known: Cache<u64, Known>,
    /// By post.
    marks: Cache<u64, Arc<Marks>>,
}

impl Remembered {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            known: Cache::new(TIMELINES_LIVE),
            marks: Cache::new(POSTS),
        })
    }

    /// A viewer's timeline was begun or forgotten: no append that reads the marks once this has returned goes by a state from before.
    pub(super) async fn changed(&self, db: &Db, ids: &Ids, viewer: u64) -> Result<()> {
        let group = group(viewer);
        let (part, slot) = ((group / SLOTS) as i8, (group % SLOTS) as i16);
        let before: Option<(Option<i64>,)> = db.row(&self.statements.stamp, (part, slot)).await?;
        // Above every mark that somebody knows the former state with, also where its writer's clock is ahead of ours.
        let stamp = ids.stamp_after(before.and_then(|(stamp,)| stamp).unwrap_or(0));
        let mark = rand::random_range(NONE + 1..=i64::MAX);
        db.run(&self.statements.set, (part, slot, mark, stamp)).await
    }

    /// The states of those viewers who have one. To be called when the post is in truth that they are to get.
    pub(super) async fn states_of(
        &self,
        db: &Db,
        states: &States,
        viewers: &[u64],
        post: u64,
        arrival: Arrival,
    ) -> Result<Vec<(u64, State)>> {
        let marks = self.marks_for(db, post, arrival).await?;
        let mut found = Vec::with_capacity(viewers.len());
        let mut unknown = Vec::new();
        for viewer in viewers {
            match self.get(&marks, *viewer) {
                Some(state) => found.extend(state.map(|state| (*viewer, state))),
                None => unknown.push(*viewer),
            }
        }
        let asked: HashMap<u64, State> = states.get_many(db, &unknown).await?.into_iter().collect();
        for viewer in unknown {
            self.learn(&marks, viewer, asked.get(&viewer).copied());
        }
        found.extend(asked);
        Ok(found)
    }

    /// All marks as they are now, or were at any time since the post is in truth.
    async fn marks_for(&self, db: &Db, post: u64, arrival: Arrival) -> Result<Arc<Marks>> {
        if arrival != Arrival::Append {
            return Ok(Arc::new(self.marks(db).await?));
        }
        if let Some(marks) = self.marks.get(&post) {
            return Ok(marks);
        }
        let marks = Arc::new(self.marks(db).await?);
        self.marks.insert(post, Arc::clone(&marks));
        Ok(marks)
    }

    /// All marks as they are now.
    async fn marks(&self, db: &Db) -> Result<Marks> {
        let parts = (0..PARTS).map(|part| db.rows(&self.statements.read, (part as i8,)));
        let parts: Vec<Vec<(i16, i64)>> = try_join_all(parts).await?;
        let mut marks = vec![NONE; PARTS * SLOTS].into_boxed_slice();
        for (part, rows) in parts.into_iter().enumerate() {
            for (slot, mark) in rows {
                if let Some(place) = marks.get_mut(part * SLOTS + slot as usize) {
                    *place = mark;
                }
            }
        }
        Ok(Marks(marks))
    }

    /// What is known of a viewer as of these marks: a state or none; nothing where it has to be asked for.
    fn get(&self, marks: &Marks, viewer: u64) -> Option<Option<State>> {
        let known = self.known.get(&viewer)?;
        let mark = marks.of(viewer);
        (mark != NONE && known.mark == mark && known.at.elapsed() < KNOWN_FOR).then_some(known.state)
    }

    /// Remembers what was read after these marks.
    fn learn(&self, marks: &Marks, viewer: u64, state: Option<State>) {
        let known = Known {
            state,
            mark: marks.of(viewer),
            at: Instant::now(),
        };
        self.known.insert(viewer, known);
    }
}

fn group(viewer: u64) -> usize {
    (spread(viewer) % (PARTS * SLOTS) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_spread_evenly_over_groups_that_there_are() {
        let mut counts = vec![0; PARTS * SLOTS];
        for viewer in 0..100 * counts.len() as u64 {
            counts[group(viewer << 22)] += 1;
        }
        assert!(counts.iter().all(|count| (40..=180).contains(count)), "{counts:?}");
    }
}
