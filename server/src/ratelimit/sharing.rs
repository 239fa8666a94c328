//! Has the processes of a cluster share budgets. A call is decided on by what is known here and never waits; what was taken is told behind it, many calls
//! at once, and what others took is learned by that. While nobody can be told, each process keeps to the budgets by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use social_core::access::Class;
use social_core::backend::{Budgets, Taken};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Limits, Principal};
use crate::grpc::Drain;

/// Buckets that wait to be told of. Of further ones others hear with their next call.
const WAITING: usize = 16_384;
/// Buckets that are told of together.
const AT_ONCE: usize = 512;
/// How long calls are gathered: so far processes are behind each other.
const GATHER: Duration = Duration::from_millis(20);
/// Before it is tried again where nobody can be told.
const REST: Duration = Duration::from_millis(250);

/// A bucket that others are to be told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct News {
    pub(super) class: Class,
    pub(super) principal: Principal,
}

pub(super) type Sender = mpsc::Sender<News>;

/// What waits to be told.
pub(crate) struct Untold(mpsc::Receiver<News>);

impl Untold {
    /// How many buckets wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

pub(super) fn queue() -> (Sender, Untold) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (sender, Untold(receiver))
}

/// Tells what was taken until the drain begins.
pub(crate) async fn share(
    limits: Arc<Limits>,
    mut untold: Untold,
    opening: impl Future<Output = Arc<dyn Budgets>>,
    drain: Drain,
) {
    let sharing = async {
        let budgets = opening.await;
        loop {
            let mut news = Vec::new();
            untold.0.recv_many(&mut news, AT_ONCE).await;
            sleep(GATHER).await;
            if !tell(&limits, &news, &*budgets).await {
                sleep(REST).await;
            }
        }
    };
    tokio::select! {
        () = sharing => {}
        () = drain.begun() => {}
    }
}

/// Tells of some buckets; whether that worked.
async fn tell(limits: &Limits, news: &[News], budgets: &dyn Budgets) -> bool {
    let told: Vec<(News, Taken)> = news
        .iter()
        .filter_map(|news| Some((*news, limits.tell(*news)?)))
        .collect();
    let taken: Vec<Taken> = told.iter().map(|(_, taken)| taken.clone()).collect();
    let asked = Instant::now();
    match budgets.take(&taken).await {
        Ok(until_full) => {
            for ((news, _), until_full) in told.iter().zip(until_full) {
                limits.learn(*news, asked, until_full);
            }
            true
        }
        Err(error) => {
            tracing::debug!(?error, "what was taken of budgets is told later");
            for (news, taken) in &told {
                limits.untell(*news, taken.calls);
            }
            false
        }
    }
}
