//! The write path: log first, everything else follows.
//!
//! The event is filed, its rows are written, the call is acknowledged, the event is marked: in this order. Whoever comes upon an event that was filed and
//! not marked writes its rows again: the sweep, or a call that repeats the request.

use std::sync::Arc;

use social_core::fanout::Payload;
use social_core::request::{RequestKey, TraceContext};
use social_core::{Error, EventId, PostId, Reason, Result, Time, UserId};
use tokio::sync::{Mutex, MutexGuard};

use super::accounts::Accounts;
use super::archive::Archives;
use super::change::{Act, Change, Verdict};
use super::comments::Comments;
use super::db::Db;
use super::events::{Events, Timing};
use super::graph::Graph;
use super::ids::Ids;
use super::imports::Imports;
use super::likes::Likes;
use super::lists::{Lists, spread};
use super::marks::Marks;
use super::moment::Moment;
use super::outbox::{Filed, Filing, Outbox, Slot, Stage, shard_of};
use super::posts::Posts;
use super::pulled::Pulled;
use super::redis::{PostDelta, UserDelta};
use super::requests::{Claim, Requests};

/// Locks that keys are spread over.
const LOCKS: usize = 4_096;

/// What truth tells the derived parts. None of it waits, and losing it is made good.
pub(super) trait Moves: Send + Sync {
    /// Counts of a post moved.
    fn post(&self, post: PostId, delta: PostDelta);

    /// Counts of a user moved.
    fn user(&self, user: UserId, delta: UserDelta);

    /// Counts of a post may be off.
    fn recount_post(&self, post: PostId);

    /// Counts of a user may be off.
    fn recount_user(&self, user: UserId);

    /// An event came to its end.
    fn ended(&self, event: EventId);
}

/// Truth on the CQL store.
pub(super) struct Truth {
    pub(super) db: Arc<Db>,
    pub(super) ids: Arc<Ids>,
    pub(super) outbox: Outbox,
    pub(super) requests: Requests,
    pub(super) lists: Lists,
    pub(super) accounts: Accounts,
    pub(super) posts: Posts,
    pub(super) comments: Comments,
    pub(super) likes: Likes,
    pub(super) graph: Graph,
    pub(super) pulled: Pulled,
    pub(super) events: Events,
    pub(super) imports: Imports,
    pub(super) archives: Archives,
    pub(super) moves: Arc<dyn Moves>,
    pub(super) marks: Marks,
    locks: Box<[Mutex<()>]>,
}

/// What is to be filed.
pub(super) struct Intent {
    pub(super) change: Change,
    pub(super) payload: Option<Payload>,
    pub(super) trace: Option<TraceContext>,
}

impl From<Change> for Intent {
    fn from(change: Change) -> Self {
        Self {
            change,
            payload: None,
            trace: None,
        }
    }
}

/// A request that this call is to carry out, under the id of an event of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub(super) event: u64,
    request: Option<RequestKey>,
    since: Moment,
}

/// How a call with a request key goes on.
pub(super) enum Begun {
    /// It does the work.
    Ours(Ticket),
    /// An earlier call did, by this event.
    Earlier(u64),
}

impl Truth {
    pub(super) async fn prepare(db: Arc<Db>, ids: Arc<Ids>, moves: Arc<dyn Moves>, timing: Timing) -> Result<Self> {
        Ok(Self {
            outbox: Outbox::prepare(&db).await?,
            requests: Requests::prepare(&db, timing.filing).await?,
            lists: Lists::prepare(&db).await?,
            accounts: Accounts::prepare(&db).await?,
            posts: Posts::prepare(&db).await?,
            comments: Comments::prepare(&db).await?,
            likes: Likes::prepare(&db).await?,
            graph: Graph::prepare(&db).await?,
            pulled: Pulled::prepare(&db).await?,
            events: Events::prepare(&db, timing).await?,
            imports: Imports::prepare(&db).await?,
            archives: Archives::prepare(&db).await?,
            marks: Marks::start(Arc::clone(&db)).await?,
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            db,
            ids,
            moves,
        })
    }

    pub(super) fn now(&self) -> Time {
        self.ids.now()
    }

    /// Serialises what this process does about a key, so that its own calls do not race each other. Other processes may.
    pub(super) async fn lock(&self, key: u64) -> MutexGuard<'_, ()> {
        self.locks[(spread(key) % LOCKS as u64) as usize].lock().await
    }

    /// Claims a request key, or finds what the earlier call brought about. REQUEST_ID_REUSED.
    pub(super) async fn begin(&self, request: RequestKey) -> Result<Begun> {
        // Taken first: it stands for the time of the id.
        let since = Moment::now();
        let event = self.ids.mint_event().await?;
        let committed = |event| self.drive(event);
        let claim = self
            .requests
            .claim(&self.db, request, event, self.now(), committed)
            .await?;
        if claim != Claim::Ours {
            self.ids.filed(event);
        }
        Ok(match claim {
            Claim::Ours => Begun::Ours(Ticket {
                event,
                request: Some(request),
                since,
            }),
            Claim::Earlier(event) => Begun::Earlier(event),
        })
    }

    /// A ticket for a mutation whose row is itself the key.
    pub(super) async fn ticket(&self) -> Result<Ticket> {
        let since = Moment::now();
        Ok(Ticket {
            event: self.ids.mint_event().await?,
            request: None,
            since,
        })
    }

    /// Gives a request key back if the work was refused, so that a repetition is judged anew. Where the outcome is unknown the claim stays.
    pub(super) async fn conclude<T>(&self, ticket: Ticket, result: Result<T>) -> Result<T> {
        self.ids.filed(ticket.event);
        if let (Err(error), Some(request)) = (&result, ticket.request)
            && !is_unknown(error)
        {
            self.requests.give_back(&self.db, request, ticket.event).await;
        }
        result
    }

    /// Files an intent and writes its rows. When this returns `Stored`, it is durable.
    pub(super) async fn commit(&self, ticket: Ticket, intent: Intent) -> Result<Verdict> {
        let stamp = self.ids.stamp();
        self.commit_at(ticket, intent, stamp).await
    }

    /// [`commit`](Self::commit) under a timestamp that was taken with regard to the rows it replaces.
    pub(super) async fn commit_at(&self, ticket: Ticket, intent: Intent, stamp: i64) -> Result<Verdict> {
        let filing = Filing {
            change: intent.change,
            stamp,
            payload: intent.payload,
            request: ticket.request,
            trace: intent.trace,
            filed_at: self.now(),
        };
        let slot = self.outbox.file(&self.db, ticket.event, &filing, self.now()).await;
        self.ids.filed(ticket.event);
        let slot = slot?;
        self.ids.check_lease()?;
        // A sweep may have passed the event's place before it was there, and a repetition may have taken the claim: others
        // decide what becomes of it.
        if ticket.since.elapsed() > self.events.timing().filing {
            return Err(Error::unavailable());
        }
        let act = Act {
            event: ticket.event,
            stamp,
        };
        let verdict = self.apply(act, &filing.change).await?;
        self.mark(ticket.event, slot, &filing, stage_after(&filing, verdict));
        Ok(verdict)
    }

    /// Brings an event that may have been left half-way to its end; whether it took effect, `None` where it was never filed.
    pub(super) async fn drive(&self, event: u64) -> Result<Option<bool>> {
        let Some(filed) = self.outbox.find(&self.db, event).await? else {
            return Ok(None);
        };
        let stage = match filed.stage {
            Stage::Filed if self.was_passed(event).await? => self.set_aside(&filed).await?,
            // A sweep may be passing it: in a moment it is known whether that has seen it.
            Stage::Filed if self.is_being_passed(event) => return Err(Error::unavailable()),
            Stage::Filed => self.roll_forward(&filed).await?,
            stage => stage,
        };
        Ok(Some(stage != Stage::Rejected))
    }

    /// Whether sweeps have passed an event that was not there in time. It was never acknowledged, and its id is too old to become visible now.
    async fn was_passed(&self, event: u64) -> Result<bool> {
        let watermarks = self.outbox.watermarks(&self.db).await?;
        Ok(event < watermarks[shard_of(event) as usize].applied)
    }

    fn is_being_passed(&self, event: u64) -> bool {
        let slack = self.events.timing().slack;
        !slack.is_zero() && event < self.ids.horizon(slack)
    }

    /// Writes the rows of an event that was filed and not marked; its stage then.
    pub(super) async fn roll_forward(&self, filed: &Filed) -> Result<Stage> {
        let filing = &filed.filing;
        if let Some(request) = filing.request
            && !self.requests.holds(&self.db, request, filed.id).await?
        {
            return self.set_aside(filed).await;
        }
        let act = Act {
            event: filed.id,
            stamp: filing.stamp,
        };
        let verdict = self.apply(act, &filing.change).await?;
        self.recount_after(&filing.change);
        self.set_stage(filed, stage_after(filing, verdict)).await
    }

    async fn set_aside(&self, filed: &Filed) -> Result<Stage> {
        self.set_stage(filed, Stage::Rejected).await
    }

    async fn set_stage(&self, filed: &Filed, stage: Stage) -> Result<Stage> {
        let finished_at = (!stage.is_open()).then(|| self.now());
        let at = (filed.id, filed.slot);
        let stamp = mark_stamp(&filed.filing, stage);
        self.outbox.set_stage(&self.db, at, stage, finished_at, stamp).await?;
        Ok(stage)
    }

    fn mark(&self, event: u64, slot: Slot, filing: &Filing, stage: Stage) {
        let finished_at = (!stage.is_open()).then(|| self.now());
        self.marks
            .note(event, slot, stage, finished_at, mark_stamp(filing, stage));
    }
}

/// Where an event stands once its rows are written.
fn stage_after(filing: &Filing, verdict: Verdict) -> Stage {
    match (verdict, filing.payload) {
        (Verdict::Lost, _) => Stage::Rejected,
        (Verdict::Stored, Some(_)) => Stage::Applied,
        (Verdict::Stored, None) => Stage::Done,
    }
}

/// The write timestamp of a mark: that of a change which took effect wins.
fn mark_stamp(filing: &Filing, stage: Stage) -> i64 {
    filing.stamp + i64::from(stage != Stage::Rejected)
}

/// Whether an error leaves open if something was written.
fn is_unknown(error: &Error) -> bool {
    matches!(
        error.reason,
        Reason::StoreUnavailable | Reason::DeadlineExceeded | Reason::Internal
    )
}
