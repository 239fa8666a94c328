//! The backends of the social platform: truth, timelines, counters and signals.
//!
//! [`embedded`] is for one process with a data folder; [`memory`] is the reference model that tests run on and other
//! backends are held against; [`faulty`] makes any of them fail by a plan. What all of them must do is written down
//! in `social_core::backend`, and shown by the suite in `src/conformance`.

pub mod cluster;
pub mod embedded;
pub mod faulty;
pub mod memory;
mod rows;
pub mod signals;

use social_core::{Backend, Clock};

pub use embedded::Error;

/// Which backend to open.
pub enum Config {
    /// The reference model on this clock: nothing outlives the process.
    Memory(Clock),
    /// A data folder.
    Embedded(embedded::Config),
}

/// An open backend.
pub enum Opened {
    /// The reference model.
    Memory(Backend),
    /// A data folder.
    Embedded(embedded::Embedded),
}

/// Opens a backend. Blocks while it reads what it needs at start.
pub fn open(config: Config) -> Result<Opened, Error> {
    match config {
        Config::Memory(clock) => Ok(Opened::Memory(memory::open(clock))),
        Config::Embedded(config) => embedded::open(config).map(Opened::Embedded),
    }
}

impl Opened {
    /// The backend. Its clones share everything.
    pub fn backend(&self) -> Backend {
        match self {
            Self::Memory(backend) => backend.clone(),
            Self::Embedded(embedded) => embedded.backend(),
        }
    }

    /// Ends writing, with everything durable that was asked for before.
    pub fn close(self) -> Result<(), Error> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Embedded(embedded) => embedded.close(),
        }
    }
}
