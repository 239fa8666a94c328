//! A viewer's timeline made ready: read where it is, rebuilt from truth where it is not.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::read_ahead::Glimpse;
use super::{deep, merge};
use crate::backend::{Backend, Filled, Horizon, Position, Since, TimelineSlice};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::graph::{Following, PulledAuthor, Sources};
use crate::id::{PostId, UserId};
use crate::limits;
use crate::posts::view::Known;

/// A generation that no timeline ever has: a cursor issued while there was no ready timeline goes by the horizon alone.
const NO_GENERATION: Position = Position {
    generation: 0,
    sequence: 0,
};

/// How long a reader waits for the caller that fills the timeline, before it merges from truth by itself.
const FILL_WAIT: Duration = Duration::from_secs(2);
/// How often it looks meanwhile.
const FILL_LOOK: Duration = Duration::from_millis(5);

/// A stretch of a timeline to begin with: entries below `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) before: Option<PostId>,
    pub(super) limit: usize,
}

impl Stretch {
    /// For who wants to know where the timeline is, more than what it holds.
    pub(super) const HEAD: Self = Self { before: None, limit: 1 };

    /// Whether it is what a glimpse is of.
    fn is_of_a_first_page(self) -> bool {
        self.before.is_none() && self != Self::HEAD
    }
}

/// What one viewer's reading goes by. Taken in an order that makes a cursor of it safe: the horizon, the timeline's position, and only then
/// whom the viewer follows, so that what a follow brings in between is delivered twice rather than never.
pub(super) struct Reader<'a> {
    pub(super) backend: &'a Backend,
    pub(super) viewer: UserId,
    pub(super) horizon: Horizon,
    pub(super) head: Position,
    pub(super) following: Arc<Following>,
    pub(super) pulled: Arc<Vec<PulledAuthor>>,
    /// Rows that were read together with the timeline.
    pub(super) known: Known,
    /// What the timeline held where the reading began.
    first: Option<(Stretch, TimelineSlice)>,
    /// The posts of the first round, whether they may be read or not.
    looked_at: OnceLock<Vec<PostId>>,
}

/// What became visible after a cursor.
pub(super) enum Arrivals {
    /// These posts, newest first.
    Posts(Vec<PostId>),
    /// It can no longer be told.
    Reset,
}

impl<'a> Reader<'a> {
    /// Begins to read a viewer's timeline with a stretch of it.
    pub(super) async fn open(backend: &'a Backend, viewer: UserId, first: Stretch) -> Result<Self> {
        let horizon = backend.store.horizon().await?;
        let at_once = match backend.read_ahead.glimpse(viewer) {
            Some(glimpse) => read_at_once(backend, viewer, first, &glimpse).await?,
            None => None,
        };
        let (slice, sources, known) = match at_once {
            Some((slice, sources, known)) => (Some(slice), sources, known),
            None => {
                let slice = made_ready(backend, viewer, first).await?;
                (slice, backend.store.sources(viewer).await?, Known::default())
            }
        };
        Ok(Self {
            backend,
            viewer,
            horizon,
            head: slice.as_ref().map_or(NO_GENERATION, |slice| slice.head),
            following: sources.following,
            pulled: sources.pulled,
            known,
            first: slice.map(|slice| (first, slice)),
            looked_at: OnceLock::new(),
        })
    }

    /// Whether another caller was still filling the timeline: what is read then is merged from truth.
    pub(super) fn is_rebuilding(&self) -> bool {
        self.head == NO_GENERATION
    }

    /// A cursor for what is visible now.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor {
            position: self.head,
            horizon: self.horizon,
            muted: self.following.muted_digest(),
        }
    }

    /// The newest `limit` entries below `before`, from the ready timeline, the pulled authors and, below what is ready, from truth.
    pub(super) async fn stretch(&self, before: Option<PostId>, limit: usize) -> Result<Vec<PostId>> {
        let mut posts = self.round(before, limit).await?;
        posts.truncate(limit);
        Ok(posts)
    }

    /// [`stretch`](Self::stretch) for who can use more than `limit` entries: there are more where they come at next to no cost.
    pub(super) async fn round(&self, before: Option<PostId>, limit: usize) -> Result<Vec<PostId>> {
        let posts = self.entries(before, limit).await?;
        if self.backend.read_ahead.is_on() {
            self.looked_at.get_or_init(|| posts.clone());
        }
        Ok(posts)
    }

    /// The posts of the first round.
    pub(super) fn looked_at(&self) -> &[PostId] {
        self.looked_at.get().map_or(&[], Vec::as_slice)
    }

    async fn entries(&self, before: Option<PostId>, limit: usize) -> Result<Vec<PostId>> {
        let Some(slice) = self.slice(Stretch { before, limit }).await? else {
            return self.merged(before, limit).await;
        };
        let is_full = slice.posts.len() == limit;
        let from = if is_full {
            slice.posts.last().copied().unwrap_or_default()
        } else {
            slice.covers_from
        };
        let mut posts = slice.posts;
        if !self.pulled.is_empty() {
            posts.extend(merge::pulled(self.backend, &self.pulled, before, from, limit).await?);
            posts = merge::newest_first(posts);
        }
        posts.truncate(limit);
        if posts.len() < limit && from > PostId(0) {
            let below = before.map_or(from, |before| before.min(from));
            posts.extend(self.merged(Some(below), limit - posts.len()).await?);
        }
        Ok(posts)
    }

    async fn slice(&self, stretch: Stretch) -> Result<Option<TimelineSlice>> {
        match &self.first {
            Some((first, slice)) if *first == stretch => Ok(Some(slice.clone())),
            _ => {
                self.backend
                    .timelines
                    .read(self.viewer, stretch.before, stretch.limit)
                    .await
            }
        }
    }

    /// `wanted` entries below `before` merged from truth, or more. Where the viewer follows many, the cost lies in asking each of them once,
    /// whatever is wanted: so it is twice of that, lest a page of which readers filter some needs a second merge, and it waits for its turn.
    async fn merged(&self, before: Option<PostId>, wanted: usize) -> Result<Vec<PostId>> {
        let newest = |limit| merge::newest(self.backend, self.viewer, &self.following, before, limit);
        if self.following.followees.len() < limits::DEEP_READ_FOLLOWEES {
            return newest(wanted).await;
        }
        let _turn = deep::begin(self.viewer).await?;
        newest(wanted * 2).await
    }

    /// What became visible after a cursor, at most [`limits::TIMELINE_ENTRIES`].
    pub(super) async fn since(&self, cursor: &Cursor) -> Result<Arrivals> {
        if cursor.horizon.imports != self.horizon.imports || cursor.muted != self.following.muted_digest() {
            return Ok(Arrivals::Reset);
        }
        let posts = match self.backend.timelines.since(self.viewer, cursor.position).await? {
            Some(Since::Arrived(slice)) => slice.posts,
            Some(Since::Dropped { .. }) => return Ok(Arrivals::Reset),
            Some(Since::OtherGeneration) | None => {
                let kept = self.stretch(None, limits::TIMELINE_ENTRIES).await?;
                self.unsettled_at(cursor.horizon, kept).await?
            }
        };
        let after_cursor = PostId(cursor.horizon.visible.0.saturating_add(1));
        let pulled = merge::pulled(self.backend, &self.pulled, None, after_cursor, limits::TIMELINE_ENTRIES).await?;
        let posts = merge::newest_first([posts, pulled].concat());
        if posts.len() > limits::TIMELINE_ENTRIES {
            return Ok(Arrivals::Reset);
        }
        Ok(Arrivals::Posts(posts))
    }

    /// Of `posts` those that a reader at that horizon may not have seen: brought before readers by an event that was
    /// not settled, or by a follow since.
    async fn unsettled_at(&self, horizon: Horizon, posts: Vec<PostId>) -> Result<Vec<PostId>> {
        let settled = horizon.settled.0;
        let rows = self.backend.store.posts(&posts).await?;
        let is_new = |post: &crate::posts::Post| {
            let followed_since = self.following.followees.get(&post.author).copied().unwrap_or_default();
            post.visible_since.0 >= settled || followed_since >= settled
        };
        Ok(rows
            .into_iter()
            .flatten()
            .filter(|post| is_new(post))
            .map(|post| post.id)
            .collect())
    }
}

/// Everything at the same time, what is likely to be shown included; `None` where that must be done in turn.
///
/// **Why the order does not matter here.** A follow reaches readers by dropping the timeline: what its author wrote before comes with another
/// generation. So where the generation is one that was there before this began, a follow that came in between is not done yet,
/// its event holds the horizon back, and a cursor of this generation brings what is missing once that is gone. What an unmute gives back, the cursor's digest tells.
/// A row may be from before an undeletion whose renewal the timeline shows already: a position begins before all that is read with it, and goes back
/// further still, by the slack of the clocks, so that the renewal is behind it.
async fn read_at_once(
    backend: &Backend,
    viewer: UserId,
    first: Stretch,
    glimpse: &Glimpse,
) -> Result<Option<(TimelineSlice, Sources, Known)>> {
    let rows = async {
        if first.is_of_a_first_page() {
            Known::read(backend, viewer, &glimpse.posts, &glimpse.authors).await
        } else {
            Ok(Known::default())
        }
    };
    let (slice, sources, known) = futures::try_join!(
        backend.timelines.read(viewer, first.before, first.limit),
        backend.store.sources(viewer),
        rows,
    )?;
    let slice = slice.filter(|slice| slice.head.generation == glimpse.generation);
    Ok(slice.map(|slice| (slice, sources, known)))
}

/// A stretch of the viewer's timeline, which is made where it is absent. A reader who finds another filling it waits for that one, and at last
/// goes without.
async fn made_ready(backend: &Backend, viewer: UserId, stretch: Stretch) -> Result<Option<TimelineSlice>> {
    let deadline = Instant::now() + FILL_WAIT;
    loop {
        if let Some(slice) = backend.timelines.read(viewer, stretch.before, stretch.limit).await? {
            return Ok(Some(slice));
        }
        if make_ready(backend, viewer).await?.is_some() {
            continue;
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(FILL_LOOK).await;
    }
}

/// Rebuilds an absent timeline from truth; how many entries it got then, `None` where another caller does, or did.
///
/// It is live before truth is read: a post that is fanned out meanwhile is appended, one from before is in truth.
async fn make_ready(backend: &Backend, viewer: UserId) -> Result<Option<usize>> {
    let Filled::Begun(generation) = backend.timelines.begin(viewer).await? else {
        return Ok(None);
    };
    let rebuilt = async {
        let following = backend.store.following(viewer).await?;
        let posts = merge::newest(backend, viewer, &following, None, limits::TIMELINE_ENTRIES).await?;
        let is_all = posts.len() < limits::TIMELINE_ENTRIES;
        let covers_from = if is_all {
            PostId(0)
        } else {
            posts.last().copied().unwrap_or_default()
        };
        backend.timelines.fill(viewer, generation, &posts, covers_from).await?;
        Ok(posts.len())
    };
    match rebuilt.await {
        Ok(entries) => Ok(Some(entries)),
        Err(error) => {
            backend.timelines.forget(viewer).await?;
            Err(error)
        }
    }
}

/// Drops a user's timeline and makes it anew from truth; how many entries it has then.
pub async fn rebuild(backend: &Backend, user: UserId) -> Result<usize> {
    backend.timelines.forget(user).await?;
    Ok(make_ready(backend, user).await?.unwrap_or_default())
}
