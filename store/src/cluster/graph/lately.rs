//! What a user followed, blocked, muted or liked lately.
//!
//! Two processes that make the same edge at the same time overwrite each other's row, but each puts an entry of its own into the lists. Each notes
//! its entry here before it looks at the row again, and then looks here as well: the later of the two sees both, and takes back the entry
//! that the row does not name.

use social_core::id::floor_at;
use social_core::{Result, Time};

use crate::cluster::db::{Db, statements};
use crate::cluster::lists::List;

/// How far back a call looks: longer than a write can be under way.
const LATELY_MS: u64 = 3_600_000;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) struct Made {
    /// Likes, or edges of a kind.
    pub(in crate::cluster) kind: i32,
    /// By whom.
    pub(in crate::cluster) user: u64,
    /// The post or the user at the other end.
    pub(in crate::cluster) member: u64,
}

statements!(Statements {
    note: Write "INSERT INTO lists (list, owner, bucket, key, member, active) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL 86400",
    read: Read "SELECT key, member, active FROM lists WHERE list = ? AND owner = ? AND bucket = ? AND key >= ?",
});

/// The notes.
pub(in crate::cluster) struct Lately {
    statements: Statements,
}

impl Lately {
    pub(in crate::cluster) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
        })
    }

    /// Notes that the lists have an entry under `since`, or have it no more.
    pub(in crate::cluster) async fn note(
        &self,
        db: &Db,
        made: Made,
        since: u64,
        active: bool,
        stamp: i64,
    ) -> Result<()> {
        let Made { kind, user, member } = made;
        let values = (
            List::Lately as i8,
            user as i64,
            kind,
            since as i64,
            member as i64,
            active,
            stamp,
        );
        db.run(&self.statements.note, values).await
    }

    /// Under which keys the lists may have entries for this.
    pub(in crate::cluster) async fn entries(&self, db: &Db, made: Made, now: Time) -> Result<Vec<u64>> {
        let from = floor_at(Time::from_unix_ms(now.unix_ms().saturating_sub(LATELY_MS)));
        let values = (List::Lately as i8, made.user as i64, made.kind, from as i64);
        let rows: Vec<(i64, i64, bool)> = db.all_rows(&self.statements.read, values).await?;
        let of_this =
            |(key, member, active): (i64, i64, bool)| (active && member as u64 == made.member).then_some(key as u64);
        Ok(rows.into_iter().filter_map(of_this).collect())
    }
}
