//! Work and wakes across processes.
//!
//! An offer becomes an entry of one of some streams, which a consumer group hands to one worker process each. An entry stays until its
//! event is finished: one whose process died is claimed by another. Wakes reach listeners of this process at once and
//! those of others by messages, on channels that a process subscribes to while someone listens there.
//!
//! Losing any of it only delays: the sweep over pending events finds every event, and streams look by themselves from time to time.
//! While Redis is away, offers are handed out within the process.

mod claims;
mod held;
mod leaving;
mod message;
mod publish;
mod queue;
mod reader;
mod streams;
mod subscribe;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fred::interfaces::StreamsInterface;
use futures::future::join_all;
use social_core::backend::{Channel, Listener, Signals, WakeKind};
use social_core::{EventId, PostId, UserId};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::claims::{Claims, Pace};
use self::held::Held;
use self::leaving::Leaving;
use self::message::Note;
use self::queue::{Batches, Queue};
use self::reader::{Handout, Reader};
use self::streams::{GROUP, Streams};
use self::subscribe::{Interest, RemoteListener, Subscriptions};
use super::Redis;
use super::link::{Failure, Link};
use crate::signals::{Board, Hints};

/// Offers, and finished events, that wait to be sent.
const QUEUED: usize = 65_536;
/// Wakes that wait to be sent: those of many viewers are one.
const NOTES: usize = 8_192;
/// Hints of one trip.
const BATCH: usize = 512;
/// Events read from Redis that wait for a worker of this process. Few, so that other processes get their share.
const HANDED: usize = 128;
/// How long giving work back may take: a read that waits for work is waited for.
const LEAVING: Duration = Duration::from_secs(3);
/// About how many entries a stream keeps. More are waiting only where workers are far behind, and the sweep finds those.
const STREAM_LENGTH: i64 = 100_000;

/// [`Signals`] for workers and streams of many processes.
pub struct RedisSignals {
    redis: Redis,
    link: Arc<Link>,
    streams: Arc<Streams>,
    board: Arc<Board>,
    interest: Arc<Interest>,
    handout: Arc<Handout>,
    /// Offers of this process while Redis is away.
    fallback: Arc<Hints>,
    offers: Arc<Queue<EventId>>,
    finished: Arc<Queue<held::Entry>>,
    notes: Arc<Queue<Note>>,
    /// Whether this process works.
    works: Arc<AtomicBool>,
    /// Ends taking work.
    stopped: CancellationToken,
    /// The tasks that read it.
    readers: TaskTracker,
    pace: Pace,
}

impl RedisSignals {
    /// Signals of one process. Its name tells it from others that run now, and may be used again after its end.
    pub async fn new(redis: &Redis, process: &str) -> Self {
        Self::paced(redis, process, Pace::default()).await
    }

    async fn paced(redis: &Redis, process: &str, pace: Pace) -> Self {
        let streams = Arc::new(Streams::new(redis, process));
        let link = redis.link(redis.shared.timeout, streams.probes()).await;
        let board = Arc::<Board>::default();
        let interest = Arc::<Interest>::default();
        let (offers, offered) = Queue::new(QUEUED);
        let (finished, acked) = Queue::new(QUEUED);
        let (notes, noted) = Queue::new(NOTES);
        let signals = Self {
            handout: Arc::new(Handout {
                hints: Hints::with_room(HANDED),
                held: Held::default(),
                lost: Notify::new(),
            }),
            redis: redis.clone(),
            stopped: redis.closed().child_token(),
            readers: TaskTracker::new(),
            fallback: Arc::default(),
            works: Arc::default(),
            pace,
            link,
            streams,
            board,
            interest,
            offers,
            finished,
            notes,
        };
        signals.begin(offered, acked, noted).await;
        signals
    }

    async fn begin(&self, offered: Batches<EventId>, acked: Batches<held::Entry>, noted: Batches<Note>) {
        let offering = Offering {
            link: Arc::clone(&self.link),
            streams: Arc::clone(&self.streams),
            fallback: Arc::clone(&self.fallback),
            works: Arc::clone(&self.works),
        };
        self.redis.run(offering.send(offered));
        self.redis
            .run(finish(Arc::clone(&self.link), Arc::clone(&self.streams), acked));
        let origin = rand::random();
        let publishing = publish::Publishing::new(&self.redis, Arc::clone(&self.link), origin);
        self.redis.run(publishing.send(noted));
        let subscriptions = Subscriptions::new(&self.redis, Arc::clone(&self.board), Arc::clone(&self.interest));
        subscriptions.begin(&self.redis, &self.link, origin).await;
    }

    /// The event is finished, or is nothing to work on: no process is handed its entry again. Costs the caller no waiting.
    pub fn done(&self, event: EventId) {
        for entry in self.handout.held.remove(event) {
            // No room: the entry is handed out once more some time, to someone who finds the event finished.
            self.finished.push(entry);
        }
    }

    /// Takes no more work, sends what waits to be sent, and waits for that no longer than `patience`.
    pub async fn drain(&self, patience: Duration) {
        self.stop_taking();
        let all = async { tokio::join!(self.offers.drained(), self.finished.drained(), self.notes.drained()) };
        let _ = tokio::time::timeout(patience, all).await;
    }

    /// Whether Redis answers now, for operators.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Offers and wakes that found no room so far, for operators.
    pub fn dropped(&self) -> u64 {
        self.offers.dropped() + self.notes.dropped()
    }

    /// Begins to take work, once.
    fn start(&self) {
        if self.stopped.is_cancelled() || self.works.swap(true, Ordering::SeqCst) {
            return;
        }
        for lane in self.streams.lanes() {
            let reader = Reader {
                link: Arc::clone(&self.link),
                streams: Arc::clone(&self.streams),
                handout: Arc::clone(&self.handout),
                lane,
                stopped: self.stopped.clone(),
            };
            let redis = self.redis.clone();
            // Not cut off: what the server hands to a read that nobody waits for is handed to nobody.
            let reading = async move { reader.read(redis.blocking().await).await };
            self.redis.run(self.readers.track_future(reading));
        }
        let claims = Claims {
            link: Arc::clone(&self.link),
            streams: Arc::clone(&self.streams),
            handout: Arc::clone(&self.handout),
            pace: self.pace,
        };
        self.run(claims.run());
    }

    fn stop_taking(&self) {
        self.stopped.cancel();
        self.readers.close();
    }

    /// Runs a task until no more work is taken.
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        tokio::spawn(async move { stopped.run_until_cancelled_owned(task).await });
    }
}

#[async_trait]
impl Signals for RedisSignals {
    fn offer(&self, event: EventId) {
        if !self.offers.push(event) && self.works.load(Ordering::Relaxed) {
            self.fallback.offer(event);
        }
    }

    async fn next_work(&self) -> EventId {
        self.start();
        // What waits here still when no more is taken is given back, or left to the sweep.
        if self.stopped.is_cancelled() {
            return std::future::pending().await;
        }
        let event = tokio::select! {
            event = self.handout.hints.next() => event,
            event = self.fallback.next() => event,
        };
        self.handout.held.take(event);
        event
    }

    /// As when Redis was flushed or restarted empty.
    async fn lost(&self) {
        self.handout.lost.notified().await;
    }

    async fn leave(&self, unfinished: &[EventId]) {
        self.stop_taking();
        let leaving = Leaving {
            link: &self.link,
            streams: &self.streams,
        };
        let leave = async {
            self.readers.wait().await;
            // Entries that were ended must not be taken for work that is left.
            self.finished.drained().await;
            leaving.give_back(unfinished).await
        };
        match timeout(LEAVING, leave).await {
            Ok(Ok(given)) if given > 0 => tracing::info!(events = given, "unfinished events were given back"),
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => tracing::info!("unfinished events are left to the sweep of the event log"),
        }
    }

    fn wake(&self, channel: Channel, kind: WakeKind) {
        self.board.wake(channel, &kind);
        self.notes.push(Note::Wake(channel, kind));
    }

    fn wake_homes(&self, viewers: &[UserId], post: PostId) {
        self.board.wake_homes(viewers, post);
        if !viewers.is_empty() {
            self.notes.push(Note::Homes(viewers.into(), post));
        }
    }

    fn listen(&self) -> Box<dyn Listener> {
        let listener = RemoteListener::new(self.board.listen(), Arc::clone(&self.interest));
        Box::new(listener)
    }
}

/// Turns offers into entries.
struct Offering {
    link: Arc<Link>,
    streams: Arc<Streams>,
    fallback: Arc<Hints>,
    works: Arc<AtomicBool>,
}

impl Offering {
    async fn send(self, mut offered: Batches<EventId>) {
        loop {
            let batch = offered.next(BATCH).await;
            if !self.add(&batch).await && self.works.load(Ordering::SeqCst) {
                for event in &batch {
                    // Full: the sweep finds the event.
                    self.fallback.offer(*event);
                }
            }
            offered.done(batch.len());
        }
    }

    /// Adds entries; whether all are there.
    async fn add(&self, events: &[EventId]) -> bool {
        let commands = events.iter().map(|event| {
            let stream = self.streams.key(self.streams.of(*event));
            let cap = ("MAXLEN", "~", STREAM_LENGTH);
            let fields = vec![(streams::FIELD, event.0.to_string())];
            self.link
                .client()
                .xadd::<String, _, _, _, _>(stream, false, cap, "*", fields)
        });
        match self.link.all(commands).await {
            Ok(answers) => answers.into_iter().all(|answer| {
                answer
                    .inspect_err(|error| tracing::error!(%error, "Redis refuses an offer"))
                    .is_ok()
            }),
            Err(Failure::Away | Failure::Refused(_)) => false,
        }
    }
}

/// Ends the entries of finished events. What is lost here is handed out once more.
async fn finish(link: Arc<Link>, streams: Arc<Streams>, mut finished: Batches<held::Entry>) {
    loop {
        let batch = finished.next(BATCH).await;
        join_all(held::by_stream(&batch).into_iter().map(|(stream, ids)| {
            let (link, key) = (&link, streams.key(stream));
            async move {
                let client = link.client();
                let acked = link.call(client.xack::<i64, _, _, _>(key, GROUP, ids.clone())).await;
                // So that a stream holds what is not finished, and nothing else is trimmed first.
                if acked.is_ok() {
                    let _ = link.call(client.xdel::<i64, _, _>(key, ids)).await;
                }
            }
        }))
        .await;
        finished.done(batch.len());
    }
}
