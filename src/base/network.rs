//! A range of addresses, as operators write it: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// All addresses as of version 6, those of version 4 mapped into it (RFC 4291 section 2.5.5.2).
    first: u128,
    prefix_len: u32,
    is_v4: bool,
}

/// Bits in front of a mapped address of version 4.
const MAPPED_BITS: u32 = 96;

/// Not an address, or not a length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a network; write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1, without bits \
             behind the prefix",
        )
    }
}

impl std::error::Error for NotANetwork {}

impl Network {
    /// Whether the address is in it. One of version 4 is the same whether or not it came mapped.
    pub fn contains(&self, address: IpAddr) -> bool {
        (wide(address) ^ self.first) & mask(self.prefix_len) == 0
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(prefix_len: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix_len).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (before, bits) = if address.is_ipv4() { (MAPPED_BITS, 32) } else { (0, 128) };
        let len = match len {
            Some(len) if len.bytes().all(|byte| byte.is_ascii_digit()) => {
                len.parse().ok().filter(|len| *len <= bits).ok_or(NotANetwork)?
            }
            Some(_) => return Err(NotANetwork),
            None => bits,
        };
        let (first, prefix_len) = (wide(address), before + len);
        // 10.1.2.3/8 is a slip, and which one cannot be known.
        if first & !mask(prefix_len) != 0 {
            return Err(NotANetwork);
        }
        Ok(Self { first, prefix_len, is_v4: address.is_ipv4() })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from_bits(self.first);
        match first.to_ipv4_mapped() {
            Some(first) if self.is_v4 => write!(f, "{first}/{}", self.prefix_len - MAPPED_BITS),
            _ => write!(f, "{first}/{}", self.prefix_len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_in_and_what_is_not() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("fc00::/7", "fdff::1", "fe00::"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ] {
            assert!(network(range).contains(address(inside)), "{inside} in {range}");
            assert!(!network(range).contains(address(outside)), "{outside} in {range}");
        }
        assert!(network("::/0").contains(address("::1")));
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "fc00::/7", "::1/128", "::/0"] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn slips_are_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "example.org",
            "10.0.0.0/8/8",
            "2001:db8::1/64",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
    }
}
