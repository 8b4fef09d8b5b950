//! The writer: exists while a session is behind, empties its outbox into its socket, and ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::Poll;

use bytes::{Buf, Bytes};
use tokio::task::coop::consume_budget;

use super::queue::{Loss, Taking};
use super::room::{Room, Wait};
use super::socket::Socket;
use super::state::{Next, Outbox};
use crate::base::loss::Dropped;

/// Pieces of one vectored write. Linux takes 1,024 (`IOV_MAX`); beyond 64 the call costs more than
/// it saves.
const PIECES_MAX: usize = 64;

/// How a writer ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The outbox is empty; the lane writes again.
    Idle,
    /// The close frame is written.
    CloseWritten,
    /// The session was ended by somebody else.
    Closed,
    /// The socket is broken.
    Broken,
}

/// What a writer needs to know: this floor has no clock, no protocol and no counters.
pub(crate) struct Terms<'a, N, T, C> {
    /// Where it waits until its socket takes more.
    pub(crate) room: &'a Room,
    /// The time now, in milliseconds.
    pub(crate) now_ms: N,
    /// How long a message that may be dropped waits at most.
    pub(crate) age_max_ms: u64,
    /// The frame that tells the session of a loss; `None` if its protocol has no place for that.
    pub(crate) tell: T,
    /// Counts what was dropped because it had waited for too long.
    pub(crate) count: C,
}

/// Writes until the outbox is empty.
///
/// Not cancel safe in the sense that dropping it leaves an outbox without a writer; nobody does.
pub(crate) async fn run<'a, N, T, C>(
    outbox: &Outbox,
    socket: &'a Socket,
    terms: Terms<'a, N, T, C>,
) -> End
where
    N: Fn() -> u64,
    T: Fn(&Loss) -> Option<Bytes>,
    C: Fn(&Dropped),
{
    let mut batch = VecDeque::new();
    loop {
        match take(outbox, &mut batch, &terms) {
            Next::Write => {}
            Next::Idle => return End::Idle,
            Next::CloseWritten => return End::CloseWritten,
            Next::Closed => return End::Closed,
        }
        // Over before the next look into the outbox: once that is idle the lane may start another writer, which
        // asks for the same socket.
        let mut wait = terms.room.wait();
        while !batch.is_empty() {
            // A reader that takes everything at once would never let others of this worker have a turn.
            consume_budget().await;
            match write_some(outbox, socket, &batch, &mut wait).await {
                Ok(written) => advance(&mut batch, written),
                Err(_) => return End::Broken,
            }
        }
        let flushed = poll_fn(|cx| noted(outbox, socket, socket.poll_flush(cx))).await;
        if flushed.is_err() {
            return End::Broken;
        }
    }
}

fn take<N, T, C>(outbox: &Outbox, batch: &mut VecDeque<Bytes>, terms: &Terms<'_, N, T, C>) -> Next
where
    N: Fn() -> u64,
    T: Fn(&Loss) -> Option<Bytes>,
    C: Fn(&Dropped),
{
    let Terms { now_ms, age_max_ms, tell, count, .. } = terms;
    let (now_ms, age_max_ms) = (now_ms(), *age_max_ms);
    let mut dropped = Dropped::default();
    let next = outbox.take(batch, &mut Taking { now_ms, age_max_ms, tell, dropped: &mut dropped });
    if dropped != Dropped::default() {
        count(&dropped);
    }
    next
}

/// A socket that is not ready may hold what it took.
fn noted<T>(outbox: &Outbox, socket: &Socket, result: Poll<T>) -> Poll<T> {
    if result.is_pending() && socket.buffer_bytes_max() > 0 {
        outbox.note_buffered(socket.buffer_bytes_max());
    }
    result
}

async fn write_some<'a>(
    outbox: &Outbox,
    socket: &'a Socket,
    batch: &VecDeque<Bytes>,
    wait: &mut Wait<'a>,
) -> io::Result<usize> {
    let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
    let count = batch.len().min(PIECES_MAX);
    for (piece, bytes) in pieces.iter_mut().zip(batch) {
        *piece = IoSlice::new(bytes);
    }
    let written =
        poll_fn(|cx| noted(outbox, socket, socket.poll_write(cx, &pieces[..count], wait))).await?;
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

fn advance(batch: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = batch.front_mut() {
        if written < first.len() {
            first.advance(written);
            return;
        }
        written -= first.len();
        batch.pop_front();
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use std::cell::Cell;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use super::super::queue::{Bounds, Squeeze};
    use super::super::state::Offered;
    use super::super::watched::Watched;
    use super::*;
    use crate::base::memory::Memory;

    const FRAME_BYTES: usize = 64 << 10;
    const FRAMES: usize = 40;

    #[tokio::test]
    async fn a_writer_that_looks_into_its_outbox_waits_for_no_socket() {
        let (socket, mut peer) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket: Socket = Watched::new(socket.into()).unwrap().into();
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; FRAMES * FRAME_BYTES];
            peer.read_exact(&mut bytes).unwrap();
        });
        let outbox = Outbox::new();
        assert!(!outbox.open());
        let bounds =
            Bounds { bytes_max: usize::MAX, frames_max: usize::MAX, squeeze: Squeeze::None };
        let frame = Bytes::from(vec![1; FRAME_BYTES]);
        let frames = (0..FRAMES).map(|_| (frame.clone(), None));
        let memory: Arc<Memory> = Memory::new(usize::MAX);
        let parked = outbox.park(None, frames, &bounds, 0, &memory);
        assert!(matches!(parked, Offered::Taken { refused: 0, .. }));
        let (room, looks) = (Room::default(), Cell::new(0));
        let terms = Terms {
            room: &room,
            now_ms: || {
                assert!(room.is_empty(), "another writer could not ask for the socket");
                looks.set(looks.get() + 1);
                0
            },
            age_max_ms: u64::MAX,
            tell: |_: &Loss| None,
            count: |_: &Dropped| {},
        };
        assert!(matches!(run(&outbox, &socket, terms).await, End::Idle));
        assert!(looks.get() > FRAMES / 2, "{} looks", looks.get());
        reader.join().unwrap();
    }
}
