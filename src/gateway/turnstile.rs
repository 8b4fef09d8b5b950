//! Between being accepted and beginning a handshake: as many at once as may be, as fast as the node
//! takes them, the others in line, and those for whom the line is too long turned away.
//!
//! While few come, each goes straight through. The line costs a connection nothing but its descriptor and a
//! few dozen bytes: no task, no buffer, no TLS and no token has been looked at.
//!
//! # State
//! The line and the [`Pace`], under a lock that is held for a few instructions. Two numbers of what was
//! begun: those that have not had their first turn yet, and the longest wait for it.
//!
//! # Who may touch what
//! Whoever accepts asks to be let in. One task, the usher, lets in from the line and sets the pace, tick by
//! tick, while a batch is used up or somebody waits for a first turn; else it sleeps. A timer of 5 ms that
//! runs on is set anew by the kernel for every connection that comes alone (`perf/README.md`). Each
//! handshake tells when it has begun.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `unbegun` | whoever lets in +, the handshake − | usher; who makes it 1 wakes the usher | Relaxed | nothing: a measure |
//! | `delay_us` | handshakes, the usher takes it away | usher | Relaxed | nothing: a measure |
//!
//! # Races considered
//! - *Somebody joins the line while the usher falls asleep*: it is woken by a permit that stays
//!   (`Notify::notify_one`), and looks again.
//! - *Somebody is let in while the usher falls asleep*: the same, by whoever is the first that has not begun.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::{Pace, TICK};
use crate::base::limits::HttpLimits;

/// However slow it goes, the line holds so many: what one tick of a busy machine may bring.
const LINE_MIN: usize = 512;

/// Ticks without need after which the usher sleeps.
const QUIET_TICKS: u32 = 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Turnstile<T> {
    inner: Mutex<Inner<T>>,
    needed: Notify,
    unbegun: AtomicUsize,
    delay_us: AtomicU64,
}

#[derive(Debug)]
struct Inner<T> {
    pace: Pace,
    line: VecDeque<T>,
    /// Whether a batch was used up since the last tick.
    is_short: bool,
}

/// What becomes of whoever asks to be let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<T> {
    /// It begins now.
    Begin(T),
    /// It stands in line.
    InLine,
    /// The line is too long.
    Refused(T),
}

/// A handshake that was let in and has not had its first turn yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct LetIn(Instant);

impl<T> Turnstile<T> {
    pub(super) fn new(workers: usize) -> Self {
        let inner = Inner { pace: Pace::new(workers), line: VecDeque::new(), is_short: false };
        Self {
            inner: Mutex::new(inner),
            needed: Notify::new(),
            unbegun: AtomicUsize::new(0),
            delay_us: AtomicU64::new(0),
        }
    }

    /// Somebody comes, now.
    pub(super) fn ask(&self, who: T, limits: &HttpLimits, now: Instant) -> Entry<T> {
        let mut inner = self.inner.lock();
        let wait_max = Duration::from_millis(limits.handshakes_wait_max_ms);
        let entry = if inner.line.is_empty() && inner.pace.take(now) {
            Entry::Begin(who)
        } else if inner.line.len() < inner.pace.within(wait_max).max(LINE_MIN) {
            inner.line.push_back(who);
            Entry::InLine
        } else {
            return Entry::Refused(who);
        };
        let is_short = inner.pace.is_used_up();
        let is_first = is_short && !std::mem::replace(&mut inner.is_short, true);
        drop(inner);
        if is_first {
            self.needed.notify_one();
        }
        entry
    }

    /// Lets one in: to be told to [`begun`](Self::begun) in its first turn.
    pub(super) fn let_in(&self, now: Instant) -> LetIn {
        if self.unbegun.fetch_add(1, Ordering::Relaxed) == 0 {
            self.needed.notify_one();
        }
        LetIn(now)
    }

    /// It has its first turn.
    pub(super) fn begun(&self, LetIn(at): LetIn) {
        self.unbegun.fetch_sub(1, Ordering::Relaxed);
        self.delay_us.fetch_max(at.elapsed().as_micros() as u64, Ordering::Relaxed);
    }

    /// Turns away those in line, for good: nobody comes any more.
    pub(super) fn clear(&self) {
        let line = std::mem::take(&mut self.inner.lock().line);
        drop(line);
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.inner.lock().line.len()
    }

    /// Lets in those in line by `begin`, tick by tick. Never ends.
    pub(super) async fn usher(&self, lag_max: impl Fn() -> Duration, mut begin: impl FnMut(T)) {
        loop {
            self.needed.notified().await;
            let mut quiet = 0;
            while quiet < QUIET_TICKS {
                let due = Instant::now() + TICK;
                tokio::time::sleep_until(due).await;
                let lag = self.lag(due.elapsed());
                let (batch, is_needed) = self.tick(lag, lag_max());
                quiet = if is_needed { 0 } else { quiet + 1 };
                batch.into_iter().for_each(&mut begin);
            }
        }
    }

    /// How long the run queue is: what those waited that began, and at least a tick if some have not.
    fn lag(&self, late: Duration) -> Duration {
        let waited = Duration::from_micros(self.delay_us.swap(0, Ordering::Relaxed));
        let unbegun = match self.unbegun.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            _ => TICK + late,
        };
        waited.max(unbegun)
    }

    /// Those that begin in the next tick, and whether ticks are needed.
    fn tick(&self, lag: Duration, lag_max: Duration) -> (Vec<T>, bool) {
        let mut inner = self.inner.lock();
        let is_wanted = std::mem::take(&mut inner.is_short) || !inner.line.is_empty();
        inner.pace.adjust(lag, lag_max, is_wanted);
        let is_needed = is_wanted || !lag.is_zero();
        let now = Instant::now();
        let mut batch = Vec::new();
        while !inner.line.is_empty() && inner.pace.take(now) {
            batch.extend(inner.line.pop_front());
        }
        if inner.line.is_empty() {
            inner.line.shrink_to(LINE_MIN);
        }
        (batch, is_needed)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn few_go_straight_through_many_stand_in_line_and_too_many_are_turned_away() {
        let turnstile = Turnstile::new(1);
        let limits = HttpLimits { handshakes_wait_max_ms: 1, ..HttpLimits::default() };
        let mut counts = [0; 3];
        for number in 0..2_000 {
            let at = match turnstile.ask(number, &limits, Instant::now()) {
                Entry::Begin(_) => 0,
                Entry::InLine => 1,
                Entry::Refused(back) => {
                    assert_eq!(back, number);
                    2
                }
            };
            counts[at] += 1;
        }
        assert!(counts[0] >= 16 && counts[1] >= LINE_MIN && counts[2] > 0, "{counts:?}");
        assert_eq!(turnstile.waiting(), counts[1]);
    }

    #[tokio::test]
    async fn everybody_in_line_is_let_in_in_order() {
        let turnstile = Turnstile::new(1);
        let limits = HttpLimits::default();
        let (mut straight, mut in_line) = (Vec::new(), Vec::new());
        for number in 0..1_000 {
            match turnstile.ask(number, &limits, Instant::now()) {
                Entry::Begin(number) => straight.push(number),
                entry => assert_eq!(entry, Entry::InLine),
            }
        }
        let lag_max = || Duration::from_millis(5);
        let (expected, all) = (turnstile.waiting(), Notify::new());
        let begin = |number| {
            in_line.push(number);
            if in_line.len() == expected {
                all.notify_one();
            }
        };
        tokio::select! {
            () = turnstile.usher(lag_max, begin) => unreachable!("it never ends"),
            () = all.notified() => {}
        }
        straight.extend(in_line);
        assert_eq!(straight, (0..1_000).collect::<Vec<_>>());
        assert_eq!(turnstile.waiting(), 0);
    }

    #[tokio::test]
    async fn the_usher_sleeps_while_nobody_has_to_wait() {
        let (turnstile, limits) = (Turnstile::new(1), HttpLimits::default());
        let ask = || turnstile.ask((), &limits, Instant::now());
        let ticks = Cell::new(0);
        let usher = async |most_ms| {
            let lag_max = || {
                ticks.set(ticks.get() + 1);
                Duration::from_millis(5)
            };
            let usher = turnstile.usher(lag_max, |()| ());
            assert!(tokio::time::timeout(Duration::from_millis(most_ms), usher).await.is_err());
            ticks.take()
        };
        assert_eq!(ask(), Entry::Begin(()));
        assert_eq!(usher(50).await, 0);
        // A batch is used up, or somebody stands in line, however slowly this runs.
        while !turnstile.inner.lock().is_short {
            ask();
        }
        let within = || turnstile.inner.lock().pace.within(TICK);
        let before = within();
        let run = usher(1_000).await;
        assert!((1..=QUIET_TICKS + 2).contains(&run), "{run} ticks");
        // What was needed once is no reason for more and more.
        assert!(within() < 2 * before, "{before} to {}", within());
        let one = turnstile.let_in(Instant::now());
        turnstile.begun(one);
        let run = usher(1_000).await;
        assert!((1..=QUIET_TICKS + 2).contains(&run), "{run} ticks");
    }

    #[tokio::test]
    async fn handshakes_that_have_not_begun_are_a_lag() {
        let turnstile = Turnstile::<()>::new(1);
        assert_eq!(turnstile.lag(Duration::ZERO), Duration::ZERO);
        let one = turnstile.let_in(Instant::now());
        assert!(turnstile.lag(Duration::from_secs(1)) > Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(2)).await;
        turnstile.begun(one);
        assert!(turnstile.lag(Duration::ZERO) >= Duration::from_millis(2));
        assert_eq!(turnstile.lag(Duration::ZERO), Duration::ZERO);
    }
}
