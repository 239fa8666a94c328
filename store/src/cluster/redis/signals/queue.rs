//! A bounded queue that one task empties in batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};

/// The end that is filled. Never waits.
pub(super) struct Queue<T> {
    sender: mpsc::Sender<T>,
    /// What was pushed and is not dealt with.
    open: watch::Sender<usize>,
    dropped: AtomicU64,
}

/// The end that is emptied.
pub(super) struct Batches<T> {
    queue: Arc<Queue<T>>,
    receiver: mpsc::Receiver<T>,
}

impl<T> Queue<T> {
    pub(super) fn new(room: usize) -> (Arc<Self>, Batches<T>) {
        let (sender, receiver) = mpsc::channel(room);
        let queue = Arc::new(Self {
            sender,
            open: watch::Sender::new(0),
            dropped: AtomicU64::new(0),
        });
        let batches = Batches {
            queue: Arc::clone(&queue),
            receiver,
        };
        (queue, batches)
    }

    /// Adds one, where there is room; whether there was.
    pub(super) fn push(&self, item: T) -> bool {
        let Ok(place) = self.sender.try_reserve() else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        self.open.send_modify(|open| *open += 1);
        place.send(item);
        true
    }

    /// How many found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all is dealt with.
    pub(super) async fn drained(&self) {
        // The sender lives as long as `self`.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl<T> Batches<T> {
    /// The next ones: at least one, and as many as wait.
    pub(super) async fn next(&mut self, limit: usize) -> Vec<T> {
        let mut batch = Vec::new();
        if self.receiver.recv_many(&mut batch, limit).await == 0 {
            // The queue holds a sender, and this holds the queue.
            std::future::pending::<()>().await;
        }
        batch
    }

    /// So many have been dealt with.
    pub(super) fn done(&self, count: usize) {
        self.queue.open.send_modify(|open| *open -= count);
    }
}
