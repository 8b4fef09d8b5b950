//! Counts exactly what one subscription lost, got twice or got late.
//!
//! Numbers count up by one in a channel. A number that was jumped over is missing until it comes
//! (then it was reordered) or the run ends (then it is lost); a number that comes and is not missing
//! was there before (then it is doubled).

/// Ranges of missing numbers that are kept for a subscription. Each was followed by something that
/// arrived, so a server that only drops the end, or in long runs, never gets here.
const RANGES_MAX: usize = 1_024;

/// What a number that arrived was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    InOrder,
    /// It was missing, and counts as received.
    Late,
    Double,
}

/// What one subscription has seen.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The number that comes next if all is well; `None` before the first of a session whose
    /// beginning is not known.
    next: Option<u32>,
    /// Only there once something went wrong.
    gaps: Option<Box<Gaps>>,
}

#[derive(Debug, Default)]
struct Gaps {
    /// From and up to, without the end; in order.
    missing: Vec<(u32, u32)>,
    /// Numbers that are missing and not in `missing`, because it was full.
    beyond: u64,
}

impl Ledger {
    /// Expects everything from a number on.
    pub(crate) fn from(first: u32) -> Self {
        Self { next: Some(first), gaps: None }
    }

    pub(crate) fn see(&mut self, number: u32) -> Seen {
        let next = *self.next.get_or_insert(number);
        if number == next {
            self.next = Some(number + 1);
            return Seen::InOrder;
        }
        if number > next {
            self.gaps.get_or_insert_default().miss(next, number);
            self.next = Some(number + 1);
            return Seen::InOrder;
        }
        let is_missing = self.gaps.as_mut().is_some_and(|gaps| gaps.found(number));
        if is_missing { Seen::Late } else { Seen::Double }
    }

    /// What was jumped over and has not come.
    pub(crate) fn missing(&self) -> u64 {
        self.gaps.as_ref().map_or(0, |gaps| {
            gaps.beyond + gaps.missing.iter().map(|(from, to)| u64::from(to - from)).sum::<u64>()
        })
    }

    /// What is lost if the last number that was sent is the one before `end`.
    pub(crate) fn lost(&self, end: u32) -> u64 {
        let never = self.next.map_or(0, |next| u64::from(end.saturating_sub(next)));
        never + self.missing()
    }

    /// Whether late and doubled were told apart throughout.
    pub(crate) fn is_exact(&self) -> bool {
        self.gaps.as_ref().is_none_or(|gaps| gaps.beyond == 0)
    }
}

impl Gaps {
    fn miss(&mut self, from: u32, to: u32) {
        if self.missing.len() < RANGES_MAX {
            self.missing.push((from, to));
        } else {
            self.beyond += u64::from(to - from);
        }
    }

    /// Takes a number out of what is missing, if it is there.
    fn found(&mut self, number: u32) -> bool {
        let at = self.missing.partition_point(|(_, to)| *to <= number);
        let Some(&(from, to)) = self.missing.get(at).filter(|(from, _)| *from <= number) else {
            return false;
        };
        match (number == from, number + 1 == to) {
            (true, true) => {
                self.missing.remove(at);
            }
            (true, false) => self.missing[at].0 = number + 1,
            (false, true) => self.missing[at].1 = number,
            (false, false) => {
                self.missing[at].1 = number;
                self.missing.insert(at + 1, (number + 1, to));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_in_order_is_nothing_to_tell() {
        let mut ledger = Ledger::from(5);
        assert!((5..50).all(|number| ledger.see(number) == Seen::InOrder));
        assert_eq!((ledger.lost(50), ledger.lost(52)), (0, 2));
        assert!(ledger.gaps.is_none() && ledger.is_exact());
    }

    #[test]
    fn lost_late_and_double_are_told_apart() {
        let mut ledger = Ledger::from(0);
        let seen: Vec<Seen> = [0, 1, 5, 3, 3, 1, 6].map(|number| ledger.see(number)).into();
        use Seen::{Double, InOrder, Late};
        assert_eq!(seen, [InOrder, InOrder, InOrder, Late, Double, Double, InOrder]);
        assert_eq!((ledger.missing(), ledger.lost(8)), (2, 3));
    }

    #[test]
    fn a_beginning_that_is_not_known_is_the_first_that_comes() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.lost(100), 0);
        assert_eq!(ledger.see(7), Seen::InOrder);
        assert_eq!(ledger.see(6), Seen::Double, "before it was there");
        assert_eq!(ledger.lost(9), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_count_of_the_lost_is_not() {
        let mut ledger = Ledger::from(0);
        for number in (1..20_000).step_by(2) {
            ledger.see(number);
        }
        assert_eq!(ledger.missing(), 10_000);
        assert!(ledger.gaps.as_ref().unwrap().missing.len() <= RANGES_MAX && !ledger.is_exact());
    }

    proptest! {
        #[test]
        fn it_counts_like_a_set(numbers in proptest::collection::vec(0u32..60, 0..120)) {
            let mut ledger = Ledger::from(0);
            let mut set = BTreeSet::new();
            for number in numbers {
                let is_highest = set.last().is_none_or(|last| number > *last);
                let expected = match (set.insert(number), is_highest) {
                    (false, _) => Seen::Double,
                    (true, true) => Seen::InOrder,
                    (true, false) => Seen::Late,
                };
                prop_assert_eq!(ledger.see(number), expected);
            }
            prop_assert_eq!(ledger.lost(60), 60 - set.len() as u64);
        }
    }
}
