//! Credentials become a viewer: users' tokens on the public port, the operators' token on theirs. Neither opens anything on the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use social_core::access::Credentials;
use social_core::auth::Auth;
use social_core::error::Result;
use social_core::request::Viewer;
use social_core::{Backend, Error, Reason};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Random bytes of the admin token.
const TOKEN_BYTES: usize = 32;
/// The largest token file that is read.
const FILE_BYTES: u64 = 4_096;

/// Who is let in at a port.
pub(crate) enum Door {
    /// Users, by their access tokens, and where a method allows it anybody.
    Public {
        /// Where sessions are.
        backend: Backend,
        /// Who checks tokens.
        auth: Arc<Auth>,
    },
    /// Operators, by the admin token.
    Admin(AdminToken),
}

impl Door {
    /// Whether methods that take these credentials are served here. Standard services, which take none, are served on each port.
    pub(crate) fn serves(&self, credentials: Credentials) -> bool {
        match self {
            Self::Public { .. } => credentials != Credentials::Admin,
            Self::Admin(_) => matches!(credentials, Credentials::Admin | Credentials::None),
        }
    }

    /// On whose behalf a call is made. TOKEN_MISSING, and what the check of a token says.
    pub(crate) async fn viewer(&self, credentials: Credentials, headers: &HeaderMap) -> Result<Viewer> {
        match (self, credentials) {
            (_, Credentials::None) => Ok(Viewer::Anonymous),
            (Self::Public { backend, auth }, _) => match bearer(headers)? {
                Some(token) => auth.authenticate(backend, token).await,
                None if credentials == Credentials::Optional => Ok(Viewer::Anonymous),
                None => Err(missing("an access token: log in")),
            },
            (Self::Admin(admin), _) => {
                let token =
                    bearer(headers)?.ok_or_else(|| missing("the admin token, from the server's admin.token file"))?;
                admin.check(token).map(|()| Viewer::Anonymous)
            }
        }
    }
}

/// The token of the `authorization` header; none where there is no such header. TOKEN_INVALID for one of another form.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        // Two headers: which of them counts is not for us to guess.
        Some((_, token)) if sent.next().is_none() => Ok(Some(token.trim())),
        _ => Err(Error::new(
            Reason::TokenInvalid,
            "the authorization header must be one `Bearer <token>`",
        )),
    }
}

fn missing(what: &str) -> Error {
    Error::new(
        Reason::TokenMissing,
        format!("this method needs {what}, then send it as `authorization: Bearer ...`"),
    )
}

/// The operators' token. Only a digest of it is kept in memory.
pub(crate) struct AdminToken {
    digest: [u8; 32],
}

/// Why there is no usable admin token. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read or made.
    #[error("cannot use the admin token file {path}: {reason}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// Others than the owner may read it.
    #[error("{path} is open to others (mode {mode:04o}): remove it to have a new token made, since others may know this one", path = path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is too short to be a secret.
    #[error("{path} holds no token of at least 32 characters: remove it to have one made", path = path.display())]
    Short {
        /// The file.
        path: PathBuf,
    },
}

impl AdminToken {
    /// The token in the file; one is made where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, TokenError> {
        let failed = |reason| TokenError::Io {
            path: path.to_owned(),
            reason,
        };
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(path).map_err(failed)?;
                // Of several processes that make one at once, one has made it.
                Self::read(path, File::open(path).map_err(failed)?)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn read(path: &Path, file: File) -> Result<Self, TokenError> {
        let failed = |reason| TokenError::Io {
            path: path.to_owned(),
            reason,
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Loose {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim();
        if token.len() < 32 {
            return Err(TokenError::Short { path: path.to_owned() });
        }
        Ok(Self::of(token))
    }

    fn make(path: &Path) -> io::Result<()> {
        let random: Zeroizing<[u8; TOKEN_BYTES]> = Zeroizing::new(rand::random());
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        // Under another name until it is whole: a crash must not leave a short token, which the next start would refuse.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".new-{:016x}", rand::random::<u64>()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(token.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        // A link, other than a renaming, does not replace what another process made meanwhile.
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // An empty parent is a bare name's: the current folder.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn of(token: &str) -> Self {
        Self {
            digest: Sha256::digest(token.as_bytes()).into(),
        }
    }

    /// Digests are compared, so neither the length nor the time tells anything of the token.
    fn check(&self, token: &str) -> Result<()> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if bool::from(digest.ct_eq(&self.digest)) {
            return Ok(());
        }
        Err(Error::new(
            Reason::TokenInvalid,
            "this is not the admin token; it stands in the server's admin.token file",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let made = AdminToken::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(text.trim()).unwrap().len(), TOKEN_BYTES);
        let again = AdminToken::open(&path).unwrap();
        made.check(text.trim()).unwrap();
        again.check(text.trim()).unwrap();
        assert_eq!(again.check("").unwrap_err().reason, Reason::TokenInvalid);
        assert_eq!(again.check(&text.trim()[1..]).unwrap_err().reason, Reason::TokenInvalid);
    }

    #[test]
    fn processes_that_start_at_once_have_one_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let opened: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || AdminToken::open(&path).unwrap())
            })
            .collect();
        let opened: Vec<_> = opened.into_iter().map(|thread| thread.join().unwrap()).collect();
        let text = std::fs::read_to_string(&path).unwrap();
        for token in opened {
            token.check(text.trim()).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_open_or_empty_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        AdminToken::open(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            AdminToken::open(&path),
            Err(TokenError::Loose { mode: 0o644, .. })
        ));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(AdminToken::open(&path), Err(TokenError::Short { .. })));
    }

    #[test]
    fn only_one_bearer_header_is_a_token() {
        let headers = |values: &[&'static str]| {
            values
                .iter()
                .map(|value| (AUTHORIZATION, value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        assert_eq!(bearer(&headers(&[])).unwrap(), None);
        assert_eq!(bearer(&headers(&["Bearer abc"])).unwrap(), Some("abc"));
        assert_eq!(bearer(&headers(&["bearer abc"])).unwrap(), Some("abc"));
        for wrong in [&["abc"][..], &["Basic abc"], &[""], &["Bearer a", "Bearer b"]] {
            assert_eq!(
                bearer(&headers(wrong)).unwrap_err().reason,
                Reason::TokenInvalid,
                "{wrong:?}"
            );
        }
    }
}
