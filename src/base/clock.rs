//! A coarse clock that somebody else ticks.
//!
//! The hub reads time thousands of times a millisecond and needs it to a tenth of a second. So one
//! ticker writes two numbers and everybody reads them; a test ticks the clock by hand.
//!
//! # State
//! Milliseconds since the clock was made, and seconds since the Unix epoch.
//!
//! # Who may touch what
//! One ticker writes both ([`Clock::set`]); anybody reads.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `now_ms`, `unix_s` | ticker | anybody | Relaxed | nothing: a stale value is an early value |
//!
//! # Races considered
//! A reader may see one number new and the other old. Nothing compares the two.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since 1970 by the machine's clock. One that believes to live before that is at 1970: nothing
/// has expired there, and nothing has started.
pub fn since_1970(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A coarse clock, read by all parts of a hub.
#[derive(Debug, Default)]
pub struct Clock {
    now_ms: AtomicU64,
    unix_s: AtomicU64,
}

impl Clock {
    /// A clock at these times.
    pub fn new(now_ms: u64, unix_s: u64) -> Self {
        Self { now_ms: AtomicU64::new(now_ms), unix_s: AtomicU64::new(unix_s) }
    }

    /// Milliseconds since the clock was made; never goes back.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Seconds since the Unix epoch, as the machine's clock has it: may jump.
    pub fn unix_s(&self) -> u64 {
        self.unix_s.load(Ordering::Relaxed)
    }

    /// Sets both; for the one ticker. A smaller `now_ms` than before is ignored.
    pub fn set(&self, now_ms: u64, unix_s: u64) {
        self.now_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.unix_s.store(unix_s, Ordering::Relaxed);
    }
}
