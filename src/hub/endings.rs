//! The log line of a session's end: one for each, when it is decided.
//!
//! What an operator has to know is told by level ([`Weight`]); of one reason at most [`LINES_PER_S`] a
//! second, and what is beyond that once a second as a number. Those lines are still there at level debug.
//!
//! No line has a text: an application may have put anything into it.
//!
//! [`LINES_PER_S`]: crate::base::line_rate::LINES_PER_S

use std::fmt::Display;

use super::session::Session;
use super::shared::Shared;
use crate::base::disconnect::{CloseCode, Disconnect, Reason, Weight};
use crate::base::line_rate::LineRate;

/// A connection that ended without a close frame (RFC 6455 section 7.1.5).
const ABNORMAL: CloseCode = 1006;

/// The lines of each reason.
#[derive(Debug, Default)]
pub(crate) struct Endings([LineRate; Reason::ALL.len()]);

/// What waited for a session when its end was decided.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    bytes: usize,
    messages: usize,
    lost: u64,
}

impl Waiting {
    /// Of a session that is about to be ended because of that; to be asked before it is dropped.
    pub(crate) fn of(session: &Session, reason: Reason) -> Option<Self> {
        if !matches!(reason, Reason::SlowConsumer | Reason::Shed) {
            return None;
        }
        let lag = session.outbox.lag()?;
        Some(Self { bytes: lag.bytes, messages: lag.frames, lost: lag.lost })
    }
}

/// Its end is decided, unless it was before.
pub(crate) fn decided(
    session: &Session,
    disconnect: &Disconnect,
    waiting: Option<Waiting>,
    shared: &Shared,
) -> bool {
    let is_first = session.note_end(disconnect.reason());
    if is_first {
        tell(session, disconnect.reason(), disconnect.code(), waiting, shared);
    }
    is_first
}

/// Its connection ended, and nobody had decided that.
pub(crate) fn broke_off(session: &Session, shared: &Shared) {
    if session.note_end(Reason::ClientClosed) {
        tell(session, Reason::ClientClosed, ABNORMAL, None, shared);
    }
}

fn tell(
    session: &Session,
    reason: Reason,
    code: CloseCode,
    waiting: Option<Waiting>,
    shared: &Shared,
) {
    let now_ms = shared.clock.now_ms();
    let weight = match reason.weight() {
        Weight::Ordinary => Weight::Ordinary,
        weight if shared.endings.0[reason as usize].may_tell(now_ms) => weight,
        _ => Weight::Ordinary,
    };
    // Each level is a place of its own, for which the filter has decided once.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                session = %session.id,
                user = shown(session.user.as_ref()),
                peer = shown(session.peer()),
                reason = reason.name(),
                code,
                duration_s = (now_ms / 1_000).saturating_sub(session.opened_s.into()),
                channels = session.subscriptions.lock().channels().len(),
                queued_bytes = waiting.map(|waiting| waiting.bytes),
                queued_messages = waiting.map(|waiting| waiting.messages),
                lost_messages = waiting.map(|waiting| waiting.lost),
                "session ended"
            )
        };
    }
    match weight {
        Weight::Ordinary => line!(debug),
        Weight::Notable => line!(info),
        Weight::Alarming => line!(warn),
    }
}

fn shown<T: Display>(value: Option<T>) -> Option<tracing::field::DisplayValue<T>> {
    value.map(tracing::field::display)
}

impl Endings {
    /// Once a second: how many sessions ended beyond those that had a line.
    pub(crate) fn tell_untold(&self) {
        for reason in Reason::ALL {
            let sessions = self.0[reason as usize].take_untold();
            let name = reason.name();
            match reason.weight() {
                _ if sessions == 0 => {}
                Weight::Alarming => tracing::warn!(reason = name, sessions, "more sessions ended"),
                _ => tracing::info!(reason = name, sessions, "more sessions ended"),
            }
        }
    }
}
