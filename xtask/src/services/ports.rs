//! Free ports on the loopback.

use std::net::TcpListener;
use std::ops::Range;

use super::process::random;

/// Below what machines hand out to outgoing connections, so that a port stays free while its server is down, and 10,000 below
/// also for the second port that a node of Redis Cluster takes.
const RANGE: Range<u16> = 10_000..22_000;
const TRIES: u32 = 200;

/// The distance of the port on which nodes of Redis Cluster talk to each other.
pub(super) const BUS: u16 = 10_000;

/// As many ports as asked for, each free on each of the hosts, and free again `BUS` above.
pub(super) fn free<const N: usize>(hosts: &[&str]) -> Result<[u16; N], String> {
    let mut found = [0; N];
    // Held until all are found, so that none is found twice.
    let mut held = Vec::new();
    for port in &mut found {
        let mut last = String::new();
        for _ in 0..TRIES {
            let width = u64::from(RANGE.end - RANGE.start);
            let candidate = RANGE.start + u16::try_from(random() % width).unwrap_or_default();
            let both = [candidate, candidate + BUS];
            let wanted = hosts.iter().flat_map(|host| both.map(|port| (*host, port)));
            match wanted.map(TcpListener::bind).collect::<Result<Vec<_>, _>>() {
                Ok(listeners) => {
                    held.extend(listeners);
                    *port = candidate;
                    break;
                }
                Err(error) => last = error.to_string(),
            }
        }
        if *port == 0 {
            return Err(format!("no port is free on {}: {last}", hosts.join(", ")));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_differ() {
        let [first, second, third] = free(&["127.0.0.1"]).expect("ports");
        assert!(first != second && second != third && first != third);
        TcpListener::bind(("127.0.0.1", first)).expect("free");
    }

    #[test]
    fn a_host_that_is_not_here_is_said() {
        let error = free::<1>(&["192.0.2.1"]).expect_err("not ours");
        assert!(error.contains("192.0.2.1"), "{error}");
    }
}
