//! Claims of request keys: the first call to claim a key does the work, others answer what it brought about.
//!
//! A claim names the event that carries the work out. What became of it stands in the event log, so that a claim needs no second write: an event that is
//! there is driven to its end by whoever comes upon it, one that was never filed is given up after a while and claimed anew under another id.

use std::time::{Duration, Instant};

use social_core::request::RequestKey;
use social_core::{Error, Result, Time, limits};

use super::db::{Db, statements};

/// The first pause of a waiting call; it doubles with each look.
const LOOK_FIRST: Duration = Duration::from_millis(20);
/// The longest pause.
const LOOK_LAST: Duration = Duration::from_millis(500);

statements!(Statements {
    claim: Conditional "INSERT INTO requests (key, fingerprint, event, at) VALUES (?, ?, ?, ?) IF NOT EXISTS",
    read: Serial "SELECT fingerprint, event, at FROM requests WHERE key = ?",
    take: Conditional "UPDATE requests SET fingerprint = ?, event = ?, at = ? WHERE key = ? IF event = ?",
});

/// Whose a request key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The caller's: it does the work under its event.
    Ours,
    /// Of an earlier call with this event.
    Earlier(u64),
}

/// A claim as it is stored.
struct Stored {
    fingerprint: Vec<u8>,
    /// Below zero where it was given back: a value of its own for each, so that a claim that comes to the store late finds another.
    event: i64,
    at: Time,
}

impl Stored {
    /// Whether anybody may take it.
    fn is_free(&self, now: Time) -> bool {
        self.event <= 0 || now.since(self.at) > limits::REQUEST_KEPT
    }
}

/// The claims.
pub(super) struct Requests {
    statements: Statements,
    /// How long a claim whose event is not to be found is left to its owner, who gives up after half of it.
    patience: Duration,
}

impl Requests {
    pub(super) async fn prepare(db: &Db, filing: Duration) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            patience: filing * 2,
        })
    }

    /// Claims a key for an event. `committed` tells of an earlier event whether it took effect; `None` where it was not filed.
    /// REQUEST_ID_REUSED where the key stands for another request.
    pub(super) async fn claim<F>(
        &self,
        db: &Db,
        request: RequestKey,
        event: u64,
        now: Time,
        committed: impl Fn(u64) -> F,
    ) -> Result<Claim>
    where
        F: Future<Output = Result<Option<bool>>>,
    {
        let first = (
            request.key.to_vec(),
            request.fingerprint.to_vec(),
            event as i64,
            now.unix_ms() as i64,
        );
        if db.compare_and_set(&self.statements.claim, first).await == Ok(true) {
            return Ok(Claim::Ours);
        }
        let mut waiting: Option<(i64, Instant)> = None;
        let mut pause = LOOK_FIRST;
        loop {
            let stored = self.stored(db, request).await?.ok_or_else(Error::unavailable)?;
            if stored.event == event as i64 {
                return Ok(Claim::Ours);
            }
            if stored.is_free(now) {
                if self.take(db, request, event, now, stored.event).await? {
                    return Ok(Claim::Ours);
                }
                continue;
            }
            if stored.fingerprint != request.fingerprint {
                return Err(Error::request_id_reused());
            }
            match committed(stored.event as u64).await? {
                Some(true) => return Ok(Claim::Earlier(stored.event as u64)),
                Some(false) => {}
                None => {
                    let since = waiting.filter(|(event, _)| *event == stored.event);
                    let (_, since) = *waiting.insert(since.unwrap_or((stored.event, Instant::now())));
                    if since.elapsed() < self.patience {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LOOK_LAST);
                        continue;
                    }
                }
            }
            if self.take(db, request, event, now, stored.event).await? {
                return Ok(Claim::Ours);
            }
        }
    }

    /// The event of the claim under a key, if there is one. REQUEST_ID_REUSED where it stands for another request.
    pub(super) async fn claimed(&self, db: &Db, request: RequestKey, now: Time) -> Result<Option<u64>> {
        let Some(stored) = self.stored(db, request).await? else {
            return Ok(None);
        };
        if stored.is_free(now) {
            return Ok(None);
        }
        if stored.fingerprint != request.fingerprint {
            return Err(Error::request_id_reused());
        }
        Ok(Some(stored.event as u64))
    }

    /// Whether an event still holds its claim. Asked by whoever comes upon it later.
    pub(super) async fn holds(&self, db: &Db, request: RequestKey, event: u64) -> Result<bool> {
        let stored = self.stored(db, request).await?;
        Ok(stored.is_some_and(|stored| stored.event == event as i64))
    }

    /// Gives a claim back whose work was refused before anything was filed.
    pub(super) async fn give_back(&self, db: &Db, request: RequestKey, event: u64) {
        let values = (
            request.fingerprint.to_vec(),
            -(event as i64),
            0_i64,
            request.key.to_vec(),
            event as i64,
        );
        if let Err(error) = db.compare_and_set(&self.statements.take, values).await {
            // The next call waits a while, and then takes it.
            tracing::debug!(?error, "a claim could not be given back");
        }
    }

    async fn take(&self, db: &Db, request: RequestKey, event: u64, now: Time, before: i64) -> Result<bool> {
        let (fingerprint, key) = (request.fingerprint.to_vec(), request.key.to_vec());
        let values = (fingerprint, event as i64, now.unix_ms() as i64, key, before);
        match db.compare_and_set(&self.statements.take, values).await {
            Err(error) if !self.holds(db, request, event).await? => Err(error),
            Err(_) => Ok(true),
            taken => taken,
        }
    }

    async fn stored(&self, db: &Db, request: RequestKey) -> Result<Option<Stored>> {
        let row: Option<(Vec<u8>, i64, i64)> = db.row(&self.statements.read, (request.key.to_vec(),)).await?;
        Ok(row.map(|(fingerprint, event, at)| Stored {
            fingerprint,
            event,
            at: Time::from_unix_ms(at as u64),
        }))
    }
}
