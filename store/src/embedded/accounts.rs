//! Users, their credentials and their sessions.

use std::sync::Arc;

use async_trait::async_trait;
use social_core::auth::{Account, NewSession, OpenedSession, PasswordHash, RefreshHash, Rotation, Session};
use social_core::backend::AccountStore;
use social_core::error::Reason;
use social_core::posts::Encoding;
use social_core::request::{Outcome, RequestKey};
use social_core::timeline::Marker;
use social_core::users::{Handle, NewUser, ProfileEdit, User};
use social_core::{Error, PostId, Result, SessionId, UserId, limits};

use super::effects::Effect;
use super::keys::{self, Expiring, Key};
use super::tables::Table;
use super::truth::Truth;
use super::tx::Tx;

#[async_trait]
impl AccountStore for Truth {
    async fn create_user(&self, user: NewUser, request: RequestKey) -> Result<Outcome<Arc<User>>> {
        self.writer.run(move |tx| create_user(tx, user, &request)).await
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<Option<Arc<User>>>> {
        let one = |id: &UserId| self.caches.user(*id, || self.row(Table::Users, &keys::id(id.0)));
        ids.iter().map(one).collect()
    }

    async fn user_ids(&self, handles: &[Handle]) -> Result<Vec<Option<UserId>>> {
        let one = |handle: &Handle| Ok(self.number(Table::Handles, &handle_key(handle))?.map(UserId));
        handles.iter().map(one).collect()
    }

    async fn update_profile(
        &self,
        user: UserId,
        edit: ProfileEdit,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<User>>> {
        self.writer
            .run(move |tx| update_profile(tx, user, &edit, expected_version, &request))
            .await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        self.row(Table::Accounts, &keys::id(user.0))
    }

    async fn set_password(
        &self,
        user: UserId,
        password: PasswordHash,
        keep: Option<SessionId>,
        request: RequestKey,
    ) -> Result<Outcome<Vec<SessionId>>> {
        self.writer
            .run(move |tx| set_password(tx, user, password, keep, &request))
            .await
    }

    async fn create_session(&self, session: NewSession, request: RequestKey) -> Result<Outcome<OpenedSession>> {
        self.writer.run(move |tx| create_session(tx, session, &request)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.row(Table::Sessions, &keys::id(id.0))
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>> {
        let now = self.clock.now();
        let view = self.snapshot();
        let mut live = Vec::new();
        view.each(Table::UserSessions, &keys::id(user.0), |id, _| {
            let session: Option<Session> = view.row(Table::Sessions, &keys::id(id))?;
            live.extend(session.filter(|session| session.is_live(now)));
            Ok(())
        })?;
        live.reverse();
        Ok(live)
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        presented: RefreshHash,
        next: RefreshHash,
        request: [u8; 16],
    ) -> Result<Rotation> {
        self.writer
            .run(move |tx| rotate(tx, id, presented, next, request))
            .await
    }

    async fn revoke_session(&self, user: UserId, id: SessionId) -> Result<bool> {
        self.writer.run(move |tx| revoke_session(tx, user, id)).await
    }

    async fn marker(&self, user: UserId) -> Result<Marker> {
        Ok(self.row(Table::Markers, &keys::id(user.0))?.unwrap_or_default())
    }

    async fn set_marker(&self, user: UserId, last_read: PostId, expected_version: Option<u64>) -> Result<Marker> {
        self.writer
            .run(move |tx| set_marker(tx, user, last_read, expected_version))
            .await
    }
}

fn handle_key(handle: &Handle) -> Key {
    Key::from(handle.as_str())
}

fn create_user(tx: &mut Tx<'_>, user: NewUser, request: &RequestKey) -> Result<Outcome<Arc<User>>> {
    if let Some(id) = tx.replayed(request)? {
        return load_user(tx, UserId(id)).map(|user| Outcome::replayed(Arc::new(user)));
    }
    let user = insert_user(tx, user)?;
    tx.remember(request, user.id.0)?;
    Ok(Outcome::new(user))
}

/// Makes an account. HANDLE_TAKEN.
pub(super) fn insert_user(tx: &mut Tx<'_>, new: NewUser) -> Result<Arc<User>> {
    if owner(tx, &new.handle)?.is_some() {
        return Err(Error::handle_taken());
    }
    let (id, now) = (UserId(tx.mint()), tx.now());
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
    insert(tx, user, &account)
}

/// Writes an account that did not exist, under a handle that is free.
pub(super) fn insert(tx: &mut Tx<'_>, user: User, account: &Account) -> Result<Arc<User>> {
    tx.put_number(Table::Handles, handle_key(&user.handle), user.id.0);
    tx.put_row(Table::Accounts, keys::id(user.id.0), account)?;
    put_user(tx, user)
}

/// Whose a handle is in this commit.
pub(super) fn owner(tx: &Tx<'_>, handle: &Handle) -> Result<Option<UserId>> {
    Ok(tx.number(Table::Handles, &handle_key(handle))?.map(UserId))
}

/// A user's row in this commit. USER_NOT_FOUND.
pub(super) fn load_user(tx: &Tx<'_>, id: UserId) -> Result<User> {
    tx.row(Table::Users, &keys::id(id.0))?.ok_or_else(Error::user_not_found)
}

fn put_user(tx: &mut Tx<'_>, user: User) -> Result<Arc<User>> {
    tx.put_row(Table::Users, keys::id(user.id.0), &user)?;
    let user = Arc::new(user);
    tx.effect(Effect::User(user.clone()));
    Ok(user)
}

fn update_profile(
    tx: &mut Tx<'_>,
    id: UserId,
    edit: &ProfileEdit,
    expected: Option<u64>,
    request: &RequestKey,
) -> Result<Outcome<Arc<User>>> {
    let replayed = tx.replayed(request)?.is_some();
    let user = load_user(tx, id)?;
    if replayed {
        return Ok(Outcome::replayed(Arc::new(user)));
    }
    let user = put_user(tx, user.edited(edit, expected, tx.now())?)?;
    tx.remember(request, id.0)?;
    Ok(Outcome::new(user))
}

fn set_password(
    tx: &mut Tx<'_>,
    user: UserId,
    password: PasswordHash,
    keep: Option<SessionId>,
    request: &RequestKey,
) -> Result<Outcome<Vec<SessionId>>> {
    if tx.replayed(request)?.is_some() {
        return Ok(Outcome::replayed(Vec::new()));
    }
    load_user(tx, user)?;
    let account = Account {
        user,
        password: Some(password),
        changed_at: tx.now(),
    };
    tx.put_row(Table::Accounts, keys::id(user.0), &account)?;
    let mut revoked = Vec::new();
    for session in live_sessions(tx, user)?
        .into_iter()
        .filter(|session| Some(session.id) != keep)
    {
        revoked.push(session.id);
        revoke(tx, session)?;
    }
    tx.remember(request, user.0)?;
    Ok(Outcome::new(revoked))
}

fn create_session(tx: &mut Tx<'_>, new: NewSession, request: &RequestKey) -> Result<Outcome<OpenedSession>> {
    if let Some(id) = tx.replayed(request)? {
        let session = log_in_again(tx, SessionId(id), new.refresh)?;
        let displaced = Vec::new();
        return Ok(Outcome::replayed(OpenedSession { session, displaced }));
    }
    let displaced = make_room(tx, new.user)?;
    let session = Session::new(SessionId(tx.mint()), new, tx.now());
    put_session(tx, &session)?;
    tx.mark(Table::UserSessions, keys::user_session(session.user, session.id));
    tx.expire_at(session.expires_at(), Expiring::Session(session.id));
    tx.remember(request, session.id.0)?;
    Ok(Outcome::new(OpenedSession { session, displaced }))
}

/// The first answer was lost with its token: only the one given now is known to anybody.
fn log_in_again(tx: &mut Tx<'_>, id: SessionId, refresh: RefreshHash) -> Result<Session> {
    let gone = || {
        Error::new(
            Reason::SessionNotFound,
            "the session of this login is gone; log in again",
        )
    };
    let mut session = load_session(tx, id)?.ok_or_else(gone)?;
    if session.is_live(tx.now()) {
        session.refresh = refresh;
        put_session(tx, &session)?;
    }
    Ok(session)
}

/// Revokes the sessions refreshed longest ago, until there is room for one more; answers which.
fn make_room(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<SessionId>> {
    let mut live = live_sessions(tx, user)?;
    live.sort_by_key(|session| (session.refreshed_at, session.id));
    let surplus = (live.len() + 1).saturating_sub(limits::SESSIONS);
    let mut displaced = Vec::new();
    for session in live.into_iter().take(surplus) {
        displaced.push(session.id);
        revoke(tx, session)?;
    }
    Ok(displaced)
}

fn load_session(tx: &Tx<'_>, id: SessionId) -> Result<Option<Session>> {
    tx.row(Table::Sessions, &keys::id(id.0))
}

/// Writes a session. A revoked one leaves the user's list at once, so that the list stays short, and its row later.
fn put_session(tx: &mut Tx<'_>, session: &Session) -> Result<()> {
    if session.revoked_at.is_some() {
        tx.delete(Table::UserSessions, keys::user_session(session.user, session.id));
    }
    tx.put_row(Table::Sessions, keys::id(session.id.0), session)
}

/// Live sessions of a user, oldest first.
fn live_sessions(tx: &Tx<'_>, user: UserId) -> Result<Vec<Session>> {
    let (low, high) = keys::bounds(&keys::id(user.0), 0, u64::MAX);
    let mut live = Vec::new();
    for (key, _) in tx.range(Table::UserSessions, &low, &high, usize::MAX)? {
        let session = load_session(tx, SessionId(keys::last(&key)))?;
        live.extend(session.filter(|session| session.is_live(tx.now())));
    }
    Ok(live)
}

fn revoke(tx: &mut Tx<'_>, session: Session) -> Result<()> {
    let revoked_at = Some(tx.now());
    put_session(tx, &Session { revoked_at, ..session })
}

fn rotate(
    tx: &mut Tx<'_>,
    id: SessionId,
    presented: RefreshHash,
    next: RefreshHash,
    request: [u8; 16],
) -> Result<Rotation> {
    let Some(session) = load_session(tx, id)? else {
        return Ok(Rotation::Refused);
    };
    let rotation = session.rotate(presented, next, request, tx.now());
    if let Rotation::Rotated(session) | Rotation::Reused(session) = &rotation {
        put_session(tx, session)?;
    }
    Ok(rotation)
}

fn revoke_session(tx: &mut Tx<'_>, user: UserId, id: SessionId) -> Result<bool> {
    let session = load_session(tx, id)?.filter(|session| session.user == user && session.is_live(tx.now()));
    let live = session.is_some();
    session.map_or(Ok(()), |session| revoke(tx, session))?;
    Ok(live)
}

fn set_marker(tx: &mut Tx<'_>, user: UserId, last_read: PostId, expected: Option<u64>) -> Result<Marker> {
    let key = keys::id(user.0);
    let before: Marker = tx.row(Table::Markers, &key)?.unwrap_or_default();
    let marker = before.moved(last_read, expected, tx.now())?;
    if marker != before {
        tx.put_row(Table::Markers, key, &marker)?;
    }
    Ok(marker)
}
