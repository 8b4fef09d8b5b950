//! The times of a session that its lane's sweep looks at.
//!
//! # State
//! Coarse milliseconds (see [`Clock`](crate::base::clock::Clock)); 0 stands for "not".
//!
//! # Who may touch what
//! `heard` and `frame_since` are written by the session's reader, `pinged` and `closing` by its lane.
//! The lane reads all of them.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | all | as above | lane | Relaxed | nothing: coarse times, and a sweep later is soon enough |
//!
//! # Races considered
//! A sweep that reads `heard` a moment too early sends a ping that was not needed, or ends a session
//! a second later than it might have.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Debug)]
pub(crate) struct Times {
    heard: AtomicU64,
    frame_since: AtomicU64,
    pinged: AtomicU64,
    closing: AtomicU64,
}

impl Times {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            heard: AtomicU64::new(now_ms),
            frame_since: AtomicU64::new(0),
            pinged: AtomicU64::new(0),
            closing: AtomicU64::new(0),
        }
    }

    /// The peer said something.
    pub(crate) fn heard(&self, now_ms: u64) {
        self.heard.store(now_ms, Ordering::Relaxed);
    }

    /// A frame or a message has begun and is not complete; with `is_new` a later one than before.
    pub(crate) fn frame_open(&self, now_ms: u64, is_new: bool) {
        if is_new || self.frame_since.load(Ordering::Relaxed) == 0 {
            self.frame_since.store(now_ms.max(1), Ordering::Relaxed);
        }
    }

    /// Everything that began is complete.
    pub(crate) fn frame_done(&self) {
        self.frame_since.store(0, Ordering::Relaxed);
    }

    /// The peer was pinged.
    pub(crate) fn pinged(&self, now_ms: u64) {
        self.pinged.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// Our close has begun.
    pub(crate) fn closing(&self, now_ms: u64) {
        self.closing.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// For how long the peer has been silent.
    pub(crate) fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard.load(Ordering::Relaxed))
    }

    /// For how long a ping has been without an answer; anything the peer says is one.
    pub(crate) fn unanswered_ms(&self, now_ms: u64) -> Option<u64> {
        let pinged = self.pinged.load(Ordering::Relaxed);
        (pinged > self.heard.load(Ordering::Relaxed)).then(|| now_ms.saturating_sub(pinged))
    }

    /// For how long a frame has been incomplete.
    pub(crate) fn frame_open_ms(&self, now_ms: u64) -> Option<u64> {
        since(&self.frame_since, now_ms)
    }

    /// How long ago our close began.
    pub(crate) fn closing_for_ms(&self, now_ms: u64) -> Option<u64> {
        since(&self.closing, now_ms)
    }
}

fn since(time: &AtomicU64, now_ms: u64) -> Option<u64> {
    match time.load(Ordering::Relaxed) {
        0 => None,
        then => Some(now_ms.saturating_sub(then)),
    }
}
