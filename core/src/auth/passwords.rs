//! Passwords: argon2id on a bounded pool.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{PasswordHash, throttle};
use crate::error::{Error, Reason, Result};
use crate::limits;

/// What a hash costs to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// What passwords are hashed with: 19 MiB, 2 passes, 1 lane.
    pub const DEFAULT: Cost = Cost {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
    /// The dearest hash that an import may bring, since each login would pay for it.
    pub const MAX: Cost = Cost {
        memory_kib: 64 * 1024,
        passes: 10,
        lanes: 4,
    };
}

/// The cheapest hash that an import may bring: every setting that OWASP recommends is at or above it.
const MIN_MEMORY_KIB: u32 = 7168;
/// The least memory (KiB) times passes.
const MIN_WORK: u32 = 5 * MIN_MEMORY_KIB;

/// Hashes and verifies passwords, a few at a time; past [`limits::PASSWORD_QUEUE`] waiting ones, or
/// [`limits::PASSWORD_PLACES_PER_ADDRESS`] of one client, the answer is OVERLOADED.
#[derive(Debug)]
pub struct Passwords {
    params: Params,
    /// What is verified where there is no hash, so that this takes the same time.
    dummy: PasswordHash,
    places: Arc<Semaphore>,
    hashers: Arc<Semaphore>,
    taken: Arc<Taken>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::with_params(default_params())
    }
}

/// A place in the queue. The hasher holds it until it is done, also when the caller has gone away.
pub struct Place {
    _share: Option<Share>,
    _permit: OwnedSemaphorePermit,
}

/// How many places each client has, by [`throttle::place`]; clients without one are not in it.
type Taken = Mutex<HashMap<[u8; 16], usize>>;

/// A client's place, given back when it is dropped.
struct Share {
    taken: Arc<Taken>,
    client: [u8; 16],
}

impl Share {
    /// One more place for a client, so that no one address takes them all. OVERLOADED.
    fn take(taken: &Arc<Taken>, address: IpAddr) -> Result<Self> {
        let client = throttle::place(Some(address));
        let mut clients = taken.lock();
        let count = clients.entry(client).or_default();
        if *count >= limits::PASSWORD_PLACES_PER_ADDRESS {
            return Err(overloaded());
        }
        *count += 1;
        drop(clients);
        Ok(Self {
            taken: Arc::clone(taken),
            client,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut clients = self.taken.lock();
        match clients.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(clients.remove(&self.client)),
        }
    }
}

impl Passwords {
    /// A hasher that is cheaper than is safe: for tests. A cost that argon2 does not know becomes the default.
    pub fn with_cost_for_tests(cost: Cost) -> Self {
        Self::with_params(
            Params::new(cost.memory_kib, cost.passes, cost.lanes, None).unwrap_or_else(|_| default_params()),
        )
    }

    fn with_params(params: Params) -> Self {
        Self {
            dummy: dummy(&params),
            params,
            places: Arc::new(Semaphore::new(limits::PASSWORD_HASHERS + limits::PASSWORD_QUEUE)),
            hashers: Arc::new(Semaphore::new(limits::PASSWORD_HASHERS)),
            taken: Arc::default(),
        }
    }

    /// The hash of a password, under a new salt, for the client at `address`. OVERLOADED.
    pub async fn hash(&self, password: &SecretString, address: Option<IpAddr>) -> Result<PasswordHash> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let password = password.clone();
        let place = self.place(address)?;
        self.run(place, move || {
            let hash = argon2
                .hash_password(password.expose_secret().as_bytes())
                .map_err(|error| failed(&error))?;
            Ok(PasswordHash(hash.to_string()))
        })
        .await
    }

    /// A place in the queue for the client at `address`. OVERLOADED.
    pub fn place(&self, address: Option<IpAddr>) -> Result<Arc<Place>> {
        let share = address.map(|address| Share::take(&self.taken, address)).transpose()?;
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| overloaded())?;
        Ok(Arc::new(Place {
            _share: share,
            _permit: permit,
        }))
    }

    /// Whether a password is the one that was hashed. `None` (no such account, or one that cannot log in) is never, and takes as
    /// long.
    pub async fn verify(
        &self,
        password: &SecretString,
        hash: Option<&PasswordHash>,
        place: Arc<Place>,
    ) -> Result<bool> {
        let expected = hash.unwrap_or(&self.dummy).clone();
        let exists = hash.is_some();
        let password = password.clone();
        self.run(place, move || {
            let parsed = argon2::PasswordHash::new(expected.as_phc()).map_err(|error| failed(&error))?;
            let matches = Argon2::default()
                .verify_password(password.expose_secret().as_bytes(), &parsed)
                .is_ok();
            Ok(matches && exists)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        place: Arc<Place>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let hasher = Arc::clone(&self.hashers)
            .acquire_owned()
            .await
            .map_err(|error| failed(&error))?;
        let run = move || {
            let _held = (place, hasher);
            work()
        };
        tokio::task::spawn_blocking(run).await.map_err(|error| failed(&error))?
    }
}

/// Checks a new password: 8 to 256 bytes. INVALID_FIELD `field`.
pub fn check(field: &str, password: &SecretString) -> Result<()> {
    let len = password.expose_secret().len();
    if (limits::PASSWORD_MIN_BYTES..=limits::PASSWORD_MAX_BYTES).contains(&len) {
        return Ok(());
    }
    let (min, max) = (limits::PASSWORD_MIN_BYTES, limits::PASSWORD_MAX_BYTES);
    Err(Error::field(field, format!("must have {min} to {max} bytes")))
}

/// Checks a password that is compared only: an oversized one must not cost anything. INVALID_FIELD `field`.
pub(super) fn check_presented(field: &str, password: &SecretString) -> Result<()> {
    match password.expose_secret().len() {
        0 => Err(Error::field(field, "must not be empty")),
        len if len > limits::PASSWORD_MAX_BYTES => check(field, password),
        _ => Ok(()),
    }
}

/// Reads the PHC text of a hash that was made elsewhere. INVALID_FIELD `field` where it is not argon2id of version 19, dearer than
/// [`Cost::MAX`], or so cheap that who gets hold of it finds the password.
pub fn parse_phc(field: &str, phc: &str) -> Result<PasswordHash> {
    let (hash, cost) = parse(field, phc)?;
    let work = cost.memory_kib.saturating_mul(cost.passes);
    if cost.memory_kib < MIN_MEMORY_KIB || work < MIN_WORK {
        return Err(Error::field(
            field,
            "is too weak: at least m=7168 (KiB), and m times t at least 35840",
        ));
    }
    Ok(hash)
}

/// Reads the PHC text of a hash that another platform of ours stored: [`parse_phc`], and however cheap it was there.
pub fn parse_stored(field: &str, phc: &str) -> Result<PasswordHash> {
    Ok(parse(field, phc)?.0)
}

/// A hash that can be verified, and what that costs.
fn parse(field: &str, phc: &str) -> Result<(PasswordHash, Cost)> {
    let refuse = |description: &str| Error::field(field, description);
    let shape = || refuse("must be an argon2id hash in PHC form: $argon2id$v=19$m=…,t=…,p=…$salt$hash");
    if phc.len() > 512 {
        return Err(shape());
    }
    let hash = argon2::PasswordHash::new(phc).map_err(|_| shape())?;
    let is_argon2id = hash.algorithm == argon2::ARGON2ID_IDENT && hash.version == Some(Version::V0x13.into());
    if !is_argon2id || hash.salt.is_none() || hash.hash.is_none_or(|output| output.len() < 16) {
        return Err(shape());
    }
    let params = Params::try_from(&hash).map_err(|_| shape())?;
    let cost = Cost {
        memory_kib: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
    };
    if cost.memory_kib > Cost::MAX.memory_kib || cost.passes > Cost::MAX.passes || cost.lanes > Cost::MAX.lanes {
        return Err(refuse("costs too much to verify: at most m=65536 (KiB), t=10, p=4"));
    }
    Ok((PasswordHash(phc.to_owned()), cost))
}

fn default_params() -> Params {
    let Cost {
        memory_kib,
        passes,
        lanes,
    } = Cost::DEFAULT;
    // The constants are within argon2's bounds, whose own default is the same.
    Params::new(memory_kib, passes, lanes, None).unwrap_or_default()
}

/// A hash that no password has (finding one would be a preimage), at the cost of a real one.
fn dummy(params: &Params) -> PasswordHash {
    let hash = argon2::PasswordHash {
        algorithm: argon2::ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: params.try_into().unwrap_or_default(),
        salt: Salt::new(&[0x5a; 16]).ok(),
        hash: Output::new(&[0; Params::DEFAULT_OUTPUT_LEN]).ok(),
    };
    PasswordHash(hash.to_string())
}

fn overloaded() -> Error {
    Error::new(Reason::Overloaded, "too many logins at once; try again shortly").retry_after(Duration::from_secs(1))
}

/// The cause is logged; it never holds the password or the hash.
fn failed(error: &dyn std::fmt::Display) -> Error {
    tracing::error!(%error, "password hashing failed");
    Error::internal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn cheap() -> Passwords {
        Passwords::with_cost_for_tests(Cost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        })
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn verifies_what_it_hashed_and_nothing_else() {
        let passwords = cheap();
        let hash = passwords.hash(&secret("correct horse"), None).await.unwrap();
        let matches = async |password: &str, hash| {
            let place = passwords.place(None).unwrap();
            passwords.verify(&secret(password), hash, place).await.unwrap()
        };
        assert!(matches("correct horse", Some(&hash)).await);
        assert!(!matches("correct horsf", Some(&hash)).await);
        assert!(!matches("correct horse", None).await);
        assert_ne!(hash, passwords.hash(&secret("correct horse"), None).await.unwrap());
    }

    #[tokio::test]
    async fn the_default_is_what_is_promised() {
        let hash = Passwords::default().hash(&secret("correct horse"), None).await.unwrap();
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    }

    #[tokio::test]
    async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
        let passwords = Passwords::default();
        let hash = passwords.hash(&secret("correct horse"), None).await.unwrap();
        assert!(passwords.dummy.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(passwords.dummy.as_phc().len(), hash.as_phc().len());
        let wrong = secret("wrong horse");
        let mut fastest = [f64::MAX; 2];
        for _ in 0..15 {
            for (slot, hash) in fastest.iter_mut().zip([Some(&hash), None]) {
                let start = Instant::now();
                let place = passwords.place(None).unwrap();
                assert!(!passwords.verify(&wrong, hash, place).await.unwrap());
                *slot = slot.min(start.elapsed().as_secs_f64());
            }
        }
        let ratio = fastest[0] / fastest[1];
        assert!((0.5..2.0).contains(&ratio), "known/unknown took {fastest:?} s");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flood_is_refused_and_passes() {
        let passwords = Arc::new(Passwords::with_cost_for_tests(Cost {
            memory_kib: 4096,
            passes: 4,
            lanes: 1,
        }));
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.hash(&secret("correct horse"), None).await })
            })
            .collect();
        let (mut done, mut refused) = (0, 0);
        for call in calls {
            match call.await.unwrap() {
                Ok(_) => done += 1,
                Err(error) => {
                    assert_eq!(error.reason, Reason::Overloaded);
                    assert!(error.retry_after.is_some());
                    refused += 1;
                }
            }
        }
        assert!(
            done >= limits::PASSWORD_QUEUE && refused > 0,
            "{done} done, {refused} refused"
        );
        assert!(passwords.hash(&secret("correct horse"), None).await.is_ok());
    }

    #[tokio::test]
    async fn one_address_takes_a_few_places_only() {
        let passwords = cheap();
        let hog = Some(IpAddr::from([203, 0, 113, 5]));
        let mut held: Vec<Arc<Place>> = (0..limits::PASSWORD_PLACES_PER_ADDRESS)
            .map(|_| passwords.place(hog).unwrap())
            .collect();
        let error = passwords.hash(&secret("correct horse"), hog).await.unwrap_err();
        assert_eq!(error.reason, Reason::Overloaded);
        assert!(error.retry_after.is_some());
        let elsewhere = Some(IpAddr::from([192, 0, 2, 1]));
        assert!(passwords.hash(&secret("correct horse"), elsewhere).await.is_ok());
        held.pop();
        assert!(passwords.hash(&secret("correct horse"), hog).await.is_ok());
        drop(held);
        assert!(passwords.taken.lock().is_empty());
    }

    #[test]
    fn imports_bring_sane_hashes_only() {
        let hash = |head: &str| format!("{head}$c2FsdHNhbHRzYWx0c2FsdA$qLml5cbqFAO6YxVHhrSBHP0UWdxrIxkNcM8aMX3blzU");
        assert!(parse_phc("h", &hash("$argon2id$v=19$m=19456,t=2,p=1")).is_ok());
        for cost in [
            "m=65536,t=10,p=4",
            "m=47104,t=1,p=1",
            "m=12288,t=3,p=1",
            "m=9216,t=4,p=1",
            "m=7168,t=5,p=1",
        ] {
            assert!(
                parse_phc("h", &hash(&format!("$argon2id$v=19${cost}"))).is_ok(),
                "{cost}"
            );
        }
        let refused = [
            hash("$argon2id$v=19$m=65537,t=2,p=1"),
            hash("$argon2id$v=19$m=8,t=1,p=1"),
            hash("$argon2id$v=19$m=19456,t=1,p=1"),
            hash("$argon2id$v=19$m=7167,t=10,p=1"),
            hash("$argon2id$v=19$m=7168,t=4,p=4"),
            hash("$argon2id$v=19$m=19456,t=11,p=1"),
            hash("$argon2id$v=19$m=19456,t=2,p=5"),
            hash("$argon2id$v=19$m=4294967295,t=2,p=1"),
            hash("$argon2i$v=19$m=19456,t=2,p=1"),
            hash("$argon2d$v=19$m=19456,t=2,p=1"),
            hash("$argon2id$v=16$m=19456,t=2,p=1"),
            hash("$argon2id$m=19456,t=2,p=1"),
            hash("$pbkdf2-sha256$i=1"),
            "$argon2id$v=19$m=19456,t=2,p=1".to_owned(),
            "$2b$12$abcdefghijklmnopqrstuuxTlOqE".to_owned(),
            "correct horse".to_owned(),
            String::new(),
            "$".repeat(600),
        ];
        for phc in refused {
            assert_eq!(
                parse_phc("users[3].password_hash", &phc).unwrap_err().violations[0].field,
                "users[3].password_hash",
                "{phc}"
            );
        }
    }

    #[test]
    fn passwords_have_8_to_256_bytes() {
        for (len, ok) in [(0, false), (7, false), (8, true), (256, true), (257, false)] {
            assert_eq!(check("password", &secret(&"x".repeat(len))).is_ok(), ok, "{len}");
        }
        assert!(check_presented("password", &secret("x")).is_ok());
        assert!(check_presented("password", &secret("")).is_err());
        assert!(check_presented("password", &secret(&"x".repeat(257))).is_err());
    }
}
