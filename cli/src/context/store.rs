//! The file of contexts: which servers there are, and who is logged in at each.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use social_sdk::{Credentials, StoreLock, TokenStore};

use crate::app::is_loopback;
use crate::failure::{Exit, Failure, Result};
use crate::private_file;

/// The context that is used while the file has none.
pub(crate) const DEFAULT_CONTEXT: &str = "default";
/// How long a command waits for another one that writes the file.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// What the file holds. Serialized it is TOML with secrets in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// Name of the context that commands use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All contexts by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A server, and who is logged in there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// URL of the server.
    pub(crate) endpoint: String,
    /// PEM file of certificates to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// URL of the server's AdminService; None means the port behind the server's, on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin_endpoint: Option<String>,
    /// File that holds the admin token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Handle of the user whom commands act for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// Tokens of all who are logged in, by handle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) users: BTreeMap<String, Credentials>,
}

impl Context {
    /// A context of a server, with nobody logged in.
    pub(crate) fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            ca_file: None,
            admin_endpoint: None,
            admin_token_file: None,
            user: None,
            users: BTreeMap::new(),
        }
    }

    /// URL of the server's AdminService: the one that was given, or on this machine the port behind the server's. There is no default
    /// for a server elsewhere, and never one that belongs to another server: an admin token must not be sent to whatever listens.
    pub(crate) fn admin_endpoint(&self) -> Option<String> {
        self.admin_endpoint.clone().or_else(|| port_behind(&self.endpoint))
    }
}

/// The URL of the next port. None for a server elsewhere, and for a URL that names no port. The admin port of this machine speaks plain
/// HTTP unless its operator says otherwise, also where the public one has TLS.
fn port_behind(endpoint: &str) -> Option<String> {
    let (front, port) = endpoint.rsplit_once(':').filter(|_| is_loopback(endpoint))?;
    let port = port.parse::<u16>().ok()?.checked_add(1)?;
    let host = front.trim_start_matches("https://").trim_start_matches("http://");
    Some(format!("http://{host}:{port}"))
}

impl Contexts {
    /// Name of the context that commands use.
    pub(crate) fn current(&self) -> &str {
        self.current.as_deref().unwrap_or(DEFAULT_CONTEXT)
    }
}

/// The file itself. Several processes may use it at once: it is replaced as a whole, under a lock.
///
/// Beside it lie `<name>.lock` for writers, `<name>.refresh.lock` for the one who exchanges a refresh token, and for moments
/// `<name>.new`.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    /// The file at `path`, which need not be there.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the file is when nobody says otherwise: `contexts.toml` in the user's folder of settings.
    pub(crate) fn default_path() -> Result<PathBuf> {
        let folders = directories::ProjectDirs::from("", "", "socialctl").ok_or_else(|| {
            Failure::usage("there is no home folder to keep contexts in")
                .hint("name a file with --config or SOCIALCTL_CONFIG")
        })?;
        Ok(folders.config_dir().join("contexts.toml"))
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds; nothing when it is not there.
    pub(crate) fn load(&self) -> Result<Contexts> {
        self.read().map_err(|error| self.failure("read", &error))
    }

    /// Changes what the file holds. When `change` fails, nothing is written.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Contexts) -> Result<T>) -> Result<T> {
        let _lock = self.lock().map_err(|error| self.failure("lock", &error))?;
        let mut contexts = self.load()?;
        let before = contexts.clone();
        let outcome = change(&mut contexts)?;
        if contexts != before {
            self.write(&contexts).map_err(|error| self.failure("write", &error))?;
        }
        Ok(outcome)
    }

    fn failure(&self, doing: &str, error: &io::Error) -> Failure {
        let failure = Failure::file(doing, &self.path, error);
        match error.kind() {
            io::ErrorKind::InvalidData => Failure::new(
                Exit::Usage,
                format!("{} is no file of contexts: {error}", self.path.display()),
            )
            .hint("correct it, or move it away and log in again"),
            _ => failure,
        }
    }

    fn read(&self) -> io::Result<Contexts> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
            Err(error) => return Err(error),
        };
        private_or_refused(&self.path)?;
        // The parser's own text quotes the line that it stumbled over, which may hold a token.
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text.get(..span.start).unwrap_or_default().lines().count().max(1)
            });
            io::Error::new(io::ErrorKind::InvalidData, format!("line {line}: {}", error.message()))
        })
    }

    fn write(&self, contexts: &Contexts) -> io::Result<()> {
        let text = toml::to_string(contexts).map_err(io::Error::other)?;
        let new = self.beside(".new");
        // A leftover of a crash may have other rights.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private_file::options().create_new(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    fn lock(&self) -> io::Result<File> {
        self.make_folder()?;
        let file = private_file::options()
            .create(true)
            .truncate(false)
            .open(self.beside(".lock"))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_WAIT => thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another socialctl has held it for 10 seconds",
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        match self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => fs::create_dir_all(folder),
            None => Ok(()),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

#[cfg(unix)]
fn private_or_refused(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let message = format!(
        "it holds tokens and can be read by others; run `chmod 600 {}`",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(not(unix))]
fn private_or_refused(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The tokens of one user in one context, for the SDK.
#[derive(Clone, Debug)]
pub(crate) struct UserTokens {
    store: Store,
    context: String,
    handle: String,
}

impl UserTokens {
    /// The tokens of `handle` in `context`.
    pub(crate) fn new(store: Store, context: String, handle: String) -> Self {
        Self { store, context, handle }
    }

    fn update(&self, change: impl FnOnce(&mut Context)) -> io::Result<()> {
        let outcome = self.store.update(|contexts| {
            // A context that was deleted meanwhile does not come back with a token of it.
            if let Some(context) = contexts.contexts.get_mut(&self.context) {
                change(context);
            }
            Ok(())
        });
        outcome.map_err(|failure| io::Error::other(failure.to_string()))
    }
}

impl TokenStore for UserTokens {
    fn load(&self) -> io::Result<Option<Credentials>> {
        let contexts = self.store.read()?;
        Ok(contexts
            .contexts
            .get(&self.context)
            .and_then(|context| context.users.get(&self.handle))
            .cloned())
    }

    fn save(&self, credentials: &Credentials) -> io::Result<()> {
        self.update(|context| {
            context.users.insert(self.handle.clone(), credentials.clone());
        })
    }

    /// Keeps them: the SDK does not say why they are to go, and one reason is that another server answers at the same URL. Who knows
    /// the reason forgets them, in [`crate::login::Login`].
    fn clear(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        self.store.make_folder()?;
        let file = private_file::options()
            .create(true)
            .truncate(false)
            .open(self.store.beside(".refresh.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use social_sdk::{DEFAULT_ADMIN_ENDPOINT, DEFAULT_ENDPOINT};

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path().join("deep/contexts.toml"));
        (folder, store)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (_folder, store) = store();
        assert_eq!(store.load().expect("nothing"), Contexts::default());
        store
            .update(|contexts| {
                contexts.current = Some("here".into());
                contexts
                    .contexts
                    .insert("here".into(), Context::new("http://localhost:1"));
                Ok(())
            })
            .expect("written");
        let contexts = store.load().expect("read");
        assert_eq!(contexts.current(), "here");
        assert_eq!(contexts.contexts["here"].endpoint, "http://localhost:1");
    }

    #[test]
    fn the_admin_service_is_at_the_port_behind_the_servers_on_this_machine_alone() {
        let default = |endpoint: &str| Context::new(endpoint).admin_endpoint();
        assert_eq!(default(DEFAULT_ENDPOINT).as_deref(), Some(DEFAULT_ADMIN_ENDPOINT));
        assert_eq!(default("http://localhost:7").as_deref(), Some("http://localhost:8"));
        assert_eq!(default("https://[::1]:7").as_deref(), Some("http://[::1]:8"));
        for none in [
            "https://social.example",
            "http://social.example:50051",
            "http://localhost",
            "http://[::1]",
            "http://127.0.0.1:65535",
        ] {
            assert_eq!(default(none), None, "{none}");
        }
        let mut context = Context::new("https://social.example");
        context.admin_endpoint = Some("https://social.example:2".into());
        assert_eq!(context.admin_endpoint().as_deref(), Some("https://social.example:2"));
    }

    #[test]
    fn a_change_that_fails_writes_nothing() {
        let (_folder, store) = store();
        let outcome: Result<()> = store.update(|contexts| {
            contexts.current = Some("here".into());
            Err(Failure::usage("no"))
        });
        assert!(outcome.is_err());
        assert!(!store.path().exists());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, store) = store();
        let write = |name: &str| {
            let name = name.to_owned();
            store.update(move |contexts| {
                contexts.current = Some(name);
                Ok(())
            })
        };
        write("one").expect("written");
        assert_eq!(
            fs::metadata(store.path()).expect("there").permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o644)).expect("changed");
        let failure = store.load().expect_err("refused");
        assert_eq!(failure.exit(), Exit::Permission);
        assert!(failure.to_string().contains("chmod 600"), "{failure}");
        assert!(write("two").is_err());
    }

    #[test]
    fn a_broken_file_is_told_without_what_stands_in_it() {
        let (_folder, store) = store();
        store.make_folder().expect("made");
        let text = "current = \"here\"\ntoken = \"rt_secret\n";
        private_file::options()
            .create_new(true)
            .open(store.path())
            .expect("made")
            .write_all(text.as_bytes())
            .expect("written");
        let failure = store.load().expect_err("refused");
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(
            failure.to_string().contains("line 2") && !failure.to_string().contains("secret"),
            "{failure}"
        );
    }

    #[test]
    fn writers_do_not_lose_each_others_changes() {
        let (_folder, store) = store();
        thread::scope(|scope| {
            for writer in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for turn in 0..10 {
                        let name = format!("context-{writer}-{turn}");
                        let insert = |contexts: &mut Contexts| {
                            contexts.contexts.insert(name, Context::new(DEFAULT_ENDPOINT));
                            Ok(())
                        };
                        store.update(insert).expect("written");
                    }
                });
            }
        });
        assert_eq!(store.load().expect("read").contexts.len(), 80);
    }

    #[test]
    fn one_at_a_time_exchanges_a_refresh_token() {
        let (_folder, store) = store();
        let tokens = UserTokens::new(store.clone(), "here".into(), "ada".into());
        let held = tokens.try_lock().expect("lock").expect("free");
        assert!(tokens.try_lock().expect("lock").is_none());
        // The file itself can be written meanwhile.
        store.update(|_| Ok(())).expect("not held up");
        drop(held);
        assert!(tokens.try_lock().expect("lock").is_some());
    }
}
