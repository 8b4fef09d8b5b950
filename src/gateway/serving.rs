//! What a connection counts as until it is a session.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::panics::Culprit;
use crate::connection::Requests;
use crate::http::State;

/// Counts a connection for as long as it is HTTP, and until its first request as a handshake.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) state: Arc<State>,
    is_handshake: Mutex<bool>,
}

impl Serving {
    pub(super) fn new(state: Arc<State>) -> Self {
        state.tally().connections.add(1);
        state.tally().handshakes.add(1);
        Self { state, is_handshake: Mutex::new(true) }
    }

    /// There is another request. Returns whether it may be served.
    pub(super) fn note_request(&self, requests: &Requests) -> bool {
        self.has_asked();
        requests.next_may_be_served()
    }

    /// Of the first request: the most bytes and headers, and how long it may take in milliseconds.
    pub(super) fn bounds(&self) -> (usize, usize, u64) {
        let limits = self.state.limits();
        (limits.header_bytes_max, limits.headers_max, limits.handshake_timeout_ms)
    }

    /// It has asked for something.
    fn has_asked(&self) {
        if std::mem::take(&mut *self.is_handshake.lock()) {
            self.state.tally().handshakes.add(-1);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.state.hub().counters().panics.of(Culprit::Connection).add(1);
            tracing::error!("a panic ends a connection");
        }
        self.has_asked();
        self.state.tally().connections.add(-1);
    }
}
