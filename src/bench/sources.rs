//! The addresses that connections come from.
//!
//! A connection is told from another by its two addresses and ports, and there are 28,232 ports on
//! Linux (`net.ipv4.ip_local_port_range`) for one pair of addresses and the server's port. Every address
//! of 127.0.0.0/8 is this machine, so over loopback there are enough.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Connections that come from one address before the next is taken.
const CONNECTIONS_PER_ADDRESS: usize = 10_000;

/// A list of addresses and networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    addresses: u32,
}

impl Sources {
    /// The address of a connection by its number, counted over the whole run.
    pub fn address(&self, number: usize) -> IpAddr {
        let total: u64 = self.0.iter().map(|network| u64::from(network.addresses)).sum();
        let mut at = (number / CONNECTIONS_PER_ADDRESS) as u64 % total;
        for network in &self.0 {
            let addresses = u64::from(network.addresses);
            if at < addresses {
                return network.address(at as u32);
            }
            at -= addresses;
        }
        self.0[0].first
    }
}

impl Network {
    fn address(&self, at: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() + at).into(),
            first => first,
        }
    }
}

impl FromStr for Sources {
    type Err = String;

    /// Addresses and IPv4 networks with commas between: `127.0.0.0/8`, `192.0.2.7,192.0.2.8`. The
    /// first and the last address of a network are not used.
    fn from_str(typed: &str) -> Result<Self, String> {
        typed
            .split(',')
            .map(|part| network(part.trim()))
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| {
                "write addresses or IPv4 networks with commas between: 127.0.0.0/8".to_owned()
            })
    }
}

fn network(typed: &str) -> Option<Network> {
    let Some((address, bits)) = typed.split_once('/') else {
        return Some(Network { first: typed.parse().ok()?, addresses: 1 });
    };
    let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let host_bits = 32u32.checked_sub(bits).filter(|bits| (2..=24).contains(bits))?;
    let first = address.to_bits() & (u32::MAX << host_bits);
    let first = IpAddr::V4(Ipv4Addr::from_bits(first + 1));
    Some(Network { first, addresses: (1 << host_bits) - 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_turns() {
        let sources: Sources = "127.0.0.0/30, 10.0.0.7".parse().unwrap();
        let of = |number| sources.address(number).to_string();
        assert_eq!(of(0), "127.0.0.1");
        assert_eq!(of(9_999), "127.0.0.1");
        assert_eq!(of(10_000), "127.0.0.2");
        assert_eq!(of(20_000), "10.0.0.7");
        assert_eq!(of(30_000), "127.0.0.1");
        let all: Sources = "127.9.9.9/8".parse().unwrap();
        assert_eq!(all.address(0).to_string(), "127.0.0.1");
        assert_eq!(all.address(2_560_000).to_string(), "127.0.1.1");
        assert_eq!("::1".parse::<Sources>().unwrap().address(50_000).to_string(), "::1");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for typed in ["", "x", "127.0.0.0/33", "127.0.0.0/31", "0.0.0.0/0", "::/64", "127.0.0.1,"] {
            assert!(typed.parse::<Sources>().is_err(), "{typed}");
        }
    }
}
