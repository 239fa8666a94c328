//! Throttling of guesses at passwords, such that nobody can lock somebody else out.
//!
//! Refused attempts are counted per (account, client address): who guesses from elsewhere slows down only himself. After
//! [`limits::LOGIN_FAILURES_FREE`] of them each asks for a pause twice as long as the last, up to
//! [`limits::LOGIN_THROTTLE_MAX`]. An address that tries many accounts has a looser count of its own, which does not bind those who
//! logged in from it before: neighbours behind one address share it with whoever guesses there.
//!
//! An IPv6 client is its /64, which one customer owns whole. Accounts are kept as keyed digests. What is remembered is bounded; the ones
//! idle for longest go first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

use crate::clock::{Clock, Time};
use crate::error::{Error, Reason, Result};
use crate::limits;

/// Failures of a pair that logged in before that go unthrottled.
const FREE_KNOWN: u32 = 2 * limits::LOGIN_FAILURES_FREE;
/// Failures from one address, whatever the accounts, that go unthrottled.
const FREE_ADDRESS: u32 = 20 * limits::LOGIN_FAILURES_FREE;
/// The first pause; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// After this long without an attempt, failures are forgotten.
const FORGET: Duration = Duration::from_secs(2 * limits::LOGIN_THROTTLE_MAX.as_secs());
const SHARDS: usize = 16;

/// Counts refused logins.
pub struct Throttle {
    clock: Clock,
    key: [u8; 16],
    shards: [Mutex<Generations>; SHARDS],
}

/// One attempt at a password: counted as refused from the start, so that many at once are no way around, and until it is
/// known to have succeeded, also where the caller goes away.
#[must_use]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: u128,
    /// Absent where the pair is exempt from it.
    address: Option<u128>,
}

/// What is known of a pair or an address.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    failures: u32,
    last: Time,
    paused_until: Time,
    /// A login succeeded before.
    known: bool,
}

/// Two generations of entries: when the young one is full it becomes the old one, and what was not touched since is gone.
#[derive(Default)]
struct Generations {
    young: HashMap<u128, Entry>,
    old: HashMap<u128, Entry>,
}

impl Throttle {
    /// Counts by this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            key: rand::random(),
            shards: Default::default(),
        }
    }

    /// Begins an attempt at the password of an account, named by its handle, whether or not there is one. LOGIN_THROTTLED.
    pub fn attempt(&self, account: &str, address: Option<IpAddr>) -> Result<Attempt<'_>> {
        let now = self.clock.now();
        let place = place(address);
        let pair = self.digest(&[b"pair", account.as_bytes(), &place]);
        let known = self.with(pair, now, |entry| entry.known);
        let address = (!known).then(|| self.digest(&[b"address", &place]));
        if let Some(address) = address {
            self.count(address, now, FREE_ADDRESS)?;
        }
        let free = if known { FREE_KNOWN } else { limits::LOGIN_FAILURES_FREE };
        let attempt = Attempt {
            throttle: self,
            pair,
            address,
        };
        match self.count(pair, now, free) {
            Ok(()) => Ok(attempt),
            Err(error) => {
                attempt.uncount_address();
                Err(error)
            }
        }
    }

    fn count(&self, key: u128, now: Time, free: u32) -> Result<()> {
        self.with(key, now, |entry| {
            if now < entry.paused_until {
                return Err(throttled(entry.paused_until.since(now)));
            }
            entry.failures = entry.failures.saturating_add(1);
            if entry.failures >= free {
                entry.paused_until = now.plus(pause(entry.failures - free));
            }
            Ok(())
        })
    }

    /// The entry of a key as it is at `now`, to read or change.
    fn with<T>(&self, key: u128, now: Time, f: impl FnOnce(&mut Entry) -> T) -> T {
        let mut shard = self.shards[key as usize % SHARDS].lock();
        let entry = shard.entry(key);
        if now.since(entry.last) > FORGET {
            *entry = Entry {
                known: entry.known,
                ..Entry::default()
            };
        }
        entry.last = now;
        f(entry)
    }

    fn digest(&self, parts: &[&[u8]]) -> u128 {
        let mut hash = SipHasher13::new_with_key(&self.key);
        for part in parts {
            hash.write_usize(part.len());
            hash.write(part);
        }
        hash.finish128().as_u128()
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Throttle")
    }
}

impl Attempt<'_> {
    /// The password was right: the pair starts afresh, and is known from now on.
    pub fn succeeded(self) {
        let now = self.throttle.clock.now();
        self.throttle.with(self.pair, now, |entry| {
            *entry = Entry {
                known: true,
                last: now,
                ..Entry::default()
            }
        });
        self.uncount_address();
    }

    /// The password was not looked at: nothing is counted.
    pub fn abandoned(self) {
        self.uncount(self.pair);
        self.uncount_address();
    }

    fn uncount_address(&self) {
        if let Some(address) = self.address {
            self.uncount(address);
        }
    }

    fn uncount(&self, key: u128) {
        let now = self.throttle.clock.now();
        self.throttle.with(key, now, |entry| {
            entry.failures = entry.failures.saturating_sub(1);
            entry.paused_until = Time::default();
        });
    }
}

impl Generations {
    fn entry(&mut self, key: u128) -> &mut Entry {
        if !self.young.contains_key(&key) {
            let entry = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= limits::LOGIN_THROTTLE_ENTRIES / SHARDS / 2 {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, entry);
        }
        self.young.entry(key).or_default()
    }
}

/// The part of an address that one client has to itself.
pub(super) fn place(address: Option<IpAddr>) -> [u8; 16] {
    let mut place = [0; 16];
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(v4)) => {
            place[10..12].fill(0xff);
            place[12..].copy_from_slice(&v4.octets());
        }
        Some(IpAddr::V6(v6)) => place[..8].copy_from_slice(&v6.octets()[..8]),
        None => place.fill(0xfe),
    }
    place
}

fn pause(doublings: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
        .min(limits::LOGIN_THROTTLE_MAX)
}

fn throttled(delay: Duration) -> Error {
    Error::new(
        Reason::LoginThrottled,
        "too many refused attempts from here; wait before the next one",
    )
    .retry_after(delay)
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
