//! The sweep: a lane looks after its sessions, a quarter of them each tick.
//!
//! Heartbeats, deadlines and expiry in one walk instead of a timer per connection. A session is
//! looked at once a second ([`TICK_MS`] × [`TICKS_PER_SWEEP`]), so every bound in milliseconds holds
//! to a second.

use std::sync::Arc;

use super::lane::Lane;
use super::session::Session;
use crate::base::disconnect::{Disconnect, Reason};
use crate::outbox::state::State;

/// Time between two ticks.
pub(crate) const TICK_MS: u64 = 250;

/// Ticks in which all sessions are looked at.
const TICKS_PER_SWEEP: usize = 4;

/// What a session needs.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Ping,
    End(Reason),
    Kill,
}

impl Lane {
    /// Looks after the next quarter of the sessions.
    pub(super) fn sweep(&mut self) {
        let (now_ms, unix_s) = (self.shared.clock.now_ms(), self.shared.clock.unix_s());
        let count = self.sessions.len().div_ceil(TICKS_PER_SWEEP);
        for _ in 0..count {
            if self.sweep_at >= self.sessions.len() {
                self.sweep_at = 0;
            }
            let Some(session) = self.sessions.get(self.sweep_at).cloned() else { return };
            self.sweep_at += 1;
            match self.need(&session, now_ms, unix_s) {
                Need::Nothing => {}
                Need::Ping => {
                    let format = session.form.format;
                    match format.answers_heartbeats() {
                        true => session.times.pinged(now_ms),
                        // Of such a peer only the kernel knows whether it is there: what it does
                        // not acknowledge ends the connection (TCP_USER_TIMEOUT).
                        false => session.times.heard(now_ms),
                    }
                    self.delivery.control(&session, format.heartbeat());
                }
                Need::End(reason) => {
                    self.delivery.close(&session, &Disconnect::new(reason), true);
                }
                Need::Kill => session.kill(),
            }
        }
    }

    fn need(&self, session: &Arc<Session>, now_ms: u64, unix_s: u64) -> Need {
        let limits = &self.shared.limits;
        let times = &session.times;
        let state = session.outbox.state();
        if state == State::Closed {
            return Need::Nothing;
        }
        if times.closing_for_ms(now_ms).is_some_and(|ms| ms > limits.close_timeout_ms) {
            return Need::Kill;
        }
        if state == State::Closing {
            return Need::Nothing;
        }
        if unix_s >= session.expires_unix_s() {
            return Need::End(Reason::TokenExpired);
        }
        if times.frame_open_ms(now_ms).is_some_and(|ms| ms > limits.frame_timeout_ms) {
            return Need::End(Reason::PolicyViolation);
        }
        if state == State::Parked
            && let Some(since_ms) = session.outbox.lag().and_then(|lag| lag.held_since_ms)
            && now_ms.saturating_sub(since_ms) > limits.outbox_age_max_ms
        {
            return Need::End(Reason::SlowConsumer);
        }
        self.heartbeat(session, now_ms)
    }

    fn heartbeat(&self, session: &Session, now_ms: u64) -> Need {
        let limits = &self.shared.limits;
        if let Some(ms) = session.times.unanswered_ms(now_ms) {
            let is_late = ms > limits.pong_timeout_ms;
            return if is_late { Need::End(Reason::PingTimeout) } else { Need::Nothing };
        }
        let is_silent = session.times.silent_ms(now_ms) > limits.ping_interval_ms;
        if is_silent { Need::Ping } else { Need::Nothing }
    }
}
