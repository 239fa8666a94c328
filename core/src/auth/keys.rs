//! The keys that tokens are signed with: files of one folder, rotated without an interruption.
//!
//! The folder (mode 0700) holds `signing-<ms>.pem`, an Ed25519 key as PKCS#8 PEM (what `openssl genpkey -algorithm ed25519` writes), named
//! by when it was made, and `refresh.key`, 32 random bytes that refresh tokens are sealed with. All files have mode 0600; what others
//! may read is refused. Both are made at the first start.
//!
//! **Several processes** of one platform need the same keys: they share the folder, or each is given a copy and what is added to it.
//!
//! **Rotation.** [`Keys::rotate`] adds a key. Every process reads the folder again each [`RELOAD_INTERVAL`] ([`Keys::reload`]), and
//! the new key signs from [`LEAD`] after it was made, so that it is known everywhere by then. The older one verifies until the last
//! token that it signed has expired; the next rotation deletes its file. After a theft, rotate, delete the stolen key's file by hand and
//! reload: its tokens are refused at once, clients refresh theirs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::tokens::SKEW;
use crate::clock::Time;
use crate::limits;

/// How often a process reads its keys again, at the latest.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(30);
/// How long a new key verifies before it signs, where there is an older one.
pub const LEAD: Duration = Duration::from_secs(60);
/// How long a process that starts gives another one to make the first key. It ended half-way if there is none then.
const FIRST_KEY: Duration = Duration::from_secs(1);

const SEAL_FILE: &str = "refresh.key";
const SEAL_BYTES: usize = 32;
const KEY_FILE_BYTES: u64 = 4096;
const KEYS: usize = 64;
/// What stands before the 32 bytes of an Ed25519 seed in PKCS#8 (RFC 8410).
const PKCS8_HEADER: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why keys cannot be used. For operators: names files, never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or the folder could not be read or written.
    #[error("cannot use {path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read the file or the folder.
    #[error("{path} is open to others (mode {mode:04o}): run `chmod {wanted:o} {path}`, and rotate the keys if others could have read them", path = path.display())]
    Loose {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// A file is not what its name says.
    #[error("{path} is not {expected}: restore it, or remove it to have a new one made", path = path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
}

/// The keys of the process.
pub struct Keys {
    /// Absent for keys that live in memory only.
    folder: Option<PathBuf>,
    ring: RwLock<Arc<Ring>>,
    /// Raised when a key leaves the ring, after it left.
    generation: AtomicU64,
}

/// The keys at one moment.
pub(super) struct Ring {
    /// Ascending by age, never empty.
    keys: Vec<Key>,
    seal: Zeroizing<[u8; SEAL_BYTES]>,
}

/// A signing key.
pub(super) struct Key {
    /// Names the key in a token's header: a hash of its public half.
    pub(super) kid: String,
    created_at: Time,
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
}

impl Keys {
    /// The keys of a folder; folder and keys are made where there are none.
    pub fn open(folder: &Path, now: Time) -> Result<Self, KeyError> {
        make_folder(folder)?;
        let seal = folder.join(SEAL_FILE);
        let is_first = !seal.exists() && write_new(&seal, &rand::random::<[u8; SEAL_BYTES]>())?;
        // Of several processes that start on a new folder at once, one makes the key: what one signs the others must know.
        if signing_files(folder)?.is_empty() && (is_first || !comes_soon(folder)?) {
            write_new(&signing_path(folder, now), new_pem().as_bytes())?;
        }
        Ok(Self {
            folder: Some(folder.to_owned()),
            ring: RwLock::new(Arc::new(read_ring(folder)?)),
            generation: AtomicU64::new(0),
        })
    }

    /// Whether a folder holds no keys at all: it is not there, or neither a signing key nor what refresh tokens are sealed with is in it.
    pub fn are_missing(folder: &Path) -> Result<bool, KeyError> {
        if !folder.exists() {
            return Ok(true);
        }
        Ok(!folder.join(SEAL_FILE).exists() && signing_files(folder)?.is_empty())
    }

    /// Keys that are gone with the process: for tests.
    pub fn in_memory(now: Time) -> Self {
        let keys = Key::from_pem(new_pem().as_bytes(), now).into_iter().collect();
        let ring = Ring {
            keys,
            seal: Zeroizing::new(rand::random()),
        };
        Self {
            folder: None,
            ring: RwLock::new(Arc::new(ring)),
            generation: AtomicU64::new(0),
        }
    }

    /// Reads the folder again. On failure the keys stay as they were.
    pub fn reload(&self) -> Result<(), KeyError> {
        if let Some(folder) = &self.folder {
            let ring = read_ring(folder)?;
            self.replace(ring);
        }
        Ok(())
    }

    /// The name of the key that signs at `now`, as tokens tell it in their header.
    pub fn signing_kid(&self, now: Time) -> Option<String> {
        self.ring().signing(now).map(|key| key.kid.clone())
    }

    /// Adds a key, which signs [`LEAD`] from now on, and deletes those that verify nothing any more.
    pub fn rotate(&self, now: Time) -> Result<(), KeyError> {
        let newest = self.ring().newest();
        // Also where the clock stepped back, the new key is the newest.
        let created_at = now.max(newest.map_or(now, |time| time.plus_ms(1)));
        match &self.folder {
            Some(folder) => {
                write_new(&signing_path(folder, created_at), new_pem().as_bytes())?;
                self.reload()?;
                self.remove_retired(folder, now)
            }
            None => {
                let mut ring = self.ring.write();
                let old = ring.keys.iter().map(Key::copy);
                let keys = old.chain(Key::from_pem(new_pem().as_bytes(), created_at)).collect();
                *ring = Arc::new(Ring {
                    keys,
                    seal: ring.seal.clone(),
                });
                Ok(())
            }
        }
    }

    fn replace(&self, new: Ring) {
        let mut ring = self.ring.write();
        let is_narrower = ring
            .keys
            .iter()
            .any(|old| new.keys.iter().all(|key| key.kid != old.kid));
        *ring = Arc::new(new);
        if is_narrower {
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Another number than before where a key was withdrawn: what was verified under the earlier one is to be verified again.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read())
    }

    fn remove_retired(&self, folder: &Path, now: Time) -> Result<(), KeyError> {
        for retired in self.ring().retired(now) {
            let path = signing_path(folder, retired);
            fs::remove_file(&path).map_err(|source| KeyError::Io { path, source })?;
        }
        self.reload()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// The key that signs at `now`: the newest that others had the time to learn of, or the oldest.
    pub(super) fn signing(&self, now: Time) -> Option<&Key> {
        self.keys
            .iter()
            .rev()
            .find(|key| key.created_at.plus(LEAD) <= now)
            .or(self.keys.first())
    }

    /// The key of this name, if it may still verify at `now`.
    pub(super) fn verifying(&self, kid: &str, now: Time) -> Option<&Key> {
        let place = self.keys.iter().position(|key| key.kid == kid)?;
        (!self.is_retired(place, now)).then(|| &self.keys[place])
    }

    /// What refresh tokens are sealed with.
    pub(super) fn seal(&self) -> &[u8] {
        self.seal.as_slice()
    }

    fn newest(&self) -> Option<Time> {
        self.keys.last().map(|key| key.created_at)
    }

    fn retired(&self, now: Time) -> Vec<Time> {
        (0..self.keys.len())
            .filter(|place| self.is_retired(*place, now))
            .map(|place| self.keys[place].created_at)
            .collect()
    }

    /// Whether every token that the key can have signed has expired.
    fn is_retired(&self, place: usize, now: Time) -> bool {
        let Some(next) = self.keys.get(place + 1) else {
            return false;
        };
        // A process may go on signing with it until it has read the folder again.
        let last_use = next.created_at.plus(LEAD).plus(RELOAD_INTERVAL);
        now > last_use.plus(limits::ACCESS_TOKEN_TTL).plus(SKEW)
    }
}

impl Key {
    fn from_pem(pem: &[u8], created_at: Time) -> Option<Self> {
        let signing = EncodingKey::from_ed_pem(pem).ok()?;
        let jwk = Jwk::from_encoding_key(&signing, Algorithm::EdDSA).ok()?;
        let AlgorithmParameters::OctetKeyPair(public) = jwk.algorithm else {
            return None;
        };
        let public = URL_SAFE_NO_PAD.decode(public.x).ok()?;
        let kid = Sha256::digest(&public)[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Some(Self {
            kid,
            created_at,
            signing,
            verifying: DecodingKey::from_ed_der(&public),
        })
    }

    fn copy(&self) -> Self {
        Self {
            kid: self.kid.clone(),
            created_at: self.created_at,
            signing: self.signing.clone(),
            verifying: self.verifying.clone(),
        }
    }
}

fn new_pem() -> Zeroizing<String> {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PKCS8_HEADER);
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
    der[16..].copy_from_slice(seed.as_slice());
    let body = Zeroizing::new(STANDARD.encode(der.as_slice()));
    Zeroizing::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        body.as_str()
    ))
}

fn read_ring(folder: &Path) -> Result<Ring, KeyError> {
    check_mode(folder, 0o700)?;
    let mut keys = Vec::new();
    for (created_at, path) in signing_files(folder)? {
        let pem = read_secret(&path)?;
        let key = Key::from_pem(&pem, created_at).ok_or(KeyError::Malformed {
            path,
            expected: "an Ed25519 private key in PKCS#8 PEM",
        })?;
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(KeyError::Malformed {
            path: folder.to_owned(),
            expected: "a folder with a signing key",
        });
    }
    let path = folder.join(SEAL_FILE);
    let bytes = read_secret(&path)?;
    let mut seal = Zeroizing::new([0; SEAL_BYTES]);
    if bytes.len() != SEAL_BYTES {
        return Err(KeyError::Malformed {
            path,
            expected: "32 random bytes",
        });
    }
    seal.copy_from_slice(&bytes);
    Ok(Ring { keys, seal })
}

fn signing_path(folder: &Path, created_at: Time) -> PathBuf {
    folder.join(format!("signing-{}.pem", created_at.unix_ms()))
}

/// The signing keys' files, oldest first; of more than [`KEYS`] the newest.
fn signing_files(folder: &Path) -> Result<Vec<(Time, PathBuf)>, KeyError> {
    let io = |source| KeyError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let created_ms = name
            .to_str()
            .and_then(|name| name.strip_prefix("signing-")?.strip_suffix(".pem")?.parse().ok());
        if let Some(ms) = created_ms {
            files.push((Time::from_unix_ms(ms), entry.path()));
        }
    }
    files.sort();
    Ok(files.split_off(files.len().saturating_sub(KEYS)))
}

fn make_folder(folder: &Path) -> Result<(), KeyError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| KeyError::Io {
        path: folder.to_owned(),
        source,
    })?;
    check_mode(folder, 0o700)
}

fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    check_mode(path, 0o600)?;
    let io = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .map_err(io)?
        .take(KEY_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    Ok(bytes)
}

/// Whether another process, which is starting too, makes the first key.
fn comes_soon(folder: &Path) -> Result<bool, KeyError> {
    let began = Instant::now();
    while signing_files(folder)?.is_empty() {
        if began.elapsed() > FIRST_KEY {
            return Ok(false);
        }
        std::thread::sleep(FIRST_KEY / 50);
    }
    Ok(true)
}

/// Writes a file that is there whole or not at all, and never replaces one; whether this is the one that is there.
fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, KeyError> {
    let write = || -> io::Result<bool> {
        let draft = path.with_extension(format!("new-{:016x}", rand::random::<u64>()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // A link fails where another process was faster; its key is as good.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    };
    write().map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(unix)]
fn check_mode(path: &Path, wanted: u32) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = fs::metadata(path).map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyError::Loose {
            path: path.to_owned(),
            mode,
            wanted,
        })
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: u32) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
