//! What carries a connection: a TCP or a Unix socket, or anything that stands on one of them.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::outbox::{Duplex, Socket, Watched, receive_now, send_now, send_vectored_now};

/// See the module. Sockets are told apart, because a session writes to a bare one without a task.
///
/// What is written goes to the kernel first, and waits as tokio does only if that does not take it.
pub enum Stream {
    /// A socket that was accepted here, until it has to wait to be written to.
    Fresh(Fresh),
    /// A TCP socket.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// Anything else, as TLS is.
    Other(Pin<Box<dyn Duplex>>),
}

/// A socket that is [watched](Watched) for reading.
#[derive(Debug)]
pub struct Fresh {
    socket: Watched,
    is_tcp: bool,
}

impl Fresh {
    /// Has tokio watch it for everything.
    fn watch(self) -> io::Result<Stream> {
        let socket = self.socket.into_inner();
        match self.is_tcp {
            true => Ok(TcpStream::from_std(socket.into())?.into()),
            false => Ok(UnixStream::from_std(socket.into())?.into()),
        }
    }
}

impl Stream {
    /// From a TCP socket that does not block.
    ///
    /// # Errors
    /// tokio cannot watch it: no memory is left, or no watch.
    pub fn fresh_tcp(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self::Fresh(Fresh { socket: Watched::new(socket)?, is_tcp: true }))
    }

    /// From a Unix socket that does not block.
    ///
    /// # Errors
    /// tokio cannot watch it: no memory is left, or no watch.
    pub fn fresh_unix(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self::Fresh(Fresh { socket: Watched::new(socket)?, is_tcp: false }))
    }

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
            Self::Fresh(fresh) => Ok(fresh.socket.socket()),
            Self::Tcp(stream) => Ok(stream.as_fd()),
            Self::Unix(stream) => Ok(stream.as_fd()),
            Self::Other(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// For whoever has to wait, which a fresh one cannot do as it is.
    fn io(&mut self, cx: &Context<'_>) -> io::Result<Pin<&mut dyn Duplex>> {
        if let Self::Fresh(_) = self
            && let Self::Fresh(fresh) = std::mem::replace(self, Self::other(tokio::io::empty()))
        {
            *self = fresh.watch()?;
            // Whoever waits to read is to be woken by what watches it from here on.
            cx.waker().wake_by_ref();
        }
        Ok(match self {
            Self::Fresh(_) => return Err(io::ErrorKind::NotConnected.into()),
            Self::Tcp(stream) => {
                let stream: Pin<&mut TcpStream> = Pin::new(stream);
                stream
            }
            Self::Unix(stream) => {
                let stream: Pin<&mut UnixStream> = Pin::new(stream);
                stream
            }
            Self::Other(stream) => stream.as_mut(),
        })
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
            Stream::Fresh(fresh) => fresh.socket.into(),
            Stream::Tcp(stream) => stream.into(),
            Stream::Unix(stream) => stream.into(),
            Stream::Other(stream) => Socket::from_boxed(stream),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh(fresh) => fresh.fmt(f),
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
        if let Self::Fresh(fresh) = &*self {
            let read = ready!(fresh.socket.poll_read(cx, buf.initialize_unfilled()))?;
            buf.advance(read);
            return Poll::Ready(Ok(()));
        }
        self.io(cx)?.poll_read(cx, buf)
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
                self.io(cx)?.poll_write(cx, bytes)
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
                self.io(cx)?.poll_write_vectored(cx, pieces)
            }
            written => Poll::Ready(written),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Fresh(_) => true,
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self {
            Self::Fresh(_) => Poll::Ready(Ok(())),
            _ => self.io(cx)?.poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self {
            Self::Fresh(fresh) => {
                let ended = SockRef::from(&fresh.socket.socket()).shutdown(Shutdown::Write);
                // It was the peer that ended it.
                Poll::Ready(ended.or_else(|error| match error.kind() {
                    io::ErrorKind::NotConnected => Ok(()),
                    _ => Err(error),
                }))
            }
            _ => self.io(cx)?.poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn fresh() -> (Stream, UnixStream) {
        let (socket, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        (Stream::fresh_unix(socket.into()).unwrap(), UnixStream::from_std(peer).unwrap())
    }

    #[tokio::test]
    async fn a_fresh_one_that_has_to_wait_to_write_is_still_woken_for_what_it_reads() {
        let (stream, mut peer) = fresh();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let long = vec![b'x'; 4 << 20];
        let ours = async {
            // The read waits first, and the write changes what watches the socket.
            let mut answer = [0; 5];
            let (read, written) =
                tokio::join!(reader.read_exact(&mut answer), writer.write_all(&long));
            (read.unwrap(), written.unwrap(), answer)
        };
        let theirs = async {
            let mut taken = vec![0; long.len()];
            tokio::time::sleep(Duration::from_millis(20)).await;
            peer.read_exact(&mut taken).await.unwrap();
            assert!(taken == long);
            peer.write_all(b"taken").await.unwrap();
        };
        let both = async { tokio::join!(ours, theirs) };
        let ((_, _, answer), ()) =
            tokio::time::timeout(Duration::from_secs(10), both).await.expect("an end");
        assert_eq!(&answer, b"taken");
    }

    #[tokio::test]
    async fn a_fresh_one_reads_what_comes_in_pieces_and_its_end() {
        let (mut stream, mut peer) = fresh();
        assert_eq!(stream.try_read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let theirs = async {
            for piece in [b"ab", b"cd"] {
                peer.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            peer.shutdown().await.unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let ours = async {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"abcd");
            stream.write_all(b"end").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        assert!(matches!(tokio::join!(theirs, ours).0.as_slice(), b"end"));
    }
}
