//! Descriptors that tokio watches for reading, and for nothing else.
//!
//! A socket of tokio's own is watched for writing as well. A fresh one can be written to, so each connection
//! woke its worker once more to hear that: 2.5 of 26 µs of what the least server costs for one that is
//! made alone (`perf/README.md`). Only who is behind waits to write, and does so in [`room`](super::room).

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::socket::receive_now;

/// Watches it until what is returned is dropped. It has to own its descriptor, and not to block.
///
/// # Errors
/// Those of `epoll_ctl`: no memory is left, or no watch.
///
/// # Panics
/// Outside of a tokio runtime.
#[expect(
    deprecated,
    reason = "sound for what owns its descriptor and keeps it; the new one is `unsafe`"
)]
pub(crate) fn watch_reading<T: AsRawFd>(owner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}

/// A TCP or Unix socket that is watched for reading.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Of a socket that does not block and that tokio has not heard of.
    ///
    /// # Errors
    /// Those of `epoll_ctl`: no memory is left, or no watch.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        watch_reading(socket).map(Self)
    }

    /// The socket, which is not watched any more.
    pub fn into_inner(self) -> OwnedFd {
        self.0.into_inner()
    }

    /// The socket itself.
    #[inline]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }

    /// Waits until bytes are there and puts them into `scratch`; 0 bytes are the end. For one reader.
    pub fn poll_read(&self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            match receive_now(self.socket(), scratch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                read => {
                    // Fewer than there was room for were all (epoll(7)); what comes later is told of anew.
                    // The end of the peer is not forgotten by this.
                    if read.as_ref().is_ok_and(|read| *read < scratch.len()) {
                        ready.clear_ready();
                    }
                    return Poll::Ready(read);
                }
            }
        }
    }
}
