//! Home timelines in the CQL store.
//!
//! A timeline is a *generation*: a partition of `home_timeline`, and a state row that names it. Forgetting a timeline puts a generation that nobody
//! fills there; whoever begins it anew takes another one, so that what late writers still bring to the old one is never read.
//!
//! **The race of a fill with a fan-out** is decided by quorums: `begin` has stored the state before its caller reads truth, and an append reads the
//! states after its post is in truth. An append to many viewers also goes by states that it remembers, where marks tell that none has begun since: see
//! [`marks`].
//!
//! **A bound that costs nothing.** A reader who meets more than [`TIMELINE_ENTRIES`](social_core::limits::TIMELINE_ENTRIES) entries cuts its answer,
//! and remembers the cut. The cut is stored, and the rows below are deleted, only once in a while. Rows are deleted [`DISCARD_AFTER`] later than
//! the state stopped speaking for them: a reader asks for state and rows at the same time, and must not take a hole for the end.

mod entries;
mod keeper;
mod lines;
mod marks;
mod rows;
mod states;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use social_core::backend::{Append, Filled, Position, Since, TimelineSlice, Timelines};
use social_core::{Error, PostId, Result, UserId};
use tokio::task::JoinSet;

use super::db::Db;
use super::ids::Ids;
use entries::{Arrival, Slack, filling};
use lines::{Job, Lines, Seen};
use rows::Pace;
use states::{State, new_generation};

/// From so many viewers on a fan-out is a large one: to look whether anything has begun costs less than to ask for their states.
const MANY: usize = 200;
/// How often a beginning is tried anew when others come first.
const ATTEMPTS: usize = 8;
/// Timelines whose entries statistics count one by one; of more they take the average.
const SAMPLE: usize = 256;
/// Such timelines counted at once.
const COUNTS_AT_ONCE: usize = 4;

/// Home timelines of any number of processes.
pub(super) struct CqlTimelines {
    lines: Arc<Lines>,
    /// Ends with this.
    _keeper: JoinSet<()>,
}

impl CqlTimelines {
    /// `slack` is how far the clocks of two processes and a write's time may come to together; see [`Slack`].
    pub(super) async fn prepare(db: Arc<Db>, ids: Arc<Ids>, slack: Duration) -> Result<Self> {
        let (lines, jobs) = Lines::prepare(db, ids, Slack::new(slack)).await?;
        let lines = Arc::new(lines);
        let mut keeper = JoinSet::new();
        keeper.spawn(keeper::keep(Arc::clone(&lines), jobs));
        Ok(Self { lines, _keeper: keeper })
    }

    async fn add(&self, viewers: &[UserId], post: PostId, arrival: Arrival) -> Result<Append> {
        let lines = &self.lines;
        let pace = if viewers.len() < MANY {
            Pace::AtOnce
        } else {
            Pace::ByTurns
        };
        let (epoch, states) = tokio::try_join!(
            lines.states.epoch(&lines.db),
            lines.states_of(viewers, post, arrival, pace)
        )?;
        let live: Vec<_> = states.into_iter().filter(|(_, state)| state.is_live(epoch)).collect();
        let skipped = (viewers.len() - live.len()) as u64;
        let posts = live.into_iter().map(|(viewer, state)| (viewer, state, post.0));
        Ok(Append {
            delivered: lines.add(posts, arrival, pace).await?,
            skipped,
        })
    }

    /// Makes `state` the one of a viewer whose timeline is absent or was given up. A refusal and an unknown outcome are looked up: it may be ours.
    async fn install(&self, viewer: u64, before: Option<&State>, state: &State) -> Result<bool> {
        let Lines { db, states, .. } = &*self.lines;
        let stored = match before {
            None => states.insert(db, viewer, state).await,
            Some(before) => states.replace(db, viewer, before, state).await,
        };
        if stored == Ok(true) {
            return stored;
        }
        let decided = states.get_decided(db, viewer).await?;
        Ok(decided.is_some_and(|decided| decided.generation == state.generation))
    }
}

#[async_trait]
impl Timelines for CqlTimelines {
    async fn append(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        self.add(viewers, post, Arrival::Append).await
    }

    async fn insert(&self, viewer: UserId, posts: &[PostId]) -> Result<bool> {
        let lines = &self.lines;
        let (state, epoch) = tokio::try_join!(lines.states.get(&lines.db, viewer.0), lines.states.epoch(&lines.db))?;
        let Some(state) = state.filter(|state| state.is_live(epoch)) else {
            return Ok(false);
        };
        let posts = posts.iter().map(|post| (viewer.0, state, post.0));
        lines.add(posts, Arrival::Append, Pace::AtOnce).await?;
        Ok(true)
    }

    async fn renew(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        self.add(viewers, post, Arrival::Renewal).await
    }

    async fn read(&self, viewer: UserId, before: Option<PostId>, limit: usize) -> Result<Option<TimelineSlice>> {
        let seen = self.lines.look(viewer.0, before, limit).await?;
        Ok(seen.map(|seen| slice(&seen, 0)))
    }

    async fn since(&self, viewer: UserId, position: Position) -> Result<Option<Since>> {
        let Some(seen) = self.lines.look(viewer.0, None, usize::MAX).await? else {
            return Ok(None);
        };
        if seen.head.generation != position.generation {
            return Ok(Some(Since::OtherGeneration));
        }
        let after = self.lines.slack.before(position.sequence);
        Ok(Some(if after < seen.range.dropped {
            Since::Dropped { head: seen.head }
        } else {
            Since::Arrived(slice(&seen, after + 1))
        }))
    }

    async fn begin(&self, viewer: UserId) -> Result<Filled> {
        let lines = &self.lines;
        // Calls of this process do not race each other to the store, which settles such races slowly.
        let _turn = lines.turn(viewer.0).await;
        for _ in 0..ATTEMPTS {
            let (before, epoch) =
                tokio::try_join!(lines.states.get(&lines.db, viewer.0), lines.states.epoch_now(&lines.db))?;
            match before {
                Some(state) if !state.is_live(epoch) || state.is_given_up() => {}
                Some(state) if state.ready => return Ok(Filled::Ready),
                Some(_) => return Ok(Filled::UnderWay),
                None => {}
            }
            let state = State::begun(new_generation(), epoch);
            if self.install(viewer.0, before.as_ref(), &state).await? {
                if let Some(before) = before.filter(|before| !before.is_forgotten()) {
                    lines.later(Job::Discard(viewer.0, before.generation));
                }
                // After the state is stored, before the caller reads truth, and failing where it may not have happened.
                return match lines.changed(viewer.0).await {
                    Ok(()) => Ok(Filled::Begun(state.generation)),
                    Err(error) => {
                        // Nobody will fill it. Where this fails too, it is given up later.
                        let _ = lines.states.forget(&lines.db, viewer.0, &state).await;
                        Err(error)
                    }
                };
            }
        }
        Err(Error::unavailable())
    }

    async fn fill(&self, viewer: UserId, generation: u64, posts: &[PostId], covers_from: PostId) -> Result<()> {
        let lines = &self.lines;
        let is_ours = |state: &State| state.generation == generation && !state.ready;
        let Some(before) = lines.states.get(&lines.db, viewer.0).await?.filter(is_ours) else {
            return Ok(());
        };
        let (posts, covers_from) = filling(posts, covers_from);
        lines.fill(viewer.0, generation, posts).await?;
        let mut state = before;
        state.ready = true;
        state.range.covers_from = covers_from;
        match lines.states.replace(&lines.db, viewer.0, &before, &state).await {
            Ok(_) => Ok(()),
            Err(error) => match lines.states.get_decided(&lines.db, viewer.0).await? {
                // Not ours any more, or ready: as it should be.
                Some(state) if is_ours(&state) => Err(error),
                _ => Ok(()),
            },
        }
    }

    async fn forget(&self, viewer: UserId) -> Result<()> {
        let lines = &self.lines;
        let _turn = lines.turn(viewer.0).await;
        // Where there is none, one that begins just now has not read truth yet, so it need not be forgotten.
        let state = lines.states.get(&lines.db, viewer.0).await?;
        if let Some(state) = state.filter(|state| !state.is_forgotten()) {
            lines.states.forget(&lines.db, viewer.0, &state).await?;
            lines.later(Job::Discard(viewer.0, state.generation));
            lines.changed(viewer.0).await?;
        }
        Ok(())
    }

    async fn forget_all(&self) -> Result<()> {
        self.lines.states.next_epoch(&self.lines.db).await
    }

    async fn stats(&self) -> Result<(u64, u64)> {
        let lines = &self.lines;
        let (all, epoch) = tokio::try_join!(lines.states.all(&lines.db), lines.states.epoch_now(&lines.db))?;
        let ready: Vec<_> = all
            .into_iter()
            .filter(|(_, state)| state.ready && state.is_live(epoch))
            .collect();
        // The store's order is by hash, so that the first ones are as good a sample as any.
        let sample: Vec<_> = ready.iter().take(SAMPLE).copied().collect();
        let sampled = sample.len().max(1) as u128;
        let entries: u64 = stream::iter(sample)
            .map(|(viewer, state)| lines.count(viewer, state))
            .buffer_unordered(COUNTS_AT_ONCE)
            .try_fold(0, |sum, count| std::future::ready(Ok(sum + count)))
            .await?;
        let timelines = ready.len() as u64;
        Ok((
            timelines,
            (u128::from(entries) * u128::from(timelines) / sampled) as u64,
        ))
    }
}

/// Of what was seen the entries with an arrival from `arrived` up.
fn slice(seen: &Seen, arrived: u64) -> TimelineSlice {
    let entries = seen.entries.iter().filter(|entry| entry.arrived >= arrived);
    TimelineSlice {
        posts: entries.map(|entry| PostId(entry.post)).collect(),
        covers_from: PostId(seen.range.covers_from),
        head: seen.head,
    }
}
