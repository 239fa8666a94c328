//! Networks of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no network; write an address or the first address of a network with its length, as in 10.0.0.0/8 or fd00::/8"
)]
pub struct ParseNetworkError(String);

impl Network {
    /// Whether the address is in it. One of IPv4 is the same as IPv6 writes it (`::ffff:10.0.0.1`).
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// The address with all but its first bits cleared; `None` where it has fewer.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let rest = u32::BITS.checked_sub(bits)?;
            Some(IpAddr::V4(
                (v4.to_bits() & u32::MAX.checked_shl(rest).unwrap_or(0)).into(),
            ))
        }
        IpAddr::V6(v6) => {
            let rest = u128::BITS.checked_sub(bits)?;
            Some(IpAddr::V6(
                (v6.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0)).into(),
            ))
        }
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let wrong = || ParseNetworkError(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(whole), |bits| bits.parse().map_err(|_| wrong()))?;
        // Bits behind the length say that something else was meant; and what is held against it is never IPv4 within IPv6.
        if masked(first, bits) == Some(first) && first.to_canonical() == first {
            Ok(Self { first, bits })
        } else {
            Err(wrong())
        }
    }
}

impl TryFrom<String> for Network {
    type Error = ParseNetworkError;

    fn try_from(text: String) -> Result<Self, ParseNetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_in_or_out() {
        for (of, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            assert!(network(of).contains(inside.parse().unwrap()), "{of} {inside}");
            assert!(!network(of).contains(outside.parse().unwrap()), "{of} {outside}");
        }
    }

    #[test]
    fn reads_what_it_wrote_and_refuses_the_rest() {
        for text in ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "::/0"] {
            assert_eq!(network(text).to_string(), text);
        }
        for wrong in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "fd00::/129",
            "proxy",
            "10.0.0.0/-1",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
