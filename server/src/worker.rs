//! Takes events, and drives their work step by step.
//!
//! A process that cannot serve takes nothing: others come upon what it has in hand.
//!
//! One round robin a process: a job takes one bounded step and goes to the back of the queue, so that nobody waits behind a celebrity.
//! Hints bring events at once; a sweep of truth brings what hints lost. A failure that would repeat is counted, and puts the event
//! aside in the end; one that may pass by itself is waited out.

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::Mutex;
use social_core::error::Result;
use social_core::fanout::{self, Event, Payload, Progress, State, Step};
use social_core::{Backend, Error, EventId, limits};
use social_observability::event;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::grpc::Drain;
use crate::grpc::status::reason_name;

/// Events that one read of a sweep brings.
const SWEEP_PAGE: usize = 256;
/// The first pause after a failure; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const BACKOFF_LAST: Duration = Duration::from_secs(5);

/// Drives events with `workers` tasks until the drain begins: each finishes its step, and no other is begun. What is not done then is
/// given back, so that another process takes it up at once. No step is begun either while the process is not fit to serve.
pub(crate) async fn run(backend: Backend, workers: usize, fitness: watch::Receiver<bool>, drain: Drain) {
    let desk = Arc::new(Desk {
        backend,
        fitness,
        drain,
        jobs: Mutex::default(),
        held: Mutex::default(),
        work: Notify::new(),
        released: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(take_hints(Arc::clone(&desk)));
    tasks.spawn(sweep(Arc::clone(&desk)));
    for _ in 0..workers {
        tasks.spawn(work(Arc::clone(&desk)));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            // Without it events would wait for ever: the server takes the end of the workers for its own.
            tracing::error!(%error, "a worker task ended by a panic");
            return;
        }
    }
    let unfinished: Vec<EventId> = desk.held.lock().iter().copied().collect();
    desk.backend.signals.leave(&unfinished).await;
}

/// What the worker tasks share.
struct Desk {
    backend: Backend,
    /// Whether the process can serve.
    fitness: watch::Receiver<bool>,
    drain: Drain,
    /// The round robin.
    jobs: Mutex<VecDeque<Job>>,
    /// Events in hand: queued, being worked on, or waiting for a failure to pass. At most [`limits::WORKER_EVENTS`].
    held: Mutex<HashSet<EventId>>,
    work: Notify,
    released: Notify,
}

/// An event in hand.
struct Job {
    event: Event,
    progress: Progress,
    /// Failures in a row that may pass.
    failures: u32,
}

/// What became of taking an event in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Taken,
    /// It is in hand already.
    Held,
    /// There is no room for it.
    Full,
}

impl Desk {
    /// Waits while the process cannot serve.
    async fn is_fit(&self) {
        let mut fitness = self.fitness.clone();
        // An error is the end of whoever told: the process ends.
        let _ = fitness.wait_for(|is_fit| *is_fit).await;
    }

    /// How many more events can be taken in hand.
    fn room(&self) -> usize {
        limits::WORKER_EVENTS.saturating_sub(self.held.lock().len())
    }

    fn claim(&self, id: EventId) -> Claim {
        let mut held = self.held.lock();
        if held.contains(&id) {
            Claim::Held
        } else if held.len() >= limits::WORKER_EVENTS {
            Claim::Full
        } else {
            held.insert(id);
            Claim::Taken
        }
    }

    fn release(&self, id: EventId) {
        self.held.lock().remove(&id);
        self.released.notify_waiters();
    }

    fn queue(&self, job: Job) {
        self.jobs.lock().push_back(job);
        self.work.notify_one();
    }

    /// Queues an event that was claimed.
    fn begin(&self, event: Event) {
        let progress = event.progress.clone();
        self.queue(Job {
            event,
            progress,
            failures: 0,
        });
    }

    /// Waits for room; how much there is.
    async fn has_room(&self) -> usize {
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            // Listens before it looks, so that no release is missed.
            released.as_mut().enable();
            match self.room() {
                0 => released.await,
                room => return room,
            }
        }
    }

    /// The next job; none once the server drains.
    async fn next(&self) -> Option<Job> {
        loop {
            tokio::select! {
                () = self.is_fit() => {}
                () = self.drain.begun() => {}
            }
            if self.drain.has_begun() {
                return None;
            }
            if let Some(job) = self.jobs.lock().pop_front() {
                return Some(job);
            }
            tokio::select! {
                () = self.work.notified() => {}
                () = self.drain.begun() => {}
            }
        }
    }
}

/// Takes events as they are offered.
async fn take_hints(desk: Arc<Desk>) {
    loop {
        let offered = async {
            desk.is_fit().await;
            desk.has_room().await;
            desk.backend.signals.next_work().await
        };
        let id = tokio::select! {
            id = offered => id,
            () = desk.drain.begun() => return,
        };
        if desk.claim(id) == Claim::Taken {
            match desk.backend.store.event(id).await {
                Ok(Some(event)) if event.state == State::Pending => desk.begin(event),
                // Done already, or not to be read now: then the sweep comes upon it.
                _ => desk.release(id),
            }
        }
    }
}

/// Looks through everything that is pending, at the start, each [`limits::EVENT_STALE`], and at once where hints were lost.
async fn sweep(desk: Arc<Desk>) {
    let mut tick = interval(limits::EVENT_STALE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let idle = tokio::select! {
            _ = tick.tick() => limits::EVENT_STALE,
            // Nobody is handed what is open by any other way.
            () = desk.backend.signals.lost() => Duration::ZERO,
            () = desk.drain.begun() => return,
        };
        let sweep = async {
            desk.is_fit().await;
            sweep_once(&desk, idle).await
        };
        let swept = tokio::select! {
            swept = sweep => swept,
            () = desk.drain.begun() => return,
        };
        if let Err(error) = swept {
            tracing::warn!(?error, "a sweep of pending events failed; the next one follows");
        }
    }
}

/// Goes through everything that is pending, as fast as there is room for it.
async fn sweep_once(desk: &Desk, idle: Duration) -> Result<()> {
    let mut after = None;
    loop {
        // No more than can be taken in hand, so that nothing is read and left.
        let limit = desk.has_room().await.min(SWEEP_PAGE);
        let page = desk.backend.store.stalled_events(after, limit, idle).await?;
        let mut is_last = page.len() < limit;
        for event in page {
            let id = event.id;
            match desk.claim(id) {
                // One that was finished since the page was read is worked on once more, which changes nothing.
                Claim::Taken => desk.begin(event),
                Claim::Held => {}
                // Hints took the room: it comes up again.
                Claim::Full => {
                    is_last = false;
                    break;
                }
            }
            after = Some(id);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// One worker: a step, then the next job's.
async fn work(desk: Arc<Desk>) {
    while let Some(job) = desk.next().await {
        take_step(&desk, job).await;
    }
}

async fn take_step(desk: &Arc<Desk>, mut job: Job) {
    let started = Instant::now();
    let before = job.progress.delivered;
    let step = fanout::step(&desk.backend, &job.event, job.progress.clone());
    let outcome = AssertUnwindSafe(step).catch_unwind().await;
    match outcome {
        Ok(Ok(Step::More(progress))) => {
            step_done(&job.event, progress.delivered - before, started);
            job.progress = progress;
            job.failures = 0;
            note_progress(desk, &job).await;
            desk.queue(job);
        }
        Ok(Ok(Step::Done(progress))) => {
            step_done(&job.event, progress.delivered - before, started);
            job.progress = progress;
            finish(desk, job).await;
        }
        Ok(Err(error)) if error.is_transient() => wait_out(desk, job, &error),
        Ok(Err(error)) => count_failure(desk, job, reason_name(error.reason), &error).await,
        Err(_) => count_failure(desk, job, "PANICKED", &Error::internal()).await,
    }
}

/// Progress may be lost, which only repeats work; so a failure to note it is none.
async fn note_progress(desk: &Desk, job: &Job) {
    if let Err(error) = desk
        .backend
        .store
        .record_progress(job.event.id, job.progress.clone())
        .await
    {
        tracing::debug!(?error, "progress was not noted");
    }
}

async fn finish(desk: &Arc<Desk>, mut job: Job) {
    match desk.backend.store.finish(job.event.id, job.progress.clone()).await {
        Ok(()) => {
            let lag = desk.backend.clock.now().since(job.event.filed_at);
            event::fanout_done(&job.event.id, mode(&job.event), job.progress.delivered, lag);
            desk.release(job.event.id);
        }
        Err(error) => {
            // The step is repeated with what it reached, and comes here again.
            job.event.progress = job.progress.clone();
            wait_out(desk, job, &error);
        }
    }
}

/// Puts a job back into the queue after a pause, without counting the failure as the job's.
fn wait_out(desk: &Arc<Desk>, mut job: Job, error: &Error) {
    job.failures = job.failures.saturating_add(1);
    event::fanout_retried(&job.event.id, job.failures, error);
    requeue_later(desk, job);
}

fn requeue_later(desk: &Arc<Desk>, job: Job) {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << job.failures.saturating_sub(1).min(16));
    let pause = doubled.min(BACKOFF_LAST).mul_f64(rand::random_range(0.5..1.0));
    let desk = Arc::clone(desk);
    tokio::spawn(async move {
        tokio::select! {
            () = sleep(pause) => desk.queue(job),
            // Pending in the store, it is taken up by the next process.
            () = desk.drain.begun() => {}
        }
    });
}

/// Counts a failure that would repeat. After the last one the event is a dead letter, and out of hand.
async fn count_failure(desk: &Arc<Desk>, mut job: Job, class: &'static str, error: &Error) {
    let id = job.event.id;
    match desk.backend.store.record_failure(id, &class.to_ascii_lowercase()).await {
        Ok(event) if event.state == State::Pending => {
            event::fanout_retried(&id, event.attempts, error);
            job.failures = event.attempts;
            job.event = event;
            requeue_later(desk, job);
        }
        Ok(event) => {
            if event.state == State::DeadLettered {
                event::dead_lettered(&id, kind(&event), event.attempts, error);
            }
            desk.release(id);
        }
        Err(failed) => wait_out(desk, job, &failed),
    }
}

fn step_done(event: &Event, delivered: u64, started: Instant) {
    event::fanout_step_done(&event.id, mode(event), delivered, started.elapsed());
}

/// The label of metrics.
fn mode(event: &Event) -> &'static str {
    match event.payload {
        Payload::Post { mode, .. } => mode.label(),
        Payload::Restore { .. } => "restore",
        Payload::Follow { .. } => "backfill",
    }
}

fn kind(event: &Event) -> &'static str {
    match event.payload {
        Payload::Post { .. } => "post_created",
        Payload::Restore { .. } => "post_restored",
        Payload::Follow { .. } => "followed",
    }
}

#[cfg(test)]
mod tests;
