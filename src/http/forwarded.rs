//! Whom a reverse proxy asks for: `X-Forwarded-For`, believed only from proxies that are trusted.
//!
//! Each proxy adds, at the end, whom it heard. So the list is read from its end, as long as those who
//! wrote it are trusted: the client is the last one named that is no trusted proxy. What stands in
//! front of it is whatever the client wrote itself.

use std::net::{IpAddr, SocketAddr};

use super::peer::Peer;
use crate::base::fields::{Field, Fields};
use crate::base::network::Network;

/// Hops that are looked at: beyond it the nearest proxy that is not looked at counts as the client.
const HOPS_MAX: usize = 32;

/// The proxies whose word counts; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Where they are.
    pub networks: Vec<Network>,
    /// Whether whoever comes through a Unix socket is one.
    pub local: bool,
}

impl TrustedProxies {
    /// Whether this peer is one of them.
    pub fn trust(&self, peer: Peer) -> bool {
        match peer {
            Peer::At(address) => self.networks.iter().any(|net| net.contains(address.ip())),
            Peer::Local => self.local,
        }
    }

    /// Who is behind a request that `peer` sent.
    pub fn client(&self, peer: Peer, headers: &impl Fields) -> Peer {
        if !self.trust(peer) {
            return peer;
        }
        let values: Vec<&[u8]> = headers.all(Field::XForwardedFor).collect();
        let hops = values.iter().rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
        let mut client = peer;
        for hop in hops.take(HOPS_MAX) {
            // Whoever wrote this one is trusted, but it is no address: nobody in front of it is known.
            let Some(address) = address(hop) else { break };
            client = Peer::At(address);
            if !self.trust(client) {
                break;
            }
        }
        client
    }
}

/// One hop: an address, or as some proxies write it, one with a port.
fn address(hop: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, 0)),
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn client(of: &str, lines: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap()).into();
        let trusted = TrustedProxies { networks, local: true };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let peer = of.parse().map_or(Peer::Local, Peer::At);
        trusted.client(peer, &headers).to_string()
    }

    #[test]
    fn the_rightmost_hop_that_is_not_trusted_is_the_client() {
        for (lines, is) in [
            (&["192.0.2.1"][..], "192.0.2.1:0"),
            (&["203.0.113.66, 192.0.2.1"], "192.0.2.1:0"),
            (&["203.0.113.66, 192.0.2.1, 10.2.2.2,2001:db8::5"], "192.0.2.1:0"),
            (&["203.0.113.66", "192.0.2.1, 10.2.2.2", "10.3.3.3"], "192.0.2.1:0"),
            (&["192.0.2.1:4711"], "192.0.2.1:4711"),
            (&["[2001:dead::1]:4711"], "[2001:dead::1]:4711"),
            (&["[2001:dead::1]"], "[2001:dead::1]:0"),
            (&["10.9.9.9, 10.8.8.8"], "10.9.9.9:0"),
            // What is no address hides what is in front of it, and names nobody.
            (&["192.0.2.1, unknown"], "10.0.0.1:7"),
            (&["192.0.2.1, evil\" ,10.2.2.2"], "10.2.2.2:0"),
            (&["192.0.2.1,"], "10.0.0.1:7"),
            (&[], "10.0.0.1:7"),
        ] {
            assert_eq!(client("10.0.0.1:7", lines), is, "{lines:?}");
        }
        assert_eq!(client("unix", &["192.0.2.1"]), "192.0.2.1:0");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(client("192.0.2.9:7", &["203.0.113.66"]), "192.0.2.9:7");
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse().unwrap(),
            "203.0.113.66".parse().unwrap(),
        )]);
        let nobody = TrustedProxies::default();
        for peer in [Peer::Local, Peer::At("127.0.0.1:7".parse().unwrap())] {
            assert_eq!(nobody.client(peer, &headers), peer);
        }
    }

    #[test]
    fn a_list_without_an_end_is_not_read_to_its_end() {
        let line = vec!["10.1.1.1"; 500].join(",");
        assert_eq!(client("10.0.0.1:7", &[&format!("192.0.2.1,{line}")]), "10.1.1.1:0");
    }
}
