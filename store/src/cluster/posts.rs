//! Posts and their history.
//!
//! A post's first row never changes, and is cached. Once the post is changed, its present row is its head, a document. Either names
//! the buckets of the lists that the post is in, and the timestamp that it put into them, so that a later change always wins there.

mod change;
mod rows;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use social_core::backend::PostStore;
use social_core::fanout::{Mode, Payload, Strategy};
use social_core::page::Range;
use social_core::posts::{CreatedPost, Post, PostDraft, PostEdit, Revision};
use social_core::request::{Outcome, RequestKey, TraceContext};
use social_core::{Error, PostId, Result, UserId};

use super::change::{Act, Change, Verdict};
use super::lists::List;
use super::redis::{PostDelta, UserDelta};
use super::truth::{Begun, Intent, Ticket, Truth};

pub(super) use change::ChangedPost;
pub(super) use rows::{Places, PostRow, Posts};

/// Posts read at once.
const AT_ONCE: usize = 128;

/// A change of posts. The order of the variants is part of the stored format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum PostChanges {
    /// A new one.
    Created(NewPost),
    /// One that was there.
    Changed(ChangedPost),
}

/// A post that did not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NewPost {
    row: PostRow,
    mode: Mode,
    /// Whether it ends a stretch of pulled posts.
    ends_stretch: bool,
}

#[async_trait]
impl PostStore for Truth {
    async fn create_post(
        &self,
        draft: PostDraft,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<CreatedPost>> {
        match self.begin(request).await? {
            Begun::Earlier(event) => self.created_before(PostId(event)).await.map(Outcome::replayed),
            Begun::Ours(ticket) => {
                let created = self.create_new_post(ticket, draft, trace).await;
                self.conclude(ticket, created).await.map(Outcome::new)
            }
        }
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<Arc<Post>>>> {
        let mut posts = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            posts.extend(self.present_posts(some).await?);
        }
        Ok(posts)
    }

    async fn edit_post(
        &self,
        id: PostId,
        edit: PostEdit,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>> {
        let decide = |post: &Post, now| post.edited(&edit, expected_version, now);
        self.change_post(id, request, trace, &decide).await
    }

    async fn delete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<Post>>> {
        let decide = |post: &Post, now| post.deleted(expected_version, now).map(Some);
        self.change_post(id, request, None, &decide).await
    }

    async fn undelete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>> {
        let decide = |post: &Post, now| post.undeleted(expected_version, now);
        self.change_post(id, request, trace, &decide).await
    }

    async fn post_revisions(&self, id: PostId, range: Range) -> Result<Vec<Revision>> {
        match self.post(id).await? {
            Some(post) => self.posts.revisions(&self.db, &post, range).await,
            None => Ok(Vec::new()),
        }
    }

    async fn user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        self.listed_posts(List::UserPosts, author, range).await
    }

    async fn all_user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        self.listed_posts(List::AllUserPosts, author, range).await
    }

    async fn pulled_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        match self.lately_pulled(author, &range).await? {
            Some(posts) => Ok(posts),
            None => self.user_posts(author, range).await,
        }
    }
}

impl Truth {
    /// A post as it is now.
    pub(super) async fn post(&self, id: PostId) -> Result<Option<Arc<Post>>> {
        Ok(self.stored_post(id).await?.map(|stored| stored.row.post))
    }

    /// Where a new post goes in the lists that it belongs to.
    pub(super) async fn place_post(&self, id: PostId, author: UserId, target: Option<PostId>) -> Result<Places> {
        let bucket = |list, owner| async move {
            let place = self.lists.place(&self.db, list, owner, id.0).await?;
            Ok::<_, Error>(place.bucket)
        };
        let reply = async {
            match target {
                Some(target) => bucket(List::Replies, target.0).await,
                None => Ok(0),
            }
        };
        let (own, all, reply) = tokio::try_join!(
            bucket(List::UserPosts, author.0),
            bucket(List::AllUserPosts, author.0),
            reply
        )?;
        Ok(Places { own, all, reply })
    }

    /// Writes the rows of a new post, or finds them written.
    pub(super) async fn write_new_post(&self, row: &PostRow, mode: Mode) -> Result<()> {
        tokio::try_join!(
            self.posts.insert(&self.db, row, mode),
            self.list_post(row, List::UserPosts, !row.post.is_deleted()),
            self.list_post(row, List::AllUserPosts, true),
            self.list_post(row, List::Replies, row.post.counts_for().is_some()),
        )
        .map(drop)
    }

    pub(super) async fn apply_post(&self, act: Act, change: &PostChanges) -> Result<Verdict> {
        match change {
            PostChanges::Created(new) => self.apply_new_post(act, new).await,
            PostChanges::Changed(changed) => self.apply_changed_post(act, changed).await,
        }
    }

    pub(super) fn recount_after_post(&self, change: &PostChanges) {
        let (PostChanges::Created(NewPost { row, .. }) | PostChanges::Changed(ChangedPost { row, .. })) = change;
        self.moves.recount_user(row.post.author);
        if let Some(target) = row.post.in_reply_to {
            self.moves.recount_post(target);
        }
    }

    pub(super) async fn listed_posts(&self, list: List, author: UserId, range: Range) -> Result<Vec<PostId>> {
        let entries = self.lists.range(&self.db, list, author.0, &range).await?;
        Ok(entries.into_iter().map(|entry| PostId(entry.key)).collect())
    }

    /// The post of an earlier request, as it is now.
    async fn created_before(&self, id: PostId) -> Result<CreatedPost> {
        let (post, first) = tokio::try_join!(self.post(id), self.posts.first(&self.db, id))?;
        match (post, first) {
            (Some(post), Some(first)) => Ok(CreatedPost { post, mode: first.mode }),
            _ => Err(Error::post_not_found()),
        }
    }

    async fn create_new_post(
        &self,
        ticket: Ticket,
        draft: PostDraft,
        trace: Option<TraceContext>,
    ) -> Result<CreatedPost> {
        let (id, author) = (PostId(ticket.event), draft.author);
        let decide = async {
            let mode = self.mode_for(author).await?;
            let ends_stretch = mode == Mode::Push && self.has_open_stretch(author).await?;
            Ok((mode, ends_stretch))
        };
        let place = self.place_post(id, author, draft.in_reply_to);
        let ((mode, ends_stretch), places) = tokio::try_join!(decide, place)?;
        let post = Arc::new(draft.into_post(id, self.now()));
        let stamp = self.ids.stamp();
        let row = PostRow {
            post: Arc::clone(&post),
            places,
            stamp,
        };
        let new = NewPost {
            row,
            mode,
            ends_stretch,
        };
        let intent = Intent {
            change: Change::Post(Box::new(PostChanges::Created(new))),
            payload: Some(Payload::Post { post: id, author, mode }),
            trace,
        };
        self.commit_at(ticket, intent, stamp).await?;
        self.tell_of_post(&post, Some(true), post.counts_for().map(|_| true));
        Ok(CreatedPost { post, mode })
    }

    /// The mode of a post that the author writes now.
    async fn mode_for(&self, author: UserId) -> Result<Mode> {
        let policy = self.policy_now().await?;
        let followers = match policy.strategy {
            Strategy::Hybrid => self.follower_count(author, policy.celebrity_threshold).await?,
            Strategy::Push | Strategy::Pull => 0,
        };
        Ok(policy.mode_for(followers))
    }

    async fn apply_new_post(&self, act: Act, new: &NewPost) -> Result<Verdict> {
        let (author, id) = (new.row.post.author, new.row.post.id);
        // Before the stretch: who sees that finds the post in the author's list.
        self.write_new_post(&new.row, new.mode).await?;
        match new.mode {
            Mode::Pull => self.note_pulled(act, author, id).await?,
            Mode::Push if new.ends_stretch => self.end_stretch(act, author, id).await?,
            Mode::Push => {}
        }
        Ok(Verdict::Stored)
    }

    /// Puts a post into one of its lists, or takes it out.
    async fn list_post(&self, row: &PostRow, list: List, listed: bool) -> Result<()> {
        match row.place(list) {
            Some(place) => self.lists.put(&self.db, place, row.entry(), listed, row.stamp).await,
            None => Ok(()),
        }
    }

    /// Has the counts follow a post that was put into its author's list and among the replies, or taken out.
    fn tell_of_post(&self, post: &Post, listed: Option<bool>, counted: Option<bool>) {
        let step = |is_more: bool| if is_more { 1 } else { -1 };
        if let Some(listed) = listed {
            let delta = UserDelta {
                posts: step(listed),
                ..UserDelta::default()
            };
            self.moves.user(post.author, delta);
        }
        if let (Some(counted), Some(target)) = (counted, post.in_reply_to) {
            let delta = PostDelta {
                replies: step(counted),
                ..PostDelta::default()
            };
            self.moves.post(target, delta);
        }
    }
}
