//! Panics: what they end, and how many there were.
//!
//! A panic is a fault of ours (or of code that was handed to us), and it ends as little as can be: a
//! connection's that connection. What nobody can do without goes on: lanes, channels, the clock, whoever
//! accepts. The panic's own message goes where the process sends it (`std::panic::set_hook`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::counters::Count;

/// What panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Culprit {
    /// The task of a connection: it ended.
    Connection,
    /// The writer of a session that is behind: the session ended.
    Writer,
    /// A channel, with a letter in its hands: the letter is lost, and as nobody is to miss one unknowingly
    /// its members were disconnected.
    Channel,
    /// A lane, in its turn: what it had in hand is lost, and its sessions were disconnected for the same
    /// reason.
    Lane,
    /// The hub's clock, or what it looks after: it goes on with the next tick.
    Ticker,
    /// Whoever accepts connections: the one at the door was dropped.
    Accept,
}

impl Culprit {
    /// Every row, in order.
    pub const ALL: [Culprit; 6] =
        [Self::Connection, Self::Writer, Self::Channel, Self::Lane, Self::Ticker, Self::Accept];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Writer => "writer",
            Self::Channel => "channel",
            Self::Lane => "lane",
            Self::Ticker => "ticker",
            Self::Accept => "accept",
        }
    }
}

/// How many there were.
#[derive(Debug, Default)]
pub struct Panics([Count; Culprit::ALL.len()]);

impl Panics {
    /// Of this culprit.
    pub fn of(&self, culprit: Culprit) -> &Count {
        &self.0[culprit as usize]
    }

    /// Counts one if a panic is what drops the caller.
    pub(crate) fn note_if_panicking(&self, culprit: Culprit) {
        if std::thread::panicking() {
            self.of(culprit).add(1);
        }
    }

    /// Runs something that others depend on. `None` if it panicked; then it is counted, and what it left half
    /// done is the caller's to put right.
    pub(crate) fn isolate<T>(&self, culprit: Culprit, run: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(run));
        if result.is_err() {
            self.of(culprit).add(1);
        }
        result.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_row_in_order() {
        for (at, culprit) in Culprit::ALL.into_iter().enumerate() {
            assert_eq!(culprit as usize, at);
        }
    }

    #[test]
    fn a_panic_is_counted_and_goes_no_further() {
        let panics = Panics::default();
        assert_eq!(panics.isolate(Culprit::Lane, || 7), Some(7));
        assert_eq!(panics.isolate(Culprit::Lane, || panic!("a fault")), None::<()>);
        panics.note_if_panicking(Culprit::Writer);
        assert_eq!((panics.of(Culprit::Lane).get(), panics.of(Culprit::Writer).get()), (1, 0));
    }
}
