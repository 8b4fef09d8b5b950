//! The bounded queue of a session that is behind. A plain value: one owner at a time.
//!
//! Order on the way out: the rest of a frame that the socket took in part, then control frames,
//! then what the session is told about its losses, then data, then the close frame. So a pong or a
//! reply never waits behind data, and nothing follows a close.
//!
//! The bounds are the session's; who has to go when data does not fit is up to the channel that it
//! belongs to ([`policy`]). What was lost is added up per channel and told ahead of the next data
//! ([`loss`]).
//!
//! # Every message has one fate
//! It is handed to the writer, or dropped for one [`DropCause`], or discarded with the session, or it
//! still waits. The tests hold every sequence of operations to that sum.
//!
//! # Age
//! Three things may get too old, each judged by who can help it.
//! * *A message that nobody may drop*: the session ends ([`Queue::held_since_ms`]).
//! * *A message that may be dropped* goes when its turn comes, as a loss. A queued value that is the
//!   newest of its key or channel is exempt: it is what its policy promises, and however late it is,
//!   there is none that is newer. A time to live ends it all the same.
//! * *What the writer has in hand*: the session ends. So a queue that is renewed for ever cannot hide
//!   a session that does not move, and a value that takes the place of another need not inherit its
//!   age for that: it would be dropped for the age of one that nobody wanted any more.

mod loss;
mod policy;
#[cfg(all(test, not(fanfare_loom)))]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use loss::{Loss, Losses};

use crate::base::label::Label;
use crate::base::loss::{DropCause, Dropped};
use crate::base::memory::{Held, Memory};
use policy::Entry;

/// Most bytes of control frames that wait for one session. A peer that lets more replies pile up
/// does not read, whatever it sends.
pub(crate) const CONTROL_BYTES_MAX: usize = 64 << 10;

/// What a session that is behind costs besides what waits: this queue, a writer task, its batch.
const OVERHEAD_BYTES: usize = 2_048;

/// The first byte of a pong in one frame (RFC 6455 section 5.2).
const PONG: u8 = 0x8A;

/// A data frame with what decides whether it may be dropped; nobody may drop one without a label.
pub(crate) type Labelled = (Bytes, Option<Arc<Label>>);

/// What data may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) frames_max: usize,
    pub(crate) squeeze: Squeeze,
}

/// How much less may wait because the node's memory is tight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Squeeze {
    #[default]
    None,
    /// Of what may be dropped an eighth of the bounds.
    Eighth,
    /// Nothing that may be dropped.
    Droppable,
    /// Nothing at all.
    All,
}

/// What became of a frame that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Pushed {
    /// It waits in the queue.
    Queued,
    /// It was dropped by policy.
    Dropped,
    /// It does not fit, and the session has to end.
    Overflow,
}

/// What a writer brings when it takes: this floor has no clock and knows no protocol.
pub(crate) struct Taking<'a> {
    pub(crate) now_ms: u64,
    /// How long a message that may be dropped waits at most.
    pub(crate) age_max_ms: u64,
    /// The frame that tells a session of a loss; `None` if its protocol has no place for that.
    pub(crate) tell: &'a dyn Fn(&Loss) -> Option<Bytes>,
    /// What was found too old is added here.
    pub(crate) dropped: &'a mut Dropped,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    remainder: Option<Entry>,
    control: VecDeque<Bytes>,
    control_bytes: usize,
    data: VecDeque<Entry>,
    /// Bytes of `remainder` and `data`.
    data_bytes: usize,
    losses: Losses,
    in_hand: InHand,
    close: Option<Bytes>,
    /// Bytes of `remainder` and of what has no label: nobody else counts them.
    own_bytes: usize,
    /// What the socket keeps, besides the kernel.
    buffered: usize,
    held: Held,
    /// When the first data came in, and how many messages were lost since.
    behind_since_ms: Option<u64>,
    lost: u64,
}

/// What the writer took and has not yet written.
#[derive(Debug, Default)]
struct InHand {
    bytes: usize,
    frames: usize,
    held_since_ms: Option<u64>,
    /// Of what is in hand: its bytes count for as long.
    labels: Vec<Arc<Label>>,
}

impl Queue {
    /// One that counts what it holds.
    pub(crate) fn counted(memory: &Arc<Memory>) -> Box<Self> {
        Box::new(Self { held: Held::new(memory, OVERHEAD_BYTES), ..Self::default() })
    }

    /// Everything that it holds but what waits as data.
    fn places_bytes(&self) -> usize {
        let places = self.data.capacity() * size_of::<Entry>();
        OVERHEAD_BYTES + places + self.control_bytes + self.buffered
    }

    /// Notes what it holds now, besides the publications, which count for themselves.
    pub(crate) fn note_held(&mut self) {
        self.held.set(self.places_bytes() + self.own_bytes);
    }

    /// Notes what the socket keeps of what it took, until the next [`take`](Self::take).
    pub(crate) fn note_buffered(&mut self, bytes: usize) {
        self.buffered = bytes;
        self.note_held();
    }

    /// Puts the rest of a partly written frame in front. It is not subject to bounds: a frame that
    /// was begun must be finished.
    pub(crate) fn set_remainder(&mut self, bytes: Bytes, now_ms: u64) {
        debug_assert!(self.remainder.is_none());
        self.data_bytes += bytes.len();
        self.own_bytes += bytes.len();
        self.behind_since_ms.get_or_insert(now_ms);
        self.remainder = Some(Entry::new((bytes, None), now_ms));
    }

    /// Offers a data frame. What is dropped, this one or others in its favour, is added to `dropped`.
    pub(crate) fn push_data(
        &mut self,
        frame: Labelled,
        bounds: &Bounds,
        now_ms: u64,
        dropped: &mut Dropped,
    ) -> Pushed {
        let entry = Entry::new(frame, now_ms);
        self.behind_since_ms.get_or_insert(now_ms);
        if entry.may_be_lost() && self.losses.is_full() {
            return Pushed::Overflow;
        }
        if entry.is_expired(now_ms) {
            self.lose(&entry, DropCause::Expired, dropped);
            return Pushed::Dropped;
        }
        match bounds.squeeze {
            Squeeze::None => self.admit(entry, bounds, dropped),
            _ => self.admit_squeezed(entry, bounds, dropped),
        }
    }

    fn lose(&mut self, entry: &Entry, cause: DropCause, dropped: &mut Dropped) {
        if let Some(label) = entry.label() {
            self.lost += 1;
            label.drops.iter().for_each(|drops| drops.note(cause));
            dropped.note(cause);
            self.losses.note(label, cause);
        }
    }

    /// Adds a control frame: a pong, a ping or a reply. At most one pong waits: only the latest ping
    /// needs an answer (RFC 6455 section 5.5.3).
    pub(crate) fn push_control(&mut self, bytes: Bytes) -> Pushed {
        if is_pong(&bytes)
            && let Some(at) = self.control.iter().position(is_pong)
            && let Some(older) = self.control.remove(at)
        {
            self.control_bytes -= older.len();
        }
        if self.control_bytes + bytes.len() > CONTROL_BYTES_MAX {
            return Pushed::Overflow;
        }
        self.control_bytes += bytes.len();
        self.control.push_back(bytes);
        Pushed::Queued
    }

    /// Adds a reply that has to follow the data queued before it: the end of a membership comes after
    /// the channel's last publication. No policy drops it.
    pub(crate) fn push_behind(&mut self, bytes: Bytes, bounds: &Bounds, now_ms: u64) -> Pushed {
        if self.bytes() + bytes.len() > bounds.bytes_max + CONTROL_BYTES_MAX {
            return Pushed::Overflow;
        }
        self.append(Entry::reply(bytes, now_ms));
        Pushed::Queued
    }

    fn append(&mut self, entry: Entry) {
        self.data_bytes += entry.len();
        if entry.label().is_none() {
            self.own_bytes += entry.len();
        }
        self.data.push_back(entry);
    }

    /// Ends the queue with a close frame. `discard` drops the data that waits, except the rest of a
    /// frame that was begun, and what there is to tell: the session ends, and whoever comes back asks
    /// for what it missed. Returns how many messages were dropped.
    pub(crate) fn push_close(&mut self, close: Bytes, discard: bool) -> usize {
        let mut dropped = 0;
        if discard {
            dropped = self.data.iter().filter(|entry| !entry.is_reply()).count();
            self.data.clear();
            self.losses.clear();
            self.data_bytes = self.remainder.as_ref().map_or(0, Entry::len);
            self.own_bytes = self.data_bytes;
        }
        self.close = Some(close);
        dropped
    }

    /// Moves frames for one write into `batch`, at least one if there is any, then up to `bytes_max`.
    /// What was taken before counts as written from now on.
    pub(crate) fn take(
        &mut self,
        batch: &mut VecDeque<Bytes>,
        bytes_max: usize,
        taking: &mut Taking<'_>,
    ) {
        self.in_hand = InHand::default();
        self.buffered = 0;
        let mut taken = 0;
        if let Some(entry) = self.remainder.take() {
            taken += entry.len();
            self.hand_out(entry, batch);
        }
        while taken < bytes_max
            && let Some(bytes) = self.control.pop_front()
        {
            self.control_bytes -= bytes.len();
            taken += bytes.len();
            batch.push_back(bytes);
        }
        while taken < bytes_max {
            // What is too old becomes a loss first, so that it is told ahead of what follows it.
            self.drop_old(taking);
            if let Some(loss) = self.losses.pop() {
                let frame = (taking.tell)(&loss);
                taken += frame.as_ref().map_or(0, Bytes::len);
                batch.extend(frame);
            } else if let Some(entry) = self.data.pop_front() {
                taken += entry.len();
                self.hand_out(entry, batch);
            } else {
                break;
            }
        }
        if self.control.is_empty() && self.losses.is_empty() && self.data.is_empty() {
            batch.extend(self.close.take());
        }
        if !batch.is_empty() {
            let held_since_ms = self.in_hand.held_since_ms.get_or_insert(taking.now_ms);
            *held_since_ms = (*held_since_ms).min(taking.now_ms);
        }
    }

    /// Drops what is too old at the head of the data.
    fn drop_old(&mut self, taking: &mut Taking<'_>) {
        while let Some(first) = self.data.front()
            && first.is_too_old(taking.now_ms, taking.age_max_ms)
            && let Some(entry) = self.data.pop_front()
        {
            self.data_bytes -= entry.len();
            self.lose(&entry, DropCause::Expired, taking.dropped);
        }
    }

    fn hand_out(&mut self, entry: Entry, batch: &mut VecDeque<Bytes>) {
        self.data_bytes -= entry.len();
        self.in_hand.bytes += entry.len();
        self.in_hand.frames += 1;
        match entry.label() {
            Some(label) => self.in_hand.labels.push(label.clone()),
            None => self.own_bytes -= entry.len(),
        }
        if !entry.may_be_dropped() {
            self.in_hand.held_since_ms.get_or_insert(entry.queued_ms());
        }
        batch.push_back(entry.into_bytes());
    }

    /// Bytes that it counts for itself, and of publications that it shares with others.
    pub(crate) fn held_bytes(&self) -> usize {
        self.places_bytes() + self.bytes()
    }

    /// When the first data came in, since when the queue was never empty.
    pub(crate) fn behind_since_ms(&self) -> Option<u64> {
        self.behind_since_ms
    }

    /// When the oldest data came in that is not yet written, as far as is known: of what is in hand,
    /// when it was taken.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        let waiting = self.remainder.as_ref().or(self.data.front()).map(Entry::queued_ms);
        self.in_hand.held_since_ms.into_iter().chain(waiting).min()
    }

    /// Messages that were lost since the queue was empty.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether nothing waits. What the writer holds in hand does not count.
    pub(crate) fn is_empty(&self) -> bool {
        self.remainder.is_none()
            && self.control.is_empty()
            && self.losses.is_empty()
            && self.data.is_empty()
            && self.close.is_none()
    }

    /// Data bytes that wait or are being written.
    pub(crate) fn bytes(&self) -> usize {
        self.data_bytes + self.in_hand.bytes
    }

    /// Data frames that wait or are being written.
    pub(crate) fn frames(&self) -> usize {
        self.data.len() + usize::from(self.remainder.is_some()) + self.in_hand.frames
    }

    /// Since when the session holds up what nobody may drop: when the oldest such frame came in that
    /// is not yet written, or when the writer took what it has in hand, whatever that is.
    pub(crate) fn held_since_ms(&self) -> Option<u64> {
        let waiting = || self.remainder.iter().chain(&self.data).find(|e| !e.may_be_dropped());
        self.in_hand.held_since_ms.into_iter().chain(waiting().map(Entry::queued_ms)).min()
    }
}

fn is_pong(frame: &Bytes) -> bool {
    frame.first() == Some(&PONG)
}
