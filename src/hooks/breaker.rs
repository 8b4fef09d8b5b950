//! Leaves an application alone that has failed some times in a row, for a while; then one question
//! is let through, and its answer decides.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Of one hook.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: usize,
    /// Until when nothing is asked.
    until: Option<Instant>,
    /// Whether the one question that decides is on its way.
    is_trying: bool,
}

/// A question that may be asked. Dropped without an answer it says nothing about the application.
#[derive(Debug)]
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    is_trial: bool,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// From now on nothing is asked.
    Broke,
    /// From now on everything is asked again.
    Mended,
}

impl Breaker {
    /// Whether something may be asked now.
    pub(super) fn pass(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.0.lock();
        let is_trial = match state.until {
            None => false,
            Some(until) if now < until || state.is_trying => return None,
            Some(_) => true,
        };
        state.is_trying |= is_trial;
        Some(Pass { breaker: self, is_trial })
    }
}

impl Pass<'_> {
    /// The application answered, whatever it said.
    pub(super) fn succeeded(self) -> Change {
        let mut state = self.breaker.0.lock();
        state.failures = 0;
        match state.until.take() {
            Some(_) => Change::Mended,
            None => Change::None,
        }
    }

    /// It did not.
    pub(super) fn failed(self, now: Instant, failures_max: usize, pause: Duration) -> Change {
        let mut state = self.breaker.0.lock();
        state.failures += 1;
        let was_whole = state.until.is_none();
        // One that was asked before the break changes nothing after it.
        if self.is_trial || (was_whole && state.failures >= failures_max) {
            state.until = Some(now + pause);
            return if was_whole { Change::Broke } else { Change::None };
        }
        Change::None
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.0.lock().is_trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    #[test]
    fn it_breaks_after_failures_in_a_row_and_one_trial_mends_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let fail = |at: Instant| breaker.pass(at).unwrap().failed(at, 3, PAUSE);
        assert_eq!((fail(start), fail(start)), (Change::None, Change::None));
        assert_eq!(breaker.pass(start).unwrap().succeeded(), Change::None);
        assert_eq!((fail(start), fail(start)), (Change::None, Change::None), "it starts over");
        assert_eq!(fail(start), Change::Broke);
        assert!(breaker.pass(start + PAUSE / 2).is_none());
        let later = start + PAUSE;
        let trial = breaker.pass(later).unwrap();
        assert!(breaker.pass(later).is_none(), "one at a time");
        assert_eq!(trial.failed(later, 3, PAUSE), Change::None);
        assert!(breaker.pass(later + PAUSE / 2).is_none(), "another pause");
        assert_eq!(breaker.pass(later + PAUSE).unwrap().succeeded(), Change::Mended);
        assert!(breaker.pass(later + PAUSE).is_some() && breaker.pass(later + PAUSE).is_some());
    }

    #[test]
    fn a_trial_that_nobody_waits_for_any_more_makes_room_for_the_next() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.pass(start).unwrap().failed(start, 1, PAUSE), Change::Broke);
        drop(breaker.pass(start + PAUSE).unwrap());
        assert!(breaker.pass(start + PAUSE).is_some());
    }
}
