//! A stream for hyper that reads strictly and ends politely.
//!
//! It watches where requests begin and end ([`Framing`]) and tells whoever serves them, through
//! [`Requests`]: which request must not be served, and since when a head has been coming in. And
//! where the peer may still be sending when the connection ends, it takes what comes for a moment:
//! closed with bytes unread, the kernel would reset the connection, and the reset could overtake the
//! answer that says what was wrong.
//!
//! An upgraded connection has none of this: [`upgrade`](super::upgrade) takes the bare stream out. So
//! does whoever answers a request without hyper: [`Requests::want`], then drops hyper's connection.
//!
//! # State
//! [`Requests`], shared by the stream inside of hyper's connection and by whoever serves it.
//!
//! # Who may touch what
//! All of it belongs to the one task that polls the connection.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | all | the task | the task | Relaxed | nothing: atomic, and `taken` in a lock, only because the task may move between threads |
//!
//! # Races considered
//! None: one task.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::framing::{Fault, Framing};
use super::stream::Stream;

/// How long the end of a connection waits for a peer that may still be sending.
const LINGER: Duration = Duration::from_secs(1);

/// What is known of the requests on one connection.
#[derive(Debug)]
pub struct Requests {
    began: Instant,
    /// The number, from 1, of the first request that is ambiguous; `u32::MAX` if none is.
    ambiguous: AtomicU32,
    served: AtomicU32,
    /// Milliseconds from `began` and one more, 0 for not: since when a head has been coming in, and
    /// when the latest request was served.
    head_since: AtomicU64,
    latest: AtomicU64,
    refused: AtomicBool,
    /// Where the stream goes when hyper lets go of it, once somebody wants it.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
enum Taken {
    #[default]
    Unwanted,
    Wanted,
    Here(Stream),
}

impl Requests {
    fn new(began: Instant) -> Self {
        Self {
            began,
            ambiguous: AtomicU32::new(u32::MAX),
            served: AtomicU32::new(0),
            head_since: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            taken: Mutex::default(),
        }
    }

    /// Counts a request that hyper hands on. Returns whether it may be served; if not, the answer is
    /// 400 and the connection has to end with it, because where the next one begins is not sure.
    pub fn next_may_be_served(&self) -> bool {
        let number = self.served.load(Ordering::Relaxed).saturating_add(1);
        self.served.store(number, Ordering::Relaxed);
        self.latest.store(self.now(), Ordering::Relaxed);
        number < self.ambiguous.load(Ordering::Relaxed)
    }

    /// The connection ends with a refusal, and the peer may still be sending.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// The stream is to come back when hyper lets go of it: see [`take`](Self::take).
    pub fn want(&self) {
        *self.taken.lock() = Taken::Wanted;
    }

    /// The stream, if it was wanted and hyper has let go of it.
    pub fn take(&self) -> Option<Stream> {
        match std::mem::take(&mut *self.taken.lock()) {
            Taken::Here(stream) => Some(stream),
            Taken::Unwanted | Taken::Wanted => None,
        }
    }

    /// When the connection was made.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Since when a head has been coming in that is not yet whole.
    pub fn head_since(&self) -> Option<Instant> {
        self.time(&self.head_since)
    }

    /// When the latest request came.
    pub fn latest(&self) -> Option<Instant> {
        self.time(&self.latest)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    fn time(&self, of: &AtomicU64) -> Option<Instant> {
        let ms = of.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(ms))
    }

    fn note_head(&self, is_in_head: bool) {
        let since = self.head_since.load(Ordering::Relaxed);
        if is_in_head != (since > 0) {
            let since = if is_in_head { self.now() } else { 0 };
            self.head_since.store(since, Ordering::Relaxed);
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct StrictStream {
    /// Until it is taken out.
    stream: Option<Stream>,
    /// What was read before, and comes first.
    replay: Bytes,
    framing: Framing,
    requests: Arc<Requests>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl StrictStream {
    /// For a connection made at `began`, of which nothing was read but `replay`; and what is known of
    /// its requests.
    pub fn new(stream: Stream, replay: Bytes, began: Instant) -> (Self, Arc<Requests>) {
        let requests = Arc::new(Requests::new(began));
        let shared = requests.clone();
        let (stream, framing) = (Some(stream), Framing::new());
        (Self { stream, replay, framing, requests, lingering: None }, shared)
    }

    /// The bare stream; `None` if somebody wanted it back before.
    pub fn into_inner(mut self) -> Option<Stream> {
        self.stream.take()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn look_at(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.framing.take(bytes) {
            Ok(()) => {}
            Err(Fault::Ambiguous) => {
                let number = self.framing.heads().saturating_add(1);
                self.requests.ambiguous.store(number, Ordering::Relaxed);
            }
            Err(Fault::Empty) => return Err(io::ErrorKind::InvalidData.into()),
        }
        self.requests.note_head(self.framing.is_in_head());
        Ok(())
    }

    /// Whether the peer may be sending something that nobody reads.
    fn has_more_coming(&self) -> bool {
        let requests = &self.requests;
        requests.refused.load(Ordering::Relaxed)
            || self.framing.is_in_head()
            || self.framing.heads() != requests.served.load(Ordering::Relaxed)
    }
}

impl AsyncRead for StrictStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let replayed = self.replay.len().min(buf.remaining());
        if replayed > 0 {
            buf.put_slice(&self.replay[..replayed]);
            self.replay.advance(replayed);
        } else {
            ready!(self.stream()?.poll_read(cx, buf))?;
        }
        Poll::Ready(self.look_at(&buf.filled()[before..]))
    }
}

impl AsyncWrite for StrictStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.stream()?.poll_shutdown(cx))?;
            if !self.has_more_coming() {
                return Poll::Ready(Ok(()));
            }
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let mut scratch = [0; 4 << 10];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match self.stream()?.poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        match &mut self.lingering {
            Some(lingering) => lingering.as_mut().poll(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for StrictStream {
    fn drop(&mut self) {
        let mut taken = self.requests.taken.lock();
        if let (Taken::Wanted, Some(stream)) = (&*taken, self.stream.take()) {
            *taken = Taken::Here(stream);
        }
    }
}
