//! Marks events in the log, behind the calls that ended them. A mark that is lost only has the event looked at again.

use std::sync::Arc;

use futures::StreamExt as _;
use social_core::{Result, Time};
use tokio::sync::mpsc;

use super::db::Db;
use super::outbox::{Outbox, Slot, Stage};

/// Marks that wait to be written; further ones are left to the sweep.
const QUEUE: usize = 16_384;
/// Marks under way at once.
const AT_ONCE: usize = 32;

struct Mark {
    event: u64,
    slot: Slot,
    stage: Stage,
    finished_at: Option<Time>,
    stamp: i64,
}

/// The queue of marks.
pub(super) struct Marks {
    queue: mpsc::Sender<Mark>,
}

impl Marks {
    /// Starts the task that writes marks; it ends with the last sender.
    pub(super) async fn start(db: Arc<Db>) -> Result<Self> {
        let outbox = Outbox::prepare(&db).await?;
        let (queue, marks) = mpsc::channel(QUEUE);
        tokio::spawn(write(db, outbox, marks));
        Ok(Self { queue })
    }

    pub(super) fn note(&self, event: u64, slot: Slot, stage: Stage, finished_at: Option<Time>, stamp: i64) {
        let mark = Mark {
            event,
            slot,
            stage,
            finished_at,
            stamp,
        };
        if self.queue.try_send(mark).is_err() {
            tracing::debug!(event, "an event's mark is left to the sweep");
        }
    }
}

async fn write(db: Arc<Db>, outbox: Outbox, marks: mpsc::Receiver<Mark>) {
    let marks = futures::stream::unfold(marks, |mut marks| async move {
        let mark = marks.recv().await?;
        Some((mark, marks))
    });
    marks
        .for_each_concurrent(AT_ONCE, |mark| {
            let (db, outbox) = (&db, &outbox);
            async move {
                let at = (mark.event, mark.slot);
                if let Err(error) = outbox.set_stage(db, at, mark.stage, mark.finished_at, mark.stamp).await {
                    tracing::debug!(?error, event = mark.event, "an event's mark is left to the sweep");
                }
            }
        })
        .await;
}
