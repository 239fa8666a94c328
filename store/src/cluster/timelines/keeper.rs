//! Keeps timelines tidy, behind the calls. What is lost of it is done on a later occasion, or ends with the entries' expiry.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::lines::{Due, Lines};

/// Jobs being done at once.
const AT_ONCE: usize = 16;

/// Does jobs when they are due; they come in the order in which they are.
pub(super) async fn keep(lines: Arc<Lines>, jobs: mpsc::Receiver<Due>) {
    let due = stream::unfold(jobs, |mut jobs| async move {
        let (at, job) = jobs.recv().await?;
        tokio::time::sleep_until(at.into()).await;
        Some((job, jobs))
    });
    due.for_each_concurrent(AT_ONCE, |job| {
        let lines = &lines;
        async move {
            if let Err(error) = lines.work(job).await {
                tracing::debug!(?error, ?job, "timelines are left untidy");
            }
        }
    })
    .await;
}
