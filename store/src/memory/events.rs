//! The event log and the fan-out policy.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use social_core::backend::{EventStore, Horizon, RowCount, StorageStats, TableStats};
use social_core::fanout::{Event, Payload, Policy, Progress, State};
use social_core::page::Range;
use social_core::request::RequestKey;
use social_core::{Error, EventId, PostId, Reason, Result, limits};

use super::{Memory, Rows, select};

#[async_trait]
impl EventStore for Memory {
    async fn pending_events(&self, after: Option<EventId>, limit: usize) -> Result<Vec<Event>> {
        let rows = self.rows();
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let pending = rows
            .events
            .range(behind)
            .map(|(_, event)| event)
            .filter(|event| is_pending(event));
        Ok(pending.take(limit).cloned().collect())
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        Ok(self.rows().events.get(&id).cloned())
    }

    async fn record_progress(&self, id: EventId, progress: Progress) -> Result<()> {
        let mut rows = self.rows();
        if let Some(event) = rows.pending_event(id) {
            event.progress = progress;
            rows.note_move(id);
        }
        Ok(())
    }

    async fn finish(&self, id: EventId, progress: Progress) -> Result<()> {
        let mut rows = self.rows();
        let now = rows.now();
        if let Some(event) = rows.pending_event(id) {
            event.progress = progress;
            event.state = State::Done;
            event.finished_at = Some(now);
        }
        Ok(())
    }

    async fn record_failure(&self, id: EventId, class: &str) -> Result<Event> {
        let mut rows = self.rows();
        if let Some(event) = rows.pending_event(id) {
            event.attempts += 1;
            event.last_error = Some(class.to_owned());
            if event.attempts >= limits::EVENT_ATTEMPTS {
                event.state = State::DeadLettered;
            }
            rows.note_move(id);
        }
        let event = rows.events.get(&id).cloned();
        event.ok_or_else(|| Error::new(Reason::FanoutNotFound, "no such event"))
    }

    async fn dead_letters(&self, range: Range) -> Result<Vec<Event>> {
        let rows = self.rows();
        let dead = rows.events.values().filter(|event| event.state == State::DeadLettered);
        Ok(select(dead.map(|event| (event.id.0, event.clone())), &range))
    }

    async fn replay_dead_letter(&self, id: EventId) -> Result<Event> {
        let mut rows = self.rows();
        let dead = rows
            .events
            .get(&id)
            .filter(|event| event.state == State::DeadLettered)
            .cloned();
        let mut event = dead.ok_or_else(|| Error::new(Reason::DeadLetterNotFound, "no such dead letter"))?;
        event.state = State::Pending;
        event.attempts = 0;
        // Every follower is served anew: those that were must see the post arrive again.
        event.progress = Progress::default();
        if let Payload::Post { post, author, .. } | Payload::Restore { post, author } = event.payload {
            event.payload = Payload::Restore { post, author };
            rows.bring_back(post);
        }
        rows.events.insert(id, event.clone());
        rows.note_move(id);
        Ok(event)
    }

    async fn horizon(&self) -> Result<Horizon> {
        let rows = self.rows();
        let first_undone = rows
            .events
            .values()
            .find(|event| event.state != State::Done)
            .map(|event| event.id);
        Ok(Horizon {
            settled: first_undone.unwrap_or(EventId(rows.last_id + 1)),
            visible: PostId(rows.last_id),
            imports: rows.import_runs,
        })
    }

    async fn was_committed(&self, request: RequestKey) -> Result<bool> {
        Ok(self.rows().earlier(request)?.is_some())
    }

    async fn policy(&self) -> Result<Policy> {
        Ok(self.rows().policy)
    }

    async fn set_policy(&self, policy: Policy, expected_version: Option<u64>) -> Result<Policy> {
        let mut rows = self.rows();
        if expected_version.is_some_and(|version| version != rows.policy.version) {
            return Err(Error::etag_mismatch());
        }
        let version = rows.policy.version + 1;
        let updated_at = rows.now();
        rows.policy = Policy {
            version,
            updated_at,
            ..policy
        };
        Ok(rows.policy)
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        let mut rows = self.rows();
        let mut removed = 0;
        while removed < limit && rows.expire_one() {
            removed += 1;
        }
        Ok(removed)
    }

    async fn stats(&self) -> Result<StorageStats> {
        let rows = self.rows();
        let pending = || rows.events.values().filter(|event| is_pending(event));
        let dead = rows.events.values().filter(|event| event.state == State::DeadLettered);
        Ok(StorageStats {
            backend: "memory",
            disk_bytes: 0,
            tables: rows.tables(),
            pending_events: pending().count() as u64,
            oldest_pending: pending().map(|event| event.filed_at).min(),
            dead_letters: dead.count() as u64,
        })
    }
}

fn is_pending(event: &Event) -> bool {
    event.state == State::Pending
}

impl Rows {
    fn pending_event(&mut self, id: EventId) -> Option<&mut Event> {
        self.events.get_mut(&id).filter(|event| is_pending(event))
    }

    fn note_move(&mut self, id: EventId) {
        let now = self.now();
        self.moved.insert(id, now);
    }

    fn bring_back(&mut self, id: PostId) {
        let visible_since = EventId(self.mint());
        if let Some(post) = self.posts.get_mut(&id) {
            Arc::make_mut(post).visible_since = visible_since;
        }
    }

    /// Removes one row that is past its time; whether there was one.
    fn expire_one(&mut self) -> bool {
        let now = self.now();
        let request = self
            .requests
            .iter()
            .find(|(_, row)| now.since(row.at) > limits::REQUEST_KEPT);
        if let Some(key) = request.map(|(key, _)| *key) {
            return self.requests.remove(&key).is_some();
        }
        let is_old = |event: &&Event| event.finished_at.is_some_and(|at| now.since(at) > limits::EVENT_KEPT);
        if let Some(id) = self.events.values().find(is_old).map(|event| event.id) {
            self.moved.remove(&id);
            return self.events.remove(&id).is_some();
        }
        let session = self
            .sessions
            .values()
            .find(|session| session.expires_at() <= now)
            .map(|session| session.id);
        session.is_some_and(|id| self.sessions.remove(&id).is_some())
    }

    fn tables(&self) -> Vec<TableStats> {
        let counted = [
            ("users", self.users.len()),
            ("sessions", self.sessions.len()),
            ("posts", self.posts.len()),
            ("revisions", self.revisions.len()),
            ("comments", self.comments.len()),
            ("likes", self.likes.len()),
            ("follows", self.graph.follows.len()),
            ("blocks", self.graph.blocks.len()),
            ("mutes", self.graph.mutes.len()),
            ("events", self.events.len()),
            ("requests", self.requests.len()),
        ];
        counted
            .into_iter()
            .map(|(name, rows)| TableStats {
                name,
                rows: RowCount::Exact(rows as u64),
                disk_bytes: 0,
            })
            .collect()
    }
}
