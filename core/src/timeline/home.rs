//! A page of the home timeline: select, merge, hydrate, filter, page.

use std::sync::Arc;

use futures::FutureExt as _;

use super::ready::{Arrivals, Reader, Stretch};
use crate::backend::Backend;
use crate::cursor::{Binding, Cursor, HomePlace, PageRequest};
use crate::error::Result;
use crate::graph::Relation;
use crate::id::{PostId, UserId};
use crate::page::{Round, fill, first_round};
use crate::posts::view::{Relations, hydrate};
use crate::posts::{Post, PostView, Visibility};
use crate::request::{Caller, Viewer};

/// Which page of the home timeline.
#[derive(Debug, Clone, Copy, Default)]
pub struct HomeRequest<'a> {
    /// The page.
    pub page: PageRequest<'a>,
    /// Only what became visible after this cursor; empty for all.
    pub newer_than_cursor: &'a str,
    /// Leave out posts that reply to another.
    pub exclude_replies: bool,
}

/// A page of the home timeline.
#[derive(Debug, Clone)]
pub struct HomePage {
    /// Posts, newest first. Each is there because the viewer follows its author or wrote it.
    pub items: Vec<PostView>,
    /// Token of the next page; empty at the end, and only there.
    pub next_page_token: String,
    /// A cursor for what is visible now.
    pub head_cursor: String,
    /// Whether the timeline was being rebuilt by another call meanwhile.
    pub rebuilding: bool,
    /// Whether the cursor was too old to tell what is newer: this is a first page without that bound.
    pub reset: bool,
}

pub(super) fn binding(viewer: Viewer, exclude_replies: bool) -> Binding {
    Binding::new("home", viewer, &[u64::from(exclude_replies)])
}

/// Reads a page of the caller's home timeline. TOKEN_MISSING, PAGE_TOKEN_INVALID, CURSOR_INVALID.
pub async fn home(backend: &Backend, caller: &Caller, request: HomeRequest<'_>) -> Result<HomePage> {
    let viewer = caller.user()?;
    let size = request.page.size()?;
    let binding = binding(caller.viewer, request.exclude_replies);
    let place = place(&binding, &request)?;
    let reader = Reader::open(backend, viewer, place.first_stretch(size)).await?;
    let walk = Walk {
        reader: &reader,
        exclude_replies: request.exclude_replies,
        size,
    };
    let ((posts, next), reset) = match &place.newer_than {
        None => (walk.everything(place.before).await?, false),
        Some(cursor) => match reader.since(cursor).await? {
            Arrivals::Posts(posts) => (walk.among(&posts, place.before).await?, false),
            Arrivals::Reset => (walk.everything(None).await?, true),
        },
    };
    let newer_than = place.newer_than.filter(|_| !reset);
    let next_page_token = next.map_or_else(String::new, |before| {
        let before = Some(PostId(before));
        HomePlace { before, newer_than }.seal(&binding)
    });
    let items = reader.show(caller.viewer, posts).await?;
    if place == HomePlace::default() && !reader.is_rebuilding() {
        reader.note_page(&items);
    }
    Ok(HomePage {
        items,
        next_page_token,
        head_cursor: reader.cursor().seal(&binding),
        rebuilding: reader.is_rebuilding(),
        reset,
    })
}

fn place(binding: &Binding, request: &HomeRequest<'_>) -> Result<HomePlace> {
    if request.page.token.is_empty() {
        let newer_than = Cursor::open(binding, "newer_than_cursor", request.newer_than_cursor)?;
        return Ok(HomePlace {
            before: None,
            newer_than,
        });
    }
    HomePlace::open(binding, request.page.token)
}

impl HomePlace {
    /// The stretch that a page of `size` entries from here begins with.
    fn first_stretch(&self, size: usize) -> Stretch {
        match self.newer_than {
            None => Stretch {
                before: self.before,
                limit: first_round(size),
            },
            Some(_) => Stretch::HEAD,
        }
    }
}

/// Fills one page.
struct Walk<'a> {
    reader: &'a Reader<'a>,
    exclude_replies: bool,
    size: usize,
}

/// A page before it is hydrated, and the key to go on behind.
type Turned = (Vec<Arc<Post>>, Option<u64>);

impl Walk<'_> {
    /// A page of the whole timeline below `before`.
    async fn everything(&self, before: Option<PostId>) -> Result<Turned> {
        let look = |before: Option<u64>, wanted| {
            async move {
                let ids = self.reader.round(before.map(PostId), wanted).await?;
                self.round(&ids).await
            }
            .boxed()
        };
        fill(self.size, before.map(|before| before.0), look).await
    }

    /// A page of these posts, newest first, below `before`.
    async fn among(&self, ids: &[PostId], before: Option<PostId>) -> Result<Turned> {
        let look = |before: Option<u64>, wanted: usize| {
            let start = before.map_or(0, |before| ids.partition_point(|id| id.0 >= before));
            self.round(&ids[start..ids.len().min(start + wanted)]).boxed()
        };
        fill(self.size, before.map(|before| before.0), look).await
    }

    async fn round(&self, ids: &[PostId]) -> Result<Round<Arc<Post>>> {
        let posts = self.reader.readable(ids, self.exclude_replies).await?;
        Ok(Round {
            rows: ids.len(),
            last: ids.last().map(|id| id.0),
            shown: posts.into_iter().map(|post| (post.id.0, post)).collect(),
        })
    }
}

impl Reader<'_> {
    /// Of the posts those that belong into the viewer's home timeline by today's relations, in the same order.
    pub(super) async fn readable(&self, ids: &[PostId], exclude_replies: bool) -> Result<Vec<Arc<Post>>> {
        let posts = self.known.posts(self.backend, ids).await?;
        Ok(posts
            .into_iter()
            .flatten()
            .filter(|post| self.belongs(post, exclude_replies))
            .collect())
    }

    fn belongs(&self, post: &Post, exclude_replies: bool) -> bool {
        let is_own = post.author == self.viewer;
        (is_own || self.following.shows(post.author))
            && !post.is_deleted()
            && (is_own || post.visibility != Visibility::Private)
            && !(exclude_replies && post.in_reply_to.is_some())
    }

    /// Hydrates posts of the home timeline. How the viewer stands to their authors is known already.
    pub(super) async fn show(&self, viewer: Viewer, posts: Vec<Arc<Post>>) -> Result<Vec<PostView>> {
        let relations = Relations::known(posts.iter().map(|post| (post.author, self.relation(post.author))));
        hydrate(self.backend, viewer, posts, &relations, &self.known).await
    }

    /// Takes note of a first page, so that the next one is read at once.
    fn note_page(&self, page: &[PostView]) {
        let authors = page.iter().map(|view| view.post.author);
        self.backend
            .read_ahead
            .note(self.viewer, self.head.generation, self.looked_at(), authors);
    }

    fn relation(&self, author: UserId) -> Relation {
        Relation {
            following: self.following.followees.contains_key(&author),
            muting: self.following.muted.contains(&author),
            ..Relation::default()
        }
    }
}
