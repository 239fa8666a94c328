//! The tables of truth: one keyspace of the engine each.

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

/// A table. The order is that of the rows in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    /// user -> profile
    Users,
    /// handle -> user
    Handles,
    /// user -> credentials
    Accounts,
    /// session -> session
    Sessions,
    /// (user, session) -> nothing; sessions that were not revoked
    UserSessions,
    /// user -> how far it has read
    Markers,
    /// post -> post
    Posts,
    /// (post, number) -> revision
    Revisions,
    /// (author, post) -> nothing; posts that are not deleted
    UserPosts,
    /// (author, post) -> nothing; posts that are deleted
    DeletedPosts,
    /// (target, reply) -> nothing; replies that are counted
    Replies,
    /// comment -> comment
    Comments,
    /// (post, parent or 0, comment) -> whether it is live
    CommentIndex,
    /// (post, user) -> since
    Likes,
    /// (post, since) -> user
    LikesByPost,
    /// (user, since) -> post
    LikesByUser,
    /// (kind, from, to) -> since
    Edges,
    /// (kind, from, since) -> to
    EdgesOut,
    /// (kind, to, since) -> from
    EdgesIn,
    /// (author, follower) -> nothing; the order of fan-out
    Followers,
    /// event -> event
    Events,
    /// event -> nothing; what is to be worked on
    Pending,
    /// event -> nothing
    Dead,
    /// request key -> outcome
    Requests,
    /// (time, what) -> nothing; rows that end by themselves
    Expiry,
    /// (kind, id) -> counts
    Counts,
    /// author -> pulled stretches
    Stretches,
    /// import -> progress
    Imports,
    /// name -> single rows
    Meta,
}

impl Table {
    /// All tables, in order.
    pub(super) const ALL: [Self; 29] = [
        Self::Users,
        Self::Handles,
        Self::Accounts,
        Self::Sessions,
        Self::UserSessions,
        Self::Markers,
        Self::Posts,
        Self::Revisions,
        Self::UserPosts,
        Self::DeletedPosts,
        Self::Replies,
        Self::Comments,
        Self::CommentIndex,
        Self::Likes,
        Self::LikesByPost,
        Self::LikesByUser,
        Self::Edges,
        Self::EdgesOut,
        Self::EdgesIn,
        Self::Followers,
        Self::Events,
        Self::Pending,
        Self::Dead,
        Self::Requests,
        Self::Expiry,
        Self::Counts,
        Self::Stretches,
        Self::Imports,
        Self::Meta,
    ];

    /// The table's name on disk and for operators.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Handles => "handles",
            Self::Accounts => "accounts",
            Self::Sessions => "sessions",
            Self::UserSessions => "user_sessions",
            Self::Markers => "markers",
            Self::Posts => "posts",
            Self::Revisions => "revisions",
            Self::UserPosts => "user_posts",
            Self::DeletedPosts => "deleted_posts",
            Self::Replies => "replies",
            Self::Comments => "comments",
            Self::CommentIndex => "comment_index",
            Self::Likes => "likes",
            Self::LikesByPost => "likes_by_post",
            Self::LikesByUser => "likes_by_user",
            Self::Edges => "edges",
            Self::EdgesOut => "edges_out",
            Self::EdgesIn => "edges_in",
            Self::Followers => "followers",
            Self::Events => "events",
            Self::Pending => "pending",
            Self::Dead => "dead",
            Self::Requests => "requests",
            Self::Expiry => "expiry",
            Self::Counts => "counts",
            Self::Stretches => "stretches",
            Self::Imports => "imports",
            Self::Meta => "meta",
        }
    }
}

/// A table's share of memory before it is written out. Small, since there are many tables and recovery replays all of them.
const MEMTABLE_BYTES: u64 = 8 << 20;

/// Handles of the tables.
pub(super) struct Tables {
    keyspaces: Vec<Keyspace>,
}

impl Tables {
    /// Opens the tables, making those that are missing.
    pub(super) fn open(db: &Database) -> fjall::Result<Self> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspaces = Table::ALL
            .iter()
            .map(|table| db.keyspace(table.name(), options))
            .collect::<fjall::Result<_>>()?;
        Ok(Self { keyspaces })
    }

    /// The keyspace of a table.
    pub(super) fn of(&self, table: Table) -> &Keyspace {
        &self.keyspaces[table as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_at_their_index() {
        for (index, table) in Table::ALL.iter().enumerate() {
            assert_eq!(*table as usize, index, "{}", table.name());
        }
    }
}
