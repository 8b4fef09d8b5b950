//! The writer: exists while a session is behind, empties its outbox into its socket, and ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::socket::Socket;
use super::state::{Next, Outbox};

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

/// Writes until the outbox is empty.
///
/// Not cancel safe in the sense that dropping it leaves an outbox without a writer; nobody does.
pub(crate) async fn run(outbox: &Outbox, socket: &Socket) -> End {
    let mut batch = VecDeque::new();
    loop {
        match outbox.take(&mut batch) {
            Next::Write => {}
            Next::Idle => return End::Idle,
            Next::CloseWritten => return End::CloseWritten,
            Next::Closed => return End::Closed,
        }
        while !batch.is_empty() {
            match write_some(socket, &batch).await {
                Ok(written) => advance(&mut batch, written),
                Err(_) => return End::Broken,
            }
        }
        if poll_fn(|cx| socket.poll_flush(cx)).await.is_err() {
            return End::Broken;
        }
    }
}

async fn write_some(socket: &Socket, batch: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
    let count = batch.len().min(PIECES_MAX);
    for (piece, bytes) in pieces.iter_mut().zip(batch) {
        *piece = IoSlice::new(bytes);
    }
    let written = poll_fn(|cx| socket.poll_write(cx, &pieces[..count])).await?;
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
