//! A server in this process, on free ports and a folder of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use social_core::Backend;
use social_server::{Config, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Line, Person, in_time};

/// A server under test. Dropped without [`House::stop`] it ends with the test's runtime.
pub struct House {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    /// The public port.
    pub line: Line,
    /// The operators' port.
    pub admin: Line,
    pub admin_token: String,
    pub folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<bool>,
}

impl House {
    pub async fn open() -> Self {
        Self::open_with(|_| {}, async |_| {}).await
    }

    /// A server whose configuration differs from that of tests, and whose store holds what `prepare` puts there.
    pub async fn open_with(change: impl FnOnce(&mut Config), prepare: impl AsyncFnOnce(&Backend)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(&folder.path().join("data"));
        change(&mut config);
        config.validate().unwrap();
        let server = Server::open(config).await.unwrap();
        prepare(server.backend()).await;
        let bound = server.bind().await.unwrap();
        let (address, admin_address) = (bound.address().unwrap(), bound.admin_address());
        let admin_token = std::fs::read_to_string(bound.admin_token_file()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            admin_address,
            line: Line::to(address).await,
            admin: Line::to(admin_address).await,
            admin_token: admin_token.trim().to_owned(),
            folder,
            stop: Some(stop),
            served,
        }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Registers somebody with a handle of their own.
    pub async fn person(&self, name: &str) -> Person {
        Person::register(&self.line, name).await
    }

    /// Tells the server to stop.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops the server; whether everything in hand could finish.
    pub async fn stop(mut self) -> bool {
        self.begin_stop();
        in_time("the server to stop", &mut self.served).await.unwrap()
    }
}
