//! Home timelines: a sorted list of posts a viewer, each with the moment of its arrival.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use social_core::backend::{Append, Filled, Position, Since, TimelineSlice, Timelines};
use social_core::{PostId, Result, UserId, limits};

/// Home timelines of the reference model.
pub struct MemoryTimelines {
    lines: Mutex<Lines>,
}

impl MemoryTimelines {
    /// No timelines yet. Generations begin at a random number, so that none of another process is met again.
    pub fn new() -> Self {
        Self {
            lines: Mutex::new(Lines {
                next_generation: rand::random(),
                reads: 0,
                by_viewer: BTreeMap::new(),
            }),
        }
    }
}

impl Default for MemoryTimelines {
    fn default() -> Self {
        Self::new()
    }
}

struct Lines {
    next_generation: u64,
    reads: u64,
    by_viewer: BTreeMap<UserId, Line>,
}

struct Entry {
    post: PostId,
    sequence: u64,
}

struct Line {
    generation: u64,
    ready: bool,
    /// Ascending by post.
    entries: Vec<Entry>,
    covers_from: PostId,
    sequence: u64,
    /// The largest sequence among entries that were dropped for want of room.
    dropped: u64,
    last_read: u64,
}

impl Line {
    fn new(generation: u64) -> Self {
        let covers_from = PostId(0);
        Self {
            generation,
            ready: false,
            entries: Vec::new(),
            covers_from,
            sequence: 0,
            dropped: 0,
            last_read: 0,
        }
    }

    /// Adds a post, or gives it a new sequence if it is there and `renews`; whether it is held now.
    fn add(&mut self, post: PostId, renews: bool) -> bool {
        if post < self.covers_from {
            return false;
        }
        match self.entries.binary_search_by_key(&post, |entry| entry.post) {
            Ok(at) if renews => {
                self.sequence += 1;
                self.entries[at].sequence = self.sequence;
            }
            Ok(_) => {}
            Err(at) => {
                self.sequence += 1;
                self.entries.insert(
                    at,
                    Entry {
                        post,
                        sequence: self.sequence,
                    },
                );
                self.trim();
            }
        }
        post >= self.covers_from
    }

    fn trim(&mut self) {
        let excess = self.entries.len().saturating_sub(limits::TIMELINE_ENTRIES);
        for entry in self.entries.drain(..excess) {
            self.covers_from = PostId(entry.post.0 + 1);
            self.dropped = self.dropped.max(entry.sequence);
        }
    }

    fn fill(&mut self, posts: &[PostId], covers_from: PostId) {
        self.entries.retain(|entry| entry.post >= covers_from);
        self.covers_from = self.covers_from.max(covers_from);
        for post in posts {
            self.add(*post, false);
        }
        self.ready = true;
    }

    fn head(&self) -> Position {
        Position {
            generation: self.generation,
            sequence: self.sequence,
        }
    }

    /// The newest `limit` entries that are `wanted`.
    fn slice(&self, wanted: impl Fn(&Entry) -> bool, limit: usize) -> TimelineSlice {
        let posts = self
            .entries
            .iter()
            .rev()
            .filter(|entry| wanted(entry))
            .map(|entry| entry.post);
        TimelineSlice {
            posts: posts.take(limit).collect(),
            covers_from: self.covers_from,
            head: self.head(),
        }
    }

    fn since(&self, position: Position) -> Since {
        if position.generation != self.generation {
            Since::OtherGeneration
        } else if position.sequence < self.dropped {
            Since::Dropped { head: self.head() }
        } else {
            Since::Arrived(self.slice(|entry| entry.sequence > position.sequence, usize::MAX))
        }
    }
}

impl Lines {
    fn add(&mut self, viewers: &[UserId], post: PostId, renews: bool) -> Append {
        let mut outcome = Append::default();
        for viewer in viewers {
            match self.by_viewer.get_mut(viewer) {
                Some(line) => outcome.delivered += u64::from(line.add(post, renews)),
                None => outcome.skipped += 1,
            }
        }
        outcome
    }

    /// The viewer's timeline if it is ready, which counts as a read of it.
    fn ready(&mut self, viewer: UserId) -> Option<&Line> {
        self.reads += 1;
        let line = self.by_viewer.get_mut(&viewer).filter(|line| line.ready)?;
        line.last_read = self.reads;
        Some(line)
    }

    /// Leaves room for one more timeline.
    fn make_room(&mut self) {
        if self.by_viewer.len() >= limits::TIMELINES_LIVE {
            let idle = self
                .by_viewer
                .iter()
                .min_by_key(|(_, line)| line.last_read)
                .map(|(viewer, _)| *viewer);
            idle.map(|viewer| self.by_viewer.remove(&viewer));
        }
    }
}

#[async_trait]
impl Timelines for MemoryTimelines {
    async fn append(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        Ok(self.lines.lock().add(viewers, post, false))
    }

    async fn insert(&self, viewer: UserId, posts: &[PostId]) -> Result<bool> {
        let mut lines = self.lines.lock();
        let Some(line) = lines.by_viewer.get_mut(&viewer) else {
            return Ok(false);
        };
        for post in posts {
            line.add(*post, false);
        }
        Ok(true)
    }

    async fn renew(&self, viewers: &[UserId], post: PostId) -> Result<Append> {
        Ok(self.lines.lock().add(viewers, post, true))
    }

    async fn read(&self, viewer: UserId, before: Option<PostId>, limit: usize) -> Result<Option<TimelineSlice>> {
        let mut lines = self.lines.lock();
        let line = lines.ready(viewer);
        Ok(line.map(|line| line.slice(|entry| before.is_none_or(|before| entry.post < before), limit)))
    }

    async fn since(&self, viewer: UserId, position: Position) -> Result<Option<Since>> {
        Ok(self.lines.lock().ready(viewer).map(|line| line.since(position)))
    }

    async fn begin(&self, viewer: UserId) -> Result<Filled> {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.by_viewer.get(&viewer) {
            return Ok(if line.ready { Filled::Ready } else { Filled::UnderWay });
        }
        lines.make_room();
        lines.reads += 1;
        let generation = lines.next_generation;
        lines.next_generation = generation.wrapping_add(1);
        let line = Line {
            last_read: lines.reads,
            ..Line::new(generation)
        };
        lines.by_viewer.insert(viewer, line);
        Ok(Filled::Begun(generation))
    }

    async fn fill(&self, viewer: UserId, generation: u64, posts: &[PostId], covers_from: PostId) -> Result<()> {
        let mut lines = self.lines.lock();
        let line = lines
            .by_viewer
            .get_mut(&viewer)
            .filter(|line| line.generation == generation && !line.ready);
        if let Some(line) = line {
            line.fill(posts, covers_from);
        }
        Ok(())
    }

    async fn forget(&self, viewer: UserId) -> Result<()> {
        self.lines.lock().by_viewer.remove(&viewer);
        Ok(())
    }

    async fn forget_all(&self) -> Result<()> {
        self.lines.lock().by_viewer.clear();
        Ok(())
    }

    async fn stats(&self) -> Result<(u64, u64)> {
        let lines = self.lines.lock();
        let ready = || lines.by_viewer.values().filter(|line| line.ready);
        Ok((
            ready().count() as u64,
            ready().map(|line| line.entries.len() as u64).sum(),
        ))
    }
}
