//! Log lines that were lost. A process has one log, so these are the only numbers that do not belong to a
//! hub or a gateway.
//!
//! # State
//! [`DROPPED`], by [`LineLost`].
//!
//! # Who may touch what
//! Whoever logs adds when the queue of lines is full, the thread that writes them when a write fails; the
//! metrics page reads.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | every number | as above | the metrics page | Relaxed | nothing: each is a number of its own |
//!
//! # Races considered
//! None: nothing is computed from two of them.

use super::counters::Count;

/// Why a line was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LineLost {
    /// Nobody reads stderr, or too slowly: as many lines wait as may.
    QueueFull,
    /// It could not be written: nobody has the other end, or the disk is full.
    WriteFailed,
}

impl LineLost {
    /// All of them.
    pub const ALL: [LineLost; 2] = [LineLost::QueueFull, LineLost::WriteFailed];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            LineLost::QueueFull => "queue_full",
            LineLost::WriteFailed => "write_failed",
        }
    }

    /// How many were lost for it.
    pub fn count(self) -> &'static Count {
        &DROPPED[self as usize]
    }
}

static DROPPED: [Count; LineLost::ALL.len()] = [Count::new(), Count::new()];
