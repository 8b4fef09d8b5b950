//! Where frames leave and bytes come in: a socket that a lane, a writer and a reader share.
//!
//! # State
//! A TCP or Unix socket is shared as it is: the kernel and tokio order what happens on it. Any other
//! stream stands behind a lock with a flag that it was killed and the wakers of both sides.
//!
//! # Who may touch what
//! One reader polls reads. Writes come from the lane or from a writer, never from both at once (the
//! outbox decides). So each direction has one waker. Anybody kills.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `killed` | anybody | reader, writer | the stream's lock | itself |
//! | wakers | reader, writer register | `kill` | `AtomicWaker` | registered before `killed` is looked at |
//!
//! # Races considered
//! - *Killed between a poll's registration and its look at `killed`*: the poll sees the flag, or the
//!   kill sees the waker.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::room::Wait;
use super::watched::Watched;

/// Not later, and no signal where nobody listens any more: that is an error like others.
const NOW: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Writes what the kernel takes now, whatever tokio knows of the socket.
#[inline]
pub(crate) fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, NOW)?)
}

/// The same for several pieces in one call.
pub(crate) fn send_vectored_now(
    socket: BorrowedFd<'_>,
    pieces: &[IoSlice<'_>],
) -> io::Result<usize> {
    Ok(sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), NOW)?)
}

/// Reads what the kernel has now, whatever tokio knows of the socket.
pub(crate) fn receive_now(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket, buf, RecvFlags::DONTWAIT)?.0)
}

/// Anything that is read and written: what a TLS library or a test hands over.
pub trait Duplex: AsyncRead + AsyncWrite + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + 'static> Duplex for T {}

/// A socket of one session.
#[derive(Debug)]
pub struct Socket(Kind);

#[derive(Debug)]
enum Kind {
    /// TCP or Unix.
    Watched(Watched),
    Tcp(TcpStream),
    Unix(UnixStream),
    Other(Box<Other>),
}

/// A stream that can only be polled through `&mut`: behind a lock that its reader and its writer
/// hold for one poll. `killed` and the wakers stand in for the `shutdown` that it lacks.
struct Other {
    stream: Mutex<Stream>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

struct Stream {
    io: Pin<Box<dyn Duplex>>,
    killed: bool,
}

impl std::fmt::Debug for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Other")
    }
}

impl From<Watched> for Socket {
    fn from(socket: Watched) -> Self {
        Self(Kind::Watched(socket))
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(Kind::Unix(stream))
    }
}

impl Socket {
    /// What it may keep of what was written, besides the kernel, in bytes: rustls up to its default
    /// limit for a peer that does not read, a bare socket nothing.
    pub(crate) fn buffer_bytes_max(&self) -> usize {
        match &self.0 {
            Kind::Watched(_) | Kind::Tcp(_) | Kind::Unix(_) => 0,
            Kind::Other(_) => 64 << 10,
        }
    }

    /// From any stream. Prefer the `From` conversions where they exist: they need no lock.
    pub fn from_stream(stream: impl Duplex) -> Self {
        Self::from_boxed(Box::pin(stream))
    }

    /// The same for a stream that is in a box already.
    pub fn from_boxed(io: Pin<Box<dyn Duplex>>) -> Self {
        Self(Kind::Other(Box::new(Other {
            stream: Mutex::new(Stream { io, killed: false }),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        })))
    }

    /// Writes what the socket takes now. `WouldBlock` means: nothing.
    ///
    /// Asks the kernel and not tokio, which would look at its own record of whether the socket is
    /// ready first: memory that a delivery touches for nothing else, and that is never in the cache
    /// (see "What was tried" in `perf/README.md`). A writer that waits afterwards asks tokio, which
    /// tries once more and then knows.
    ///
    /// A stream of an unknown kind never takes anything here: it may keep what it took in a buffer
    /// of its own, and only a writer task can wait until that is flushed.
    #[inline]
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        send_now(self.bare()?, bytes)
    }

    /// The same for several pieces in one call.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        send_vectored_now(self.bare()?, pieces)
    }

    /// The kernel's socket, if there is nothing between it and us.
    #[inline]
    fn bare(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.0 {
            Kind::Watched(socket) => Ok(socket.socket()),
            Kind::Tcp(stream) => Ok(stream.as_fd()),
            Kind::Unix(stream) => Ok(stream.as_fd()),
            Kind::Other(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether it is the kernel's, with nothing between it and us.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare().is_ok()
    }

    /// Writes at least something, or waits until it can. For one writer at a time.
    pub(crate) fn poll_write<'a>(
        &'a self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
        wait: &mut Wait<'a>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = match &self.0 {
                Kind::Watched(socket) => {
                    let written = send_vectored_now(socket.socket(), pieces);
                    if is_later(&written) {
                        wait.ask(socket.socket(), cx)?;
                        return Poll::Pending;
                    }
                    written
                }
                Kind::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write_vectored(pieces)
                }
                Kind::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write_vectored(pieces)
                }
                Kind::Other(other) => {
                    other.writer.register(cx.waker());
                    return other.poll_write(cx, pieces);
                }
            };
            if !is_later(&written) {
                return Poll::Ready(written);
            }
        }
    }

    /// Waits until a stream that buffers has handed on everything. For one writer at a time.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Watched(_) | Kind::Tcp(_) | Kind::Unix(_) => Poll::Ready(Ok(())),
            Kind::Other(other) => other.poll_flush(cx),
        }
    }

    /// Waits until bytes are there and puts them into `scratch`; 0 bytes are the end. For one reader.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let read = match &self.0 {
                Kind::Watched(socket) => return socket.poll_read(cx, scratch),
                Kind::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read(scratch)
                }
                Kind::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read(scratch)
                }
                Kind::Other(other) => {
                    other.reader.register(cx.waker());
                    return other.poll_read(cx, scratch);
                }
            };
            if !is_later(&read) {
                return Poll::Ready(read);
            }
        }
    }

    /// Says to the peer that nothing more comes, where the stream can say so without waiting.
    pub(crate) fn finish(&self) {
        let _ = match &self.0 {
            Kind::Watched(socket) => SockRef::from(&socket.socket()).shutdown(Shutdown::Write),
            Kind::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Kind::Unix(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Kind::Other(other) => {
                let mut cx = Context::from_waker(Waker::noop());
                let _ = other.stream.lock().io.as_mut().poll_shutdown(&mut cx);
                Ok(())
            }
        };
    }

    /// Ends both directions and wakes whoever waits for either.
    pub(crate) fn kill(&self) {
        // An error means that the peer was faster: the wake has happened then.
        let _ = match &self.0 {
            Kind::Watched(socket) => SockRef::from(&socket.socket()).shutdown(Shutdown::Both),
            Kind::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Both),
            Kind::Unix(stream) => SockRef::from(stream).shutdown(Shutdown::Both),
            Kind::Other(other) => {
                other.kill();
                Ok(())
            }
        };
    }
}

fn is_later(result: &io::Result<usize>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl Other {
    fn poll_write(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.lock();
        if stream.killed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        stream.io.as_mut().poll_write_vectored(cx, pieces)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.register(cx.waker());
        let mut stream = self.stream.lock();
        if stream.killed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        stream.io.as_mut().poll_flush(cx)
    }

    fn poll_read(&self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.lock();
        if stream.killed {
            return Poll::Ready(Ok(0));
        }
        let mut buf = ReadBuf::new(scratch);
        ready!(stream.io.as_mut().poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn kill(&self) {
        let mut stream = self.stream.lock();
        stream.killed = true;
        let mut cx = Context::from_waker(Waker::noop());
        let _ = stream.io.as_mut().poll_shutdown(&mut cx);
        drop(stream);
        self.reader.wake();
        self.writer.wake();
    }
}
