//! Waiting for what must happen, for as long as is fair and no longer.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// For something that takes no time worth speaking of, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look.
const POLL: Duration = Duration::from_millis(10);

/// Waits for a future that must be ready soon.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(ready) => ready,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Looks until there is something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(POLL).await;
    }
}

/// Looks until it is so.
pub(crate) async fn until(what: &str, mut look: impl FnMut() -> bool) {
    eventually(what, async || look().then_some(())).await;
}
