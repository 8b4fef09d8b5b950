//! How many handshakes begin in a tick: as many as leave everybody else's turn soon enough.
//!
//! When everybody comes back at once, each handshake that begins stands in the same run queue as the
//! lanes and the readers of the sessions that are connected. So the measure is how long the ones that
//! were begun last had to wait there. If that was short and there was work for more, a quarter more
//! begin in the next tick; if it was too long, half as many do. That finds the rate of this machine, this
//! load, and this kind of handshake, be it plain, with TLS, or with tokens that are dear to check.
//!
//! No clock and no task in here: the time and what was measured are arguments.

use std::time::Duration;

use tokio::time::Instant;

/// A batch is begun in each.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// The first batch, for each worker: 3,200 a second, of which each costs 30 to 70 µs (measured).
const START_PER_WORKER: usize = 16;

/// However long the waits are, so many begin: the machine may be slow for another reason.
const BATCH_MIN: usize = 4;

/// Beyond it there is nothing to be gained: a million a second.
const BATCH_MAX: usize = 1 << 12;

/// A storm is over when nobody came for so long.
const STORM_OVER: Duration = Duration::from_millis(100);

/// Ticks that the average goes over: a third of a second.
const AVERAGE_TICKS: f64 = 64.0;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    start: usize,
    batch: usize,
    /// Of the last ticks: how long a line is should not be judged by one bad moment.
    average: f64,
    /// Of this tick's batch, those that have not begun.
    left: usize,
    tick_ends: Option<Instant>,
}

impl Pace {
    pub(super) fn new(workers: usize) -> Self {
        Self::from_start((START_PER_WORKER * workers).clamp(BATCH_MIN, BATCH_MAX))
    }

    fn from_start(start: usize) -> Self {
        Self { start, batch: start, average: start as f64, left: start, tick_ends: None }
    }

    /// Whether one more may begin now. Counts it then.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.tick_ends.is_some_and(|end| now >= end + STORM_OVER) {
            *self = Self::from_start(self.start);
        }
        if self.tick_ends.is_none_or(|end| now >= end) {
            self.tick_ends = Some(now + TICK);
            self.left = self.batch;
        }
        let may = self.left > 0;
        self.left -= usize::from(may);
        may
    }

    /// A tick is over: `lag` is the longest wait of those that began. `is_wanted`: whether there was work
    /// for more.
    pub(super) fn adjust(&mut self, lag: Duration, lag_max: Duration, is_wanted: bool) {
        if lag > lag_max {
            self.batch = (self.batch / 2).max(BATCH_MIN);
        } else if lag <= lag_max / 2 && is_wanted {
            self.batch = (self.batch + self.batch.div_ceil(4)).min(BATCH_MAX);
        }
        self.average += (self.batch as f64 - self.average) / AVERAGE_TICKS;
    }

    /// Whether all of the last tick have begun that may.
    pub(super) fn is_used_up(&self) -> bool {
        self.left == 0
    }

    /// Those that begin within so long at this pace.
    pub(super) fn within(&self, time: Duration) -> usize {
        let ticks = time.as_micros() / TICK.as_micros();
        (ticks as f64 * self.average) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_millis(10);

    /// Ticks of a machine that can take `capacity` in a tick; more have to wait. Returns how many began
    /// in each of the last ticks, on average.
    fn settled_at(capacity: usize) -> usize {
        let (mut pace, began) = (Pace::new(2), Instant::now());
        let (mut behind, mut taken) = (0_usize, 0);
        for tick in 0..400 {
            let now = began + TICK * tick;
            while pace.take(now) {
                behind += 1;
                taken += usize::from(tick >= 200);
            }
            behind = behind.saturating_sub(capacity);
            pace.adjust(TICK.mul_f64(behind as f64 / capacity as f64), MAX, true);
        }
        taken / 200
    }

    #[test]
    fn it_finds_what_the_machine_can_take() {
        for capacity in [10, 100, 1_000] {
            let found = settled_at(capacity);
            assert!((capacity / 2..=capacity + 4).contains(&found), "{found} of {capacity}");
        }
    }

    #[test]
    fn it_does_not_grow_without_need_and_starts_over_after_a_storm() {
        let (mut pace, now) = (Pace::new(2), Instant::now());
        while pace.take(now) {}
        pace.adjust(Duration::ZERO, MAX, false);
        assert_eq!(pace.batch, 32);
        for _ in 0..100 {
            pace.adjust(Duration::ZERO, MAX, true);
        }
        assert_eq!(pace.batch, BATCH_MAX);
        let within = pace.within(Duration::from_millis(10));
        assert!((BATCH_MAX..=2 * BATCH_MAX).contains(&within), "{within}");
        pace.adjust(MAX * 2, MAX, true);
        assert!(pace.within(Duration::from_millis(10)) > within - within / 10, "one bad moment");
        for _ in 0..100 {
            pace.adjust(MAX * 2, MAX, true);
        }
        assert_eq!(pace.batch, BATCH_MIN);
        let begin = |pace: &mut Pace, at| (0..100).filter(|_| pace.take(at)).count();
        let soon = now + TICK + STORM_OVER / 2;
        assert_eq!(begin(&mut pace, soon), BATCH_MIN);
        assert_eq!(begin(&mut pace, soon + STORM_OVER), BATCH_MIN);
        let late = soon + STORM_OVER + TICK + STORM_OVER;
        assert_eq!(begin(&mut pace, late), 32);
        assert_eq!(begin(&mut pace, late + TICK), 32);
    }
}
