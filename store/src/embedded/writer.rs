//! The one thread that writes: it gathers commands into groups and commits each group once.
//!
//! A group's rows go to the engine as one batch with `SyncData`. The engine writes and syncs its journal before it puts
//! the first row where readers look, and publishes the batch as a whole to snapshots, so nothing is readable before it is
//! durable. Memory follows, then the answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, OwnedWriteBatch, PersistMode};
use parking_lot::RwLock;
use social_core::clock::Clock;
use social_core::error::Reason;
use social_core::id::{self, IdSource};
use social_core::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use super::Fatal;
use super::caches::Caches;
use super::keys::Key;
use super::tables::{Table, Tables};
use super::tx::{Group, Tx};

/// Commands that wait for the writer at the most.
pub(super) const QUEUE: usize = 4_096;
/// How long a caller waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(1);
/// Commands of one group at the most.
const GROUP_COMMANDS: usize = 1_024;
/// Bytes of one group, after which no command joins it.
const GROUP_BYTES: usize = 4 << 20;
/// How far ahead of the last id the floor is reserved, so that it is written about once a second.
const FLOOR_AHEAD: Duration = Duration::from_secs(1);
/// The node number of a store that is alone.
pub(super) const NODE: u16 = 0;
/// The row of table `meta` that holds the floor of ids.
pub(super) const FLOOR_ROW: &[u8] = b"id_floor";

/// Tells a caller what became of its command, once the group's commit is known.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Run = Box<dyn FnOnce(Tx<'_>) -> (bool, Answer) + Send>;

/// Whether a command's rows must be on the disk before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// They must.
    Synced,
    /// They may be lost in a crash: a group of nothing else is not synced.
    Lossy,
}

struct Command {
    durability: Durability,
    run: Run,
}

/// What the writer has done since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    commands: AtomicU64,
    commits: AtomicU64,
    syncs: AtomicU64,
}

/// What the writer has done since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupStats {
    /// Commands run.
    pub commands: u64,
    /// Groups committed.
    pub commits: u64,
    /// Groups that were synced to the disk.
    pub syncs: u64,
}

/// Hands commands to the writer's thread, which ends when this is dropped or closed.
pub(super) struct Writer {
    queue: RwLock<Option<mpsc::Sender<Command>>>,
    tally: Arc<Tally>,
}

/// What the writer's thread works on.
pub(super) struct Parts {
    pub(super) db: Database,
    pub(super) tables: Arc<Tables>,
    pub(super) caches: Arc<Caches>,
    pub(super) clock: Clock,
    pub(super) fatal: Fatal,
    /// Ids are minted above this.
    pub(super) floor: u64,
    /// Makes every commit fail from now on.
    #[cfg(test)]
    pub(super) disk_fails: Arc<std::sync::atomic::AtomicBool>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(parts: Parts) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, commands) = mpsc::channel(QUEUE);
        let tally = Arc::new(Tally::default());
        let ids = IdSource::new(NODE, parts.floor);
        let (last_id, floor) = (parts.floor, parts.floor);
        let fatal = parts.fatal.clone();
        let worker = Worker {
            parts,
            ids,
            last_id,
            floor,
            tally: tally.clone(),
            broken: false,
        };
        let run = move || {
            if catch_unwind(AssertUnwindSafe(|| worker.run(commands))).is_err() {
                fatal("the writer panicked");
            }
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(run)?;
        let queue = RwLock::new(Some(queue));
        Ok((Self { queue, tally }, thread))
    }

    /// Runs a command and answers once it is durable and visible. A failing command leaves nothing.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.submit(Durability::Synced, job).await
    }

    /// Runs a command and answers once it is visible; a crash may undo it.
    pub(super) async fn run_lossy<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.submit(Durability::Lossy, job).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        durability: Durability,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let run: Run = Box::new(move |tx| {
            let (wrote, result) = attempt(tx, job);
            let tell: Answer = Box::new(move |commit| drop(answer.send(commit.and(result))));
            (wrote, tell)
        });
        self.enqueue(Command { durability, run }).await?;
        // The thread is gone without an answer: what became of the command is not known.
        answered.await.unwrap_or_else(|_| Err(Error::unavailable()))
    }

    async fn enqueue(&self, command: Command) -> Result<()> {
        // Cloned for the one command: a call that waits for a place must not keep the thread from ending.
        let Some(queue) = self.queue.read().clone() else {
            return Err(shutting_down());
        };
        match queue.try_send(command) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(shutting_down()),
            Err(mpsc::error::TrySendError::Full(command)) => {
                queue
                    .send_timeout(command, QUEUE_WAIT)
                    .await
                    .map_err(|error| match error {
                        mpsc::error::SendTimeoutError::Closed(_) => shutting_down(),
                        mpsc::error::SendTimeoutError::Timeout(_) => overloaded(),
                    })
            }
        }
    }

    /// Takes no more commands; the thread ends once those that wait are done.
    pub(super) fn close(&self) {
        self.queue.write().take();
    }

    /// What the writer has done.
    pub(super) fn stats(&self) -> GroupStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        GroupStats {
            commands: read(&self.tally.commands),
            commits: read(&self.tally.commits),
            syncs: read(&self.tally.syncs),
        }
    }
}

/// Runs a job; keeps what it wrote only where it succeeds. A panic is the job's failure, not the thread's.
fn attempt<T>(mut tx: Tx<'_>, job: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> (bool, Result<T>) {
    match catch_unwind(AssertUnwindSafe(|| job(&mut tx))) {
        Ok(Ok(value)) => (tx.keep(), Ok(value)),
        Ok(Err(error)) => (false, Err(error)),
        Err(_) => {
            tracing::error!("a command of the store panicked; nothing of it was kept");
            (false, Err(Error::internal()))
        }
    }
}

fn shutting_down() -> Error {
    Error::new(Reason::ShuttingDown, "the store is closing").retry_after(Duration::from_secs(1))
}

fn overloaded() -> Error {
    Error::new(Reason::Overloaded, "too many writes wait for the disk").retry_after(Duration::from_secs(1))
}

struct Worker {
    parts: Parts,
    ids: IdSource,
    last_id: u64,
    floor: u64,
    tally: Arc<Tally>,
    /// A commit failed and the process was not stopped: nothing is written any more.
    broken: bool,
}

impl Worker {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            if self.broken {
                // Dropping it unanswered tells the caller that the store is not available.
                continue;
            }
            let mut group = Group::default();
            let mut answers = Vec::new();
            let mut synced = self.execute(first, &mut group, &mut answers);
            while answers.len() < GROUP_COMMANDS && group.bytes < GROUP_BYTES {
                let Ok(next) = commands.try_recv() else { break };
                synced |= self.execute(next, &mut group, &mut answers);
            }
            self.finish(group, answers, synced);
        }
    }

    /// Runs one command; whether it wrote rows that must be synced.
    fn execute(&mut self, command: Command, group: &mut Group, answers: &mut Vec<Answer>) -> bool {
        let now = self.parts.clock.now();
        let tx = Tx::begin(&self.parts.tables, group, &mut self.ids, &mut self.last_id, now);
        let (wrote, answer) = (command.run)(tx);
        answers.push(answer);
        wrote && command.durability == Durability::Synced
    }

    fn finish(&mut self, mut group: Group, answers: Vec<Answer>, synced: bool) {
        self.tally.commands.fetch_add(answers.len() as u64, Ordering::Relaxed);
        let wrote = !group.rows.is_empty();
        let outcome = if wrote { self.commit(&mut group, synced) } else { Ok(()) };
        if wrote && outcome.is_ok() {
            self.parts.caches.apply(group.effects, self.last_id);
        }
        for answer in answers {
            answer(outcome.clone());
        }
    }

    fn commit(&mut self, group: &mut Group, synced: bool) -> Result<()> {
        self.reserve_ids(group);
        let mode = if synced {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        let mut batch = OwnedWriteBatch::with_capacity(self.parts.db.clone(), group.rows.len()).durability(Some(mode));
        for ((table, key), value) in std::mem::take(&mut group.rows) {
            match value {
                Some(value) => batch.insert(self.parts.tables.of(table), key, value),
                None => batch.remove(self.parts.tables.of(table), key),
            }
        }
        match catch_unwind(AssertUnwindSafe(|| self.hand_over(batch))) {
            Ok(Ok(())) => {
                self.tally.commits.fetch_add(1, Ordering::Relaxed);
                self.tally.syncs.fetch_add(u64::from(synced), Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(error)) => self.stop(&error.to_string()),
            Err(_) => self.stop("the storage engine panicked"),
        }
    }

    fn hand_over(&self, batch: OwnedWriteBatch) -> fjall::Result<()> {
        #[cfg(test)]
        if self.parts.disk_fails.load(Ordering::Relaxed) {
            return Err(fjall::Error::Poisoned);
        }
        batch.commit()
    }

    /// Ids go on above the floor after a restart, whatever the clock says then. It is durable with the ids it covers.
    fn reserve_ids(&mut self, group: &mut Group) {
        if self.last_id > self.floor {
            let ahead = self.parts.clock.now().plus(FLOOR_AHEAD);
            self.floor = id::floor_at(ahead).max(self.last_id);
            let row = (Table::Meta, Key::from(FLOOR_ROW));
            group.rows.insert(row, Some(self.floor.to_be_bytes().into()));
        }
    }

    /// After a failed sync nobody knows what the disk holds; only reading it anew, in a new process, tells.
    fn stop(&mut self, why: &str) -> Result<()> {
        self.broken = true;
        (self.parts.fatal)(why);
        Err(Error::unavailable())
    }
}
