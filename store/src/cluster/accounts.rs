//! Users, their credentials, sessions and markers.
//!
//! A handle belongs to the user whose event claimed it first; the other rows of the account follow from that claim. Users, sessions
//! and markers are documents; credentials are a plain row, and whoever sets them does so under a timestamp above that of the row before.

mod sessions;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream, try_join};
use serde::{Deserialize, Serialize};
use social_core::archive::{self, Person, Record};
use social_core::auth::{Account, NewSession, OpenedSession, PasswordHash, RefreshHash, Rotation, Session};
use social_core::backend::AccountStore;
use social_core::posts::Encoding;
use social_core::request::{Outcome, RequestKey};
use social_core::timeline::Marker;
use social_core::users::{Handle, NewUser, ProfileEdit, User};
use social_core::{Error, PostId, Result, SessionId, Time, UserId};

use super::change::{Act, Change, Verdict};
use super::db::{Db, statements};
use super::docs::{self, Doc, Docs, Put};
use super::truth::{Begun, Intent, Ticket, Truth};
use crate::rows::{decode, encode};
use sessions::SessionTables;

/// How often a change without an expected version begins again when others come first.
const ATTEMPTS: usize = 16;
/// Rows of one call that are read at the same time.
const READS: usize = 128;

/// A change of users, passwords and sessions. The order of the variants is part of the stored format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum AccountChange {
    /// A new account: its id is that of the event, or one that an import reserved.
    Create {
        /// The user.
        user: User,
        /// Its credentials.
        account: Account,
    },
    /// A profile as it is to be.
    Profile {
        /// The version of the document that it replaces.
        before: u64,
        /// The user.
        user: User,
    },
    /// New credentials.
    Password {
        /// The credentials.
        account: Account,
        /// The sessions that end with the old ones.
        revoked: Vec<SessionId>,
    },
    /// A new session.
    Login {
        /// The session; its id is that of the event.
        session: Session,
        /// The sessions that make room for it.
        displaced: Vec<SessionId>,
    },
}

statements!(Statements {
    claim_handle: Conditional "INSERT INTO handles (handle, user) VALUES (?, ?) IF NOT EXISTS",
    handle: Read "SELECT user FROM handles WHERE handle = ?",
    claimed_handle: Serial "SELECT user FROM handles WHERE handle = ?",
    account: Read "SELECT row, WRITETIME(row) FROM accounts WHERE user = ?",
    set_account: Write "INSERT INTO accounts (user, row) VALUES (?, ?) USING TIMESTAMP ?",
});

/// The statements of accounts.
pub(super) struct Accounts {
    statements: Statements,
    users: Docs,
    markers: Docs,
    sessions: SessionTables,
}

impl Accounts {
    pub(super) async fn prepare(db: &Db) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            users: Docs::prepare(db, "users").await?,
            markers: Docs::prepare(db, "markers").await?,
            sessions: SessionTables::prepare(db).await?,
        })
    }
}

#[async_trait]
impl AccountStore for Truth {
    async fn create_user(&self, user: NewUser, request: RequestKey) -> Result<Outcome<Arc<User>>> {
        match self.begin(request).await? {
            Begun::Earlier(event) => self.user(UserId(event)).await.map(Outcome::replayed),
            Begun::Ours(ticket) => {
                let created = self.register(ticket, user).await;
                self.conclude(ticket, created).await.map(Outcome::new)
            }
        }
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<Option<Arc<User>>>> {
        let mut keys: Vec<u64> = ids.iter().map(|id| id.0).collect();
        keys.sort_unstable();
        keys.dedup();
        let docs: HashMap<u64, Doc<User>> = self.accounts.users.get_many(&self.db, &keys).await?;
        let users: HashMap<u64, Arc<User>> = docs.into_iter().map(|(id, doc)| (id, Arc::new(doc.row))).collect();
        Ok(ids.iter().map(|id| users.get(&id.0).cloned()).collect())
    }

    async fn user_ids(&self, handles: &[Handle]) -> Result<Vec<Option<UserId>>> {
        let reads = handles.iter().map(|handle| self.handle_owner(handle));
        stream::iter(reads.collect::<Vec<_>>())
            .buffered(READS)
            .try_collect()
            .await
    }

    async fn update_profile(
        &self,
        user: UserId,
        edit: ProfileEdit,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<User>>> {
        for _ in 0..ATTEMPTS {
            let ticket = match self.begin(request).await? {
                Begun::Earlier(_) => return self.user(user).await.map(Outcome::replayed),
                Begun::Ours(ticket) => ticket,
            };
            let edited = self.edit_profile(ticket, user, &edit, expected_version).await;
            if let Some(edited) = self.conclude(ticket, edited).await? {
                return Ok(Outcome::new(edited));
            }
        }
        Err(Error::unavailable())
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        Ok(self.stamped_account(user).await?.map(|(account, _)| account))
    }

    async fn set_password(
        &self,
        user: UserId,
        password: PasswordHash,
        keep: Option<SessionId>,
        request: RequestKey,
    ) -> Result<Outcome<Vec<SessionId>>> {
        match self.begin(request).await? {
            Begun::Earlier(_) => Ok(Outcome::replayed(Vec::new())),
            Begun::Ours(ticket) => {
                let revoked = self.change_password(ticket, user, password, keep).await;
                self.conclude(ticket, revoked).await.map(Outcome::new)
            }
        }
    }

    async fn create_session(&self, session: NewSession, request: RequestKey) -> Result<Outcome<OpenedSession>> {
        match self.begin(request).await? {
            Begun::Earlier(event) => {
                let session = self.log_in_again(SessionId(event), session.refresh).await?;
                let displaced = Vec::new();
                Ok(Outcome::replayed(OpenedSession { session, displaced }))
            }
            Begun::Ours(ticket) => {
                let opened = self.log_in(ticket, session).await;
                self.conclude(ticket, opened).await.map(Outcome::new)
            }
        }
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        Ok(self.session_doc(id).await?.map(|doc| doc.row))
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>> {
        self.live_sessions(user).await
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        presented: RefreshHash,
        next: RefreshHash,
        request: [u8; 16],
    ) -> Result<Rotation> {
        self.rotate(id, presented, next, request).await
    }

    async fn revoke_session(&self, user: UserId, id: SessionId) -> Result<bool> {
        self.log_out(user, id).await
    }

    async fn marker(&self, user: UserId) -> Result<Marker> {
        let doc: Option<Doc<Marker>> = self.accounts.markers.get(&self.db, user.0).await?;
        Ok(doc.map(|doc| doc.row).unwrap_or_default())
    }

    async fn set_marker(&self, user: UserId, last_read: PostId, expected_version: Option<u64>) -> Result<Marker> {
        let event = self.ids.mint().await?;
        let _guard = self.lock(user.0).await;
        let marker = docs::change(
            &self.accounts.markers,
            &self.db,
            user.0,
            event,
            |before: Option<&Marker>| {
                let before = before.copied().unwrap_or_default();
                let moved = before.moved(last_read, expected_version, self.now())?;
                Ok((moved != before).then_some(moved))
            },
        );
        Ok(marker.await?.unwrap_or_default())
    }
}

/// The rows of a new account.
pub(super) fn new_account(id: UserId, new: NewUser, now: Time) -> AccountChange {
    let created_at = new.created_at.unwrap_or(now);
    let user = User {
        id,
        handle: new.handle,
        display_name: new.display_name,
        bio: new.bio,
        created_at,
        updated_at: created_at,
        version: 1,
        encoding: Encoding::default(),
    };
    let account = Account {
        user: id,
        password: new.password,
        changed_at: now,
    };
    AccountChange::Create { user, account }
}

impl Truth {
    pub(super) async fn apply_account(&self, act: Act, change: &AccountChange) -> Result<Verdict> {
        match change {
            AccountChange::Create { user, account } => return self.apply_create(act, user, account).await,
            AccountChange::Profile { before, user } => {
                let put = self
                    .accounts
                    .users
                    .advance(&self.db, user.id.0, *before, act.event, user);
                return Ok(match put.await? {
                    Put::Stored => Verdict::Stored,
                    Put::Lost => Verdict::Lost,
                });
            }
            AccountChange::Password { account, revoked } => {
                let revoke = self.revoke_all(act.event, account.user, revoked, account.changed_at);
                try_join!(self.put_account(account, act.stamp), revoke)?;
            }
            AccountChange::Login { session, displaced } => self.apply_login(act, session, displaced).await?,
        }
        Ok(Verdict::Stored)
    }

    async fn apply_create(&self, act: Act, user: &User, account: &Account) -> Result<Verdict> {
        if !self.claim_handle(&user.handle, user.id).await? {
            return Ok(Verdict::Lost);
        }
        // Under an id that is minted once nobody else creates a document: one that is there is ours, whatever changed it since.
        let create = self.accounts.users.create(&self.db, user.id.0, act.event, user);
        try_join!(create, self.put_account(account, act.stamp))?;
        Ok(Verdict::Stored)
    }

    async fn put_account(&self, account: &Account, stamp: i64) -> Result<()> {
        let values = (account.user.0 as i64, encode(account)?, stamp);
        self.db.run(&self.accounts.statements.set_account, values).await
    }

    /// A user with what only the user and the store know; none where the account is only on its way.
    pub(super) async fn person(&self, id: UserId) -> Result<Option<Record>> {
        let marker = self.accounts.markers.get::<Marker>(&self.db, id.0);
        let (user, account, marker) = try_join!(self.user_doc(id), self.stamped_account(id), marker)?;
        let (Some(user), Some((account, _))) = (user, account) else {
            return Ok(None);
        };
        Ok(Some(Record::User(Box::new(Person {
            user: user.row,
            account,
            marker: marker.map(|doc| doc.row).unwrap_or_default(),
        }))))
    }

    /// Writes an account under its id, or finds it written; whether another one is in its place.
    pub(super) async fn restore_person(&self, person: &Person, stamp: i64) -> Result<bool> {
        let Person { user, account, marker } = person;
        let there = self.user_doc(user.id).await?;
        // A later version is ours as well: the user was at work already.
        if there.is_some_and(|there| there.row != *user && there.row.version <= user.version) {
            return Ok(false);
        }
        let event = user.id.0;
        if self.apply_create(Act { event, stamp }, user, account).await? == Verdict::Lost {
            return Err(archive::conflict(format!("handle {}", user.handle)));
        }
        if marker.version > 0 {
            // Where it is there, it moved since.
            self.accounts.markers.create(&self.db, user.id.0, event, marker).await?;
        }
        Ok(true)
    }

    /// Whether a handle is this user's, now or by an earlier attempt.
    async fn claim_handle(&self, handle: &Handle, user: UserId) -> Result<bool> {
        let statements = &self.accounts.statements;
        let claim = (handle.as_str(), user.0 as i64);
        let claimed = self.db.compare_and_set(&statements.claim_handle, claim).await;
        if claimed == Ok(true) {
            return Ok(true);
        }
        let owner: Option<(i64,)> = self.db.row(&statements.claimed_handle, (handle.as_str(),)).await?;
        match owner {
            Some((owner,)) => Ok(owner as u64 == user.0),
            // Nobody's after an unknown outcome: reading at SERIAL has voided the attempt.
            None => claimed,
        }
    }

    /// Whose a handle is.
    pub(super) async fn handle_owner(&self, handle: &Handle) -> Result<Option<UserId>> {
        let owner: Option<(i64,)> = self
            .db
            .row(&self.accounts.statements.handle, (handle.as_str(),))
            .await?;
        Ok(owner.map(|(user,)| UserId(user as u64)))
    }

    async fn user_doc(&self, id: UserId) -> Result<Option<Doc<User>>> {
        self.accounts.users.get(&self.db, id.0).await
    }

    /// A user. USER_NOT_FOUND.
    pub(super) async fn user(&self, id: UserId) -> Result<Arc<User>> {
        let doc = self.user_doc(id).await?.ok_or_else(Error::user_not_found)?;
        Ok(Arc::new(doc.row))
    }

    /// The credentials of an account, and their timestamp.
    async fn stamped_account(&self, user: UserId) -> Result<Option<(Account, i64)>> {
        let row: Option<(Vec<u8>, i64)> = self.db.row(&self.accounts.statements.account, (user.0 as i64,)).await?;
        let Some((body, stamp)) = row else {
            return Ok(None);
        };
        let account = decode(&body).map_err(|error| error.report("accounts"))?;
        Ok(Some((account, stamp)))
    }

    async fn register(&self, ticket: Ticket, new: NewUser) -> Result<Arc<User>> {
        // The usual collision costs no event; who comes in between is refused by the claim.
        if self.handle_owner(&new.handle).await?.is_some() {
            return Err(Error::handle_taken());
        }
        let id = UserId(ticket.event);
        let change = new_account(id, new, self.now());
        let user = match &change {
            AccountChange::Create { user, .. } => Arc::new(user.clone()),
            _ => return Err(Error::internal()),
        };
        match self.commit(ticket, account_intent(change)).await? {
            Verdict::Stored => Ok(user),
            Verdict::Lost => Err(Error::handle_taken()),
        }
    }

    /// The profile after an edit; `None` where another change came in between and the edit is to be decided anew.
    async fn edit_profile(
        &self,
        ticket: Ticket,
        id: UserId,
        edit: &ProfileEdit,
        expected: Option<u64>,
    ) -> Result<Option<Arc<User>>> {
        let _guard = self.lock(id.0).await;
        let before = self.user_doc(id).await?.ok_or_else(Error::user_not_found)?;
        let user = before.row.edited(edit, expected, self.now())?;
        let edited = Arc::new(user.clone());
        let change = AccountChange::Profile {
            before: before.version,
            user,
        };
        match self.commit(ticket, account_intent(change)).await? {
            Verdict::Stored => Ok(Some(edited)),
            Verdict::Lost if expected.is_some() => Err(Error::etag_mismatch()),
            Verdict::Lost => Ok(None),
        }
    }

    async fn change_password(
        &self,
        ticket: Ticket,
        user: UserId,
        password: PasswordHash,
        keep: Option<SessionId>,
    ) -> Result<Vec<SessionId>> {
        let _guard = self.lock(user.0).await;
        let (_, before, live) = try_join!(self.user(user), self.stamped_account(user), self.live_sessions(user))?;
        let mut revoked: Vec<_> = live.into_iter().map(|session| session.id).collect();
        revoked.retain(|id| Some(*id) != keep);
        let account = Account {
            user,
            password: Some(password),
            changed_at: self.now(),
        };
        let change = AccountChange::Password {
            account,
            revoked: revoked.clone(),
        };
        let stamp = self.ids.stamp_after(before.map_or(0, |(_, stamp)| stamp));
        self.commit_at(ticket, account_intent(change), stamp).await?;
        Ok(revoked)
    }
}

fn account_intent(change: AccountChange) -> Intent {
    Change::Account(Box::new(change)).into()
}
