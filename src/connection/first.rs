//! The first request of a connection, where that is the upgrade to a WebSocket and its head came in one
//! piece: what nearly every WebSocket begins with.
//!
//! Such a head needs no HTTP connection around it. hyper's dispatch and its hand-over of the socket were
//! 35,000 of the 55,000 instructions from accept to end. Everything else goes to hyper, with what was
//! read: a head in pieces, a request that is no plain upgrade, or one that can be read in two ways, which
//! is refused there.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::head::Head;
use super::reader::SCRATCH;
use super::stream::Stream;

/// What the first read of a connection brought.
#[derive(Debug)]
pub enum First {
    /// A plain upgrade.
    Upgrade(Head),
    /// Anything else; nothing if the peer has ended.
    Other(Bytes),
}

impl First {
    /// What a bare socket has now of a connection's first bytes, at most `bytes_max` of them; `None` if there
    /// is nothing yet, and for anything but a bare socket.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn at_once(
        stream: &Stream,
        bytes_max: usize,
        headers_max: usize,
    ) -> Option<io::Result<Self>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = bytes_max.min(scratch.len());
            match stream.try_read(&mut scratch[..room]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                read => Some(read.map(|read| Self::of(&scratch[..read], headers_max))),
            }
        })
    }

    /// Waits for the first bytes of a connection, and takes at most `bytes_max` of them.
    ///
    /// # Errors
    /// Those of the stream.
    ///
    /// # Cancel safety
    /// Dropped before it is ready it has taken nothing.
    pub async fn read(
        stream: &mut Stream,
        bytes_max: usize,
        headers_max: usize,
    ) -> io::Result<Self> {
        poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let room = bytes_max.min(scratch.len());
                let mut buf = ReadBuf::new(&mut scratch[..room]);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok(Self::of(buf.filled(), headers_max)))
            })
        })
        .await
    }

    /// Looks at what was read.
    pub fn of(bytes: &[u8], headers_max: usize) -> Self {
        match Head::parse(Bytes::copy_from_slice(bytes), headers_max) {
            Ok(head) => Self::Upgrade(head),
            Err(bytes) => Self::Other(bytes),
        }
    }
}
