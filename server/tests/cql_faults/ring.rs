//! The ring of three nodes, and the platform on it.

use xtask::services::cql::{Node, Options};
use xtask::services::{Cql, Server};

use crate::platform::Platform;
use crate::site::Store;

/// Copies of each row: calls go on with two of three nodes.
const COPIES: u8 = 3;

/// The nodes.
pub(crate) struct Ring(Cql);

impl Store for Ring {
    async fn open(redis: String) -> (Self, Platform) {
        let options = Options {
            ring: true,
            ..Options::default()
        };
        let cql = Cql::start(options).unwrap();
        let mut platform = Platform::over(cql.addresses(), redis);
        platform.copies = COPIES;
        platform.make();
        (Self(cql), platform)
    }

    fn mend(&mut self) {
        for node in self.0.nodes_mut() {
            if node.server().unwrap().thaw().is_err() {
                node.start().unwrap();
            }
        }
        self.0.wait_whole().unwrap();
    }
}

impl Ring {
    /// A node's server, to be killed or frozen.
    pub(crate) fn server(&mut self, number: usize) -> &mut Server {
        self.node(number).server().unwrap()
    }

    /// Starts a node that was killed, and waits until all nodes see each other.
    pub(crate) fn start(&mut self, number: usize) {
        self.node(number).start().unwrap();
        self.0.wait_whole().unwrap();
    }

    fn node(&mut self, number: usize) -> &mut Node {
        &mut self.0.nodes_mut()[number]
    }
}
