//! Keeps fresh what readers go by for a second: it is looked at again before it is too old, so that no reader waits for that, for as
//! long as there are readers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use social_core::Result;

use super::truth::Truth;

/// How long after one look comes the next: that and the time of two looks fit into the second that each is good for.
const EVERY: Duration = Duration::from_millis(300);
/// After this long without a reader there is no demand.
const LASTS: Duration = Duration::from_secs(5);

/// Whether something was asked for lately.
#[derive(Default)]
pub(super) struct Demand(Mutex<Option<Instant>>);

impl Demand {
    /// It is asked for now.
    pub(super) fn note(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Whether it was asked for lately.
    pub(super) fn is_there(&self) -> bool {
        self.0.lock().is_some_and(|at| at.elapsed() < LASTS)
    }
}

/// Looks at the horizon again and again. A failure is left to the reader who meets it.
pub(super) async fn keep_horizon(truth: Arc<Truth>) {
    loop {
        tokio::time::sleep(EVERY).await;
        told(truth.refresh_horizon().await);
    }
}

/// Looks at pulled stretches again and again. A failure is left to the reader who meets it.
pub(super) async fn keep_pulled(truth: Arc<Truth>) {
    loop {
        tokio::time::sleep(EVERY).await;
        told(truth.refresh_pulled().await);
    }
}

fn told(looked: Result<()>) {
    if let Err(error) = looked {
        tracing::debug!(%error, "what readers go by cannot be looked at");
    }
}
