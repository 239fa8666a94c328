//! The processes of the platform on the wire.

use std::time::Duration;

use social_core::admin::{Cluster, Lease, Process, Shard};
use social_proto::v1;

use crate::grpc::convert::{millis, timestamp};

/// The processes, and which part of the event log each takes up.
pub(crate) fn cluster(cluster: &Cluster) -> v1::GetClusterResponse {
    v1::GetClusterResponse {
        backend: cluster.backend.to_owned(),
        processes: cluster.processes.iter().map(|known| process(known, cluster)).collect(),
        shards: cluster.shards.iter().map(shard).collect(),
    }
}

fn process(known: &Process, cluster: &Cluster) -> v1::ClusterProcess {
    let lag = cluster.shards_of(known.node).map(|shard| shard.lag).max();
    let (state, lease_left_ms) = lease(known.lease);
    v1::ClusterProcess {
        node: known.node.into(),
        name: known.name.clone(),
        roles: known.roles.split(',').filter_map(role).map(Into::into).collect(),
        state: state.into(),
        start_time: Some(timestamp(known.started_at)),
        lease_left_ms,
        shards: cluster.shards_of(known.node).map(|shard| shard.number.into()).collect(),
        lag_ms: millis(lag.unwrap_or(Duration::ZERO)),
        answered: known.node == cluster.answered_by,
    }
}

/// A role by its name in the register; one that a newer program has is left out.
fn role(name: &str) -> Option<v1::ProcessRole> {
    match name {
        "api" => Some(v1::ProcessRole::Api),
        "worker" => Some(v1::ProcessRole::Worker),
        _ => None,
    }
}

fn lease(lease: Lease) -> (v1::ProcessState, i64) {
    match lease {
        Lease::Alone => (v1::ProcessState::Live, 0),
        Lease::Held(left) => (v1::ProcessState::Live, millis(left)),
        Lease::Paused(left) => (v1::ProcessState::Paused, millis(left)),
        Lease::RanOut(ago) => (v1::ProcessState::Lost, -millis(ago)),
    }
}

fn shard(shard: &Shard) -> v1::ClusterShard {
    v1::ClusterShard {
        number: shard.number.into(),
        held: shard.holder.is_some(),
        node: shard.holder.unwrap_or_default().into(),
        settled_time: shard.settled.map(timestamp),
        lag_ms: millis(shard.lag),
    }
}

#[cfg(test)]
mod tests {
    use social_core::Time;

    use super::*;

    fn known(node: u16, roles: &str, lease: Lease) -> Process {
        Process {
            node,
            name: format!("process-{node}"),
            roles: roles.to_owned(),
            started_at: Time::from_unix_ms(3_000),
            lease,
        }
    }

    fn held(number: u16, holder: Option<u16>, lag_s: u64) -> Shard {
        Shard {
            number,
            holder,
            settled: holder.map(|_| Time::from_unix_ms(5_000)),
            lag: Duration::from_secs(lag_s),
        }
    }

    #[test]
    fn each_process_shows_its_shards_and_the_lag_of_the_last() {
        let answer = cluster(&Cluster {
            backend: "cluster",
            answered_by: 7,
            processes: vec![
                known(7, "api", Lease::Held(Duration::from_millis(8_500))),
                known(9, "worker", Lease::Held(Duration::from_secs(1))),
                known(12, "api,worker,later", Lease::RanOut(Duration::from_secs(2))),
            ],
            shards: vec![held(0, Some(9), 4), held(1, None, 0), held(2, Some(9), 6)],
        });
        let [api, worker, lost] = answer.processes.as_slice() else {
            panic!("{answer:?}");
        };
        assert_eq!(
            (api.answered, api.lease_left_ms, api.state()),
            (true, 8_500, v1::ProcessState::Live)
        );
        assert!(api.shards.is_empty() && api.lag_ms == 0);
        assert_eq!(
            (worker.shards.as_slice(), worker.lag_ms, worker.answered),
            ([0, 2].as_slice(), 6_000, false)
        );
        assert_eq!((lost.state(), lost.lease_left_ms), (v1::ProcessState::Lost, -2_000));
        assert_eq!(lost.roles, [1, 2], "a role of a later version is left out");
        let unheld = &answer.shards[1];
        assert!(!unheld.held && unheld.settled_time.is_none());
        assert_eq!((answer.shards[2].held, answer.shards[2].node), (true, 9));
    }

    #[test]
    fn a_process_whose_clock_is_wrong_lives_and_is_paused() {
        let paused = lease(Lease::Paused(Duration::from_secs(7)));
        assert_eq!(paused, (v1::ProcessState::Paused, 7_000));
    }

    #[test]
    fn a_process_alone_needs_no_lease() {
        let now = Time::from_unix_ms(9_000);
        let answer = cluster(&Cluster::alone(
            "embedded",
            known(0, "api,worker", Lease::Alone),
            None,
            now,
        ));
        let only = &answer.processes[0];
        assert_eq!(
            (only.state(), only.lease_left_ms, only.answered),
            (v1::ProcessState::Live, 0, true)
        );
        assert_eq!((only.shards.as_slice(), only.lag_ms), ([0].as_slice(), 0));
    }
}
