//! Sessions revoked lately, and the tokens that were verified lately: what makes checking a token cheap, and a revocation
//! hold at once.
//!
//! **The race** of a check with a revocation. The check of a token that was not seen before reads the session, then puts the token into
//! the cache, then asks the revocations; the revocation first changes the session, then enters itself here, then is acknowledged. Every
//! check asks the revocations last, so one that begins after the acknowledgement finds the entry, whatever the cache says.
//!
//! **Other processes** revoke, too, and tell nobody here. Where there are some, what the cache knows is trusted for a short time only,
//! counted from before the session was read: so a revocation holds everywhere once that time has passed since its acknowledgement.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use quick_cache::sync::Cache;
use siphasher::sip128::{Hasher128, SipHasher13};
use tokio::time::Instant;

use super::tokens::{Claims, SKEW};
use crate::clock::Time;
use crate::id::SessionId;
use crate::limits;

/// Revoked sessions that are remembered at once. Past that the token cache is emptied instead, so that every
/// token asks the store again.
const REVOKED: usize = 100_000;
/// Tokens that are remembered as verified.
const TOKENS: usize = 200_000;

/// Sessions that were revoked by this process, for as long as an access token of theirs may live.
#[derive(Debug, Default)]
pub struct Revocations {
    sessions: RwLock<HashMap<SessionId, Time>>,
    len: AtomicUsize,
}

impl Revocations {
    /// Whether the session was revoked.
    pub fn contains(&self, session: SessionId) -> bool {
        self.len.load(Ordering::SeqCst) > 0 && self.sessions.read().contains_key(&session)
    }

    /// Enters a session. Answers whether others had to be forgotten for it.
    pub(super) fn insert(&self, session: SessionId, now: Time) -> bool {
        let mut sessions = self.sessions.write();
        let mut overflowed = false;
        if sessions.len() >= REVOKED {
            let kept = limits::ACCESS_TOKEN_TTL + SKEW;
            sessions.retain(|_, revoked_at| now.since(*revoked_at) <= kept);
            if sessions.len() >= REVOKED {
                sessions.clear();
                overflowed = true;
            }
        }
        sessions.insert(session, now);
        self.len.store(sessions.len(), Ordering::SeqCst);
        overflowed
    }
}

/// Access tokens that were verified, by a digest under a random key.
pub(super) struct TokenCache {
    key: [u8; 16],
    tokens: Cache<u128, Checked>,
    /// Raised before the cache is emptied: what was checked before must not enter it after.
    epoch: AtomicU64,
}

/// A token that was checked.
#[derive(Clone, Copy)]
struct Checked {
    claims: Claims,
    /// From before its session was read. By a clock that nobody sets.
    at: Instant,
}

/// A token that the cache does not answer for, at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Miss {
    pub(super) digest: u128,
    epoch: u64,
    at: Instant,
    /// What the token said when it was verified: only its session is to be looked at again.
    pub(super) claims: Option<Claims>,
}

impl Miss {
    /// Whether a check that began for this miss answers for `other`, too, of the same token.
    pub(super) fn covers(&self, other: &Self, trust: Option<Duration>) -> bool {
        self.epoch == other.epoch && is_trusted(self.at, trust)
    }

    /// Whether it is the same miss.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.epoch, self.at) == (other.epoch, other.at)
    }
}

/// Whether what was found then is to be relied on now.
fn is_trusted(at: Instant, trust: Option<Duration>) -> bool {
    trust.is_none_or(|trust| at.elapsed() < trust)
}

impl Default for TokenCache {
    fn default() -> Self {
        Self {
            key: rand::random(),
            tokens: Cache::new(TOKENS),
            epoch: AtomicU64::new(0),
        }
    }
}

impl TokenCache {
    /// What a token said when it was checked, by keys of this generation and not longer ago than `trust`. It may have expired since. What
    /// keys of an earlier generation verified is not found any more: one of those may have been withdrawn.
    pub(super) fn get(&self, token: &str, generation: u64, trust: Option<Duration>) -> Result<Claims, Miss> {
        let mut hash = SipHasher13::new_with_key(&self.key);
        hash.write_u64(generation);
        hash.write(token.as_bytes());
        let digest = hash.finish128().as_u128();
        let epoch = self.epoch.load(Ordering::SeqCst);
        let known = self.tokens.get(&digest);
        match known {
            Some(checked) if is_trusted(checked.at, trust) => Ok(checked.claims),
            _ => Err(Miss {
                digest,
                epoch,
                at: Instant::now(),
                claims: known.map(|checked| checked.claims),
            }),
        }
    }

    /// Remembers what the token of a miss says.
    pub(super) fn insert(&self, miss: &Miss, claims: Claims) {
        self.tokens.insert(miss.digest, Checked { claims, at: miss.at });
        if self.epoch.load(Ordering::SeqCst) != miss.epoch {
            self.tokens.remove(&miss.digest);
        }
    }

    /// Forgets every token, also those being checked now.
    pub(super) fn clear(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.tokens.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache")
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;

    const NOW: Time = Time::from_unix_ms(1_000_000);

    fn claims() -> Claims {
        Claims {
            user: UserId(1),
            session: SessionId(2),
            expires_at: NOW.plus_ms(1),
        }
    }

    #[test]
    fn remembers_for_as_long_as_a_token_lives() {
        let revocations = Revocations::default();
        assert!(!revocations.contains(SessionId(0)));
        for n in 0..REVOKED as u64 {
            assert!(!revocations.insert(SessionId(n), NOW));
        }
        let later = NOW.plus(limits::ACCESS_TOKEN_TTL).plus(SKEW);
        assert!(revocations.contains(SessionId(0)));
        // Full of tokens that may live still: all are forgotten, and the caller is told to empty the cache.
        assert!(revocations.insert(SessionId(u64::MAX), later));
        assert!(!revocations.contains(SessionId(0)) && revocations.contains(SessionId(u64::MAX)));
    }

    #[test]
    fn makes_room_by_forgetting_what_no_token_is_left_of() {
        let revocations = Revocations::default();
        for n in 0..REVOKED as u64 {
            revocations.insert(SessionId(n), NOW);
        }
        let later = NOW.plus(limits::ACCESS_TOKEN_TTL).plus(SKEW).plus_ms(1);
        assert!(!revocations.insert(SessionId(u64::MAX), later));
        assert_eq!(revocations.sessions.read().len(), 1);
    }

    #[test]
    fn what_was_checked_before_a_clear_does_not_enter_after_it() {
        let cache = TokenCache::default();
        let miss = cache.get("token", 0, None).unwrap_err();
        cache.insert(&miss, claims());
        assert_eq!(cache.get("token", 0, None).ok(), Some(claims()));
        let late = cache.get("other", 0, None).unwrap_err();
        cache.clear();
        cache.insert(&late, claims());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn what_withdrawn_keys_verified_is_forgotten() {
        let cache = TokenCache::default();
        let miss = cache.get("token", 0, None).unwrap_err();
        // Also where the check was on its way while the keys changed.
        assert!(cache.get("token", 1, None).is_err());
        cache.insert(&miss, claims());
        assert!(cache.get("token", 1, None).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_trusted_for_a_time_only_is_asked_for_again() {
        let trust = Some(Duration::from_secs(1));
        let cache = TokenCache::default();
        let miss = cache.get("token", 0, trust).unwrap_err();
        assert_eq!(miss.claims, None);
        // The time counts from before the session was read.
        tokio::time::advance(Duration::from_millis(400)).await;
        cache.insert(&miss, claims());
        tokio::time::advance(Duration::from_millis(599)).await;
        assert_eq!(cache.get("token", 0, trust).ok(), Some(claims()));
        tokio::time::advance(Duration::from_millis(1)).await;
        let again = cache.get("token", 0, trust).unwrap_err();
        assert_eq!(again.claims, Some(claims()), "its signature is not verified again");
        assert_eq!(cache.get("token", 0, None).ok(), Some(claims()));
        cache.insert(&again, claims());
        assert_eq!(cache.get("token", 0, trust).ok(), Some(claims()));
    }
}
