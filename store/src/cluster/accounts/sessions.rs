//! Sessions: documents, listed by user.
//!
//! Sessions are never deleted but end by their time to live, which every rotation renews.

use std::cmp::Reverse;

use futures::future::{try_join, try_join_all};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use social_core::auth::{NewSession, OpenedSession, RefreshHash, Rotation, Session};
use social_core::{Error, Reason, Result, SessionId, Time, UserId, limits};

use super::{AccountChange, READS, account_intent};
use crate::cluster::change::Act;
use crate::cluster::db::{Db, statements};
use crate::cluster::docs::{self, Doc, Docs, Put};
use crate::cluster::truth::{Ticket, Truth};

/// How often a rotation is decided anew when other changes come first.
const ATTEMPTS: usize = 32;
/// The entry in the user's list is written anew by the first rotation of each such period, so that it outlives the session's document:
/// period and [`limits::REFRESH_TOKEN_TTL`] together are less than the tables' time to live.
const RELIST_MS: u64 = 10 * 24 * 3600 * 1000;

statements!(Statements {
    listed: Read "SELECT session FROM user_sessions WHERE user = ?",
    list: Write "INSERT INTO user_sessions (user, session) VALUES (?, ?) USING TIMESTAMP ?",
    unlist: Write "INSERT INTO user_sessions (user, session) VALUES (?, ?) USING TIMESTAMP ? AND TTL 60",
    raised_at: Read "SELECT WRITETIME(sessions) FROM versions WHERE user = ?",
    raise: Write "UPDATE versions USING TIMESTAMP ? SET sessions = ? WHERE user = ?",
});

/// The statements of sessions.
pub(super) struct SessionTables {
    statements: Statements,
    docs: Docs,
}

impl SessionTables {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            docs: Docs::prepare(db, "sessions").await?,
        })
    }
}

impl Truth {
    pub(super) async fn session_doc(&self, id: SessionId) -> Result<Option<Doc<Session>>> {
        self.accounts.sessions.docs.get(&self.db, id.0).await
    }

    /// Live sessions of a user, newest first.
    pub(super) async fn live_sessions(&self, user: UserId) -> Result<Vec<Session>> {
        let listed = &self.accounts.sessions.statements.listed;
        let ids: Vec<(i64,)> = self.db.all_rows(listed, (user.0 as i64,)).await?;
        let reads = ids.into_iter().map(|(id,)| self.session_doc(SessionId(id as u64)));
        let docs: Vec<_> = stream::iter(reads.collect::<Vec<_>>())
            .buffered(READS)
            .try_collect()
            .await?;
        let now = self.now();
        let mut live: Vec<_> = docs.into_iter().flatten().map(|doc| doc.row).collect();
        live.retain(|session| session.is_live(now));
        live.sort_by_key(|session| Reverse(session.id));
        Ok(live)
    }

    pub(super) async fn apply_login(&self, act: Act, session: &Session, displaced: &[SessionId]) -> Result<()> {
        let tables = &self.accounts.sessions;
        let list = (session.user.0 as i64, session.id.0 as i64, act.stamp);
        let write = async {
            // The id is the event's own: a document that is there is ours, whatever changed it since.
            let create = tables.docs.create(&self.db, session.id.0, act.event, session);
            try_join(create, self.db.run(&tables.statements.list, list)).await
        };
        let make_room = self.revoke_all(act.event, session.user, displaced, session.created_at);
        try_join(write, make_room).await.map(drop)
    }

    /// Opens a session, and revokes those refreshed longest ago where there are too many.
    pub(super) async fn log_in(&self, ticket: Ticket, new: NewSession) -> Result<OpenedSession> {
        let _guard = self.lock(new.user.0).await;
        let mut live = self.live_sessions(new.user).await?;
        live.sort_by_key(|session| (session.refreshed_at, session.id));
        let surplus = (live.len() + 1).saturating_sub(limits::SESSIONS);
        let displaced: Vec<_> = live.iter().take(surplus).map(|session| session.id).collect();
        let session = Session::new(SessionId(ticket.event), new, self.now());
        let change = AccountChange::Login {
            session: session.clone(),
            displaced: displaced.clone(),
        };
        self.commit(ticket, account_intent(change)).await?;
        Ok(OpenedSession { session, displaced })
    }

    /// The first answer was lost with its token: only the one given now is known to anybody.
    pub(super) async fn log_in_again(&self, id: SessionId, refresh: RefreshHash) -> Result<Session> {
        let event = self.ids.mint().await?;
        let docs = &self.accounts.sessions.docs;
        let session = docs::change(docs, &self.db, id.0, event, |before: Option<&Session>| {
            let before = before.filter(|session| session.is_live(self.now()));
            Ok(before.map(|session| Session {
                refresh,
                ..session.clone()
            }))
        });
        session.await?.ok_or_else(|| {
            Error::new(
                Reason::SessionNotFound,
                "the session of this login is gone; log in again",
            )
        })
    }

    /// Presents a refresh token, decided by [`Session::rotate`] on the session as no other change replaces it meanwhile.
    pub(super) async fn rotate(
        &self,
        id: SessionId,
        presented: RefreshHash,
        next: RefreshHash,
        request: [u8; 16],
    ) -> Result<Rotation> {
        let _guard = self.lock(id.0).await;
        let event = self.ids.mint().await?;
        for _ in 0..ATTEMPTS {
            let Some(before) = self.session_doc(id).await? else {
                return Ok(Rotation::Refused);
            };
            let rotation = before.row.rotate(presented, next, request, self.now());
            let session = match &rotation {
                Rotation::Refused => return Ok(rotation),
                Rotation::Rotated(session) => {
                    self.relist(&before.row, session).await?;
                    session
                }
                Rotation::Reused(session) => session,
            };
            let put = self
                .accounts
                .sessions
                .docs
                .replace(&self.db, id.0, &before, event, session);
            if put.await? == Put::Lost {
                continue;
            }
            if matches!(rotation, Rotation::Reused(_)) {
                self.after_revocation(session.user, &[id]).await?;
            }
            return Ok(rotation);
        }
        Err(Error::unavailable())
    }

    /// Revokes a session of a user; whether there was a live one.
    pub(super) async fn log_out(&self, user: UserId, id: SessionId) -> Result<bool> {
        let event = self.ids.mint().await?;
        let mut was_live = false;
        let docs = &self.accounts.sessions.docs;
        let session = docs::change(docs, &self.db, id.0, event, |before: Option<&Session>| {
            let now = self.now();
            let live = before.filter(|session| session.user == user && session.is_live(now));
            was_live = live.is_some();
            Ok(live.map(|session| revoked(session, now)))
        });
        let session = session.await?;
        // Also where it was revoked before: that call may have ended in between, and this one stands for it.
        if session.is_some_and(|session| session.user == user && session.revoked_at.is_some()) {
            self.after_revocation(user, &[id]).await?;
        }
        Ok(was_live)
    }

    /// Revokes sessions of a user as an event that may have done so already.
    pub(super) async fn revoke_all(&self, event: u64, user: UserId, ids: &[SessionId], now: Time) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let docs = &self.accounts.sessions.docs;
        let revoke = |id: &SessionId| {
            docs::change(docs, &self.db, id.0, event, move |before: Option<&Session>| {
                let before = before.filter(|session| session.revoked_at.is_none());
                Ok(before.map(|session| revoked(session, now)))
            })
        };
        try_join_all(ids.iter().map(revoke)).await?;
        self.after_revocation(user, ids).await
    }

    /// What must be known before a revocation is acknowledged: caches of the user's sessions are void.
    async fn after_revocation(&self, user: UserId, ids: &[SessionId]) -> Result<()> {
        self.raise_sessions(user).await?;
        // Revoked ones only make the list longer to read.
        let unlist = &self.accounts.sessions.statements.unlist;
        let stamp = self.ids.stamp();
        let done = try_join_all(
            ids.iter()
                .map(|id| self.db.run(unlist, (user.0 as i64, id.0 as i64, stamp))),
        );
        if let Err(error) = done.await {
            tracing::debug!(?error, "revoked sessions stay listed until they expire");
        }
        Ok(())
    }

    /// Raises the version of a user's sessions. The timestamp is above that of the row, so that a clock that is behind does not hide it.
    async fn raise_sessions(&self, user: UserId) -> Result<()> {
        let statements = &self.accounts.sessions.statements;
        let user = user.0 as i64;
        let (version, before) = try_join(
            self.ids.mint(),
            self.db.row::<(Option<i64>,)>(&statements.raised_at, (user,)),
        )
        .await?;
        let before = before.and_then(|(stamp,)| stamp).unwrap_or(0);
        let values = (self.ids.stamp_after(before), version as i64, user);
        self.db.run(&statements.raise, values).await
    }

    async fn relist(&self, before: &Session, session: &Session) -> Result<()> {
        let period = |time: Time| time.unix_ms() / RELIST_MS;
        if period(before.refreshed_at) == period(session.refreshed_at) {
            return Ok(());
        }
        let values = (session.user.0 as i64, session.id.0 as i64, self.ids.stamp());
        self.db.run(&self.accounts.sessions.statements.list, values).await
    }
}

fn revoked(session: &Session, now: Time) -> Session {
    Session {
        revoked_at: Some(now),
        ..session.clone()
    }
}
