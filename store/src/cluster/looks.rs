//! Looking at the store once for all who ask at the same time.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use social_core::{Error, Result};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

/// What was seen last, and by whom it may be gone by.
pub(super) struct Looks<T> {
    last: Mutex<Option<(T, Instant)>>,
    /// One call looks. When a look last failed, or was cut off.
    turn: AsyncMutex<Option<Instant>>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
            turn: AsyncMutex::new(None),
        }
    }
}

impl<T: Copy> Looks<T> {
    /// Looks anew if the last look is older than `known_for`. One caller looks, and others wait for it; where it fails they fail with it, since each
    /// trying again in turn would wait for an absent store as many times as there are callers.
    pub(super) async fn refresh<F>(&self, known_for: Duration, look: impl FnOnce(Option<T>) -> F) -> Result<()>
    where
        F: Future<Output = Result<T>>,
    {
        let asked = Instant::now();
        if self.is_fresh(known_for) {
            return Ok(());
        }
        let failed = self.turn.lock().await;
        if self.is_fresh(known_for) {
            return Ok(());
        }
        if failed.is_some_and(|failed| failed >= asked) {
            return Err(Error::unavailable());
        }
        let mut attempt = Attempt { failed, is_done: false };
        let (before, began) = (self.last.lock().map(|(seen, _)| seen), Instant::now());
        let seen = look(before).await?;
        *self.last.lock() = Some((seen, began));
        attempt.is_done = true;
        Ok(())
    }

    fn is_fresh(&self, known_for: Duration) -> bool {
        self.last.lock().is_some_and(|(_, at)| at.elapsed() < known_for)
    }
}

/// A look under way. Dropped before it is done, as by a caller whose time is over, it failed.
struct Attempt<'a> {
    failed: MutexGuard<'a, Option<Instant>>,
    is_done: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            *self.failed = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    const A_WHILE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn who_waits_for_a_look_that_fails_fails_with_it() {
        let (looks, tries, began) = (Looks::<u8>::default(), AtomicUsize::new(0), Instant::now());
        let ask = async |_| {
            let look = |_| async {
                tries.fetch_add(1, Ordering::Relaxed);
                sleep(A_WHILE).await;
                Err(Error::unavailable())
            };
            looks.refresh(Duration::ZERO, look).await
        };
        let answers = join_all((0..50).map(ask)).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(tries.load(Ordering::Relaxed), 1);
        assert!(began.elapsed() < A_WHILE * 5, "{:?}", began.elapsed());
        // Who asks later looks anew.
        looks.refresh(Duration::ZERO, |_| async { Ok(7) }).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_a_caller_that_gives_up_fails_with_it() {
        let looks = Looks::<u8>::default();
        let slow = || looks.refresh(Duration::ZERO, |_| async { std::future::pending().await });
        let (given_up, waited) = tokio::join!(timeout(A_WHILE, slow()), async {
            tokio::task::yield_now().await;
            looks.refresh(Duration::ZERO, |_| async { Ok(7) }).await
        });
        assert!(given_up.is_err() && waited.is_err());
    }

    #[tokio::test]
    async fn what_was_seen_lately_is_not_looked_at_again() {
        let looks = Looks::default();
        let look = |next| looks.refresh(Duration::from_secs(60), move |_| async move { Ok(next) });
        look(1).await.unwrap();
        look(2).await.unwrap();
        let seen = looks.last.lock().unwrap().0;
        assert_eq!(seen, 1);
    }
}
