//! Reading ahead: what a home timeline's first page held the last time tells which rows to ask for before the timeline itself has answered.
//!
//! Of use where each question is a journey to another machine. Nothing is ever answered from here: the rows are read anew with each page, only sooner.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::id::{PostId, UserId};
use crate::limits;
use crate::page::first_round;

/// Posts of a glimpse: those that the first round of a page of the usual size takes.
const POSTS: usize = first_round(limits::PAGE_DEFAULT);

/// What this process saw of each viewer's home timeline last.
#[derive(Clone, Default)]
pub struct ReadAhead(Option<Arc<Cache<UserId, Arc<Glimpse>>>>);

/// What the first page of a home timeline took.
pub(super) struct Glimpse {
    /// Of the timeline then.
    pub(super) generation: u64,
    pub(super) posts: Vec<PostId>,
    /// Of the posts, each once.
    pub(super) authors: Vec<UserId>,
}

impl ReadAhead {
    /// Reads ahead for the viewers who came last, at most [`limits::READ_AHEAD_VIEWERS`]. The default does not.
    pub fn new() -> Self {
        Self(Some(Arc::new(Cache::new(limits::READ_AHEAD_VIEWERS))))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn glimpse(&self, viewer: UserId) -> Option<Arc<Glimpse>> {
        self.0.as_ref()?.get(&viewer)
    }

    /// Takes note of the posts that a first page took, and of the authors that it showed.
    pub(super) fn note(
        &self,
        viewer: UserId,
        generation: u64,
        posts: &[PostId],
        authors: impl Iterator<Item = UserId>,
    ) {
        let Some(viewers) = &self.0 else { return };
        let mut authors: Vec<UserId> = authors.collect();
        authors.sort_unstable();
        authors.dedup();
        let glimpse = Glimpse {
            generation,
            posts: posts.iter().copied().take(POSTS).collect(),
            authors,
        };
        viewers.insert(viewer, Arc::new(glimpse));
    }
}
