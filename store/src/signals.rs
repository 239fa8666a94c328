//! Signals within one process: a bounded queue of events for workers, and mailboxes for open streams.
//!
//! Nothing here is needed for correctness: a hint that finds the queue full is dropped, since the sweep over pending
//! events finds the event, and a listener that is too slow is told so once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use social_core::backend::{Channel, Listener, Signals, Wake, WakeKind};
use social_core::limits;
use social_core::{EventId, PostId, UserId};
use tokio::sync::{Notify, mpsc};

/// Hints waiting for a worker; further ones are dropped.
const HINTS: usize = 65_536;
/// Locks that the channels are spread over.
const SHARDS: usize = 64;
/// Kinds of [`Channel`].
const KINDS: usize = 4;

/// Who waits for each channel of a shard.
type Shard = HashMap<Channel, HashMap<ListenerId, Arc<Mailbox>>>;

/// [`Signals`] for workers and streams of this process.
#[derive(Default)]
pub struct LocalSignals {
    hints: Hints,
    board: Arc<Board>,
}

impl LocalSignals {
    /// Signals that nobody listens to yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Signals for LocalSignals {
    fn offer(&self, event: EventId) {
        // Full: the sweep finds the event.
        let _ = self.hints.offer(event);
    }

    async fn next_work(&self) -> EventId {
        self.hints.next().await
    }

    fn wake(&self, channel: Channel, kind: WakeKind) {
        self.board.wake(channel, &kind);
    }

    fn wake_homes(&self, viewers: &[UserId], post: PostId) {
        self.board.wake_homes(viewers, post);
    }

    fn listen(&self) -> Box<dyn Listener> {
        Box::new(self.board.listen())
    }
}

/// Events that wait for a worker of this process. Bounded.
pub(crate) struct Hints {
    offers: mpsc::Sender<EventId>,
    work: tokio::sync::Mutex<mpsc::Receiver<EventId>>,
}

impl Default for Hints {
    fn default() -> Self {
        Self::with_room(HINTS)
    }
}

impl Hints {
    /// Room for so many events.
    pub(crate) fn with_room(room: usize) -> Self {
        let (offers, work) = mpsc::channel(room);
        Self {
            offers,
            work: tokio::sync::Mutex::new(work),
        }
    }

    /// Adds an event, where there is room; whether there was.
    pub(crate) fn offer(&self, event: EventId) -> bool {
        self.offers.try_send(event).is_ok()
    }

    /// Adds an event as soon as there is room.
    pub(crate) async fn offer_in_turn(&self, event: EventId) {
        // The receiver lives as long as `self`.
        let _ = self.offers.send(event).await;
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.offers.capacity() == self.offers.max_capacity()
    }

    /// The next event. Cancel-safe.
    pub(crate) async fn next(&self) -> EventId {
        match self.work.lock().await.recv().await {
            Some(event) => event,
            // The sender lives as long as `self`, so the channel cannot be closed.
            None => std::future::pending().await,
        }
    }
}

/// A listener of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ListenerId(u64);

/// Who waits for which channel.
pub(crate) struct Board {
    shards: [RwLock<Shard>; SHARDS],
    /// Registrations by kind of channel, so that a wake that nobody waits for touches no lock.
    registered: [AtomicUsize; KINDS],
    /// Listeners made so far.
    listeners: AtomicU64,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            registered: std::array::from_fn(|_| AtomicUsize::new(0)),
            listeners: AtomicU64::new(0),
        }
    }
}

impl Board {
    /// A listener on no channel yet.
    pub(crate) fn listen(self: &Arc<Self>) -> LocalListener {
        LocalListener {
            id: ListenerId(self.listeners.fetch_add(1, Ordering::Relaxed)),
            board: Arc::clone(self),
            mailbox: Arc::default(),
            channels: HashSet::new(),
        }
    }

    /// Wakes whoever waits on the channel.
    pub(crate) fn wake(&self, channel: Channel, kind: &WakeKind) {
        if self.has_listeners(channel) {
            self.post(channel, kind);
        }
    }

    /// Wakes those of the viewers who wait, for one arrival.
    pub(crate) fn wake_homes(&self, viewers: &[UserId], post: PostId) {
        let Some(&first) = viewers.first() else { return };
        if self.has_listeners(Channel::Home(first)) {
            let arrived = WakeKind::Arrived(post);
            for &viewer in viewers {
                self.post(Channel::Home(viewer), &arrived);
            }
        }
    }

    fn has_listeners(&self, channel: Channel) -> bool {
        self.registered[kind_and_key(channel).0].load(Ordering::SeqCst) > 0
    }

    fn post(&self, channel: Channel, kind: &WakeKind) {
        let shard = self.shard(channel).read();
        for mailbox in shard.get(&channel).into_iter().flat_map(HashMap::values) {
            mailbox.put(Wake {
                channel,
                kind: kind.clone(),
            });
        }
    }

    /// Tells every listener that it may have missed wakes.
    pub(crate) fn miss_all(&self) {
        for shard in &self.shards {
            for (channel, mailboxes) in shard.read().iter() {
                mailboxes.values().for_each(|mailbox| mailbox.miss(*channel));
            }
        }
    }

    fn register(&self, channel: Channel, listener: ListenerId, mailbox: &Arc<Mailbox>) {
        self.shard(channel)
            .write()
            .entry(channel)
            .or_default()
            .insert(listener, Arc::clone(mailbox));
        self.registered[kind_and_key(channel).0].fetch_add(1, Ordering::SeqCst);
    }

    fn unregister(&self, channel: Channel, listener: ListenerId) {
        if let Entry::Occupied(mut entry) = self.shard(channel).write().entry(channel) {
            entry.get_mut().remove(&listener);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        self.registered[kind_and_key(channel).0].fetch_sub(1, Ordering::SeqCst);
    }

    fn shard(&self, channel: Channel) -> &RwLock<Shard> {
        // Ids ascend in their low bits and by milliseconds: multiplying spreads both over the top bits.
        let mixed = kind_and_key(channel).1.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.shards[(mixed >> 58) as usize % SHARDS]
    }
}

/// A number for the kind of channel, and whose it is.
pub(crate) fn kind_and_key(channel: Channel) -> (usize, u64) {
    match channel {
        Channel::Home(user) => (0, user.0),
        Channel::Author(user) => (1, user.0),
        Channel::Post(post) => (2, post.0),
        Channel::Sessions(user) => (3, user.0),
    }
}

/// Wakes of one listener that were not taken yet.
#[derive(Default)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    wakes: VecDeque<Wake>,
    /// The channel of the first wake that found no room. While it is set nothing more is taken in, so that
    /// the listener learns of the loss before anything that came after it.
    missed: Option<Channel>,
}

impl Waiting {
    /// Whether a wake says nothing that the listener will not learn from those that wait: when it takes one, it looks at what
    /// is so then. Comments must come in their order, so of those only the same one twice in a row is one. At most
    /// [`limits::STREAM_BUFFER`] small entries are compared, and next to none where the listener keeps up.
    fn says(&self, wake: &Wake) -> bool {
        match wake.kind {
            WakeKind::Arrived(_) | WakeKind::GraphChanged | WakeKind::Counts(_) | WakeKind::PostChanged(_) => {
                self.wakes.iter().rev().any(|waiting| waiting == wake)
            }
            _ => self.wakes.back() == Some(wake),
        }
    }
}

impl Mailbox {
    fn put(&self, wake: Wake) {
        let mut waiting = self.waiting.lock();
        if waiting.missed.is_some() || waiting.says(&wake) {
            return;
        }
        if waiting.wakes.len() < limits::STREAM_BUFFER {
            waiting.wakes.push_back(wake);
        } else {
            waiting.missed = Some(wake.channel);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Some wakes will never come: the listener learns of that after those that wait.
    fn miss(&self, channel: Channel) {
        self.waiting.lock().missed.get_or_insert(channel);
        self.filled.notify_one();
    }

    fn take(&self) -> Option<Wake> {
        let mut waiting = self.waiting.lock();
        let missed = |channel| Wake {
            channel,
            kind: WakeKind::Missed,
        };
        waiting.wakes.pop_front().or_else(|| waiting.missed.take().map(missed))
    }
}

/// A listener of a [`Board`].
pub(crate) struct LocalListener {
    id: ListenerId,
    board: Arc<Board>,
    mailbox: Arc<Mailbox>,
    channels: HashSet<Channel>,
}

impl LocalListener {
    /// Also waits for a channel; whether it did not before.
    pub(crate) fn add(&mut self, channel: Channel) -> bool {
        let is_new = self.channels.insert(channel);
        if is_new {
            self.board.register(channel, self.id, &self.mailbox);
        }
        is_new
    }

    /// No longer waits for a channel; whether it did before.
    pub(crate) fn remove(&mut self, channel: Channel) -> bool {
        let was_there = self.channels.remove(&channel);
        if was_there {
            self.board.unregister(channel, self.id);
        }
        was_there
    }

    /// What it waits for.
    pub(crate) fn channels(&self) -> impl Iterator<Item = Channel> {
        self.channels.iter().copied()
    }
}

#[async_trait]
impl Listener for LocalListener {
    fn watch(&mut self, channel: Channel) {
        self.add(channel);
    }

    fn unwatch(&mut self, channel: Channel) {
        self.remove(channel);
    }

    async fn next(&mut self) -> Wake {
        loop {
            if let Some(wake) = self.mailbox.take() {
                return wake;
            }
            self.mailbox.filled.notified().await;
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        for &channel in &self.channels {
            self.board.unregister(channel, self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_listener_leaves_nothing_behind() {
        let signals = LocalSignals::new();
        let mut listener = signals.listen();
        listener.watch(Channel::Home(UserId(1)));
        listener.watch(Channel::Home(UserId(1)));
        listener.watch(Channel::Post(PostId(2)));
        drop(listener);
        assert!(
            signals
                .board
                .registered
                .iter()
                .all(|count| count.load(Ordering::SeqCst) == 0)
        );
        assert!(signals.board.shards.iter().all(|shard| shard.read().is_empty()));
    }

    #[tokio::test]
    async fn a_listener_leaves_others_on_its_channel_alone() {
        let signals = LocalSignals::new();
        let post = Channel::Post(PostId(2));
        let mut listeners: Vec<_> = (0..3).map(|_| signals.listen()).collect();
        for listener in &mut listeners {
            listener.watch(post);
        }
        listeners[1].unwatch(post);
        drop(listeners.remove(0));
        assert_eq!(signals.board.shard(post).read()[&post].len(), 1);
        signals.wake(post, WakeKind::Counts(PostId(2)));
        assert_eq!(listeners[1].next().await.channel, post);
    }

    #[tokio::test]
    async fn whoever_listens_learns_once_that_wakes_were_lost() {
        let signals = LocalSignals::new();
        let (home, post) = (Channel::Home(UserId(1)), Channel::Post(PostId(2)));
        let mut listener = signals.listen();
        listener.watch(home);
        listener.watch(post);
        signals.wake(home, WakeKind::GraphChanged);
        signals.board.miss_all();
        signals.wake(home, WakeKind::Arrived(PostId(3)));
        assert_eq!(listener.next().await.kind, WakeKind::GraphChanged);
        assert_eq!(listener.next().await.kind, WakeKind::Missed);
        signals.wake(home, WakeKind::Arrived(PostId(4)));
        assert_eq!(listener.next().await.kind, WakeKind::Arrived(PostId(4)), "and goes on");
    }

    #[tokio::test]
    async fn a_full_hint_queue_drops_hints() {
        let signals = LocalSignals::new();
        for event in 0..=HINTS as u64 {
            signals.offer(EventId(event));
        }
        for event in 0..HINTS as u64 {
            assert_eq!(signals.next_work().await, EventId(event));
        }
        signals.offer(EventId(7));
        assert_eq!(signals.next_work().await, EventId(7));
    }
}
