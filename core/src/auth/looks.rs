//! Looks at sessions that are under way. Many calls with one token come at once: they share one look.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tracing::Instrument;

use super::revocations::Miss;
use crate::error::{Error, Result};

/// The looks under way, by the token's digest.
#[derive(Default)]
pub(super) struct Looks {
    under_way: Mutex<HashMap<u128, Look>>,
}

struct Look {
    miss: Miss,
    outcome: Shared<BoxFuture<'static, Result<()>>>,
}

impl Looks {
    /// The outcome of a look: of one that is under way and answers for this miss, or of this one. It goes on where its caller goes away.
    pub(super) async fn join<F>(&self, miss: Miss, trust: Option<Duration>, look: impl FnOnce() -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let outcome = {
            let mut under_way = self.under_way.lock();
            match under_way.get(&miss.digest) {
                Some(look) if look.miss.covers(&miss, trust) => look.outcome.clone(),
                _ => {
                    let outcome = on_its_own(look());
                    let look = Look {
                        miss,
                        outcome: outcome.clone(),
                    };
                    under_way.insert(miss.digest, look);
                    outcome
                }
            }
        };
        outcome.await
    }

    /// Forgets a look that is over.
    pub(super) fn ended(&self, miss: &Miss) {
        let mut under_way = self.under_way.lock();
        // A later one may have taken its place.
        if under_way.get(&miss.digest).is_some_and(|look| look.miss.is(miss)) {
            under_way.remove(&miss.digest);
        }
    }
}

fn on_its_own(look: impl Future<Output = Result<()>> + Send + 'static) -> Shared<BoxFuture<'static, Result<()>>> {
    let task = tokio::spawn(look.in_current_span());
    let outcome = async move {
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a look at a session broke off");
            Err(Error::internal())
        })
    };
    outcome.boxed().shared()
}

impl std::fmt::Debug for Looks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::super::revocations::TokenCache;
    use super::*;

    const TRUST: Option<Duration> = Some(Duration::from_secs(1));

    /// Looks that are counted, and end when they are told to.
    #[derive(Default)]
    struct Counted {
        looks: Looks,
        cache: TokenCache,
        begun: AtomicUsize,
        ends: Option<Arc<Semaphore>>,
    }

    impl Counted {
        fn new() -> (Arc<Self>, Arc<Semaphore>) {
            let ends = Arc::new(Semaphore::new(0));
            let counted = Self {
                ends: Some(Arc::clone(&ends)),
                ..Self::default()
            };
            (Arc::new(counted), ends)
        }

        fn miss(&self) -> Miss {
            self.cache.get("token", 0, TRUST).unwrap_err()
        }

        fn spawn(self: &Arc<Self>) -> tokio::task::JoinHandle<Result<()>> {
            let counted = Arc::clone(self);
            tokio::spawn(async move {
                let miss = counted.miss();
                let look = || {
                    counted.begun.fetch_add(1, Ordering::SeqCst);
                    let (counted, ends) = (Arc::clone(&counted), counted.ends.clone());
                    async move {
                        if let Some(ends) = ends {
                            ends.acquire().await.unwrap().forget();
                        }
                        counted.looks.ended(&miss);
                        Err(Error::unavailable())
                    }
                };
                counted.looks.join(miss, TRUST, look).await
            })
        }

        async fn wait_for(&self, begun: usize) {
            while self.begun.load(Ordering::SeqCst) < begun {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_at_once_share_a_look_that_no_caller_cuts() {
        let (counted, ends) = Counted::new();
        let first = counted.spawn();
        counted.wait_for(1).await;
        let others: Vec<_> = (0..50).map(|_| counted.spawn()).collect();
        tokio::time::advance(Duration::from_millis(999)).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        ends.add_permits(1);
        for other in others {
            // A failure is shared, too: they do not wait for the store one after another.
            assert_eq!(other.await.unwrap(), Err(Error::unavailable()));
        }
        assert_eq!(counted.begun.load(Ordering::SeqCst), 1);
        assert!(counted.looks.under_way.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_began_too_early_is_not_joined() {
        let (counted, ends) = Counted::new();
        let early = counted.spawn();
        counted.wait_for(1).await;
        // Another process may have revoked the session since.
        tokio::time::advance(Duration::from_secs(1)).await;
        let late = counted.spawn();
        counted.wait_for(2).await;
        // What is checked now must not count for calls that come after this.
        counted.cache.clear();
        let last = counted.spawn();
        counted.wait_for(3).await;
        ends.add_permits(3);
        for call in [early, late, last] {
            assert!(call.await.unwrap().is_err());
        }
        assert!(counted.looks.under_way.lock().is_empty());
    }
}
