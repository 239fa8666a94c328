//! The event log: the queue of fan-out, and its policy.

use async_trait::async_trait;
use social_core::backend::{EventStore, Horizon, RowCount, StorageStats, TableStats};
use social_core::error::Reason;
use social_core::fanout::{Event, Payload, Policy, Progress, State};
use social_core::page::Range;
use social_core::request::{RequestKey, TraceContext};
use social_core::{Error, EventId, PostId, Result, limits};

use super::effects::Effect;
use super::expiry;
use super::folder;
use super::keys::{self, Expiring, Key};
use super::posts;
use super::rows::{self, RequestRow, Unreadable};
use super::tables::Table;
use super::truth::Truth;
use super::tx::{Tx, engine_error};

/// The row of table `meta` that holds the policy.
pub(super) const POLICY_ROW: &[u8] = b"policy";

#[async_trait]
impl EventStore for Truth {
    async fn pending_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<Event>> {
        let mut found = Vec::new();
        let mut after = after;
        while found.len() < limit {
            let ids = self.caches.events().pending(after, limit - found.len());
            let Some(last) = ids.last() else { break };
            after = Some(*last);
            for id in ids {
                found.extend(self.readable_event(id)?.filter(|event| event.state == State::Pending));
            }
        }
        Ok(found)
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.row(Table::Events, &keys::id(id.0))
    }

    async fn record_progress(&self, id: EventId, progress: Progress) -> Result<()> {
        self.writer.run_lossy(move |tx| record_progress(tx, id, progress)).await
    }

    async fn finish(&self, id: EventId, progress: Progress) -> Result<()> {
        self.writer.run_lossy(move |tx| finish(tx, id, progress)).await
    }

    async fn record_failure(&self, id: EventId, class: &str) -> Result<Event> {
        let class = class.to_owned();
        self.writer.run(move |tx| record_failure(tx, id, class)).await
    }

    async fn dead_letters(&self, range: Range) -> Result<Vec<Event>> {
        let view = self.snapshot();
        let ids = view.list(Table::Dead, &[], range)?;
        let events = ids.into_iter().map(|(id, _)| view.row(Table::Events, &keys::id(id)));
        Ok(events.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    async fn replay_dead_letter(&self, id: EventId) -> Result<Event> {
        self.writer.run(move |tx| replay_dead_letter(tx, id)).await
    }

    async fn was_committed(&self, request: RequestKey) -> Result<bool> {
        let row: Option<RequestRow> = self.row(Table::Requests, &Key::from(request.key))?;
        row.map_or(Ok(false), |row| row.answers(&request, self.clock.now()))
    }

    async fn horizon(&self) -> Result<Horizon> {
        Ok(self.caches.events().horizon())
    }

    async fn policy(&self) -> Result<Policy> {
        Ok(self.caches.policy())
    }

    async fn set_policy(&self, policy: Policy, expected_version: Option<u64>) -> Result<Policy> {
        self.writer
            .run(move |tx| set_policy(tx, policy, expected_version))
            .await
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.writer.run(move |tx| expiry::expire(tx, limit)).await
    }

    async fn stats(&self) -> Result<StorageStats> {
        let (pending_events, _, dead_letters) = self.caches.events().backlog();
        let tables = Table::ALL.iter().map(|table| self.table_stats(*table)).collect();
        let dir = self.folder.dir().to_path_buf();
        let disk_bytes = tokio::task::spawn_blocking(move || folder::disk_bytes(&dir)).await;
        let disk_bytes = disk_bytes
            .map_err(|_| Error::internal())?
            .map_err(|error| engine_error(error.into()))?;
        Ok(StorageStats {
            backend: "embedded",
            disk_bytes,
            tables,
            pending_events,
            oldest_pending: self.oldest_pending()?,
            dead_letters,
        })
    }
}

impl Truth {
    /// An event, `None` also where it is of a newer format and to be left alone.
    pub(super) fn readable_event(&self, id: EventId) -> Result<Option<Event>> {
        let Some(bytes) = self
            .tables
            .of(Table::Events)
            .get(keys::id(id.0))
            .map_err(engine_error)?
        else {
            return Ok(None);
        };
        match rows::decode(&bytes) {
            Ok(event) => Ok(Some(event)),
            Err(Unreadable::Newer) => Ok(None),
            Err(error) => Err(error.report(Table::Events.name())),
        }
    }

    /// The engine knows a table's rows only about: rows that were written several times count so until they are compacted.
    fn table_stats(&self, table: Table) -> TableStats {
        let keyspace = self.tables.of(table);
        TableStats {
            name: table.name(),
            rows: RowCount::About(keyspace.approximate_len() as u64),
            disk_bytes: keyspace.disk_space(),
        }
    }
}

/// Files an event in this commit.
pub(super) fn file(tx: &mut Tx<'_>, id: EventId, payload: Payload, trace: Option<TraceContext>) -> Result<()> {
    let event = Event::new(id, payload, tx.now(), trace);
    tx.mark(Table::Pending, keys::id(id.0));
    put(tx, &event)
}

/// Files an event under an id of its own.
pub(super) fn file_new(tx: &mut Tx<'_>, payload: Payload, trace: Option<TraceContext>) -> Result<EventId> {
    let id = EventId(tx.mint());
    file(tx, id, payload, trace)?;
    Ok(id)
}

/// An event's row in this commit.
pub(super) fn load(tx: &Tx<'_>, id: EventId) -> Result<Option<Event>> {
    tx.row(Table::Events, &keys::id(id.0))
}

fn put(tx: &mut Tx<'_>, event: &Event) -> Result<()> {
    tx.effect(Effect::Event(event.id, event.state, tx.now()));
    tx.put_row(Table::Events, keys::id(event.id.0), event)
}

fn load_pending(tx: &Tx<'_>, id: EventId) -> Result<Option<Event>> {
    Ok(load(tx, id)?.filter(|event| event.state == State::Pending))
}

fn record_progress(tx: &mut Tx<'_>, id: EventId, progress: Progress) -> Result<()> {
    match load_pending(tx, id)? {
        Some(event) => put(tx, &Event { progress, ..event }),
        None => Ok(()),
    }
}

fn finish(tx: &mut Tx<'_>, id: EventId, progress: Progress) -> Result<()> {
    let Some(event) = load_pending(tx, id)? else {
        return Ok(());
    };
    tx.delete(Table::Pending, keys::id(id.0));
    tx.expire_at(tx.now().plus(limits::EVENT_KEPT).plus_ms(1), Expiring::Event(id));
    put(
        tx,
        &Event {
            state: State::Done,
            finished_at: Some(tx.now()),
            progress,
            ..event
        },
    )
}

fn record_failure(tx: &mut Tx<'_>, id: EventId, class: String) -> Result<Event> {
    let not_found = || Error::new(Reason::FanoutNotFound, "no such event");
    let mut event = load(tx, id)?.ok_or_else(not_found)?;
    if event.state != State::Pending {
        return Ok(event);
    }
    event.attempts += 1;
    event.last_error = Some(class);
    if event.attempts >= limits::EVENT_ATTEMPTS {
        event.state = State::DeadLettered;
        tx.delete(Table::Pending, keys::id(id.0));
        tx.mark(Table::Dead, keys::id(id.0));
    }
    put(tx, &event)?;
    Ok(event)
}

fn replay_dead_letter(tx: &mut Tx<'_>, id: EventId) -> Result<Event> {
    let not_found = || Error::new(Reason::DeadLetterNotFound, "no such dead letter");
    let dead = load(tx, id)?
        .filter(|event| event.state == State::DeadLettered)
        .ok_or_else(not_found)?;
    let payload = match dead.payload {
        Payload::Post { post, author, .. } | Payload::Restore { post, author } => {
            show_anew(tx, post)?;
            Payload::Restore { post, author }
        }
        follow @ Payload::Follow { .. } => follow,
    };
    tx.delete(Table::Dead, keys::id(id.0));
    tx.mark(Table::Pending, keys::id(id.0));
    let event = Event {
        payload,
        state: State::Pending,
        // Every follower is served anew: who was served must see the post arrive again.
        progress: Progress::default(),
        attempts: 0,
        ..dead
    };
    put(tx, &event)?;
    Ok(event)
}

/// Cursors of before the replay owe the post: it becomes visible now.
fn show_anew(tx: &mut Tx<'_>, id: PostId) -> Result<()> {
    if let Some(mut post) = posts::load(tx, id)? {
        post.visible_since = EventId(tx.mint());
        posts::put(tx, post)?;
    }
    Ok(())
}

/// The policy in this commit.
pub(super) fn policy(tx: &Tx<'_>) -> Result<Policy> {
    Ok(tx.row(Table::Meta, &Key::from(POLICY_ROW))?.unwrap_or_default())
}

fn set_policy(tx: &mut Tx<'_>, policy: Policy, expected: Option<u64>) -> Result<Policy> {
    let now = self::policy(tx)?;
    if expected.is_some_and(|version| version != now.version) {
        return Err(Error::etag_mismatch());
    }
    let policy = Policy {
        version: now.version + 1,
        updated_at: tx.now(),
        ..policy
    };
    tx.put_row(Table::Meta, Key::from(POLICY_ROW), &policy)?;
    tx.effect(Effect::Policy(policy));
    Ok(policy)
}
