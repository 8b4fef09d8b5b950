//! Messages of one channel that have not reached everybody, and when each reached the first.

use std::collections::VecDeque;

/// Messages that are followed at a time. Older ones are given up: they will not have reached everybody.
const FLIGHTS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// The number of the first that is followed.
    first: u32,
    flights: VecDeque<Flight>,
}

#[derive(Debug)]
struct Flight {
    /// When the first subscriber had it.
    first_ns: Option<u64>,
    remaining: u32,
}

impl Flights {
    /// Follows the next message on its way to so many; returns whether an old one was given up.
    pub(crate) fn start(&mut self, number: u32, subscribers: u32) -> bool {
        if self.flights.is_empty() {
            self.first = number;
        }
        debug_assert_eq!(self.first + self.flights.len() as u32, number);
        self.flights.push_back(Flight { first_ns: None, remaining: subscribers });
        let is_full = self.flights.len() > FLIGHTS_MAX;
        if is_full {
            self.flights.pop_front();
            self.first += 1;
        }
        is_full
    }

    /// One more has it. If that was the last, how long after the first.
    pub(crate) fn arrived(&mut self, number: u32, now_ns: u64) -> Option<u64> {
        let at = number.checked_sub(self.first)? as usize;
        let flight = self.flights.get_mut(at)?;
        flight.remaining = flight.remaining.checked_sub(1)?;
        let first_ns = *flight.first_ns.get_or_insert(now_ns);
        if flight.remaining > 0 {
            return None;
        }
        self.forget_landed();
        Some(now_ns.saturating_sub(first_ns))
    }

    /// Nobody is going to have it; returns whether it was followed.
    pub(crate) fn cancel(&mut self, number: u32) -> bool {
        let at = number.checked_sub(self.first).map(|at| at as usize);
        let Some(flight) = at.and_then(|at| self.flights.get_mut(at)) else { return false };
        let is_followed = flight.remaining > 0;
        flight.remaining = 0;
        self.forget_landed();
        is_followed
    }

    fn forget_landed(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.remaining == 0) {
            self.flights.pop_front();
            self.first += 1;
        }
    }

    /// Gives all of them up.
    pub(crate) fn clear(&mut self) {
        self.flights.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_subscriber_is_the_one_that_counts() {
        let mut flights = Flights::default();
        flights.start(10, 2);
        flights.start(11, 2);
        assert_eq!(flights.arrived(10, 100), None);
        assert_eq!(flights.arrived(11, 200), None);
        assert_eq!(flights.arrived(11, 230), Some(30), "before the older one");
        assert_eq!(flights.arrived(11, 240), None, "once more than there are subscribers");
        assert_eq!(flights.arrived(10, 300), Some(200));
        assert!(flights.flights.is_empty());
        assert_eq!(flights.arrived(10, 400), None);
        flights.start(12, 1);
        assert_eq!(flights.arrived(12, 500), Some(0));
    }

    #[test]
    fn what_nobody_has_is_given_up() {
        let mut flights = Flights::default();
        let given_up = (0..FLIGHTS_MAX as u32 + 3).filter(|n| flights.start(*n, 1)).count();
        assert_eq!(given_up, 3);
        assert_eq!(flights.arrived(2, 0), None);
        assert_eq!(flights.arrived(3, 0), Some(0));
    }
}
