//! Work that comes round by the clock: rows past their time, keys to read again, buckets to forget, figures for operators.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use social_core::auth::{Auth, keys};
use social_core::{Backend, Error, Time};
use social_observability::event;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::grpc::Drain;
use crate::ratelimit::Limits;

/// How often rows past their time are removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Rows that one step removes.
const EXPIRE_STEP: usize = 500;
/// The pause between two steps, so that writers come in between.
const EXPIRE_PAUSE: Duration = Duration::from_millis(20);
/// How often full buckets of rate limits are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// How often the backlog is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// What the janitor looks after.
pub(crate) struct Janitor {
    pub(crate) backend: Backend,
    /// Absent where no clients are served.
    pub(crate) auth: Option<Arc<Auth>>,
    /// Whether the process looks after the store: of many, those that drive fan-out do.
    pub(crate) works: bool,
    pub(crate) limits: Arc<Limits>,
    pub(crate) drain: Drain,
    pub(crate) signing: Signing,
}

/// Which key signed when it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Signing(Mutex<Option<String>>);

impl Signing {
    /// The key that signs now, if it is another than the last time.
    fn changed(&self, auth: &Auth, now: Time) -> Option<String> {
        let kid = auth.keys().signing_kid(now)?;
        let before = self.0.lock().replace(kid.clone());
        before.is_some_and(|before| before != kid).then_some(kid)
    }
}

/// Does its rounds until the drain begins. Each is a task of its own, so that a long one holds none of the others up.
pub(crate) fn spawn(janitor: Janitor, tasks: &mut JoinSet<()>) {
    let janitor = Arc::new(janitor);
    let rounds = [
        (Round::Expire, janitor.works),
        (Round::Measure, janitor.works),
        (Round::Forget, true),
        (Round::ReloadKeys, janitor.auth.is_some()),
    ];
    for (round, _) in rounds.into_iter().filter(|(_, is_ours)| *is_ours) {
        tasks.spawn(run(Arc::clone(&janitor), round));
    }
}

/// What comes round.
#[derive(Clone, Copy, Debug)]
enum Round {
    Expire,
    Measure,
    Forget,
    ReloadKeys,
}

impl Round {
    fn period(self) -> Duration {
        match self {
            Self::Expire => EXPIRE_EVERY,
            Self::Measure => MEASURE_EVERY,
            Self::Forget => FORGET_EVERY,
            Self::ReloadKeys => keys::RELOAD_INTERVAL,
        }
    }
}

async fn run(janitor: Arc<Janitor>, round: Round) {
    let mut tick = interval(round.period());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = janitor.drain.begun() => return,
            _ = tick.tick() => {}
        }
        match round {
            Round::Expire => janitor.expire().await,
            Round::Measure => janitor.measure().await,
            Round::Forget => janitor.limits.forget_idle(),
            Round::ReloadKeys => janitor.reload_keys().await,
        }
    }
}

impl Janitor {
    /// Removes rows past their time, in steps that the drain can come between.
    async fn expire(&self) {
        while !self.drain.has_begun() {
            match self.backend.store.expire(EXPIRE_STEP).await {
                Ok(removed) if removed >= EXPIRE_STEP => tokio::time::sleep(EXPIRE_PAUSE).await,
                Ok(_) => return,
                Err(error) => return failed("expiry", &error),
            }
        }
    }

    async fn measure(&self) {
        match self.backend.store.stats().await {
            Ok(stats) => {
                let now = self.backend.clock.now();
                let age = stats
                    .oldest_pending
                    .map_or(Duration::ZERO, |filed_at| now.since(filed_at));
                event::backlog_measured(stats.pending_events, age);
            }
            Err(error) => failed("measuring the backlog", &error),
        }
    }

    /// Keys are files, perhaps on a slow disk: they are read off the reactor.
    async fn reload_keys(&self) {
        let Some(auth) = &self.auth else { return };
        let reading = Arc::clone(auth);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || reading.keys().reload()).await {
            tracing::error!(%error, "signing keys cannot be read again; the known ones stay in use");
        }
        if let Some(kid) = self.signing.changed(auth, self.backend.clock.now()) {
            event::signing_key_rotated(&kid);
        }
    }
}

fn failed(what: &str, error: &Error) {
    tracing::warn!(what, ?error, "a round of the janitor failed; the next one follows");
}

#[cfg(test)]
mod tests {
    use social_core::Clock;
    use social_core::auth::{Keys, Passwords};

    use super::*;

    #[test]
    fn a_new_signing_key_is_told_once_and_when_it_signs() {
        let clock = Clock::manual(Time::from_unix_ms(1_800_000_000_000));
        let now = clock.now();
        let auth = Auth::new(Keys::in_memory(now), Passwords::default(), clock);
        let signing = Signing::default();
        assert_eq!(signing.changed(&auth, now), None, "the first one is no change");
        auth.keys().rotate(now.plus_ms(1)).unwrap();
        assert_eq!(signing.changed(&auth, now.plus_ms(2)), None, "it does not sign yet");
        let later = now.plus(keys::LEAD).plus_ms(1);
        let kid = signing.changed(&auth, later);
        assert!(kid.is_some() && kid == auth.keys().signing_kid(later));
        assert_eq!(signing.changed(&auth, later), None);
    }
}
