//! How fast one peer may send: publications, and control frames.
//!
//! **Publications.** A bucket that leaks: ten seconds' worth may come at once, then so many a
//! second. It goes by the hub's coarse clock, so a publication costs an addition and a comparison.
//!
//! What is too much is refused where the peer can be told ([`PublishRate::allow`]), and otherwise taken
//! on credit, and the peer not read until that is paid back ([`PublishRate::charge`]): its own send
//! buffer fills, and it slows down without losing a message. The wait has a bound: nothing of the peer
//! is read meanwhile, so no more than the cost of one publication and a tick of the clock is ever owed.
//!
//! **Control frames** have no such word for "later": one too many ends the session.

/// Microseconds' worth of publications that may come at once: ten seconds'.
const BURST_US: u32 = 10 * US_PER_S;

/// What may be owed before the peer waits: a tick of the clock. It waits rarely then, and longer.
const CREDIT_US: u32 = 100_000;

const US_PER_S: u32 = 1_000_000;

/// The window in which control frames are counted.
const CONTROL_WINDOW_MS: u32 = 10_000;

/// See the module. As small as it can be: every connection has one.
#[derive(Debug)]
pub(super) struct PublishRate {
    cost_us: u32,
    /// What the bucket held, in microseconds until it is empty.
    level_us: u32,
    /// At this time of the hub's clock, in milliseconds and modulo 49 days: one that nothing came to for as
    /// long may be taken for fuller than it is, once.
    at_ms: u32,
}

impl PublishRate {
    pub(super) fn new(per_s_max: u32) -> Self {
        Self { cost_us: US_PER_S / per_s_max.clamp(1, US_PER_S), level_us: 0, at_ms: 0 }
    }

    /// Takes one publication if there is room.
    ///
    /// # Errors
    /// How long until there is, in milliseconds.
    pub(super) fn allow(&mut self, now_ms: u64) -> Result<(), u64> {
        let level_us = self.level_after(now_ms);
        match level_us.saturating_sub(BURST_US) {
            0 => {
                (self.level_us, self.at_ms) = (level_us, now_ms as u32);
                Ok(())
            }
            over_us => Err(u64::from(over_us.div_ceil(1_000))),
        }
    }

    /// Takes one publication in any case. Returns how long to wait before it goes out, in
    /// milliseconds, if that is worth a wait.
    pub(super) fn charge(&mut self, now_ms: u64) -> Option<u64> {
        (self.level_us, self.at_ms) = (self.level_after(now_ms), now_ms as u32);
        let over_us = self.level_us.saturating_sub(BURST_US);
        (over_us > CREDIT_US).then(|| u64::from(over_us.div_ceil(1_000)))
    }

    /// What the bucket holds after one more.
    fn level_after(&self, now_ms: u64) -> u32 {
        let passed_us = (now_ms as u32).wrapping_sub(self.at_ms).saturating_mul(1_000);
        self.level_us.saturating_sub(passed_us).saturating_add(self.cost_us)
    }
}

/// Control frames, counted in windows.
#[derive(Debug)]
pub(super) struct ControlRate {
    max: u32,
    count: u32,
    /// Modulo 49 days.
    since_ms: u32,
}

impl ControlRate {
    pub(super) fn new(max: u32) -> Self {
        Self { max, count: 0, since_ms: 0 }
    }

    /// Notes a control frame; `None` if it is one too many.
    pub(super) fn note(&mut self, now_ms: u64) -> Option<()> {
        let now_ms = now_ms as u32;
        if now_ms.wrapping_sub(self.since_ms) >= CONTROL_WINDOW_MS {
            (self.count, self.since_ms) = (0, now_ms);
        }
        self.count += 1;
        (self.count <= self.max).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_worth_may_come_at_once_and_then_so_many_a_second() {
        let mut rate = PublishRate::new(2);
        for _ in 0..20 {
            assert_eq!(rate.allow(5_000), Ok(()));
        }
        assert_eq!(rate.allow(5_000), Err(500));
        assert_eq!(rate.allow(5_400), Err(100));
        assert_eq!(rate.allow(5_500), Ok(()));
        assert_eq!(rate.allow(5_500), Err(500));
    }

    #[test]
    fn on_credit_it_comes_to_the_same_and_the_wait_has_a_bound() {
        for per_s in [1, 2, 30, 10_000, 1_000_000] {
            let (mut rate, mut now_ms) = (PublishRate::new(per_s), 0);
            let mut taken = 0_u64;
            while now_ms < 60_000 {
                taken += 1;
                if let Some(wait_ms) = rate.charge(now_ms) {
                    assert!(wait_ms <= 1_101, "{wait_ms}");
                    // The clock ticks ten times a second.
                    now_ms = (now_ms + wait_ms).next_multiple_of(100);
                }
            }
            let (least, most) = (69 * u64::from(per_s), 72 * u64::from(per_s) + 1);
            assert!((least..=most).contains(&taken), "{taken} at {per_s}/s");
        }
    }
}
