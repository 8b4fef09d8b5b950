//! The PROXY protocol, versions 1 and 2: the header with which a proxy says whom it connects for.
//! The specification is `doc/proxy-protocol.txt` of HAProxy.
//!
//! Read strictly, and never a byte beyond its end: what follows belongs to TLS or HTTP.
//!
//! | version | header | bound |
//! |---|---|---|
//! | 1 | one line of text | 107 bytes, as specified |
//! | 2 | 16 bytes, then as many as they say | [`V2_BYTES_MAX`] |

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Both versions have at least so many bytes: `PROXY UNKNOWN` and its line's end.
const HEAD_BYTES: usize = 15;

/// The longest line of version 1.
const V1_BYTES_MAX: usize = 107;

/// The most bytes behind the first 16 of version 2. The addresses take 36 and load balancers add some
/// hundred: names, and what they know of the TLS they ended.
const V2_BYTES_MAX: usize = 2_048;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a header is none.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection does not begin with one.
    Missing,
    /// It begins as one, and is not.
    Malformed(&'static str),
    /// The connection ended within it, or broke.
    Ended,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it does not begin with a PROXY header",
            Self::Malformed(what) => what,
            Self::Ended => "it ended within the PROXY header",
        })
    }
}

/// Reads a header. `None` if it names nobody: the proxy speaks for itself, or does not know.
///
/// Not cancel safe: dropped, what was read is lost, and so is the connection.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, Fault> {
    let mut head = [0; HEAD_BYTES];
    // Piece by piece, so that whoever speaks something else and waits is told at once.
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match stream.read(&mut head[filled..]).await {
            Ok(0) | Err(_) if filled == 0 => return Err(Fault::Missing),
            Ok(0) | Err(_) => return Err(Fault::Ended),
            Ok(count) => filled += count,
        }
        let begins = |with: &[u8]| {
            let len = filled.min(with.len());
            head[..len] == with[..len]
        };
        if !begins(b"PROXY ") && !begins(V2_SIGNATURE) {
            return Err(Fault::Missing);
        }
    }
    match head.starts_with(V2_SIGNATURE) {
        true => read_v2(stream, head).await,
        false => read_v1(stream, &head).await,
    }
}

async fn exact(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Result<(), Fault> {
    stream.read_exact(bytes).await.map(|_| ()).map_err(|_| Fault::Ended)
}

async fn read_v1(
    stream: &mut (impl AsyncRead + Unpin),
    head: &[u8],
) -> Result<Option<SocketAddr>, Fault> {
    let mut line = [0; V1_BYTES_MAX];
    line[..head.len()].copy_from_slice(head);
    let mut filled = head.len();
    while !line[..filled].ends_with(b"\r\n") {
        if line[..filled - 1].contains(&b'\n') || line[..filled - 1].contains(&b'\r') {
            return Err(Fault::Malformed("the line of its PROXY header ends within"));
        }
        // The line needs two bytes more, or one behind a CR.
        let more = if line[filled - 1] == b'\r' { 1 } else { 2 };
        if filled + more > V1_BYTES_MAX {
            return Err(Fault::Malformed("the line of its PROXY header is over 107 bytes long"));
        }
        exact(stream, &mut line[filled..filled + more]).await?;
        filled += more;
    }
    v1(&line[..filled - 2]).ok_or(Fault::Malformed("its PROXY header, version 1, is malformed"))
}

/// The line of version 1 without its end. `None` if it is none.
fn v1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?;
    if line == "PROXY UNKNOWN" || line.starts_with("PROXY UNKNOWN ") {
        return Some(None);
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [_, family, source, destination, source_port, destination_port] = words[..] else {
        return None;
    };
    let address: IpAddr = match family {
        "TCP4" => pair::<Ipv4Addr>(source, destination)?.into(),
        "TCP6" => pair::<Ipv6Addr>(source, destination)?.into(),
        _ => return None,
    };
    port(destination_port)?;
    Some(Some(SocketAddr::new(address.to_canonical(), port(source_port)?)))
}

/// The first, if both are addresses of that family.
fn pair<A: FromStr>(source: &str, destination: &str) -> Option<A> {
    destination.parse::<A>().ok()?;
    source.parse().ok()
}

/// Without a sign, and without zeros in front.
fn port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

async fn read_v2(
    stream: &mut (impl AsyncRead + Unpin),
    head: [u8; HEAD_BYTES],
) -> Result<Option<SocketAddr>, Fault> {
    let last = stream.read_u8().await.map_err(|_| Fault::Ended)?;
    let [command, family] = [head[12], head[13]];
    let len = usize::from(u16::from_be_bytes([head[14], last]));
    if len > V2_BYTES_MAX {
        return Err(Fault::Malformed("its PROXY header, version 2, is too long"));
    }
    // Read first, so that a header that says nothing to us is skipped as a whole.
    let mut rest = vec![0; len];
    exact(stream, &mut rest).await?;
    v2(command, family, &rest).ok_or(Fault::Malformed("its PROXY header, version 2, is malformed"))
}

/// What stands behind the signature of version 2. `None` if it is malformed.
fn v2(command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    match command {
        0x21 => {}
        // LOCAL: a health check of the proxy itself, whatever else it says.
        0x20 => return Some(None),
        _ => return None,
    }
    let (address, ports): (IpAddr, &[u8]) = match family {
        // TCP over version 4 and 6: two addresses, two ports.
        0x11 => ((*rest.first_chunk::<4>()?).into(), rest.get(8..12)?),
        0x21 => ((*rest.first_chunk::<16>()?).into(), rest.get(32..36)?),
        // Unspecified, and a Unix socket: no address that means anything here.
        0x00 => return Some(None),
        0x31 => return rest.get(..216).map(|_| None),
        _ => return None,
    };
    let port = u16::from_be_bytes(*ports.first_chunk()?);
    Some(Some(SocketAddr::new(address.to_canonical(), port)))
}

#[cfg(test)]
mod tests;
