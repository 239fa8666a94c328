//! The rows of edges, and the versions of what is cached of them.

use serde::{Deserialize, Serialize};
use social_core::graph::{Edge, EdgeKind, Following};
use social_core::{Result, UserId};

use crate::cluster::db::{Db, statements};
use crate::cluster::lists::List;

/// Bits of a number of a bucket.
const BUCKET_BITS: u32 = 12;

/// What an edge is, as the store numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(i8)]
pub(in crate::cluster) enum Kind {
    Follow = 1,
    Block = 2,
    Mute = 3,
}

impl Kind {
    /// The list of the edges that arrive at a user.
    pub(super) fn incoming(self) -> List {
        match self {
            Self::Follow => List::Followers,
            Self::Block => List::Blockers,
            Self::Mute => List::Muters,
        }
    }
}

impl From<EdgeKind> for Kind {
    fn from(kind: EdgeKind) -> Self {
        match kind {
            EdgeKind::Follow => Self::Follow,
            EdgeKind::Block => Self::Block,
            EdgeKind::Mute => Self::Mute,
        }
    }
}

/// Which edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::cluster) struct Ends {
    pub(in crate::cluster) kind: Kind,
    pub(in crate::cluster) from: UserId,
    pub(in crate::cluster) to: UserId,
}

/// Where an edge lies in the lists of the user that it arrives at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Buckets {
    /// In the list by `since`. Another one for each time that the edge is made.
    pub(in crate::cluster) list: i32,
    /// Of a follow, in the list for fan-out. The same for ever, so that fan-out meets nobody twice.
    pub(in crate::cluster) fan_out: i32,
}

impl Buckets {
    /// Both in one number.
    fn packed(self) -> i32 {
        self.fan_out << BUCKET_BITS | self.list
    }

    fn unpacked(packed: i32) -> Self {
        Self {
            list: packed & ((1 << BUCKET_BITS) - 1),
            fan_out: packed >> BUCKET_BITS,
        }
    }
}

/// An edge as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) struct EdgeRow {
    pub(in crate::cluster) active: bool,
    pub(in crate::cluster) since: u64,
    pub(in crate::cluster) buckets: Buckets,
    pub(in crate::cluster) stamp: i64,
}

statements!(Statements {
    edge: Read "SELECT active, since, bucket, stamp FROM edges WHERE kind = ? AND from_user = ? AND to_user = ?",
    among: Read "SELECT to_user, active FROM edges WHERE kind = ? AND from_user = ? AND to_user IN ?",
    outgoing: Read "SELECT to_user, active, since FROM edges WHERE kind = ? AND from_user = ?",
    count: Read "SELECT COUNT(*) FROM edges WHERE kind = ? AND from_user = ? AND active = true ALLOW FILTERING",
    set: Write "INSERT INTO edges (kind, from_user, to_user, active, since, bucket, stamp) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
    version: Read "SELECT graph FROM versions WHERE user = ?",
    version_written: Read "SELECT WRITETIME(graph) FROM versions WHERE user = ?",
    raise: Write "UPDATE versions USING TIMESTAMP ? SET graph = ? WHERE user = ?",
});

/// The tables of the graph.
pub(super) struct Rows {
    statements: Statements,
}

impl Rows {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
        })
    }

    pub(super) async fn edge(&self, db: &Db, ends: Ends) -> Result<Option<EdgeRow>> {
        let values = (ends.kind as i8, ends.from.0 as i64, ends.to.0 as i64);
        let row: Option<(bool, i64, i32, i64)> = db.row(&self.statements.edge, values).await?;
        Ok(row.map(|(active, since, buckets, stamp)| EdgeRow {
            active,
            since: since as u64,
            buckets: Buckets::unpacked(buckets),
            stamp,
        }))
    }

    /// Sets an edge; the newest stamp wins.
    pub(super) async fn set(&self, db: &Db, ends: Ends, row: EdgeRow) -> Result<()> {
        let Ends { kind, from, to } = ends;
        let (kind, from, to) = (kind as i8, from.0 as i64, to.0 as i64);
        let EdgeRow {
            active,
            since,
            buckets,
            stamp,
        } = row;
        let values = (kind, from, to, active, since as i64, buckets.packed(), stamp, stamp);
        db.run(&self.statements.set, values).await
    }

    /// To whom of some users a user has an edge.
    pub(super) async fn among(&self, db: &Db, kind: Kind, from: UserId, users: &[i64]) -> Result<Vec<UserId>> {
        let rows: Vec<(i64, bool)> = db
            .rows(&self.statements.among, (kind as i8, from.0 as i64, users))
            .await?;
        let active = rows.into_iter().filter(|(_, active)| *active);
        Ok(active.map(|(user, _)| UserId(user as u64)).collect())
    }

    /// The edges that leave a user, in the order of the users at their other ends.
    pub(super) async fn outgoing(&self, db: &Db, kind: Kind, from: UserId) -> Result<Vec<Edge>> {
        let rows: Vec<(i64, bool, i64)> = db
            .all_rows(&self.statements.outgoing, (kind as i8, from.0 as i64))
            .await?;
        let active = rows.into_iter().filter(|(_, active, _)| *active);
        let edge = |(user, _, since): (i64, bool, i64)| Edge {
            user: UserId(user as u64),
            since: since as u64,
        };
        Ok(active.map(edge).collect())
    }

    /// How many edges leave a user.
    pub(super) async fn count(&self, db: &Db, kind: Kind, from: UserId) -> Result<u64> {
        let count: Option<(i64,)> = db.row(&self.statements.count, (kind as i8, from.0 as i64)).await?;
        Ok(count.map_or(0, |(count,)| count as u64))
    }

    /// Whom a viewer follows and mutes.
    pub(super) async fn following(&self, db: &Db, viewer: UserId) -> Result<Following> {
        let follows = self.outgoing(db, Kind::Follow, viewer);
        let mutes = self.outgoing(db, Kind::Mute, viewer);
        let (follows, mutes) = tokio::try_join!(follows, mutes)?;
        Ok(Following {
            followees: follows.into_iter().map(|edge| (edge.user, edge.since)).collect(),
            muted: mutes.into_iter().map(|edge| edge.user).collect(),
        })
    }

    /// What changes with every change of a user's edges.
    pub(super) async fn version(&self, db: &Db, user: UserId) -> Result<i64> {
        let row: Option<(Option<i64>,)> = db.row(&self.statements.version, (user.0 as i64,)).await?;
        Ok(row.and_then(|(version,)| version).unwrap_or(0))
    }

    /// The timestamp of a user's version.
    pub(super) async fn version_written(&self, db: &Db, user: UserId) -> Result<i64> {
        let row: Option<(Option<i64>,)> = db.row(&self.statements.version_written, (user.0 as i64,)).await?;
        Ok(row.and_then(|(written,)| written).unwrap_or(0))
    }

    pub(super) async fn raise(&self, db: &Db, user: UserId, version: u64, stamp: i64) -> Result<()> {
        db.run(&self.statements.raise, (stamp, version as i64, user.0 as i64))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_unpacked_as_they_were_packed() {
        for (list, fan_out) in [(0, 0), (1, 0), (0, 1), (4_095, 4_095), (17, 300)] {
            let buckets = Buckets { list, fan_out };
            assert_eq!(Buckets::unpacked(buckets.packed()), buckets);
            assert!(buckets.packed() >= 0);
        }
    }
}
