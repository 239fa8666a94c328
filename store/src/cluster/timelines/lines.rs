//! Reading and writing of timelines: states, entries, and what this process remembers of both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use social_core::backend::Position;
use social_core::limits::{TIMELINE_ENTRIES, TIMELINES_LIVE};
use social_core::{Error, PostId, Result, UserId};
use tokio::sync::{Mutex, MutexGuard, mpsc};

use super::entries::{Arrival, Entry, Range, Slack, deletion_timestamp, stored};
use super::marks::Remembered;
use super::rows::{Pace, Row, Rows};
use super::states::{State, States};
use crate::cluster::db::{Db, statements};
use crate::cluster::ids::Ids;
use crate::cluster::lists::spread;
use crate::cluster::moment::Moment;

/// How long after a state stopped speaking for entries they are deleted.
pub(super) const DISCARD_AFTER: Duration = Duration::from_secs(15);
/// How long a read of a state and of the entries it speaks for may take together.
const READ_WITHIN: Duration = Duration::from_secs(12);
/// So many entries beyond the bound are left alone.
pub(super) const EXCESS: usize = 200;
/// A timeline is looked after once in so many entries written.
const LOOK_EVERY: u32 = 512;
/// Jobs that wait; further ones are left to a later occasion, or to the expiry of entries.
const JOBS: usize = 65_536;
/// Locks that viewers are spread over.
const TURNS: usize = 1_024;

statements!(Statements {
    page: TimelineRead "SELECT post, arrived FROM home_timeline WHERE viewer = ? AND generation = ? AND post >= ? AND post < ? LIMIT ?",
    count: TimelineRead "SELECT COUNT(*) FROM home_timeline WHERE viewer = ? AND generation = ? AND post >= ?",
    discard: TimelineWrite "DELETE FROM home_timeline USING TIMESTAMP ? WHERE viewer = ? AND generation = ?",
    discard_below: TimelineWrite "DELETE FROM home_timeline USING TIMESTAMP ? WHERE viewer = ? AND generation = ? AND post < ?",
});

/// What is done some time later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Trims a viewer's timeline if it is far too long.
    Trim(u64),
    /// Deletes the entries of a viewer's generation.
    Discard(u64, u64),
    /// Deletes those below a post.
    DiscardBelow(u64, u64, u64),
}

/// A job, and when it is due.
pub(super) type Due = (Instant, Job);

/// What this process knows of a timeline: a guess that lets its entries be asked for together with its state, and how far it has cut it.
#[derive(Debug, Clone, Copy)]
struct Known {
    generation: u64,
    range: Range,
    /// Entries cut since the timeline was last to be trimmed.
    excess: usize,
}

/// What a read of a ready timeline saw.
pub(super) struct Seen {
    /// Newest first.
    pub(super) entries: Vec<Entry>,
    pub(super) range: Range,
    pub(super) head: Position,
}

/// All timelines.
pub(super) struct Lines {
    pub(super) db: Arc<Db>,
    pub(super) states: States,
    pub(super) slack: Slack,
    rows: Rows,
    ids: Arc<Ids>,
    statements: Statements,
    known: Cache<u64, Known>,
    remembered: Remembered,
    jobs: mpsc::Sender<Due>,
    turns: Box<[Mutex<()>]>,
}

impl Lines {
    pub(super) async fn prepare(db: Arc<Db>, ids: Arc<Ids>, slack: Slack) -> Result<(Self, mpsc::Receiver<Due>)> {
        let (jobs, due) = mpsc::channel(JOBS);
        let lines = Self {
            states: States::prepare(&db).await?,
            statements: Statements::prepare(&db).await?,
            remembered: Remembered::prepare(&db).await?,
            rows: Rows::prepare(Arc::clone(&db), Arc::clone(&ids)).await?,
            slack,
            ids,
            db,
            known: Cache::new(TIMELINES_LIVE),
            jobs,
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
        };
        Ok((lines, due))
    }

    /// Has calls of this process about one viewer wait for each other.
    pub(super) async fn turn(&self, viewer: u64) -> MutexGuard<'_, ()> {
        self.turns[(spread(viewer) % TURNS as u64) as usize].lock().await
    }

    /// Has a job done [`DISCARD_AFTER`] from now.
    pub(super) fn later(&self, job: Job) {
        if self.jobs.try_send((Instant::now() + DISCARD_AFTER, job)).is_err() {
            tracing::debug!(?job, "timelines are left untidy");
        }
    }

    /// The states of those viewers who have one. To be called when the post is in truth that they are to get.
    pub(super) async fn states_of(
        &self,
        viewers: &[UserId],
        post: PostId,
        arrival: Arrival,
        pace: Pace,
    ) -> Result<Vec<(u64, State)>> {
        let viewers: Vec<u64> = viewers.iter().map(|viewer| viewer.0).collect();
        let Self {
            db, states, remembered, ..
        } = self;
        match pace {
            Pace::AtOnce => states.get_many(db, &viewers).await,
            Pace::ByTurns => remembered.states_of(db, states, &viewers, post.0, arrival).await,
        }
    }

    /// A viewer's timeline was begun or forgotten.
    pub(super) async fn changed(&self, viewer: u64) -> Result<()> {
        self.remembered.changed(&self.db, &self.ids, viewer).await
    }

    /// Adds posts to live timelines, each given by its viewer and state; how many are held, which those below a timeline's range are not.
    pub(super) async fn add(
        &self,
        posts: impl Iterator<Item = (u64, State, u64)>,
        arrival: Arrival,
        pace: Pace,
    ) -> Result<u64> {
        let held = posts.filter(|(viewer, state, post)| *post >= self.range(*viewer, state).covers_from);
        let rows: Vec<Row> = held
            .map(|(viewer, state, post)| Row {
                viewer,
                generation: state.generation,
                post,
            })
            .collect();
        self.rows.put(&rows, arrival, pace).await?;
        for row in &rows {
            if rand::random_ratio(1, LOOK_EVERY) {
                self.later(Job::Trim(row.viewer));
            }
        }
        Ok(rows.len() as u64)
    }

    /// Fills a timeline that is not ready.
    pub(super) async fn fill(&self, viewer: u64, generation: u64, posts: Vec<u64>) -> Result<()> {
        let rows = posts.into_iter().map(|post| Row {
            viewer,
            generation,
            post,
        });
        let rows: Vec<Row> = rows.collect();
        self.rows.put(&rows, Arrival::None, Pace::AtOnce).await
    }

    fn now_us(&self) -> i64 {
        self.ids.now().unix_ms() as i64 * 1_000
    }

    /// What a timeline speaks for by its state, and by what this process cut.
    fn range(&self, viewer: u64, state: &State) -> Range {
        let known = self
            .known
            .get(&viewer)
            .filter(|known| known.generation == state.generation);
        known.map_or(state.range, |known| known.range.and(state.range))
    }

    /// Reads the newest `limit` entries below `before` of a timeline, if it is ready: its state, and at the same time the entries of the generation
    /// that it had before.
    pub(super) async fn look(&self, viewer: u64, before: Option<PostId>, limit: usize) -> Result<Option<Seen>> {
        let since = Moment::now();
        let now = self.now_us().max(1) as u64;
        let guess = self.known.get(&viewer);
        let guessed = async {
            match &guess {
                Some(known) => self.page(viewer, known, before, limit).await.map(Some),
                None => Ok(None),
            }
        };
        let (state, epoch, guessed) =
            tokio::try_join!(self.states.get(&self.db, viewer), self.states.epoch(&self.db), guessed)?;
        let Some(state) = state.filter(|state| state.ready && state.is_live(epoch)) else {
            self.known.remove(&viewer);
            return Ok(None);
        };
        let guess = guess.filter(|known| known.generation == state.generation);
        let mut known = Known {
            generation: state.generation,
            range: guess.map_or(state.range, |known| known.range.and(state.range)),
            excess: guess.map_or(0, |known| known.excess),
        };
        let mut entries = match guessed.filter(|_| guess.is_some()) {
            Some(entries) => entries,
            None => self.page(viewer, &known, before, limit).await?,
        };
        // What the state no longer speaks for may be gone, so that it must not have been asked for too long ago.
        if since.elapsed() > READ_WITHIN {
            return Err(Error::unavailable());
        }
        entries.retain(|entry| entry.post >= known.range.covers_from);
        let newest = entries.iter().map(|entry| entry.arrived).max().unwrap_or(0);
        if before.is_none() {
            known.excess += known.range.cut(&mut entries);
        }
        if known.excess > EXCESS {
            known.excess = 0;
            self.later(Job::Trim(viewer));
        }
        if guess.is_none_or(|guess| (guess.range, guess.excess) != (known.range, known.excess)) {
            self.known.insert(viewer, known);
        }
        Ok(Some(Seen {
            entries,
            range: known.range,
            head: Position {
                generation: known.generation,
                sequence: self.slack.sequence(now, newest.max(known.range.dropped)),
            },
        }))
    }

    async fn page(&self, viewer: u64, known: &Known, before: Option<PostId>, limit: usize) -> Result<Vec<Entry>> {
        let below = before.map_or(i64::MAX, |before| stored(before.0));
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let from = stored(known.range.covers_from);
        let values = (viewer as i64, known.generation as i64, from, below, limit);
        let rows: Vec<(i64, i64)> = self.db.rows(&self.statements.page, values).await?;
        Ok(rows.into_iter().map(Entry::from).collect())
    }

    /// The entries of a ready timeline that are within its bound.
    pub(super) async fn count(&self, viewer: u64, state: State) -> Result<u64> {
        let values = (viewer as i64, state.generation as i64, stored(state.range.covers_from));
        let count: Option<(i64,)> = self.db.row(&self.statements.count, values).await?;
        Ok(count.map_or(0, |(count,)| count.min(TIMELINE_ENTRIES as i64) as u64))
    }

    /// Does a job that is due.
    pub(super) async fn work(&self, job: Job) -> Result<()> {
        let at = deletion_timestamp(self.ids.stamp());
        match job {
            Job::Trim(viewer) => self.trim(viewer).await,
            Job::Discard(viewer, generation) => {
                let values = (at, viewer as i64, generation as i64);
                self.db.run(&self.statements.discard, values).await
            }
            Job::DiscardBelow(viewer, generation, post) => {
                let values = (at, viewer as i64, generation as i64, stored(post));
                self.db.run(&self.statements.discard_below, values).await
            }
        }
    }

    /// Stores the cut of a timeline that is far too long.
    async fn trim(&self, viewer: u64) -> Result<()> {
        let Some(before) = self.states.get(&self.db, viewer).await?.filter(|state| state.ready) else {
            return Ok(());
        };
        let known = Known {
            generation: before.generation,
            range: before.range,
            excess: 0,
        };
        let mut entries = self.page(viewer, &known, None, usize::MAX).await?;
        if entries.len() <= TIMELINE_ENTRIES + EXCESS {
            return Ok(());
        }
        let mut state = before;
        state.range.cut(&mut entries);
        let cut = self.states.replace(&self.db, viewer, &before, &state).await;
        if cut == Ok(true) || self.states.get_decided(&self.db, viewer).await? == Some(state) {
            self.later(Job::DiscardBelow(viewer, state.generation, state.range.covers_from));
        }
        Ok(())
    }
}
