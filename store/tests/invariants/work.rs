//! Work on events, as the workers of a server do it.

use std::time::{Duration, Instant};

use social_core::fanout::{self, Event, State, Step};
use social_core::{Backend, Result, limits};

/// How long everything may take to come to its end.
const PATIENCE: Duration = Duration::from_secs(90);

/// Repeats a call that a busy store did not answer in time, as clients do.
pub(crate) async fn patiently<T>(call: impl AsyncFn() -> Result<T>) -> T {
    let began = Instant::now();
    loop {
        match call().await {
            Err(error) if error.is_transient() && began.elapsed() < PATIENCE => {}
            answer => return answer.unwrap(),
        }
    }
}

/// Takes an event to its end, or to a failure, which is counted where it would repeat.
pub(crate) async fn drive(backend: &Backend, event: &Event) {
    let mut progress = event.progress.clone();
    loop {
        match fanout::step(backend, event, progress).await {
            Ok(Step::More(next)) => {
                backend.store.record_progress(event.id, next.clone()).await.unwrap();
                progress = next;
            }
            Ok(Step::Done(last)) => return backend.store.finish(event.id, last).await.unwrap(),
            Err(error) if error.is_transient() => return,
            Err(_) => {
                let failed = backend.store.record_failure(event.id, "broken").await.unwrap();
                if failed.state != State::Pending {
                    return;
                }
                progress = failed.progress;
            }
        }
    }
}

/// Works on all that is open, whoever's it is.
pub(crate) async fn finish_all(backend: &Backend) {
    for event in backend.store.pending_events(None, usize::MAX).await.unwrap() {
        drive(backend, &event).await;
    }
}

/// Sweeps and works, and nothing else, until `is_over`.
pub(crate) async fn sweep_until(backend: &Backend, is_over: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_over().await {
        assert!(began.elapsed() < PATIENCE, "some event does not end");
        let stalled = backend
            .store
            .stalled_events(None, usize::MAX, limits::EVENT_STALE)
            .await;
        for event in stalled.unwrap() {
            drive(backend, &event).await;
        }
        tokio::time::sleep(limits::EVENT_STALE / 4).await;
    }
}
