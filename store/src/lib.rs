//! The backends of the social platform: truth, timelines, counters and signals.
//!
//! [`embedded`] is for one process with a data folder, [`cluster`] for many over a CQL store and Redis; [`memory`] is the reference
//! model that tests run on and other backends are held against; [`faulty`] makes any of them fail by a plan. What all of them must do
//! is written down in `social_core::backend`, and shown by the suite in `src/conformance`.

pub mod cluster;
pub mod embedded;
pub mod faulty;
pub mod memory;
mod rows;
pub mod signals;

use social_core::{Backend, Clock};

/// Which backend to open.
pub enum Config {
    /// The reference model on this clock: nothing outlives the process.
    Memory(Clock),
    /// A data folder.
    Embedded(embedded::Config),
    /// A CQL store and Redis.
    Cluster(Box<cluster::Config>),
}

/// An open backend.
pub enum Opened {
    /// The reference model.
    Memory(Backend),
    /// A data folder.
    Embedded(embedded::Embedded),
    /// A CQL store and Redis.
    Cluster(Box<cluster::Cluster>),
}

/// Why a backend cannot be opened or closed. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data folder.
    #[error(transparent)]
    Embedded(#[from] embedded::Error),
    /// The CQL store or Redis.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
}

/// Opens a backend. A data folder blocks the thread while it reads what it needs at start.
pub async fn open(config: Config) -> Result<Opened, Error> {
    match config {
        Config::Memory(clock) => Ok(Opened::Memory(memory::open(clock))),
        Config::Embedded(config) => Ok(Opened::Embedded(embedded::open(config)?)),
        Config::Cluster(config) => Ok(Opened::Cluster(Box::new(Box::pin(cluster::open(*config)).await?))),
    }
}

impl Opened {
    /// The backend. Its clones share everything.
    pub fn backend(&self) -> Backend {
        match self {
            Self::Memory(backend) => backend.clone(),
            Self::Embedded(embedded) => embedded.backend(),
            Self::Cluster(cluster) => cluster.backend(),
        }
    }

    /// Ends writing, with everything durable that was asked for before. A data folder blocks the thread while it waits for its disk.
    pub async fn close(self) -> Result<(), Error> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Embedded(embedded) => Ok(embedded.close()?),
            Self::Cluster(cluster) => {
                cluster.close().await;
                Ok(())
            }
        }
    }
}
