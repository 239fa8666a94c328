//! Why a server cannot start.

use std::net::SocketAddr;
use std::path::PathBuf;

use social_core::auth::KeyError;
use social_store::cluster;

use crate::auth::TokenError;
use crate::tls::Error as TlsError;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be used: a data folder in use, a cluster that is not there, or either of a newer format.
    #[error(transparent)]
    Store(#[from] social_store::Error),
    /// A setting cannot be used, which only showed when it was.
    #[error("{key}: {reason}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The keys that tokens are signed with cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A data folder that was used before has lost its keys.
    #[error("{keys} holds no keys, but {dir} was used before: restore them from a backup; or, to end all sessions on purpose, run \
             `social-server rotate-keys` on this folder, which makes new ones, and start again", keys = keys.display(), dir = dir.display())]
    KeysLost {
        /// Where the keys should be.
        keys: PathBuf,
        /// The data folder.
        dir: PathBuf,
    },
    /// The operators' token cannot be used.
    #[error(transparent)]
    AdminToken(#[from] TokenError),
    /// TLS files cannot be used.
    #[error("{section}: {reason}")]
    Tls {
        /// The section of the configuration.
        section: &'static str,
        /// What is wrong with them.
        reason: Box<TlsError>,
    },
    /// A port cannot be opened.
    #[error("{key}: cannot listen on {address}: {reason}; choose another address, or port 0 for a free one")]
    Bind {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// There is no data folder whose keys could be rotated.
    #[error("{dir} is no data folder: keys are added to one that a server has started on before; check `data_dir`", dir = dir.display())]
    NoDataFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// There are no keys that could be rotated.
    #[error("{dir} holds no keys: one is added to those that a server has started with before; check `keys_dir` and `data_dir`", dir = dir.display())]
    NoKeys {
        /// The folder.
        dir: PathBuf,
    },
    /// The contract that was built in cannot be described.
    #[error("the contract cannot be described: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The world of dev mode cannot be made.
    #[error("the demo world cannot be made: {0}")]
    Seed(Box<social_core::Error>),
    /// A file of dev mode cannot be written.
    #[error("cannot write {path}: {reason}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
}

impl Error {
    /// Whether the configuration is at fault, and not something that it names.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        let of_cluster = |error: &cluster::Error| matches!(error, cluster::Error::Setting { .. });
        match self {
            Self::Setting { .. } => true,
            Self::Store(social_store::Error::Cluster(error)) => of_cluster(error),
            _ => false,
        }
    }
}
