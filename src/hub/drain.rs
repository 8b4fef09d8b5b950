//! A graceful end, in phases with bounds.
//!
//! 1. **Refuse**: new sessions and new publications are refused from now on.
//! 2. **Deliver**: what was accepted goes out to sockets and outboxes.
//! 3. **Close**: every session gets a close frame behind its data.
//! 4. **Wait** for the peers' answers.
//! 5. **Kill** what is left at the deadline.
//!
//! Phases 2 and 4 share the bound [`DrainOptions::timeout`]; 2 may use half of it.
//!
//! # State
//! [`Draining`]: a flag that is set once.
//!
//! # Who may touch what
//! [`Hub::drain`] sets it; whoever opens a session or publishes reads it.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | the flag | drain | anybody | Release / Acquire | who sees it set sees that the drain began |
//!
//! # Races considered
//! - *A publication accepted just before the flag was seen*: it is delivered; phase 2 waits for it
//!   if it was counted by then, and the close of phase 3 goes out behind it in any case, because
//!   both pass through the same lanes.
//! - *A session opened just before*: its lane closes it with the others, or its reader ends it when
//!   the process goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Hub;
use super::lane::Item;
use crate::base::disconnect::Reason;

/// How often the phases look whether they are done.
const LOOK: Duration = Duration::from_millis(5);

/// How long killed sessions may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Draining(AtomicBool);

/// How to drain.
#[derive(Clone, Copy, Debug)]
pub struct DrainOptions {
    /// Most time in all, default 10 s.
    pub timeout: Duration,
    /// Why, as the sessions are told; default [`Reason::Shutdown`].
    pub reason: Reason,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), reason: Reason::Shutdown }
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Sessions that were there.
    pub sessions: usize,
    /// Of those, sessions that did not answer the close in time.
    pub killed: usize,
    /// Bytes of publications that could not be handed to sockets or outboxes in time.
    pub undelivered_bytes: usize,
}

impl Hub {
    /// Ends the hub gracefully; see the phases in the source. The hub refuses everything afterwards.
    ///
    /// Cancel safe: dropped in between, the phases begun go on, the later ones do not happen.
    pub async fn drain(&self, options: DrainOptions) -> DrainReport {
        let began = Instant::now();
        let shared = &self.inner.shared;
        self.inner.draining.0.store(true, Ordering::Release);
        let sessions = self.session_count();
        let pending = || shared.counters.publication_bytes_pending.get();
        wait_until(|| pending() == 0, options.timeout / 2).await;
        let undelivered_bytes = pending().max(0) as usize;
        for lane in &shared.lanes {
            lane.post(Item::CloseAll(options.reason));
        }
        let rest = options.timeout.saturating_sub(began.elapsed());
        wait_until(|| self.session_count() == 0, rest).await;
        let killed = self.session_count();
        if killed > 0 {
            for lane in &shared.lanes {
                lane.post(Item::KillAll);
            }
            wait_until(|| self.session_count() == 0, AFTER_KILL).await;
        }
        DrainReport { sessions, killed, undelivered_bytes }
    }

    /// Whether [`drain`](Self::drain) has begun.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.0.load(Ordering::Acquire)
    }
}

async fn wait_until(is_done: impl Fn() -> bool, most: Duration) {
    let began = Instant::now();
    while !is_done() && began.elapsed() < most {
        tokio::time::sleep(LOOK).await;
    }
}
