//! How posts that are there change.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use social_core::fanout::Payload;
use social_core::posts::{Post, PostChange, Revision};
use social_core::request::{Outcome, RequestKey, TraceContext};
use social_core::{Error, EventId, PostId, Result, Time};

use super::PostChanges;
use super::rows::{PostRow, Stored};
use crate::cluster::change::{Act, Change, Verdict};
use crate::cluster::docs::Put;
use crate::cluster::lists::List;
use crate::cluster::truth::{Begun, Intent, Ticket, Truth};

/// How often a change is decided anew when others come first.
const ATTEMPTS: usize = 16;

/// A post that was there, as it is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::cluster) struct ChangedPost {
    /// The version of the head that this replaces; none where the post was never changed.
    before: Option<u64>,
    pub(super) row: PostRow,
    /// What it was, where readers may look that up.
    revision: Option<Revision>,
    /// Whether it is put into its author's list or taken out, where that changes.
    listed: Option<bool>,
    /// The same of the target's replies.
    counted: Option<bool>,
}

/// What core makes of a post's row.
type Decide<'a> = dyn Fn(&Post, Time) -> Result<Option<PostChange>> + Send + Sync + 'a;

impl ChangedPost {
    /// The change from one row to another, whose entries in lists are to win over those of before.
    fn new(before: &Stored, post: Post, revision: Option<Revision>, stamp: i64) -> Self {
        let was = &before.row.post;
        let (listed, counted) = (!post.is_deleted(), post.counts_for());
        Self {
            before: before.head,
            listed: (was.is_deleted() == listed).then_some(listed),
            counted: (was.counts_for() != counted).then_some(counted.is_some()),
            row: PostRow {
                post: Arc::new(post),
                places: before.row.places,
                stamp,
            },
            revision,
        }
    }
}

impl Truth {
    /// Changes a post by what `decide` makes of its row; `None` leaves it.
    pub(super) async fn change_post(
        &self,
        id: PostId,
        request: RequestKey,
        trace: Option<TraceContext>,
        decide: &Decide<'_>,
    ) -> Result<Outcome<Arc<Post>>> {
        let _alone = self.lock(id.0).await;
        for _ in 0..ATTEMPTS {
            let ticket = match self.begin(request).await? {
                Begun::Ours(ticket) => ticket,
                Begun::Earlier(_) => {
                    let post = self.post(id).await?.ok_or_else(Error::post_not_found)?;
                    return Ok(Outcome::replayed(post));
                }
            };
            let changed = self.try_to_change(ticket, id, trace, decide).await;
            if let Some(post) = self.conclude(ticket, changed).await? {
                return Ok(Outcome::new(post));
            }
        }
        Err(Error::unavailable())
    }

    /// Gives a post's row a `visible_since` of now, so that every cursor owes it.
    pub(in crate::cluster) async fn bring_back(&self, id: PostId) -> Result<()> {
        let _alone = self.lock(id.0).await;
        for _ in 0..ATTEMPTS {
            let ticket = self.ticket().await?;
            let brought = self.try_to_bring_back(ticket, id).await;
            if self.conclude(ticket, brought).await? == Verdict::Stored {
                return Ok(());
            }
        }
        Err(Error::unavailable())
    }

    pub(super) async fn apply_changed_post(&self, act: Act, changed: &ChangedPost) -> Result<Verdict> {
        let ChangedPost {
            before, row, revision, ..
        } = changed;
        let (heads, id) = (&self.posts.heads, row.post.id.0);
        let put = match before {
            None => heads.create(&self.db, id, act.event, row).await?,
            Some(before) => heads.advance(&self.db, id, *before, act.event, row).await?,
        };
        if put == Put::Lost {
            return Ok(Verdict::Lost);
        }
        let keep = async {
            match revision {
                Some(revision) => {
                    let post = row.post.id;
                    self.posts.insert_revision(&self.db, post, revision, row.stamp).await
                }
                None => Ok(()),
            }
        };
        let list = |list, listed: Option<bool>| async move {
            match listed {
                Some(listed) => self.list_post(row, list, listed).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(
            keep,
            list(List::UserPosts, changed.listed),
            list(List::Replies, changed.counted)
        )?;
        Ok(Verdict::Stored)
    }

    /// One attempt; `None` where another change came first.
    async fn try_to_change(
        &self,
        ticket: Ticket,
        id: PostId,
        trace: Option<TraceContext>,
        decide: &Decide<'_>,
    ) -> Result<Option<Arc<Post>>> {
        let before = self.stored_post(id).await?.ok_or_else(Error::post_not_found)?;
        let Some(change) = decide(&before.row.post, self.now())? else {
            // Filed all the same, so that a repetition of the request finds it done.
            self.commit(ticket, Intent::from(Change::Nothing)).await?;
            return Ok(Some(before.row.post));
        };
        let PostChange {
            mut post,
            revision,
            restores,
        } = change;
        if restores {
            post.visible_since = EventId(ticket.event);
        }
        let payload = restores.then_some(Payload::Restore {
            post: id,
            author: post.author,
        });
        self.put_post(ticket, &before, (post, revision), (payload, trace)).await
    }

    async fn try_to_bring_back(&self, ticket: Ticket, id: PostId) -> Result<Verdict> {
        let Some(before) = self.stored_post(id).await? else {
            return Ok(Verdict::Stored);
        };
        let post = Post {
            visible_since: EventId(ticket.event),
            ..Post::clone(&before.row.post)
        };
        let put = self.put_post(ticket, &before, (post, None), (None, None)).await?;
        Ok(put.map_or(Verdict::Lost, |_| Verdict::Stored))
    }

    /// Puts a post in the place of what was read; `None` where another change came first.
    async fn put_post(
        &self,
        ticket: Ticket,
        before: &Stored,
        (post, revision): (Post, Option<Revision>),
        (payload, trace): (Option<Payload>, Option<TraceContext>),
    ) -> Result<Option<Arc<Post>>> {
        let stamp = self.ids.stamp_after(before.row.stamp);
        let changed = ChangedPost::new(before, post, revision, stamp);
        let (post, listed, counted) = (Arc::clone(&changed.row.post), changed.listed, changed.counted);
        let intent = Intent {
            change: Change::Post(Box::new(PostChanges::Changed(changed))),
            payload,
            trace,
        };
        match self.commit_at(ticket, intent, stamp).await? {
            Verdict::Lost => Ok(None),
            Verdict::Stored => {
                self.tell_of_post(&post, listed, counted);
                Ok(Some(post))
            }
        }
    }
}
