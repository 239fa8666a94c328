//! Comments. A deleted one keeps its row, so that answers to it keep their place.

use async_trait::async_trait;
use social_core::backend::CommentStore;
use social_core::comments::{Comment, CommentDraft};
use social_core::page::Range;
use social_core::request::{Outcome, RequestKey};
use social_core::text::Facet;
use social_core::{CommentId, Error, PostId, Result, Time};

use super::{Memory, Rows, select};

#[async_trait]
impl CommentStore for Memory {
    async fn create_comment(&self, draft: CommentDraft, request: RequestKey) -> Result<Outcome<Comment>> {
        let mut rows = self.rows();
        if let Some(id) = rows.earlier(request)? {
            return rows.comment(CommentId(id)).map(Outcome::replayed);
        }
        rows.check_place(&draft)?;
        let id = CommentId(rows.mint());
        let comment = draft.into_comment(id, rows.now());
        rows.comments.insert(id, comment.clone());
        rows.remember(request, id.0);
        Ok(Outcome::new(comment))
    }

    async fn edit_comment(
        &self,
        id: CommentId,
        content: String,
        facets: Vec<Facet>,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>> {
        self.rows().change_comment(id, request, |comment, now| {
            comment.edited(content, facets, expected_version, now)
        })
    }

    async fn delete_comment(
        &self,
        id: CommentId,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Comment>> {
        self.rows()
            .change_comment(id, request, |comment, now| comment.deleted(expected_version, now))
    }

    async fn comments(&self, ids: &[CommentId]) -> Result<Vec<Option<Comment>>> {
        let rows = self.rows();
        Ok(ids.iter().map(|id| rows.comment(*id).ok()).collect())
    }

    async fn list_comments(&self, post: PostId, parent: Option<CommentId>, range: Range) -> Result<Vec<Comment>> {
        let rows = self.rows();
        let listed = rows
            .comments
            .values()
            .filter(|comment| comment.post == post && comment.parent == parent);
        Ok(select(
            listed.map(|comment| (comment.id.0, rows.with_replies(comment))),
            &range,
        ))
    }
}

impl Rows {
    /// A comment with the count of its answers as they are now.
    fn comment(&self, id: CommentId) -> Result<Comment> {
        self.comments
            .get(&id)
            .map(|comment| self.with_replies(comment))
            .ok_or_else(Error::comment_not_found)
    }

    /// Puts what `decide` makes of a comment's row in its place.
    fn change_comment(
        &mut self,
        id: CommentId,
        request: RequestKey,
        decide: impl FnOnce(&Comment, Time) -> Result<Comment>,
    ) -> Result<Outcome<Comment>> {
        if let Some(id) = self.earlier(request)? {
            return self.comment(CommentId(id)).map(Outcome::replayed);
        }
        let changed = decide(&self.comment(id)?, self.now())?;
        self.comments.insert(id, changed.clone());
        self.remember(request, id.0);
        Ok(Outcome::new(changed))
    }

    fn with_replies(&self, comment: &Comment) -> Comment {
        let answers = self
            .comments
            .values()
            .filter(|other| other.parent == Some(comment.id) && !other.is_deleted());
        Comment {
            replies: answers.count() as u64,
            ..comment.clone()
        }
    }

    fn check_place(&self, draft: &CommentDraft) -> Result<()> {
        if self.posts.get(&draft.post).is_none_or(|post| post.is_deleted()) {
            return Err(Error::post_not_found());
        }
        let Some(parent) = draft.parent else { return Ok(()) };
        match self.comments.get(&parent) {
            Some(parent) if parent.post == draft.post && !parent.is_deleted() => Ok(()),
            _ => Err(Error::comment_not_found()),
        }
    }
}
