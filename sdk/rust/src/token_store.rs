//! Where the tokens of a session are kept between calls, and between runs.

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use social_proto::v1;
use uuid::Uuid;

use crate::{Error, SessionId, UserId};

/// How long before its end an access token is exchanged, at most. Short-lived ones are exchanged in the last tenth of
/// their life.
const REFRESH_AHEAD_MS: u64 = 60_000;

/// The tokens of a session, and whose they are. `Debug` shows no token; the serialized form holds them, and is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    user_id: UserId,
    handle: String,
    session_id: SessionId,
    access_token: String,
    refresh_token: String,
    /// Unix milliseconds, by the server's clock.
    access_expire_ms: u64,
    refresh_expire_ms: u64,
    /// Unix milliseconds by the client's clock when the access token should be exchanged; None when the two clocks are so
    /// far apart that only the server can tell.
    refresh_due_ms: Option<u64>,
    /// What the exchange of this refresh token will carry. It is kept with the token so that an exchange whose answer was
    /// lost, also by a crash, is repeated as the same one: another request_id would revoke the session.
    refresh_request_id: Uuid,
    /// Exchanges since the login. Times tell two of them apart only to the second.
    #[serde(default)]
    exchanges: u64,
}

impl Credentials {
    /// Whose session it is.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// Handle of the user at login.
    #[must_use]
    pub fn handle(&self) -> &str {
        &self.handle
    }

    /// Which session of the user it is.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// When the session ends unless it is refreshed before, by the server's clock.
    #[must_use]
    pub fn expire_time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.refresh_expire_ms)
    }

    /// The access token, for calls that do not go through the SDK. A secret.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    pub(crate) fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    pub(crate) fn refresh_request_id(&self) -> Uuid {
        self.refresh_request_id
    }

    /// These came after the others: from another login, or from a later exchange.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        let age = |of: &Self| (of.exchanges, of.access_expire_ms);
        self.session_id != other.session_id || age(self) > age(other)
    }

    /// The access token should be exchanged before it is used again.
    pub(crate) fn is_refresh_due(&self) -> bool {
        self.refresh_due_ms.is_some_and(|due| unix_ms() >= due)
    }

    /// The access token is of no use any more, as far as the client's clock tells.
    pub(crate) fn is_expired(&self) -> bool {
        self.refresh_due_ms.is_some() && unix_ms() >= self.access_expire_ms
    }

    pub(crate) fn new(user: Option<v1::User>, tokens: Option<v1::TokenPair>) -> Result<Self, Error> {
        let user = user.ok_or_else(|| Error::protocol("the answer lacks `user`"))?;
        let user_id = user.id.parse().map_err(|_| Error::protocol("`user.id` is no id"))?;
        Self::of(user_id, user.handle, tokens, 0)
    }

    /// What follows on these after an exchange.
    pub(crate) fn refreshed(&self, tokens: Option<v1::TokenPair>) -> Result<Self, Error> {
        Self::of(self.user_id, self.handle.clone(), tokens, self.exchanges + 1)
    }

    fn of(user_id: UserId, handle: String, tokens: Option<v1::TokenPair>, exchanges: u64) -> Result<Self, Error> {
        let tokens = tokens.ok_or_else(|| Error::protocol("the answer lacks `tokens`"))?;
        let session_id = tokens
            .session_id
            .parse()
            .map_err(|_| Error::protocol("`session_id` is no id"))?;
        let access_expire_ms = timestamp_ms(tokens.access_expire_time);
        Ok(Self {
            user_id,
            handle,
            session_id,
            access_expire_ms,
            refresh_expire_ms: timestamp_ms(tokens.refresh_expire_time),
            refresh_due_ms: refresh_due_ms(unix_ms(), access_expire_ms),
            refresh_request_id: Uuid::new_v4(),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            exchanges,
        })
    }
}

fn refresh_due_ms(now: u64, expire: u64) -> Option<u64> {
    let life = expire.checked_sub(now).filter(|life| *life > 0)?;
    Some(expire - REFRESH_AHEAD_MS.min(life / 10))
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn timestamp_ms(time: Option<Timestamp>) -> u64 {
    let time = time.unwrap_or_default();
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    seconds.saturating_mul(1_000) + u64::try_from(time.nanos / 1_000_000).unwrap_or_default()
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user_id", &self.user_id)
            .field("handle", &self.handle)
            .field("session_id", &self.session_id)
            .field("access_token", &"(redacted)")
            .field("refresh_token", &"(redacted)")
            .finish()
    }
}

/// Held by the one who exchanges the tokens of a store. Dropping it lets the next one in.
pub type StoreLock = Box<dyn Any + Send>;

/// Keeps the credentials of one session.
///
/// All methods may block for the time of a small file access. `save` must be atomic: after a crash the store holds the
/// old credentials or the new ones, whole.
pub trait TokenStore: Send + Sync + 'static {
    /// The credentials kept, or None when nobody is logged in.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn load(&self) -> io::Result<Option<Credentials>>;

    /// Keeps these instead of what was there.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn save(&self, credentials: &Credentials) -> io::Result<()>;

    /// Forgets what is kept: on a logout, and when the server says that the session was ended. Not when a server merely does
    /// not know the session.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn clear(&self) -> io::Result<()>;

    /// Takes the right to exchange the tokens, or answers None when another process has it.
    ///
    /// A refresh token is good for one exchange, and a second one revokes the session. So where several processes share a
    /// store, this must let in one at a time; the others load what it saved. The default lets everybody in, which is right
    /// for stores of one process.
    ///
    /// # Errors
    /// When the store cannot be locked.
    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        Ok(Some(Box::new(())))
    }
}

/// Keeps credentials in memory: they are gone with the process.
#[derive(Debug, Default)]
pub struct MemoryTokenStore(Mutex<Option<Credentials>>);

impl MemoryTokenStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl TokenStore for MemoryTokenStore {
    fn load(&self) -> io::Result<Option<Credentials>> {
        Ok(self.0.lock().clone())
    }

    fn save(&self, credentials: &Credentials) -> io::Result<()> {
        *self.0.lock() = Some(credentials.clone());
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        *self.0.lock() = None;
        Ok(())
    }
}

/// Keeps credentials in a JSON file that only its owner can read (mode 0600). Several processes can share it.
///
/// Beside it lie `<name>.lock`, and for moments `<name>.*.new`.
#[derive(Clone, Debug)]
pub struct FileTokenStore {
    path: PathBuf,
}

impl FileTokenStore {
    /// Keeps them at `path`. The file is made at the first login, missing folders too.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where they are kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    fn make_folder(&self) -> io::Result<()> {
        match self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => fs::create_dir_all(folder),
            None => Ok(()),
        }
    }
}

impl TokenStore for FileTokenStore {
    fn load(&self) -> io::Result<Option<Credentials>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        private_or_refused(&self.path)?;
        // serde_json quotes no content in the errors of a struct of strings and numbers but the value it stumbled over,
        // which may be a token: so its text is left out.
        let credentials = serde_json::from_slice(&text).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "holds no credentials; delete it and log in again",
            )
        })?;
        Ok(Some(credentials))
    }

    fn save(&self, credentials: &Credentials) -> io::Result<()> {
        self.make_folder()?;
        // A name of its own, since two processes may log in at the same time.
        let new = self.beside(&format!(".{}.new", Uuid::new_v4().simple()));
        let written =
            write_private(&new, &serde_json::to_vec(credentials)?).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.make_folder()?;
        let file: File = private().create(true).truncate(false).open(self.beside(".lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private().create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

#[cfg(unix)]
fn private_or_refused(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("{} can be read by others; run `chmod 600` on it", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(not(unix))]
fn private_or_refused(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        let user = v1::User {
            id: "0123456789abc".into(),
            handle: "ann".into(),
            ..Default::default()
        };
        let expire = Timestamp {
            seconds: i64::try_from(unix_ms() / 1_000).expect("fits") + 600,
            nanos: 0,
        };
        let tokens = v1::TokenPair {
            access_token: "at-secret".into(),
            refresh_token: "rt-secret".into(),
            access_expire_time: Some(expire),
            refresh_expire_time: Some(expire),
            session_id: "0123456789abd".into(),
        };
        Credentials::new(Some(user), Some(tokens)).expect("credentials")
    }

    #[test]
    fn debug_tells_no_token() {
        let text = format!("{:?}", credentials());
        assert!(text.contains("ann") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn a_later_exchange_is_newer_within_the_same_second() {
        let first = credentials();
        let tokens = |access_token: &str| v1::TokenPair {
            access_token: access_token.into(),
            refresh_token: "rt-next".into(),
            access_expire_time: Some(Timestamp {
                seconds: i64::try_from(first.access_expire_ms / 1_000).expect("fits"),
                nanos: 0,
            }),
            session_id: first.session_id.to_string(),
            ..Default::default()
        };
        let second = first.refreshed(Some(tokens("at-next"))).expect("credentials");
        assert!(second.is_newer_than(&first) && !first.is_newer_than(&second));
        assert!(!second.is_newer_than(&second));
    }

    #[test]
    fn tokens_are_due_a_while_before_their_end() {
        assert_eq!(refresh_due_ms(1_000, 601_000), Some(541_000));
        assert_eq!(refresh_due_ms(1_000, 11_000), Some(10_000));
        assert_eq!(refresh_due_ms(11_000, 1_000), None);
        assert!(!credentials().is_refresh_due() && !credentials().is_expired());
    }

    #[test]
    fn a_file_keeps_them_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileTokenStore::new(folder.path().join("deep/tokens.json"));
        assert_eq!(store.load().expect("empty"), None);
        let kept = credentials();
        store.save(&kept).expect("saved");
        store.save(&kept).expect("saved again");
        assert_eq!(store.load().expect("loaded"), Some(kept));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(store.path()).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            fs::set_permissions(store.path(), fs::Permissions::from_mode(0o644)).expect("changed");
            assert_eq!(
                store.load().expect_err("refused").kind(),
                io::ErrorKind::PermissionDenied
            );
        }
        store.clear().expect("cleared");
        store.clear().expect("cleared again");
        assert_eq!(store.load().expect("empty"), None);
    }

    #[test]
    fn one_at_a_time_holds_the_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileTokenStore::new(folder.path().join("tokens.json"));
        let held = store.try_lock().expect("lock").expect("free");
        assert!(store.clone().try_lock().expect("lock").is_none());
        drop(held);
        assert!(store.try_lock().expect("lock").is_some());
    }

    #[test]
    fn a_broken_file_is_told_without_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileTokenStore::new(folder.path().join("tokens.json"));
        private()
            .create_new(true)
            .open(store.path())
            .expect("made")
            .write_all(b"{\"user_id\": \"rt-secret\"}")
            .expect("written");
        let error = store.load().expect_err("refused");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
