//! Home timelines from truth: the newest posts of everybody whom a viewer follows, merged.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use futures::{StreamExt, TryStreamExt, stream};

use crate::backend::Backend;
use crate::error::Result;
use crate::graph::{Following, PulledAuthor};
use crate::id::{PostId, UserId};
use crate::page::Range;

/// Authors asked at once.
const CONCURRENCY: usize = 32;
/// Posts asked of an author at once. Most authors add few posts to a merge, so asking for a page of each would mostly be wasted.
const CHUNK: usize = 8;

/// One author's posts, newest first, read in chunks.
struct Source {
    author: UserId,
    ready: VecDeque<PostId>,
    more: bool,
}

impl Source {
    async fn open(backend: &Backend, author: UserId, before: Option<PostId>) -> Result<Self> {
        let mut source = Self {
            author,
            ready: VecDeque::new(),
            more: true,
        };
        source.read(backend, before).await?;
        Ok(source)
    }

    async fn read(&mut self, backend: &Backend, before: Option<PostId>) -> Result<()> {
        // A store that answers from memory never waits: others have to get their turn all the same.
        tokio::task::coop::consume_budget().await;
        let range = Range::newest(before.map(|post| post.0), CHUNK);
        self.ready = backend.store.user_posts(self.author, range).await?.into();
        self.more = self.ready.len() == CHUNK;
        Ok(())
    }

    /// Takes the newest post, reading on where the chunk ends with it.
    async fn take(&mut self, backend: &Backend) -> Result<Option<PostId>> {
        let taken = self.ready.pop_front();
        if self.ready.is_empty() && self.more && taken.is_some() {
            self.read(backend, taken).await?;
        }
        Ok(taken)
    }
}

/// The newest `limit` posts below `before` of the viewer and of whom the viewer follows, newest first, not yet filtered by
/// who may see them.
pub(super) async fn newest(
    backend: &Backend,
    viewer: UserId,
    following: &Following,
    before: Option<PostId>,
    limit: usize,
) -> Result<Vec<PostId>> {
    // Those whom the viewer mutes too: a timeline outlives a mute, and readers filter.
    let authors: Vec<UserId> = following.followees.keys().copied().chain([viewer]).collect();
    let mut sources: Vec<Source> = stream::iter(authors)
        .map(|author| Source::open(backend, author, before))
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    let mut heap: BinaryHeap<(PostId, usize)> = sources
        .iter()
        .enumerate()
        .filter_map(|(at, source)| Some((*source.ready.front()?, at)))
        .collect();
    let mut merged = Vec::new();
    while merged.len() < limit
        && let Some((_, at)) = heap.pop()
    {
        merged.extend(sources[at].take(backend).await?);
        heap.extend(sources[at].ready.front().map(|post| (*post, at)));
    }
    Ok(merged)
}

/// Posts of pulled followees strictly below `before` and from `from` up, at most `limit` of each author, in no order.
pub(super) async fn pulled(
    backend: &Backend,
    authors: &[PulledAuthor],
    before: Option<PostId>,
    from: PostId,
    limit: usize,
) -> Result<Vec<PostId>> {
    let highest = PostId(before.map_or(u64::MAX, |post| post.0.saturating_sub(1)));
    let mut reads = Vec::with_capacity(authors.len());
    for pulled in authors {
        reads.push(pulled_of(backend, pulled, from, highest, limit));
    }
    let found: Vec<Vec<PostId>> = stream::iter(reads).buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(found.concat())
}

/// An author's pulled posts between two, both inclusive.
async fn pulled_of(
    backend: &Backend,
    pulled: &PulledAuthor,
    lowest: PostId,
    highest: PostId,
    limit: usize,
) -> Result<Vec<PostId>> {
    let mut found = Vec::new();
    for &(first, last) in pulled.stretches.iter().rev() {
        let (low, high, wanted) = (first.max(lowest), last.min(highest), limit - found.len());
        if wanted == 0 || low > high {
            continue;
        }
        let range = Range {
            until: low.0.checked_sub(1),
            ..Range::newest(high.0.checked_add(1), wanted)
        };
        found.extend(backend.store.pulled_posts(pulled.author, range).await?);
    }
    Ok(found)
}

/// Sorts newest first and drops repeats.
pub(super) fn newest_first(mut posts: Vec<PostId>) -> Vec<PostId> {
    posts.sort_unstable_by_key(|post| Reverse(*post));
    posts.dedup();
    posts
}
