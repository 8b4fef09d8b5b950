//! What carries a connection: a TCP or a Unix socket, or anything that stands on one of them.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::outbox::{Duplex, Socket, receive_now, send_now, send_vectored_now};

/// See the module. Sockets are told apart, because a session writes to a bare one without a task.
///
/// What is written goes to the kernel first, and waits as tokio does only if that does not take it: of a
/// socket that was just accepted tokio has not heard yet that it can be written to, and whoever refuses
/// a connection at once may not wait until it has.
pub enum Stream {
    /// A TCP socket.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// Anything else, as TLS is.
    Other(Pin<Box<dyn Duplex>>),
}

impl Stream {
    /// From anything that is no bare socket.
    pub fn other(stream: impl Duplex) -> Self {
        Self::Other(Box::pin(stream))
    }

    /// Writes what a bare socket takes now; anything else takes nothing at once.
    ///
    /// # Errors
    /// Those of the socket; `WouldBlock` means nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        send_now(self.bare()?, bytes)
    }

    /// Reads what a bare socket has now; anything else has nothing at once.
    ///
    /// # Errors
    /// Those of the socket; `WouldBlock` means nothing.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        receive_now(self.bare()?, buf)
    }

    /// The kernel's socket, if there is nothing between it and us.
    fn bare(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Ok(stream.as_fd()),
            Self::Unix(stream) => Ok(stream.as_fd()),
            Self::Other(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn io(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Self::Tcp(stream) => {
                let stream: Pin<&mut TcpStream> = Pin::new(stream);
                stream
            }
            Self::Unix(stream) => {
                let stream: Pin<&mut UnixStream> = Pin::new(stream);
                stream
            }
            Self::Other(stream) => stream.as_mut(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Tcp(stream) => stream.into(),
            Stream::Unix(stream) => stream.into(),
            Stream::Other(stream) => Socket::from_boxed(stream),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(stream) => stream.fmt(f),
            Self::Unix(stream) => stream.fmt(f),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.io().poll_write(cx, bytes)
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.bare().and_then(|socket| send_vectored_now(socket, pieces));
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.io().poll_write_vectored(cx, pieces)
            }
            written => Poll::Ready(written),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }
}
