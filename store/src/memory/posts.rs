//! Posts, their history and the stretches of pulled ones.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::PostStore;
use social_core::fanout::{Mode, Payload};
use social_core::page::Range;
use social_core::posts::{CreatedPost, Post, PostChange, PostDraft, PostEdit, Revision};
use social_core::request::{Outcome, RequestKey, TraceContext};
use social_core::{Error, EventId, PostId, Result, UserId, limits};

use super::{Memory, Rows, select};

#[async_trait]
impl PostStore for Memory {
    async fn create_post(
        &self,
        draft: PostDraft,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<CreatedPost>> {
        let mut rows = self.rows();
        if let Some(id) = rows.earlier(request)? {
            let post = rows.post(PostId(id))?;
            let mode = rows.modes.get(&post.id).copied().unwrap_or(Mode::Push);
            return Ok(Outcome::replayed(CreatedPost { post, mode }));
        }
        let created = rows.add_post(draft, trace);
        rows.remember(request, created.post.id.0);
        Ok(Outcome::new(created))
    }

    async fn posts(&self, ids: &[PostId]) -> Result<Vec<Option<Arc<Post>>>> {
        let rows = self.rows();
        Ok(ids.iter().map(|id| rows.posts.get(id).cloned()).collect())
    }

    async fn edit_post(
        &self,
        id: PostId,
        edit: PostEdit,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>> {
        self.rows().change(id, request, trace, |post, now| {
            post.edited(&edit, expected_version, now)
        })
    }

    async fn delete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<Post>>> {
        self.rows().change(id, request, None, |post, now| {
            post.deleted(expected_version, now).map(Some)
        })
    }

    async fn undelete_post(
        &self,
        id: PostId,
        expected_version: Option<u64>,
        request: RequestKey,
        trace: Option<TraceContext>,
    ) -> Result<Outcome<Arc<Post>>> {
        self.rows()
            .change(id, request, trace, |post, now| post.undeleted(expected_version, now))
    }

    async fn post_revisions(&self, id: PostId, range: Range) -> Result<Vec<Revision>> {
        let rows = self.rows();
        let revisions = rows.revisions.range((id, 0)..=(id, u64::MAX));
        Ok(select(
            revisions.map(|((_, number), revision)| (*number, revision.clone())),
            &range,
        ))
    }

    async fn user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        let rows = self.rows();
        let posts = rows
            .posts
            .values()
            .filter(|post| post.author == author && !post.is_deleted());
        Ok(select(posts.map(|post| (post.id.0, post.id)), &range))
    }

    async fn all_user_posts(&self, author: UserId, range: Range) -> Result<Vec<PostId>> {
        let rows = self.rows();
        let posts = rows.posts.values().filter(|post| post.author == author);
        Ok(select(posts.map(|post| (post.id.0, post.id)), &range))
    }
}

impl Rows {
    fn post(&self, id: PostId) -> Result<Arc<Post>> {
        self.posts.get(&id).cloned().ok_or_else(Error::post_not_found)
    }

    fn add_post(&mut self, draft: PostDraft, trace: Option<TraceContext>) -> CreatedPost {
        let author = draft.author;
        let mode = self.policy.mode_for(self.graph.follows.incoming(author).count() as u64);
        let id = PostId(self.mint());
        if mode == Mode::Pull {
            self.extend_stretch(author, id);
        }
        let post = Arc::new(draft.into_post(id, self.now()));
        self.posts.insert(id, Arc::clone(&post));
        self.modes.insert(id, mode);
        self.file(id.into(), Payload::Post { post: id, author, mode }, trace);
        CreatedPost { post, mode }
    }

    /// Notes a pulled post: in the author's last stretch if that ends with the author's post before this one.
    fn extend_stretch(&mut self, author: UserId, post: PostId) {
        let previous = self
            .posts
            .values()
            .rfind(|other| other.author == author)
            .map(|other| other.id);
        let stretches = self.stretches.entry(author).or_default();
        match stretches.last_mut() {
            Some((_, end)) if Some(*end) == previous => *end = post,
            _ => stretches.push((post, post)),
        }
        if stretches.len() > limits::PULLED_STRETCHES {
            let (start, _) = stretches.remove(0);
            stretches[0].0 = start;
        }
    }

    /// Applies what `decide` makes of a post's row, with its revision and its event.
    fn change(
        &mut self,
        id: PostId,
        request: RequestKey,
        trace: Option<TraceContext>,
        decide: impl FnOnce(&Post, social_core::Time) -> Result<Option<PostChange>>,
    ) -> Result<Outcome<Arc<Post>>> {
        if let Some(id) = self.earlier(request)? {
            return self.post(PostId(id)).map(Outcome::replayed);
        }
        let before = self.post(id)?;
        let after = match decide(&before, self.now())? {
            Some(change) => self.apply(change, trace),
            None => before,
        };
        self.remember(request, id.0);
        Ok(Outcome::new(after))
    }

    fn apply(&mut self, change: PostChange, trace: Option<TraceContext>) -> Arc<Post> {
        let PostChange {
            mut post,
            revision,
            restores,
        } = change;
        if let Some(revision) = revision {
            self.revisions.insert((post.id, u64::from(revision.number)), revision);
            self.trim_revisions(post.id);
        }
        if restores {
            post.visible_since = EventId(self.mint());
            self.file(
                post.visible_since,
                Payload::Restore {
                    post: post.id,
                    author: post.author,
                },
                trace,
            );
        }
        let post = Arc::new(post);
        self.posts.insert(post.id, Arc::clone(&post));
        post
    }

    fn trim_revisions(&mut self, id: PostId) {
        let kept: Vec<_> = self
            .revisions
            .range((id, 0)..=(id, u64::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in kept.iter().rev().skip(limits::POST_REVISIONS) {
            self.revisions.remove(key);
        }
    }
}
