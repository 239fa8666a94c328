//! Real services for tests: a CQL store and a Redis, on the loopback of this machine.
//!
//! Taken is what is there, in this order: addresses in the environment, a program on `PATH`, Docker where a daemon answers,
//! and else what package registries have: Apache Cassandra by Maven, Redis by apt or Maven. Downloads are kept below
//! `target/services`, data in a temporary folder.
//!
//! What was started ends when its owner is dropped, and also when the owning process panics, is interrupted or is killed.

pub mod background;
mod cassandra;
pub mod cql;
mod ports;
mod probe;
mod process;
pub mod redis;
mod scylla;
mod software;

pub use cql::Cql;
pub use process::Server;
pub use redis::Redis;
pub use software::faketime;

/// What is to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A ring of three CQL nodes instead of one node.
    pub ring: bool,
    /// A Redis Cluster of three instead of one Redis.
    pub redis_cluster: bool,
}

/// A CQL store and a Redis.
#[derive(Debug)]
pub struct Services {
    /// The store.
    pub cql: Cql,
    /// The Redis.
    pub redis: Redis,
}

impl Services {
    /// Takes what the environment gives, and starts what it does not.
    pub fn start(options: Options) -> Result<Self, String> {
        let redis = match Redis::given()? {
            Some(redis) => redis,
            None => Redis::start(&redis::Options {
                cluster: options.redis_cluster,
                password: None,
            })?,
        };
        let cql = match Cql::given()? {
            Some(cql) => cql,
            None => Cql::start(cql::Options {
                ring: options.ring,
                passwords: false,
            })?,
        };
        // What is given may be less than what is asked for.
        if options.ring && cql.nodes().len() < 3 {
            return Err(format!("{} gives fewer than three nodes", cql::VARIABLE));
        }
        if options.redis_cluster && !redis.url().contains("-cluster://") {
            return Err(format!(
                "{} gives no Redis Cluster (redis-cluster://…)",
                redis::VARIABLE
            ));
        }
        Ok(Self { cql, redis })
    }

    /// What tests look for in their environment: names and values.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            (cql::VARIABLE, self.cql.addresses()),
            (redis::VARIABLE, self.redis.url().to_owned()),
        ]
    }
}
