//! How many log lines of one kind there may be in a second, so that what happens a hundred thousand times
//! at once is told a few times, and how often it happened.
//!
//! # State
//! The second and how many lines were written in it; how many were not, since that was told.
//!
//! # Who may touch what
//! Whoever has something to tell asks; whoever tells how much was not told takes that.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `window` | whoever asks | the same, by the exchange itself | Relaxed | itself: one word has second and count |
//! | `untold` | whoever asks adds, whoever tells takes | the same | Relaxed | nothing: a figure |
//!
//! # Races considered
//! - *Something happens while the number is taken*: it is in this number or in the next.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lines of one kind in one second.
pub(crate) const LINES_PER_S: u64 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LineRate {
    /// The second in the upper half, the lines in the lower.
    window: AtomicU64,
    untold: AtomicU64,
}

impl LineRate {
    /// Whether a line may be written in this second, of any clock that does not go back. If not it is
    /// counted.
    pub(crate) fn may_tell(&self, now_ms: u64) -> bool {
        let second = (now_ms / 1_000) << 32;
        let taken = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
            let window = window.max(second);
            ((window & u64::from(u32::MAX)) < LINES_PER_S).then_some(window + 1)
        });
        if taken.is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// How often it was not told since this was asked last.
    pub(crate) fn take_untold(&self) -> u64 {
        match self.untold.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.untold.swap(0, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_lines_and_the_rest_is_counted() {
        let rate = LineRate::default();
        let told = |now_ms| (0..1_000).filter(|_| rate.may_tell(now_ms)).count() as u64;
        assert_eq!((told(5_000), told(5_999)), (LINES_PER_S, 0));
        assert_eq!(rate.take_untold(), 2_000 - LINES_PER_S);
        assert_eq!((rate.take_untold(), told(6_000)), (0, LINES_PER_S));
        // Somebody who was held up.
        assert_eq!(told(5_999), 0);
    }
}
