//! The socket inside an upgraded connection.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::{TcpStream, UnixStream};

use super::strict::StrictStream;
use crate::outbox::Socket;

/// Takes the socket out of hyper, and the bytes that came in the same packet as the handshake.
///
/// A TCP or Unix socket comes out bare, so that lanes write to it directly, whether hyper's own
/// connection served it or hyper-util's `auto` (which axum uses). Anything else is read and written
/// through hyper's wrapper, behind a lock.
pub(super) fn from_upgraded(upgraded: Upgraded, send_buffer: Option<usize>) -> (Socket, Bytes) {
    let upgraded = match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return (tcp(parts.io.into_inner(), send_buffer), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return (tcp(parts.io.into_inner(), send_buffer), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<StrictStream>>() {
        Ok(parts) => match parts.io.into_inner().into_inner() {
            // The gateway's own, which has its options from the listener.
            Some(stream) => return (stream.into(), parts.read_buf),
            // Nobody wants back what is being upgraded.
            None => return (Socket::from_stream(tokio::io::empty()), Bytes::new()),
        },
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) => return (parts.io.into_inner().into(), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    (Socket::from_stream(TokioIo::new(upgraded)), Bytes::new())
}

fn tcp(stream: TcpStream, send_buffer: Option<usize>) -> Socket {
    // Neither can fail on a socket that is open; on one that is not, the first read says so.
    let _ = stream.set_nodelay(true);
    if let Some(bytes) = send_buffer {
        let _ = socket2::SockRef::from(&stream).set_send_buffer_size(bytes);
    }
    stream.into()
}
