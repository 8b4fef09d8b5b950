//! How much publishers may have on the way: per channel in publications, per hub in bytes.
//!
//! # State
//! Two counts, raised when a publication is accepted and lowered when the last lane lets go of it.
//! `waiting` publishers sleep until `room`.
//!
//! # Who may touch what
//! Any publisher raises; whoever drops the last reference to a publication lowers.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | counts | publishers, lanes | publishers | Relaxed add/sub | nothing: a bound may be missed by the number of threads that try at once, for as long as they try |
//! | `waiting` | publishers | lanes | SeqCst | a lane lowers, then looks for waiters; a publisher says that it waits, then looks for room: one of them sees the other |
//!
//! # Races considered
//! - *Room is made between a refusal and the sleep*: the publisher registers with `room`, then tries
//!   again, then sleeps (the caller's loop, see [`Flow::room`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::counters::Counters;
use crate::base::memory::{Memory, Pressure};

/// Bookkeeping of one publication, in bytes: what it costs besides its message.
const OVERHEAD_BYTES: usize = 256;

/// The bounds and counts of one hub.
#[derive(Debug)]
pub(crate) struct Flow {
    bytes_max: usize,
    waiting: AtomicUsize,
    room: Notify,
    counters: Arc<Counters>,
    memory: Arc<Memory>,
}

/// The count of one channel.
#[derive(Debug, Default)]
pub(crate) struct ChannelFlow(AtomicUsize);

/// What one publication counts; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    flow: Arc<Flow>,
    channel: Option<Arc<ChannelFlow>>,
    bytes: usize,
}

impl Flow {
    pub(crate) fn new(bytes_max: usize, counters: Arc<Counters>, memory: Arc<Memory>) -> Arc<Self> {
        let (waiting, room) = (AtomicUsize::new(0), Notify::new());
        Arc::new(Self { bytes_max, waiting, room, counters, memory })
    }

    /// Charges a publication of `len` message bytes, to `channel` if it goes to one, where at most
    /// `pending_max` may be on the way. `None` if there is no room.
    pub(crate) fn charge(
        self: &Arc<Self>,
        len: usize,
        channel: Option<(&Arc<ChannelFlow>, usize)>,
    ) -> Option<Charge> {
        let bytes = len + OVERHEAD_BYTES;
        let mut charge = Charge { flow: self.clone(), channel: None, bytes };
        let before = self.counters.publication_bytes_pending.add(bytes as i64);
        // Room for one is room for any: a message over the whole bound passes when nothing else is
        // on the way, or it could never pass.
        let has_bytes = before <= 0 || before as usize + bytes <= self.bytes_max;
        let has_place = channel.is_none_or(|(channel, pending_max)| {
            charge.channel = Some(channel.clone());
            channel.0.fetch_add(1, Ordering::Relaxed) < pending_max
        });
        let has_memory = self.memory.pressure() < Pressure::RefusePublications;
        if has_bytes && has_place && has_memory {
            return Some(charge);
        }
        self.counters.publications_refused.add(1);
        None
    }

    /// Waits until something was given back, at most 50 ms: the bound makes a missed wake harmless.
    ///
    /// Cancel safe.
    pub(crate) async fn room(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self);
        let _ = tokio::time::timeout(Duration::from_millis(50), self.room.notified()).await;
    }
}

struct Waiting<'a>(&'a Flow);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.flow.counters.publication_bytes_pending.add(-(self.bytes as i64));
        if let Some(channel) = &self.channel {
            channel.0.fetch_sub(1, Ordering::Relaxed);
        }
        if self.flow.waiting.load(Ordering::SeqCst) > 0 {
            self.flow.room.notify_waiters();
        }
    }
}
