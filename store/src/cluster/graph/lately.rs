//! What a user followed, blocked, muted or liked lately.
//!
//! Two processes that make the same edge at the same time overwrite each other's row, but each puts an entry of its own into the lists. Each notes
//! its entry here before it looks at the row again, and then looks here as well: the later of the two sees both, and takes back the entry
//! that the row does not name.

use social_core::id::floor_at;
use social_core::{Error, Result, Time};

use crate::cluster::db::{Db, statements};
use crate::cluster::lists::List;

/// How far back a call looks: longer than a write can be under way.
const LATELY_MS: u64 = 3_600_000;
/// What the kinds are counted from for entries whose keys are of the past, as those of imports are: they end by their time to live.
const OF_THE_PAST: i32 = 100;

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

/// An entry that was put into the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) struct Noted {
    /// Its key.
    pub(in crate::cluster) since: u64,
    /// The timestamp that it was written under.
    pub(in crate::cluster) stamp: i64,
}

statements!(Statements {
    note: Write "INSERT INTO lists (list, owner, bucket, key, member, active) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL 86400",
    note_of_the_past: Write "INSERT INTO lists (list, owner, bucket, key, member, active) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL 3600",
    read: Read "SELECT key, active, WRITETIME(active) FROM lists WHERE list = ? AND owner = ? AND bucket = ? AND key >= ? AND member = ? ALLOW FILTERING",
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
        noted: Noted,
        active: bool,
        now: Time,
    ) -> Result<()> {
        let (statement, kind) = match noted.since < begin_of_lately(now) {
            true => (&self.statements.note_of_the_past, OF_THE_PAST + made.kind),
            false => (&self.statements.note, made.kind),
        };
        let (user, since, member) = (made.user as i64, noted.since as i64, made.member as i64);
        let values = (List::Lately as i8, user, kind, since, member, active, noted.stamp);
        db.run(statement, values).await
    }

    /// What the lists may have for this.
    pub(in crate::cluster) async fn entries(&self, db: &Db, made: Made, now: Time) -> Result<Vec<Noted>> {
        let read = |kind: i32, from: u64| async move {
            let (user, member) = (made.user as i64, made.member as i64);
            let values = (List::Lately as i8, user, kind, from as i64, member);
            let rows: Vec<(i64, bool, i64)> = db.all_rows(&self.statements.read, values).await?;
            Ok::<_, Error>(rows)
        };
        let (lately, of_the_past) =
            tokio::try_join!(read(made.kind, begin_of_lately(now)), read(OF_THE_PAST + made.kind, 0))?;
        let rows = lately.into_iter().chain(of_the_past);
        let active = rows.filter(|(_, active, _)| *active);
        Ok(active
            .map(|(since, _, stamp)| Noted {
                since: since as u64,
                stamp,
            })
            .collect())
    }
}

fn begin_of_lately(now: Time) -> u64 {
    floor_at(Time::from_unix_ms(now.unix_ms().saturating_sub(LATELY_MS)))
}
