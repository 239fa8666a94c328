//! Work that comes round by the clock: rows past their time, keys to read again, buckets to forget, figures for operators.

use std::sync::Arc;
use std::time::Duration;

use social_core::auth::{Auth, keys};
use social_core::{Backend, Error};
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
    pub(crate) auth: Arc<Auth>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) drain: Drain,
}

/// Does its rounds until the drain begins. Each is a task of its own, so that a long one holds none of the others up.
pub(crate) fn spawn(janitor: Janitor, tasks: &mut JoinSet<()>) {
    let janitor = Arc::new(janitor);
    for round in [Round::Expire, Round::Measure, Round::Forget, Round::ReloadKeys] {
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
        let auth = Arc::clone(&self.auth);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || auth.keys().reload()).await {
            tracing::error!(%error, "signing keys cannot be read again; the known ones stay in use");
        }
    }
}

fn failed(what: &str, error: &Error) {
    tracing::warn!(what, ?error, "a round of the janitor failed; the next one follows");
}
