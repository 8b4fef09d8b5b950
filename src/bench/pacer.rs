//! When the next message is due.

/// By the clock, before arrivals are looked at again.
const SENDS_PER_TURN: u64 = 256;

/// Who decides when messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pacer {
    /// Nobody: none are.
    Off,
    /// The clock, whatever the server does.
    Clock {
        start_ns: u64,
        interval_ns: f64,
        /// How many were sent.
        sent: u64,
        /// How many are to be.
        planned: u64,
    },
    /// Those that are on their way: so many at a time, until then.
    Window { size: u64, until_ns: u64 },
}

/// What a pacer says at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A message, which was meant for this time.
    Now(u64),
    /// Nothing before this time.
    At(u64),
    /// Nothing before something arrives.
    Waiting,
    /// Nothing any more.
    Over,
}

impl Pacer {
    pub(crate) fn clock(start_ns: u64, rate_per_s: f64, planned: u64) -> Self {
        Self::Clock { start_ns, interval_ns: 1e9 / rate_per_s, sent: 0, planned }
    }

    pub(crate) fn due(&self, now_ns: u64, in_flight: u64) -> Due {
        match *self {
            Self::Off => Due::Over,
            Self::Clock { sent, planned, .. } if sent == planned => Due::Over,
            // From the number, not from the last: an interval that is no whole number does not drift.
            Self::Clock { start_ns, interval_ns, sent, .. } => {
                let intended_ns = start_ns + (interval_ns * sent as f64) as u64;
                if intended_ns <= now_ns { Due::Now(intended_ns) } else { Due::At(intended_ns) }
            }
            Self::Window { until_ns, .. } if now_ns >= until_ns => Due::Over,
            Self::Window { size, .. } if in_flight < size => Due::Now(now_ns),
            Self::Window { .. } => Due::Waiting,
        }
    }

    /// Whether sending may begin: a window is filled again when half of it is there, so that its
    /// messages go out together and not one for each that arrives.
    pub(crate) fn may_begin(&self, in_flight: u64) -> bool {
        match *self {
            Self::Window { size, .. } => in_flight <= size / 2,
            Self::Off | Self::Clock { .. } => true,
        }
    }

    /// How many may be sent before arrivals are looked at again.
    pub(crate) fn at_once(&self) -> u64 {
        match *self {
            Self::Window { size, .. } => size,
            Self::Off | Self::Clock { .. } => SENDS_PER_TURN,
        }
    }

    pub(crate) fn sent(&mut self) {
        if let Self::Clock { sent, .. } = self {
            *sent += 1;
        }
    }

    /// How many the clock wanted by now, or has planned, that were not sent.
    pub(crate) fn late(&self, now_ns: u64) -> u64 {
        match *self {
            Self::Clock { start_ns, interval_ns, sent, planned } => {
                let passed_ns = now_ns.saturating_sub(start_ns) as f64;
                planned.min((passed_ns / interval_ns) as u64 + 1).saturating_sub(sent)
            }
            Self::Off | Self::Window { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_wait_for_anybody() {
        let mut pacer = Pacer::clock(1_000, 3.0, 4);
        assert_eq!(pacer.due(999, 0), Due::At(1_000));
        // Two seconds late: all are due, each for its own time.
        let mut intended = Vec::new();
        while let Due::Now(ns) = pacer.due(2_000_001_000, 99) {
            intended.push(ns);
            pacer.sent();
        }
        assert_eq!(intended, [1_000, 333_334_333, 666_667_666, 1_000_001_000]);
        assert_eq!(pacer.due(u64::MAX, 0), Due::Over);
    }

    #[test]
    fn what_is_late_is_counted() {
        let mut pacer = Pacer::clock(0, 10.0, 50);
        pacer.sent();
        assert_eq!(pacer.late(950_000_000), 9);
        assert_eq!(pacer.late(60_000_000_000), 49);
    }

    #[test]
    fn a_window_waits_for_arrivals() {
        let pacer = Pacer::Window { size: 2, until_ns: 100 };
        assert_eq!(pacer.due(7, 1), Due::Now(7));
        assert_eq!(pacer.due(7, 2), Due::Waiting);
        assert_eq!(pacer.due(100, 0), Due::Over);
        assert_eq!([0, 1, 2].map(|in_flight| pacer.may_begin(in_flight)), [true, true, false]);
        assert!(!Pacer::Window { size: 1, until_ns: 100 }.may_begin(1));
    }
}
