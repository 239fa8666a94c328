//! Counting from truth, and putting it into Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use social_core::Result;
use tokio::time::sleep;

use super::Truth;
use super::rows::{Begun, Key, Rows, Tally, Whose};

/// Time between looks for dirty counts.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Dirty counts taken at a look, from each shard.
const TAKEN: usize = 8;
/// Dirty counts that are counted at once.
const AT_ONCE: usize = 8;
/// Time between two counts of one key.
const PAUSE: Duration = Duration::from_millis(700);
/// ... and at most, for those that take long to count.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// How many times longer than its count a key rests.
const REST: u32 = 20;

/// Counts from truth.
pub(super) struct Recount {
    pub(super) rows: Arc<Rows>,
    pub(super) truth: Arc<dyn Truth>,
}

impl Recount {
    /// The count of a key that Redis did not know.
    pub(super) async fn read(&self, key: Key) -> Result<Tally> {
        let Ok(begun) = self.rows.begin(key).await else {
            return self.count(key).await;
        };
        // Another process may have been faster.
        if let Some(row) = begun.row
            && let (Some(values), true) = (row.values(), row.exact)
        {
            return Ok(Tally { values, exact: true });
        }
        self.counted(key, &begun).await
    }

    /// Counts a key anew: what Redis held, and what it is.
    pub(super) async fn once(&self, key: Key) -> Result<(Option<Tally>, Tally)> {
        let Ok(begun) = self.rows.begin(key).await else {
            return Ok((None, self.count(key).await?));
        };
        let before = begun.row.and_then(|row| {
            let values = row.values()?;
            Some(Tally {
                values,
                exact: row.exact,
            })
        });
        Ok((before, self.counted(key, &begun).await?))
    }

    async fn counted(&self, key: Key, begun: &Begun) -> Result<Tally> {
        let started = Instant::now();
        let mut tally = self.count(key).await?;
        let pause = (started.elapsed() * REST).clamp(PAUSE, PAUSE_MAX);
        // What cannot be installed was counted all the same.
        if let Ok(exact) = self.rows.install(key, begun, tally.values, pause).await {
            tally.exact = exact;
        }
        Ok(tally)
    }

    async fn count(&self, key: Key) -> Result<Tally> {
        let mut tally = match key.whose() {
            Whose::Post(id) => Tally::from(self.truth.count_post(id).await?),
            Whose::User(id) => Tally::from(self.truth.count_user(id).await?),
        };
        tally.exact = true;
        Ok(tally)
    }

    /// Counts anew what is dirty, for ever. One that takes long holds up no others.
    pub(super) async fn dirty(&self) {
        stream::repeat(())
            .then(|()| self.due())
            .flat_map(stream::iter)
            .for_each_concurrent(AT_ONCE, async |key| {
                // One that failed is taken again when its lease is over.
                if let Err(error) = self.once(key).await {
                    tracing::warn!(%key, %error, "counting anew failed");
                }
            })
            .await;
    }

    /// What is to be counted anew now; nothing only after a moment.
    async fn due(&self) -> Vec<Key> {
        self.rows.link().wait_up().await;
        let due = self.rows.take(TAKEN).await.unwrap_or_default();
        if due.is_empty() {
            sleep(LOOK_EVERY).await;
        }
        due
    }
}
