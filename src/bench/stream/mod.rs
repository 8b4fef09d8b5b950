//! A connection that does not block, with TLS or without: whoever reads and writes it does not know
//! which it is.

mod tls;

use std::fmt;
use std::io::{self, Read, Write};

use mio::net::TcpStream;
use tokio_rustls::rustls::HandshakeKind;

use super::target::Target;
use tls::Tls;

/// As little as can be around the socket where there is no TLS: a comparison for each call.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) version: &'static str,
    pub(crate) cipher_suite: &'static str,
    pub(crate) is_resumed: bool,
}

impl Stream {
    /// Over a socket that may still be connecting.
    ///
    /// # Errors
    /// The library takes the server's name for none.
    pub(crate) fn new(tcp: TcpStream, target: &Target) -> io::Result<Self> {
        match &target.tls {
            None => Ok(Self::Plain(tcp)),
            Some((config, name)) => Ok(Self::Tls(Box::new(Tls::new(tcp, config, name)?))),
        }
    }

    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.tcp,
        }
    }

    /// Goes on with what has to be before anything can be written, as far as the socket lets it:
    /// whether it is done.
    ///
    /// # Errors
    /// TLS is not agreed on, or the socket broke.
    pub(crate) fn shake_hands(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.shake_hands(),
        }
    }

    /// Whether a read would give something that the socket does not ring for any more: what did not fit
    /// into the last one, or the end.
    pub(crate) fn has_more(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.has_more(),
        }
    }

    /// What to say of an end where an answer to the WebSocket handshake was to come.
    pub(crate) fn closed_text(&self) -> &'static str {
        match self {
            Self::Plain(_) => {
                "the server closed the connection in the handshake; if it speaks TLS, write wss:// for ws://"
            }
            Self::Tls(_) => "the server closed the connection in the handshake",
        }
    }

    /// What was agreed on, if it is TLS and the handshake is done.
    pub(crate) fn agreed(&self) -> Option<Agreed> {
        let Self::Tls(tls) = self else { return None };
        Some(Agreed {
            version: match tls.client.protocol_version()?.as_str()? {
                "TLSv1_2" => "TLS 1.2",
                "TLSv1_3" => "TLS 1.3",
                other => other,
            },
            cipher_suite: tls.client.negotiated_cipher_suite()?.suite().as_str()?,
            is_resumed: tls.client.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

/// What TLS took and the kernel did not yet take goes with the next read or write, and the socket rings
/// for that: at most one record.
impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(tcp) => f.debug_tuple("Plain").field(tcp).finish(),
            Self::Tls(tls) => f.debug_tuple("Tls").field(&tls.tcp).finish(),
        }
    }
}

#[cfg(test)]
mod tests;
