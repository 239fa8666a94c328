//! The bound on deep reads: pages below what a ready timeline keeps, merged from the lists of all whom a viewer follows.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::thread::available_parallelism;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::{Error, Reason, Result};
use crate::id::UserId;
use crate::limits;

/// How often one who waits for an earlier read of the same viewer looks whether that has ended.
const LOOK: Duration = Duration::from_millis(5);
/// When it is worth trying again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The deep reads of this process: they take time of the processor alone, so the bound is the machine's and not a store's.
static READS: LazyLock<Reads> = LazyLock::new(|| Reads::new(places(available_parallelism().map_or(1, usize::from))));

/// Half of the cores, so that the other half is there for everything else.
fn places(cores: usize) -> usize {
    (cores / 2).max(1)
}

/// Deep reads under way: few at once, and one of a viewer.
struct Reads {
    places: Semaphore,
    viewers: Mutex<HashSet<UserId>>,
}

/// A deep read under way; it ends when this is dropped.
pub(super) struct Read<'a> {
    viewer: UserId,
    reads: &'a Reads,
    _place: Option<SemaphorePermit<'a>>,
}

/// Waits for a turn to read deep, at most [`limits::DEEP_READ_WAIT`]. OVERLOADED.
pub(super) async fn begin(viewer: UserId) -> Result<Read<'static>> {
    READS.begin(viewer).await
}

impl Reads {
    fn new(places: usize) -> Self {
        Self {
            places: Semaphore::new(places),
            viewers: Mutex::default(),
        }
    }

    async fn begin(&self, viewer: UserId) -> Result<Read<'_>> {
        timeout(limits::DEEP_READ_WAIT, self.turn(viewer))
            .await
            .map_err(|_| overloaded())
    }

    async fn turn(&self, viewer: UserId) -> Read<'_> {
        while !self.viewers.lock().insert(viewer) {
            tokio::time::sleep(LOOK).await;
        }
        let mut read = Read {
            viewer,
            reads: self,
            _place: None,
        };
        // It is closed never.
        read._place = self.places.acquire().await.ok();
        read
    }
}

impl Drop for Read<'_> {
    fn drop(&mut self) {
        self.reads.viewers.lock().remove(&self.viewer);
    }
}

fn overloaded() -> Error {
    Error::new(
        Reason::Overloaded,
        "too many pages of old posts are read at once; try again shortly",
    )
    .retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId(1);
    const BOB: UserId = UserId(2);

    #[tokio::test(start_paused = true)]
    async fn a_viewer_reads_deep_once_at_a_time() {
        let reads = Reads::new(8);
        let first = reads.begin(ANN).await.unwrap();
        let _other = reads.begin(BOB).await.unwrap();
        let error = reads.begin(ANN).await.err().unwrap();
        assert_eq!(error.reason, Reason::Overloaded);
        assert!(error.retry_after.is_some());
        let (second, ()) = tokio::join!(reads.begin(ANN), async {
            tokio::time::sleep(limits::DEEP_READ_WAIT / 2).await;
            drop(first);
        });
        second.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn few_read_deep_at_once_and_who_gave_up_leaves_nothing_behind() {
        let reads = Reads::new(1);
        let first = reads.begin(ANN).await.unwrap();
        assert_eq!(reads.begin(BOB).await.err().unwrap().reason, Reason::Overloaded);
        drop(first);
        drop(reads.begin(BOB).await.unwrap());
        assert!(reads.viewers.lock().is_empty());
    }

    #[test]
    fn some_of_the_machine_is_left() {
        assert_eq!([1, 2, 3, 8].map(places), [1, 1, 1, 4]);
    }
}
