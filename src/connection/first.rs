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
use std::task::ready;

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
                let scratch = &mut scratch[..room];
                // Mostly they are there by now, but tokio has not heard of it yet.
                let read = match stream.try_read(scratch) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let mut buf = ReadBuf::new(scratch);
                        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
                        buf.filled().len()
                    }
                    read => read?,
                };
                let bytes = Bytes::copy_from_slice(&scratch[..read]);
                io::Result::Ok(Self::of(bytes, headers_max)).into()
            })
        })
        .await
    }

    /// Looks at what was read.
    pub fn of(bytes: Bytes, headers_max: usize) -> Self {
        match Head::parse(bytes, headers_max) {
            Ok(head) => Self::Upgrade(head),
            Err(bytes) => Self::Other(bytes),
        }
    }
}
