//! Whether a process can serve: the CQL store answers, its clock agrees, and the lease of the node number holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Cluster;
use super::nodes::Lease;

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a process cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The CQL store does not answer, or not in time.
    #[error("the CQL store does not answer")]
    Store,
    /// The process may not write until the clock is right: what it writes would be misplaced among what others write.
    #[error("the system's clock differs from the CQL store's by more than 1 s")]
    Clock,
    /// The process may not write: another may hold its node number.
    #[error("the lease of node number {node} ran out")]
    Lease {
        /// The number.
        node: u16,
    },
}

/// Looks whether the process can serve. Redis is not asked: without it calls only take longer.
#[derive(Clone)]
pub struct Probe {
    lease: Arc<Lease>,
}

impl Probe {
    /// One look. Costs a read of one row.
    pub async fn ready(&self) -> Result<(), Unready> {
        match timeout(PATIENCE, self.lease.look()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Unready::Store),
        }
        if !self.lease.clock_is_right() {
            return Err(Unready::Clock);
        }
        match self.lease.holds() {
            true => Ok(()),
            false => Err(Unready::Lease {
                node: self.lease.node(),
            }),
        }
    }
}

impl Cluster {
    /// What tells whether the process can serve, for as long as the cluster is open.
    pub fn probe(&self) -> Probe {
        Probe {
            lease: Arc::clone(&self.lease),
        }
    }

    /// The node number of this process.
    pub fn node(&self) -> u16 {
        self.lease.node()
    }
}
