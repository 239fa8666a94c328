//! One count from truth at a time and key: whoever needs the same waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use social_core::{Error, Result};

use super::recount::Recount;
use super::rows::{Key, Tally};

type Flight = Shared<BoxFuture<'static, Result<Tally>>>;

/// Counts under way.
pub(super) struct Flights {
    recount: Arc<Recount>,
    under_way: Mutex<HashMap<Key, (u64, Flight)>>,
    begun: AtomicU64,
}

impl Flights {
    pub(super) fn new(recount: Arc<Recount>) -> Self {
        Self {
            recount,
            under_way: Mutex::default(),
            begun: AtomicU64::new(0),
        }
    }

    /// The count of a key, by whoever is at it already.
    pub(super) async fn join(self: &Arc<Self>, key: Key) -> Result<Tally> {
        let flight = {
            let mut under_way = self.under_way.lock();
            match under_way.get(&key) {
                Some((_, flight)) => flight.clone(),
                None => {
                    let (number, flight) = self.begin(key);
                    under_way.insert(key, (number, flight.clone()));
                    flight
                }
            }
        };
        flight.await
    }

    /// Whoever comes from now on begins a count of its own.
    pub(super) fn leave(&self, key: Key) {
        self.under_way.lock().remove(&key);
    }

    /// On a task of its own, so that it goes on when who began it gave up.
    fn begin(self: &Arc<Self>, key: Key) -> (u64, Flight) {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let all = Arc::clone(self);
        let task = tokio::spawn(async move {
            let counted = all.recount.read(key).await;
            all.landed(key, number);
            counted
        });
        let flight = async move { task.await.map_err(|_| Error::internal())? };
        (number, flight.boxed().shared())
    }

    fn landed(&self, key: Key, number: u64) {
        let mut under_way = self.under_way.lock();
        if under_way.get(&key).is_some_and(|(current, _)| *current == number) {
            under_way.remove(&key);
        }
    }
}
