//! Whose address a call counts for: that of the peer, or the one for which a proxy that is trusted forwards it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderName;

use crate::config::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses that are looked at from the right. Nobody puts more proxies of their own in a row; what is further left a client wrote.
const HOPS: usize = 16;

/// The proxies that are trusted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Arc<[Network]>);

impl Proxies {
    /// The proxies in these networks.
    pub(crate) fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    /// Whether the address is that of a proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The client's address. Of a proxy that is trusted: the right-most one of `x-forwarded-for` that is no such proxy itself, since each
    /// proxy appends whom it got the call from, and what stands further left anybody may have written. The peer's where there is none, or
    /// where what stands there is no address.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        self.forwarded(headers).unwrap_or(peer)
    }

    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(AsRef::as_ref).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS) {
            let address = address(std::str::from_utf8(hop).ok()?.trim())?;
            if !self.trusts(address) {
                return Some(address);
            }
        }
        None
    }
}

/// An address, perhaps in brackets and with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> = text
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
        .or_else(bare);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies::new(&["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("::ffff:192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        let nobody = Proxies::default();
        let headers = [(FORWARDED_FOR, "198.51.100.7".parse().unwrap())].into_iter().collect();
        assert_eq!(nobody.client([10, 0, 0, 1].into(), &headers).to_string(), "10.0.0.1");
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_counts() {
        for (lines, expected) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
            (&["203.0.113.9", "198.51.100.7,fd00::2"], "198.51.100.7"),
            (&["no address, 198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
        ] {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1"] {
                assert_eq!(client(peer, lines), expected, "{lines:?}");
            }
        }
    }

    #[test]
    fn the_peer_counts_where_nothing_right_is_told() {
        let long = ["10.1.1.1"; HOPS + 1].join(",");
        let far = format!("198.51.100.7,{long}");
        for lines in [
            &[][..],
            &[""],
            &["unknown"],
            &["198.51.100.7, unknown"],
            &["198.51.100.7,"],
            &["10.1.1.1, 10.2.2.2"],
            &[&far],
        ] {
            assert_eq!(client("10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
    }
}
