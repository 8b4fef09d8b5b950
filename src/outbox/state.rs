//! The outbox of a session, shared by the lane that feeds it and the writer that empties it.
//!
//! # State
//! | state | queue | who writes to the socket |
//! |---|---|---|
//! | `Idle` | none | the lane, directly |
//! | `Parked` | some; before the socket is there: none until something is offered | the writer task, and nobody else; before the socket is there: nobody yet |
//! | `Closing` | some: its last frame is the close; none: the close is written | the writer while there is a queue |
//! | `Closed` | none | nobody |
//!
//! # Who may touch what
//! 1. `state` changes only while the queue's lock is held; it is read without.
//! 2. Only the session's lane leaves `Idle` for `Parked` or `Closing`, and only the lane writes in
//!    `Idle`. So the fast path is one load: no lock, no exchange.
//! 3. Only the writer leaves `Parked` for `Idle`, when it finds the queue empty under the lock. From
//!    then on it touches nothing.
//! 4. Anybody may go to `Closed`. Whoever does ends the socket too, which wakes a writer that waits
//!    for it to become writable.
//! 5. The lock is held for a few queue operations, never across a write or an await, and only ever
//!    contended between one lane and one writer of a session that is behind.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `state` = `Idle` | writer | lane, without the lock | Release / Acquire | the lane's direct write comes after the writer's last one |
//! | `state`, else | as above | under the lock, or as a hint | Release / Acquire | the lock orders them; the same order as above so that there is only one |
//!
//! # Races considered
//! - *The lane reads `Parked`, the writer goes `Idle`, the lane offers*: it finds no queue, gets its
//!   frames back ([`Offered::Idle`]) and writes them directly.
//! - *The lane offers, the writer takes*: the lock decides. Either the writer sees the frames, or it
//!   has gone `Idle` before: the case above. No frame is left behind without a writer.
//! - *Closed while the lane is in a direct write*: the write fails or goes to a dying socket; the
//!   park that may follow finds `Closed` and drops the rest.
//! - *Closed while the writer writes*: its next [`Outbox::take`] says so.
//! - *A policy drops what the writer takes*: the lock decides. What is in the writer's batch is out of
//!   the queue, so no policy finds it.
//! - *A loss while the writer takes the last data*: it is noted under the lock, and a queue with
//!   something to tell is not empty. So it is told before the outbox goes `Idle`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::queue::{Bounds, Labelled, Pushed, Queue, Taking};
use crate::base::loss::Dropped;
use crate::base::memory::Memory;
use crate::base::sync::{AtomicU8, Mutex, Ordering};

/// Bytes a writer takes for one write: as many as a socket's buffer commonly takes at once.
#[cfg(not(fanfare_loom))]
const WRITE_BYTES_MAX: usize = 64 << 10;
/// In the model two frames are a batch, so that a queue outlives one.
#[cfg(fanfare_loom)]
const WRITE_BYTES_MAX: usize = 2;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Idle,
    Parked,
    Closing,
    Closed,
}

/// What became of frames that the lane gave to the outbox.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Offered {
    /// Taken. `dropped` are those that policies dropped for it, of the new and of those before. The
    /// last `refused` were not taken: the session has to end.
    Taken { dropped: Dropped, refused: usize },
    /// There is no queue any more: write directly.
    Idle,
    /// The session is over.
    Closed,
}

/// What a writer has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Next {
    /// Write the batch.
    Write,
    /// Nothing is left; the lane writes again. The writer ends.
    Idle,
    /// The close frame was the last. The writer ends.
    CloseWritten,
    /// The session is over. The writer ends.
    Closed,
}

/// How a close begins.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Closing {
    /// Nothing is queued: write the close directly.
    Write(Bytes),
    /// The writer will write it; `dropped` data frames made way.
    Queued { dropped: usize },
    /// It has begun already, or the session is over.
    Already,
}

/// See the module. In this order: the state stands beside what follows an outbox in a session, the
/// queue beside what stands before it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Outbox {
    queue: Mutex<Option<Box<Queue>>>,
    state: AtomicU8,
}

impl Outbox {
    /// Where the state stands, for whoever arranges what is looked at together.
    #[cfg(test)]
    pub(crate) const STATE_AT: usize = std::mem::offset_of!(Outbox, state);

    /// For a session whose socket is not there yet: `Parked`, so that everything queues up. For most
    /// nothing does, so there is no queue yet.
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::new(None), state: AtomicU8::new(State::Parked as u8) }
    }

    /// The state now; a hint to everybody but the lane (see the module, rule 2).
    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Idle,
            1 => State::Parked,
            2 => State::Closing,
            _ => State::Closed,
        }
    }

    fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// For whoever brings the socket. Returns whether a writer has to be started for what queued up.
    pub(crate) fn open(&self) -> bool {
        let mut guard = self.queue.lock();
        let waits = guard.as_ref().is_some_and(|queue| !queue.is_empty());
        if self.state() == State::Parked && !waits {
            *guard = None;
            self.set(State::Idle);
        }
        guard.is_some()
    }

    /// The queue of a session that is behind, or has no socket yet.
    ///
    /// # Errors
    /// Why there is none.
    fn queue_of<'g>(
        &self,
        guard: &'g mut Option<Box<Queue>>,
        memory: &Arc<Memory>,
    ) -> Result<&'g mut Queue, Offered> {
        match self.state() {
            State::Idle => Err(Offered::Idle),
            State::Parked => Ok(guard.get_or_insert_with(|| Queue::counted(memory))),
            State::Closing | State::Closed => Err(Offered::Closed),
        }
    }

    /// For the lane, in `Idle`, when the socket did not take everything: `remainder` of a begun
    /// frame if any, then `frames`. On `Taken` the caller starts a writer.
    pub(crate) fn park(
        &self,
        remainder: Option<Bytes>,
        frames: impl Iterator<Item = Labelled>,
        bounds: &Bounds,
        now_ms: u64,
        memory: &Arc<Memory>,
    ) -> Offered {
        let mut guard = self.queue.lock();
        if self.state() != State::Idle {
            return Offered::Closed;
        }
        let mut queue = Queue::counted(memory);
        if let Some(remainder) = remainder {
            queue.set_remainder(remainder, now_ms);
        }
        let offered = push_all(&mut queue, frames, bounds, now_ms);
        *guard = Some(queue);
        self.set(State::Parked);
        offered
    }

    /// For the lane: data for a session that is behind.
    pub(crate) fn offer(
        &self,
        frames: impl Iterator<Item = Labelled>,
        bounds: &Bounds,
        now_ms: u64,
        memory: &Arc<Memory>,
    ) -> Offered {
        match self.queue_of(&mut self.queue.lock(), memory) {
            Ok(queue) => push_all(queue, frames, bounds, now_ms),
            Err(offered) => offered,
        }
    }

    /// For the lane: a control frame for a session that is behind.
    pub(crate) fn offer_control(&self, frame: Bytes, memory: &Arc<Memory>) -> Offered {
        match self.queue_of(&mut self.queue.lock(), memory) {
            Ok(queue) => {
                let pushed = queue.push_control(frame);
                queue.note_held();
                taken_or_refused(pushed)
            }
            Err(offered) => offered,
        }
    }

    /// For the lane: a reply that must not overtake the data queued before it.
    pub(crate) fn offer_behind(
        &self,
        frame: Bytes,
        bounds: &Bounds,
        now_ms: u64,
        memory: &Arc<Memory>,
    ) -> Offered {
        match self.queue_of(&mut self.queue.lock(), memory) {
            Ok(queue) => {
                let pushed = queue.push_behind(frame, bounds, now_ms);
                queue.note_held();
                taken_or_refused(pushed)
            }
            Err(offered) => offered,
        }
    }

    /// For the lane: begins to close. No data is taken from now on.
    pub(crate) fn begin_close(&self, close: Bytes, discard: bool, memory: &Arc<Memory>) -> Closing {
        let mut guard = self.queue.lock();
        let closing = match self.queue_of(&mut guard, memory) {
            Ok(queue) => {
                let dropped = queue.push_close(close, discard);
                queue.note_held();
                Closing::Queued { dropped }
            }
            Err(Offered::Idle) => Closing::Write(close),
            Err(_) => return Closing::Already,
        };
        self.set(State::Closing);
        closing
    }

    /// For the lane, in `Closing` without a queue, when the socket did not take the whole close
    /// frame. Returns whether the caller has to start a writer.
    pub(crate) fn park_close(&self, rest: Bytes, memory: &Arc<Memory>) -> bool {
        let mut guard = self.queue.lock();
        if self.state() != State::Closing {
            return false;
        }
        let mut queue = Queue::counted(memory);
        let _ = queue.push_close(rest, false);
        *guard = Some(queue);
        true
    }

    /// For the writer (and for whoever brings the socket, in the writer's place): the next batch.
    /// What was taken before counts as written.
    pub(crate) fn take(&self, batch: &mut VecDeque<Bytes>, taking: &mut Taking<'_>) -> Next {
        let mut guard = self.queue.lock();
        let Some(queue) = guard.as_mut() else { return Next::Closed };
        queue.take(batch, WRITE_BYTES_MAX, taking);
        queue.note_held();
        if !batch.is_empty() {
            return Next::Write;
        }
        *guard = None;
        match self.state() {
            State::Parked => {
                self.set(State::Idle);
                Next::Idle
            }
            State::Closing => Next::CloseWritten,
            State::Idle | State::Closed => Next::Closed,
        }
    }

    /// For the writer: the socket keeps so much of what it took until it can go on.
    pub(crate) fn note_buffered(&self, bytes: usize) {
        if let Some(queue) = self.queue.lock().as_mut() {
            queue.note_buffered(bytes);
        }
    }

    /// Ends it: whatever waits is dropped. The caller ends the socket too. Returns whether it was
    /// this call that did it.
    pub(crate) fn close(&self) -> bool {
        let mut guard = self.queue.lock();
        *guard = None;
        let first = self.state() != State::Closed;
        self.set(State::Closed);
        first
    }

    /// How far it is behind; `None` if nothing waits.
    pub(crate) fn lag(&self) -> Option<Lag> {
        let guard = self.queue.lock();
        let queue = guard.as_ref()?;
        Some(Lag {
            held_bytes: queue.held_bytes(),
            bytes: queue.bytes(),
            frames: queue.frames(),
            held_since_ms: queue.held_since_ms(),
            oldest_ms: queue.oldest_ms(),
            behind_since_ms: queue.behind_since_ms(),
            lost: queue.lost(),
        })
    }
}

/// How far a session is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    /// What it holds of the node's memory, some of it with others.
    pub(crate) held_bytes: usize,
    pub(crate) bytes: usize,
    pub(crate) frames: usize,
    /// Since when it holds up what nobody may drop: see [`Queue::held_since_ms`].
    pub(crate) held_since_ms: Option<u64>,
    pub(crate) oldest_ms: Option<u64>,
    pub(crate) behind_since_ms: Option<u64>,
    pub(crate) lost: u64,
}

fn push_all(
    queue: &mut Queue,
    mut frames: impl Iterator<Item = Labelled>,
    bounds: &Bounds,
    now_ms: u64,
) -> Offered {
    let mut dropped = Dropped::default();
    while let Some(frame) = frames.next() {
        if queue.push_data(frame, bounds, now_ms, &mut dropped) == Pushed::Overflow {
            queue.note_held();
            return Offered::Taken { dropped, refused: 1 + frames.count() };
        }
    }
    queue.note_held();
    Offered::Taken { dropped, refused: 0 }
}

fn taken_or_refused(pushed: Pushed) -> Offered {
    let refused = usize::from(pushed != Pushed::Queued);
    Offered::Taken { dropped: Dropped::default(), refused }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests;
