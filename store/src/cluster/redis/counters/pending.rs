//! Deltas that are not in Redis yet.
//!
//! What could not be sent, or whose outcome is unknown, is remembered by its key alone, and counted anew once Redis is back; until then
//! nothing here claims that it is exact.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::super::link::Failure;
use super::rows::{Key, Rows};

/// Keys with deltas that wait to be sent; further ones are counted anew later.
const QUEUED: usize = 65_536;
/// Keys to be counted anew that are remembered one by one; beyond, all of them are.
const DOUBTED: usize = 262_144;
/// Keys of one batch of scripts.
const BATCH: usize = 512;
/// Time between tries where Redis refuses.
const AGAIN: Duration = Duration::from_secs(1);

type Deltas = HashMap<Key, [i64; 3]>;

/// Deltas on their way.
#[derive(Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    work: Notify,
    /// How many times what was queued has been sent.
    sent: watch::Sender<u64>,
    /// How many times its outcome was learnt.
    acked: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    queued: Deltas,
    flying: Deltas,
    /// Whether what flies has been handed to the connection.
    under_way: bool,
    doubted: HashSet<Key>,
    /// Whether there was no room for all that is doubted.
    doubts_all: bool,
}

impl State {
    fn doubt(&mut self, key: Key) {
        if self.doubted.len() < DOUBTED {
            self.doubted.insert(key);
        } else if !self.doubted.contains(&key) {
            self.doubts_all = true;
        }
    }
}

impl Pending {
    /// Queues a delta. Those of one key become one.
    pub(super) fn add(&self, key: Key, by: [i64; 3]) {
        let mut state = self.state.lock();
        if state.queued.len() < QUEUED || state.queued.contains_key(&key) {
            let sum = state.queued.entry(key).or_default();
            for (sum, step) in sum.iter_mut().zip(by) {
                *sum = sum.saturating_add(step);
            }
        } else {
            state.doubt(key);
        }
        drop(state);
        self.work.notify_one();
    }

    /// Whether something of this key may not be in Redis yet.
    pub(super) fn holds(&self, key: Key) -> bool {
        let state = self.state.lock();
        state.doubts_all
            || state.queued.contains_key(&key)
            || state.flying.contains_key(&key)
            || state.doubted.contains(&key)
    }

    /// Keys that are held.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.queued.len() + state.flying.len() + state.doubted.len()
    }

    /// Waits until deltas of these keys are on the way, so that a read over the same connection comes after them.
    pub(super) async fn sent(&self, keys: &[Key], patience: Duration) {
        let mut sent = self.sent.subscribe();
        let all_sent = async { while self.has_unsent(keys) && sent.changed().await.is_ok() {} };
        // In vain where Redis is away: the caller learns that by its read.
        let _ = timeout(patience, all_sent).await;
    }

    fn has_unsent(&self, keys: &[Key]) -> bool {
        let state = self.state.lock();
        let waits = |key: &Key| state.queued.contains_key(key) || (!state.under_way && state.flying.contains_key(key));
        (!state.queued.is_empty() || !state.under_way) && keys.iter().any(waits)
    }

    fn under_way(&self) {
        self.state.lock().under_way = true;
        self.sent.send_modify(|sent| *sent += 1);
    }

    /// Waits until the outcome of everything so far is known.
    pub(super) async fn acked(&self) {
        let mut acked = self.acked.subscribe();
        while !self.is_idle() {
            if acked.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.queued.is_empty() && state.flying.is_empty()
    }

    /// Takes all that is queued, and some of what is doubted, as deltas of nothing.
    fn take(&self) -> Vec<(Key, [i64; 3])> {
        let mut state = self.state.lock();
        let mut flying = std::mem::take(&mut state.queued);
        let doubted: Vec<_> = state.doubted.iter().take(BATCH).copied().collect();
        for key in doubted {
            state.doubted.remove(&key);
            flying.entry(key).or_default();
        }
        state.flying = flying;
        state.under_way = state.flying.is_empty();
        state.flying.iter().map(|(key, by)| (*key, *by)).collect()
    }

    fn landed(&self, keys: &[(Key, [i64; 3])], arrived: bool) {
        let mut state = self.state.lock();
        for (key, _) in keys {
            state.flying.remove(key);
            if !arrived {
                state.doubt(*key);
            }
        }
    }

    /// Turns what waits to be sent into what is to be counted anew.
    fn give_up(&self) {
        let mut state = self.state.lock();
        for key in std::mem::take(&mut state.queued).into_keys() {
            state.doubt(key);
        }
        drop(state);
        self.sent.send_modify(|sent| *sent += 1);
        self.acked.send_modify(|acked| *acked += 1);
    }

    fn has_doubts(&self) -> bool {
        let state = self.state.lock();
        state.doubts_all || !state.doubted.is_empty()
    }

    fn doubts_all(&self) -> bool {
        self.state.lock().doubts_all
    }

    /// As if there had been no room.
    #[cfg(test)]
    pub(super) fn doubt_all(&self) {
        self.state.lock().doubts_all = true;
    }

    fn forgotten_all(&self) {
        self.state.lock().doubts_all = false;
    }
}

/// Sends what is queued, for ever.
pub(super) async fn send(pending: Arc<Pending>, rows: Arc<Rows>) {
    loop {
        if !rows.link().is_up() {
            pending.give_up();
            tokio::select! {
                () = rows.link().wait_up() => {}
                () = pending.work.notified() => {}
            }
            continue;
        }
        let batch = pending.take();
        let settled = send_batch(&pending, &rows, &batch).await && forget_all(&pending, &rows).await;
        if !settled {
            sleep(AGAIN).await;
        } else if !pending.has_doubts() {
            pending.work.notified().await;
        }
    }
}

/// Sends a batch; whether Redis took it, or is away, which the link knows by then.
async fn send_batch(pending: &Pending, rows: &Rows, batch: &[(Key, [i64; 3])]) -> bool {
    let mut settled = true;
    let mut chunks = batch.chunks(BATCH).peekable();
    while let Some(chunk) = chunks.next() {
        let mut sending = pin!(rows.deltas(chunk));
        let polled = futures::poll!(sending.as_mut());
        if chunks.peek().is_none() {
            pending.under_way();
        }
        let answer = match polled {
            Poll::Ready(answer) => answer,
            Poll::Pending => sending.await,
        };
        settled &= outcome(pending, chunk, answer);
    }
    pending.acked.send_modify(|acked| *acked += 1);
    settled
}

fn outcome(pending: &Pending, chunk: &[(Key, [i64; 3])], answer: Result<(), Failure>) -> bool {
    pending.landed(chunk, answer.is_ok());
    match answer {
        Ok(()) | Err(Failure::Away) => true,
        Err(Failure::Refused(error)) => {
            tracing::error!(%error, "Redis refuses to move counts");
            false
        }
    }
}

/// Drops every count where there are too many doubts to tell which are wrong.
async fn forget_all(pending: &Pending, rows: &Rows) -> bool {
    if !pending.doubts_all() {
        return true;
    }
    let forgotten = rows.forget_all().await;
    if forgotten {
        pending.forgotten_all();
    }
    forgotten
}
