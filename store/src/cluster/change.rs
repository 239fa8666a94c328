//! What an event does to truth. Applying a change again changes nothing: plain rows carry the event's timestamp, conditional ones its id.

use serde::{Deserialize, Serialize};
use social_core::Result;

use super::accounts::AccountChange;
use super::comments::CommentChange;
use super::graph::EdgeChanges;
use super::likes::LikeRow;
use super::posts::PostChanges;
use super::truth::Truth;

/// A change of truth. The order of the variants is part of the stored format: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Change {
    /// None: the event only asks for work.
    Nothing,
    /// Of users, passwords and sessions.
    Account(Box<AccountChange>),
    /// Of posts.
    Post(Box<PostChanges>),
    /// Of comments.
    Comment(Box<CommentChange>),
    /// Of a like.
    Like(LikeRow),
    /// Of follows, blocks and mutes.
    Edges(EdgeChanges),
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in truth.
    Stored,
    /// Another change came first, and this one did nothing.
    Lost,
}

/// The event that a change belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    /// Its id.
    pub(super) event: u64,
    /// The write timestamp of its plain rows.
    pub(super) stamp: i64,
}

impl Truth {
    /// Writes what a change says, or finds it written.
    pub(super) async fn apply(&self, act: Act, change: &Change) -> Result<Verdict> {
        match change {
            Change::Nothing => Ok(Verdict::Stored),
            Change::Account(change) => self.apply_account(act, change).await,
            Change::Post(change) => self.apply_post(act, change).await,
            Change::Comment(change) => self.apply_comment(act, change).await,
            Change::Like(row) => self.apply_like(act, row).await,
            Change::Edges(change) => self.apply_edges(act, change).await,
        }
    }

    /// Has the counts that a change touched counted anew: whether it had moved them is not known.
    pub(super) fn recount_after(&self, change: &Change) {
        match change {
            Change::Nothing | Change::Account(_) => {}
            Change::Post(change) => self.recount_after_post(change),
            Change::Comment(change) => self.recount_after_comment(change),
            Change::Like(row) => self.moves.recount_post(row.post),
            Change::Edges(change) => self.recount_after_edges(change),
        }
    }
}
