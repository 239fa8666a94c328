//! Users, credentials and sessions.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use social_core::auth::{Account, NewSession, OpenedSession, PasswordHash, RefreshHash, Rotation, Session};
use social_core::backend::AccountStore;
use social_core::posts::Encoding;
use social_core::request::{Outcome, RequestKey};
use social_core::timeline::Marker;
use social_core::users::{Handle, NewUser, ProfileEdit, User};
use social_core::{Error, PostId, Reason, Result, SessionId, UserId, limits};

use super::{Memory, Rows};

#[async_trait]
impl AccountStore for Memory {
    async fn create_user(&self, user: NewUser, request: RequestKey) -> Result<Outcome<Arc<User>>> {
        let mut rows = self.rows();
        if let Some(id) = rows.earlier(request)? {
            return rows.user(UserId(id)).map(Outcome::replayed);
        }
        let user = rows.add_user(user)?;
        rows.remember(request, user.id.0);
        Ok(Outcome::new(user))
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<Option<Arc<User>>>> {
        let rows = self.rows();
        Ok(ids.iter().map(|id| rows.users.get(id).cloned()).collect())
    }

    async fn user_ids(&self, handles: &[Handle]) -> Result<Vec<Option<UserId>>> {
        let rows = self.rows();
        Ok(handles.iter().map(|handle| rows.handles.get(handle).copied()).collect())
    }

    async fn update_profile(
        &self,
        user: UserId,
        edit: ProfileEdit,
        expected_version: Option<u64>,
        request: RequestKey,
    ) -> Result<Outcome<Arc<User>>> {
        let mut rows = self.rows();
        if let Some(id) = rows.earlier(request)? {
            return rows.user(UserId(id)).map(Outcome::replayed);
        }
        let edited = Arc::new(rows.user(user)?.edited(&edit, expected_version, rows.now())?);
        rows.users.insert(user, Arc::clone(&edited));
        rows.remember(request, user.0);
        Ok(Outcome::new(edited))
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        Ok(self.rows().accounts.get(&user).cloned())
    }

    async fn set_password(
        &self,
        user: UserId,
        password: PasswordHash,
        keep: Option<SessionId>,
        request: RequestKey,
    ) -> Result<Outcome<Vec<SessionId>>> {
        let mut rows = self.rows();
        if rows.earlier(request)?.is_some() {
            return Ok(Outcome::replayed(Vec::new()));
        }
        rows.user(user)?;
        let account = Account {
            user,
            password: Some(password),
            changed_at: rows.now(),
        };
        rows.accounts.insert(user, account);
        let revoked: Vec<_> = rows
            .live_sessions(user)
            .into_iter()
            .map(|session| session.id)
            .filter(|id| Some(*id) != keep)
            .collect();
        for id in &revoked {
            rows.revoke(*id);
        }
        rows.remember(request, user.0);
        Ok(Outcome::new(revoked))
    }

    async fn create_session(&self, session: NewSession, request: RequestKey) -> Result<Outcome<OpenedSession>> {
        let mut rows = self.rows();
        if let Some(id) = rows.earlier(request)? {
            let session = rows.log_in_again(SessionId(id), session.refresh)?;
            let displaced = Vec::new();
            return Ok(Outcome::replayed(OpenedSession { session, displaced }));
        }
        let id = SessionId(rows.mint());
        let session = Session::new(id, session, rows.now());
        let displaced = rows.make_room(session.user);
        rows.sessions.insert(id, session.clone());
        rows.remember(request, id.0);
        Ok(Outcome::new(OpenedSession { session, displaced }))
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        Ok(self.rows().sessions.get(&id).cloned())
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>> {
        let mut sessions = self.rows().live_sessions(user);
        sessions.sort_by_key(|session| Reverse(session.id));
        Ok(sessions)
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        presented: RefreshHash,
        next: RefreshHash,
        request: [u8; 16],
    ) -> Result<Rotation> {
        let mut rows = self.rows();
        let Some(session) = rows.sessions.get(&id) else {
            return Ok(Rotation::Refused);
        };
        let rotation = session.rotate(presented, next, request, rows.now());
        if let Rotation::Rotated(session) | Rotation::Reused(session) = &rotation {
            rows.sessions.insert(id, session.clone());
        }
        Ok(rotation)
    }

    async fn revoke_session(&self, user: UserId, id: SessionId) -> Result<bool> {
        let mut rows = self.rows();
        let is_live = rows.live_sessions(user).iter().any(|session| session.id == id);
        if is_live {
            rows.revoke(id);
        }
        Ok(is_live)
    }

    async fn marker(&self, user: UserId) -> Result<Marker> {
        Ok(self.rows().markers.get(&user).copied().unwrap_or_default())
    }

    async fn set_marker(&self, user: UserId, last_read: PostId, expected_version: Option<u64>) -> Result<Marker> {
        let mut rows = self.rows();
        let before = rows.markers.get(&user).copied().unwrap_or_default();
        let marker = before.moved(last_read, expected_version, rows.now())?;
        rows.markers.insert(user, marker);
        Ok(marker)
    }
}

impl Rows {
    pub(super) fn user(&self, id: UserId) -> Result<Arc<User>> {
        self.users.get(&id).cloned().ok_or_else(Error::user_not_found)
    }

    pub(super) fn add_user(&mut self, new: NewUser) -> Result<Arc<User>> {
        if self.handles.contains_key(&new.handle) {
            return Err(Error::handle_taken());
        }
        let id = UserId(self.mint());
        let now = self.now();
        let created_at = new.created_at.unwrap_or(now);
        let user = Arc::new(User {
            id,
            handle: new.handle,
            display_name: new.display_name,
            bio: new.bio,
            created_at,
            updated_at: created_at,
            version: 1,
            encoding: Encoding::default(),
        });
        self.handles.insert(user.handle.clone(), id);
        self.accounts.insert(
            id,
            Account {
                user: id,
                password: new.password,
                changed_at: now,
            },
        );
        self.users.insert(id, Arc::clone(&user));
        Ok(user)
    }

    fn live_sessions(&self, user: UserId) -> Vec<Session> {
        let now = self.now();
        self.sessions
            .values()
            .filter(|session| session.user == user && session.is_live(now))
            .cloned()
            .collect()
    }

    /// Leaves room for one more session; answers which were revoked.
    fn make_room(&mut self, user: UserId) -> Vec<SessionId> {
        let mut live = self.live_sessions(user);
        live.sort_by_key(|session| (session.refreshed_at, session.id));
        let excess = (live.len() + 1).saturating_sub(limits::SESSIONS);
        let displaced: Vec<_> = live.iter().take(excess).map(|session| session.id).collect();
        for id in &displaced {
            self.revoke(*id);
        }
        displaced
    }

    fn log_in_again(&mut self, id: SessionId, refresh: RefreshHash) -> Result<Session> {
        let now = self.now();
        let session = self.sessions.get_mut(&id).ok_or_else(|| {
            Error::new(
                Reason::SessionNotFound,
                "the session of this login is gone; log in again",
            )
        })?;
        if session.is_live(now) {
            session.refresh = refresh;
        }
        Ok(session.clone())
    }

    fn revoke(&mut self, id: SessionId) {
        let now = self.now();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.revoked_at = Some(now);
        }
    }
}
