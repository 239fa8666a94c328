//! Authors whose posts are left to readers: few, and asked for by every home timeline.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use social_core::graph::{Following, PulledAuthor};
use social_core::limits;
use social_core::{PostId, UserId};

use super::rows::Stretches;

/// Stretches of all authors who have any.
#[derive(Default)]
pub(super) struct Pulled {
    authors: RwLock<HashMap<UserId, Vec<(PostId, PostId)>>>,
    version: AtomicU64,
}

impl Pulled {
    /// What is stored.
    pub(super) fn new(authors: impl Iterator<Item = (UserId, Stretches)>) -> Self {
        let authors = authors.map(|(author, stretches)| (author, stretches.list)).collect();
        Self {
            authors: RwLock::new(authors),
            version: AtomicU64::new(0),
        }
    }

    /// Raised by every change.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// An author's stretches are these now.
    pub(super) fn set(&self, author: UserId, stretches: &Stretches) {
        let mut authors = self.authors.write();
        let changed = authors.get(&author) != Some(&stretches.list);
        if changed {
            authors.insert(author, stretches.list.clone());
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Those whom a viewer follows, by id. Walks the smaller of the two sets.
    pub(super) fn among(&self, following: &Following) -> Vec<PulledAuthor> {
        let authors = self.authors.read();
        let found = |author: &UserId, stretches: &Vec<_>| PulledAuthor {
            author: *author,
            stretches: stretches.clone(),
        };
        let mut among: Vec<_> = if following.followees.len() < authors.len() {
            following
                .followees
                .keys()
                .filter_map(|id| Some(found(id, authors.get(id)?)))
                .collect()
        } else {
            authors
                .iter()
                .filter(|(id, _)| following.followees.contains_key(id))
                .map(|(id, s)| found(id, s))
                .collect()
        };
        among.sort_unstable_by_key(|author| author.author);
        among
    }
}

impl Stretches {
    /// With a pulled post, which continues the last stretch where that is open.
    #[must_use]
    pub(super) fn pulled(mut self, post: PostId) -> Self {
        match self.list.last_mut() {
            Some((_, to)) if self.open => *to = post,
            _ => self.list.push((post, post)),
        }
        if self.list.len() > limits::PULLED_STRETCHES {
            let (_, to) = self.list.remove(1);
            self.list[0].1 = to;
        }
        self.open = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_continue_until_a_post_is_pushed() {
        let mut stretches = Stretches::default().pulled(PostId(1)).pulled(PostId(2));
        stretches.open = false;
        let stretches = stretches.pulled(PostId(5));
        assert_eq!(stretches.list, [(PostId(1), PostId(2)), (PostId(5), PostId(5))]);
    }

    #[test]
    fn past_the_bound_the_two_oldest_are_merged() {
        let mut stretches = Stretches::default();
        for post in 1..=limits::PULLED_STRETCHES as u64 + 1 {
            stretches = stretches.pulled(PostId(post * 10));
            stretches.open = false;
        }
        assert_eq!(stretches.list.len(), limits::PULLED_STRETCHES);
        assert_eq!(stretches.list[0], (PostId(10), PostId(20)));
        assert_eq!(stretches.list[1], (PostId(30), PostId(30)));
    }
}
