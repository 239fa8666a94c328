//! The event log as the workers see it, dead letters, the horizon and the policy.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt as _;
use parking_lot::Mutex;
use social_core::backend::{EventStore, Horizon, StorageStats};
use social_core::fanout::{Event, Payload, Policy, Progress, State};
use social_core::page::{Order, Range};
use social_core::request::RequestKey;
use social_core::{Error, EventId, PostId, Reason, Result, limits};

use super::change::Change;
use super::db::{Db, statements};
use super::docs::{self, Docs};
use super::fresh::Demand;
use super::outbox::{Filed, Filing, Stage};
use super::stats::Stats;
use super::sweep::Sweep;
use super::truth::Truth;

/// The settings document of the policy.
const POLICY: u64 = 1;
/// How long a process goes by the policy that it knows; its own changes count at once.
const POLICY_KNOWN_FOR: Duration = Duration::from_secs(1);
/// Events that are looked up at once.
const AT_ONCE: usize = 32;

/// A dead letter's state: it waits for an operator.
const DEAD: i8 = 1;
/// It was replayed, and is not done yet.
const REPLAYED: i8 = 2;
/// It is over.
const OVER: i8 = 0;

statements!(Statements {
    dead_letters: Read "SELECT event, state FROM dead_letters WHERE part = 0",
    dead_letter_stamp: Read "SELECT WRITETIME(state) FROM dead_letters WHERE part = 0 AND event = ?",
    end_dead_letter: Write "INSERT INTO dead_letters (part, event, state) VALUES (0, ?, ?) USING TIMESTAMP ? AND TTL 3600",
    set_dead_letter: Write "INSERT INTO dead_letters (part, event, state) VALUES (0, ?, ?) USING TIMESTAMP ?",
});

/// How closely processes follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long after its minting an event may come into the log; a call that takes longer fails.
    pub filing: Duration,
    /// That, and how far the clocks of two processes may differ, together: sweeps and cursors look so far behind. Nothing for the only process of a
    /// cluster.
    pub slack: Duration,
    /// How old the horizon may be that cursors are made of.
    pub horizon_every: Duration,
}

impl Timing {
    /// How far the clocks of two processes may be apart.
    pub(super) fn skew(&self) -> Duration {
        self.slack.saturating_sub(self.filing)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            filing: Duration::from_millis(2_500),
            slack: Duration::from_secs(4),
            horizon_every: Duration::from_secs(1),
        }
    }
}

/// The horizon as it was looked at last.
#[derive(Default)]
struct KnownHorizon {
    horizon: Option<(Horizon, Instant)>,
    /// How often it was forgotten: what was being looked at then is out of date.
    forgotten: u64,
}

/// The statements of events, and what is remembered of them.
pub(super) struct Events {
    statements: Statements,
    settings: Docs,
    pub(super) stats: Stats,
    pub(super) sweep: Sweep,
    timing: Timing,
    policy: Mutex<Option<(Policy, Instant)>>,
    horizon: Mutex<KnownHorizon>,
    horizon_wanted: Demand,
}

impl Events {
    pub(super) async fn prepare(db: &Db, timing: Timing) -> Result<Self> {
        Ok(Self {
            statements: Statements::prepare(db).await?,
            settings: Docs::prepare(db, "settings").await?,
            stats: Stats::prepare(db).await?,
            sweep: Sweep::default(),
            timing,
            policy: Mutex::default(),
            horizon: Mutex::default(),
            horizon_wanted: Demand::default(),
        })
    }

    /// Has the horizon looked at anew when it is asked for next.
    pub(super) fn forget_horizon(&self) {
        let mut known = self.horizon.lock();
        known.horizon = None;
        known.forgotten += 1;
    }

    pub(super) fn timing(&self) -> Timing {
        self.timing
    }
}

#[async_trait]
impl EventStore for Truth {
    async fn pending_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<Event>> {
        let after = after.map_or(0, |after| after.0);
        let mut open = self.open_ids().await?;
        open.retain(|id| *id > after);
        let mut pending = Vec::new();
        let mut looked_up = futures::stream::iter(open)
            .map(|id| self.workable(id))
            .buffered(AT_ONCE);
        while let Some(event) = looked_up.next().await {
            match event {
                Ok(event) => pending.extend(event),
                // One that cannot be read now, or was written by a newer program, must not hide the others.
                Err(error) => tracing::warn!(?error, "a pending event cannot be looked at"),
            }
            if pending.len() >= limit {
                break;
            }
        }
        Ok(pending)
    }

    async fn stalled_events(&self, after: Option<EventId>, limit: usize, idle: Duration) -> Result<Vec<Event>> {
        if after.is_none() {
            self.sweep().await;
        }
        self.stalled(after.map_or(0, |after| after.0), limit, idle).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        let filed = self.outbox.find(&self.db, id.0).await?;
        let event = filed.and_then(|filed| filed.event());
        let now = self.now();
        let is_kept = |event: &Event| {
            event.state == State::DeadLettered || event.finished_at.is_none_or(|at| now.since(at) <= limits::EVENT_KEPT)
        };
        Ok(event.filter(is_kept))
    }

    async fn record_progress(&self, id: EventId, progress: Progress) -> Result<()> {
        let Some(filed) = self.open_event(id).await? else {
            return Ok(());
        };
        let at = (filed.id, filed.slot);
        self.outbox
            .set_progress(&self.db, at, &progress, self.stamp_after(&filed))
            .await
    }

    async fn finish(&self, id: EventId, progress: Progress) -> Result<()> {
        let Some(filed) = self.open_event(id).await? else {
            return Ok(());
        };
        let (at, stamp) = ((filed.id, filed.slot), self.stamp_after(&filed));
        self.outbox.set_progress(&self.db, at, &progress, stamp).await?;
        let finished_at = Some(self.now());
        self.outbox
            .set_stage(&self.db, at, Stage::Done, finished_at, stamp)
            .await?;
        self.moves.ended(id);
        Ok(())
    }

    async fn record_failure(&self, id: EventId, class: &str) -> Result<Event> {
        let Some(filed) = self.open_event(id).await? else {
            return self.event(id).await?.ok_or_else(not_pending);
        };
        let (at, stamp) = ((filed.id, filed.slot), self.stamp_after(&filed));
        let attempts = filed.attempts + 1;
        self.outbox
            .set_failure(&self.db, at, attempts, Some(class), stamp)
            .await?;
        if attempts >= limits::EVENT_ATTEMPTS {
            // Listed first: a dead letter that is nowhere listed could never be replayed.
            self.set_dead_letter(id, DEAD).await?;
            self.outbox.set_stage(&self.db, at, Stage::Dead, None, stamp).await?;
            self.moves.ended(id);
        }
        self.event(id).await?.ok_or_else(not_pending)
    }

    async fn dead_letters(&self, range: Range) -> Result<Vec<Event>> {
        let Some((low, high)) = range.bounds() else {
            return Ok(Vec::new());
        };
        let mut ids = self.dead_letter_ids(DEAD).await?;
        ids.retain(|id| (low..=high).contains(id));
        if range.order == Order::NewestFirst {
            ids.reverse();
        }
        let mut dead = Vec::new();
        for id in ids {
            let event = self.event(EventId(id)).await?;
            dead.extend(event.filter(|event| event.state == State::DeadLettered));
            if dead.len() == range.limit {
                break;
            }
        }
        Ok(dead)
    }

    async fn replay_dead_letter(&self, id: EventId) -> Result<Event> {
        let payload = self.dead_letter(id).await?.filing.payload.map(restored);
        // Before the lock, since it takes the post's.
        if let Some(Payload::Restore { post, .. }) = payload {
            self.bring_back(post).await?;
        }
        let _alone = self.lock(id.0).await;
        let filed = self.dead_letter(id).await?;
        // Pending again from the moment that it is listed as replayed; what follows is repeated by another replay.
        self.set_dead_letter(id, REPLAYED).await?;
        let (at, stamp) = ((filed.id, filed.slot), self.stamp_after(&filed));
        let filing = Filing {
            change: Change::Nothing,
            stamp,
            payload,
            request: None,
            ..filed.filing
        };
        self.outbox.file_at(&self.db, id.0, filed.slot, &filing).await?;
        self.outbox
            .set_failure(&self.db, at, 0, filed.last_error.as_deref(), stamp)
            .await?;
        // Every follower is served anew: those that were must see the post arrive again.
        self.outbox
            .set_progress(&self.db, at, &Progress::default(), stamp)
            .await?;
        self.outbox.set_stage(&self.db, at, Stage::Applied, None, stamp).await?;
        self.event(id).await?.ok_or_else(not_pending)
    }

    async fn was_committed(&self, request: RequestKey) -> Result<bool> {
        let Some(event) = self.requests.claimed(&self.db, request, self.now()).await? else {
            return Ok(false);
        };
        Ok(self.drive(event).await? == Some(true))
    }

    async fn horizon(&self) -> Result<Horizon> {
        self.events.horizon_wanted.note();
        let known = self.events.horizon.lock().horizon;
        if let Some((horizon, at)) = known
            && at.elapsed() < self.events.timing.horizon_every
        {
            return Ok(horizon);
        }
        self.learn_horizon().await
    }

    async fn policy(&self) -> Result<Policy> {
        let began = Instant::now();
        let doc = self.events.settings.get::<Policy>(&self.db, POLICY).await?;
        let policy = doc.map_or_else(Policy::default, |doc| doc.row);
        *self.events.policy.lock() = Some((policy, began));
        Ok(policy)
    }

    async fn set_policy(&self, policy: Policy, expected_version: Option<u64>) -> Result<Policy> {
        let event = self.ids.mint().await?;
        let updated_at = self.now();
        let changed = docs::change(
            &self.events.settings,
            &self.db,
            POLICY,
            event,
            |before: Option<&Policy>| {
                let before = before.copied().unwrap_or_default();
                if expected_version.is_some_and(|version| version != before.version) {
                    return Err(Error::etag_mismatch());
                }
                Ok(Some(Policy {
                    version: before.version + 1,
                    updated_at,
                    ..policy
                }))
            },
        );
        let policy = changed.await?.unwrap_or(policy);
        *self.events.policy.lock() = Some((policy, Instant::now()));
        Ok(policy)
    }

    /// Nothing: rows end by themselves, in the store, by the time to live of their tables.
    async fn expire(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }

    async fn stats(&self) -> Result<StorageStats> {
        let pending = self.pending_events(None, usize::MAX).await?;
        Ok(StorageStats {
            pending_events: pending.len() as u64,
            oldest_pending: pending.iter().map(|event| event.filed_at).min(),
            dead_letters: self.dead_letter_count().await?,
            ..self.events.stats.look(&self.db).await?
        })
    }
}

impl Truth {
    /// The policy, as new posts are to go by it: another process's change counts a second later.
    pub(super) async fn policy_now(&self) -> Result<Policy> {
        let known = *self.events.policy.lock();
        match known {
            Some((policy, at)) if at.elapsed() < POLICY_KNOWN_FOR => Ok(policy),
            _ => self.policy().await,
        }
    }

    /// Makes the policy what it was elsewhere.
    pub(super) async fn restore_policy(&self, policy: Policy) -> Result<()> {
        let event = self.ids.mint().await?;
        let settings = &self.events.settings;
        let as_it_was = |before: Option<&Policy>| Ok((before != Some(&policy)).then_some(policy));
        docs::change(settings, &self.db, POLICY, event, as_it_was).await?;
        *self.events.policy.lock() = None;
        Ok(())
    }

    /// An event that the workers may take up: its rows are written.
    pub(super) async fn workable(&self, id: u64) -> Result<Option<Event>> {
        let Some(mut filed) = self.outbox.find(&self.db, id).await? else {
            return Ok(None);
        };
        if filed.stage == Stage::Filed {
            filed.stage = self.roll_forward(&filed).await?;
        }
        Ok(filed.event().filter(|event| event.state == State::Pending))
    }

    /// Dead letters of a state, ascending.
    async fn dead_letter_ids(&self, wanted: i8) -> Result<Vec<u64>> {
        let rows = self.dead_letter_rows().await?;
        Ok(rows
            .into_iter()
            .filter(|row| row.1 == wanted)
            .map(|row| row.0)
            .collect())
    }

    /// How many events were given up.
    pub(super) async fn dead_letter_count(&self) -> Result<u64> {
        Ok(self.dead_letter_ids(DEAD).await?.len() as u64)
    }

    async fn dead_letter_rows(&self) -> Result<Vec<(u64, i8)>> {
        let rows: Vec<(i64, i8)> = self.db.all_rows(&self.events.statements.dead_letters, ()).await?;
        Ok(rows.into_iter().map(|(id, state)| (id as u64, state)).collect())
    }

    async fn end_dead_letter(&self, id: EventId) -> Result<()> {
        let values = (id.0 as i64, OVER, self.dead_letter_stamp(id).await?);
        self.db.run(&self.events.statements.end_dead_letter, values).await
    }

    async fn set_dead_letter(&self, id: EventId, state: i8) -> Result<()> {
        let values = (id.0 as i64, state, self.dead_letter_stamp(id).await?);
        self.db.run(&self.events.statements.set_dead_letter, values).await
    }

    /// Above that of the row as it is: a process with a faster clock may have written it.
    async fn dead_letter_stamp(&self, id: EventId) -> Result<i64> {
        let statement = &self.events.statements.dead_letter_stamp;
        let row: Option<(Option<i64>,)> = self.db.row(statement, (id.0 as i64,)).await?;
        Ok(self.ids.stamp_after(row.and_then(|(stamp,)| stamp).unwrap_or(0)))
    }

    /// Listed dead letters whose events are open: replayed and not done, or not marked yet as dead. Those that are done are noted as over.
    pub(super) async fn replayed(&self) -> Result<Vec<Filed>> {
        let mut open = Vec::new();
        for (id, state) in self.dead_letter_rows().await? {
            if state == OVER {
                continue;
            }
            match self.outbox.find(&self.db, id).await? {
                Some(filed) if filed.stage.is_open() => open.push(filed),
                Some(filed) if filed.stage == Stage::Dead => {}
                _ => self.end_dead_letter(EventId(id)).await?,
            }
        }
        Ok(open)
    }

    /// Looks at the horizon for those who ask for it next, where somebody did lately.
    pub(super) async fn refresh_horizon(&self) -> Result<()> {
        if self.events.horizon_wanted.is_there() {
            self.learn_horizon().await?;
        }
        Ok(())
    }

    async fn learn_horizon(&self) -> Result<Horizon> {
        let (began, forgotten) = (Instant::now(), self.events.horizon.lock().forgotten);
        let horizon = self.look_at_horizon().await?;
        let mut known = self.events.horizon.lock();
        if known.forgotten == forgotten {
            known.horizon = Some((horizon, began));
        }
        Ok(horizon)
    }

    /// The horizon now. Dead letters hold it back: what they would bring is owed.
    async fn look_at_horizon(&self) -> Result<Horizon> {
        let imports = self.import_runs().await?;
        // The only process has no sweeps of others to go by.
        if self.events.timing.slack.is_zero() {
            self.sweep().await;
        }
        let watermarks = self.outbox.watermarks(&self.db).await?;
        self.replayed().await?;
        let owed = self.dead_letter_rows().await?.into_iter().find(|row| row.1 != OVER);
        let settled = watermarks.iter().map(|mark| mark.settled).min().unwrap_or(0);
        let applied = watermarks.iter().map(|mark| mark.applied).min().unwrap_or(0);
        Ok(Horizon {
            settled: EventId(owed.map_or(settled, |(id, _)| id.min(settled))),
            visible: PostId(applied.saturating_sub(1)),
            imports,
        })
    }

    async fn dead_letter(&self, id: EventId) -> Result<Filed> {
        let filed = self.outbox.find(&self.db, id.0).await?;
        let dead = filed.filter(|filed| filed.stage == Stage::Dead);
        dead.ok_or_else(|| Error::new(Reason::DeadLetterNotFound, "no such dead letter"))
    }

    async fn open_event(&self, id: EventId) -> Result<Option<Filed>> {
        let filed = self.outbox.find(&self.db, id.0).await?;
        Ok(filed.filter(|filed| filed.stage.is_open() && filed.filing.payload.is_some()))
    }

    /// Behind every mark of the event, also where a process with a faster clock set it.
    fn stamp_after(&self, filed: &Filed) -> i64 {
        self.ids.stamp_after(filed.marked_at.max(filed.filing.stamp + 1))
    }
}

/// What a dead letter asks for when it is replayed: readers have long gone by the post, so it must arrive anew.
fn restored(payload: Payload) -> Payload {
    match payload {
        Payload::Post { post, author, .. } => Payload::Restore { post, author },
        payload => payload,
    }
}

fn not_pending() -> Error {
    Error::new(Reason::FanoutNotFound, "no such event")
}
