//! Who is in a channel: per lane an immutable snapshot that is swapped whole, and what has changed
//! since it was made.
//!
//! # State
//! For each lane `current` (the snapshot that the lane sees through its [`Swap`]), `joined` and
//! `left`. Every letter of the channel has a number; a member entry carries the number of the
//! letter that brought it (`since`), a leave the number of its own. An entry is dead if its
//! session left with a higher number.
//!
//! # Who may touch what
//! Only the holder of the channel's duty touches a [`Roster`]. The lanes load the swaps.
//!
//! # Cost
//! A join or leave is O(1). A rebuild is O(members) and happens at most once per publication, or
//! once per tick after leaves, so a storm of N joins costs O(N).
//!
//! # Races considered
//! - *A lane loads a newer snapshot than its publication saw*: a member that joined later has a
//!   `since` above the publication's number and is left out of it; one that left is gone, which is
//!   what it asked for.
//! - *A lane loads an older one*: not possible. The snapshot is stored before the publication is
//!   posted to the lane, and that post pairs with the lane's take.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::ids::SessionId;
use crate::base::sync::Swap;

/// The number of a letter within its channel.
pub(crate) type LetterNumber = u64;

/// A membership as a lane sees it.
#[derive(Debug, Clone)]
pub(crate) struct Member<S> {
    pub(crate) session: S,
    pub(crate) id: SessionId,
    pub(crate) since: LetterNumber,
}

/// An immutable member list of one channel and lane.
pub(crate) type Snapshot<S> = Vec<Member<S>>;

/// Where a lane finds the newest snapshot.
pub(crate) type SnapshotSwap<S> = Swap<Snapshot<S>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Roster<S> {
    lanes: Vec<LaneRoster<S>>,
    count: usize,
}

#[derive(Debug)]
struct LaneRoster<S> {
    current: Arc<Snapshot<S>>,
    joined: Vec<Member<S>>,
    left: HashMap<SessionId, LetterNumber>,
}

impl<S: Clone> Roster<S> {
    pub(crate) fn new(lanes: usize) -> Self {
        let lanes = (0..lanes)
            .map(|_| LaneRoster {
                current: Arc::new(Vec::new()),
                joined: Vec::new(),
                left: HashMap::new(),
            })
            .collect();
        Self { lanes, count: 0 }
    }

    /// Adds a member. The caller knows that the session is not one already.
    pub(crate) fn join(&mut self, lane: usize, member: Member<S>) {
        self.lanes[lane].joined.push(member);
        self.count += 1;
    }

    /// Removes a member. The caller knows that the session is one.
    pub(crate) fn leave(&mut self, lane: usize, id: SessionId, number: LetterNumber) {
        self.lanes[lane].left.insert(id, number);
        self.count -= 1;
    }

    /// The members after all joins and leaves so far, in no order.
    pub(crate) fn members(&self) -> impl Iterator<Item = &S> {
        self.lanes.iter().flat_map(|LaneRoster { current, joined, left }| {
            let alive =
                |member: &&Member<S>| left.get(&member.id).is_none_or(|&at| at < member.since);
            current.iter().chain(joined).filter(alive).map(|member| &member.session)
        })
    }

    /// Members after all joins and leaves so far.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Brings the lane's snapshot up to date. Returns whether it had to be rebuilt.
    pub(crate) fn refresh(&mut self, lane: usize, swap: &SnapshotSwap<S>) -> bool {
        let roster = &mut self.lanes[lane];
        if roster.joined.is_empty() && roster.left.is_empty() {
            return false;
        }
        let LaneRoster { current, joined, left } = roster;
        let alive = |member: &Member<S>| left.get(&member.id).is_none_or(|&at| at < member.since);
        let mut next = Vec::with_capacity(current.len() + joined.len());
        next.extend(current.iter().filter(|member| alive(member)).cloned());
        next.extend(joined.drain(..).filter(alive));
        next.shrink_to_fit();
        left.clear();
        left.shrink_to(64);
        joined.shrink_to(64);
        *current = Arc::new(next);
        swap.store(current.clone());
        true
    }

    /// Whether the lane's snapshot has nobody; meaningful after [`refresh`](Self::refresh).
    pub(crate) fn is_empty(&self, lane: usize) -> bool {
        self.lanes[lane].current.is_empty()
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn member(id: u64, since: LetterNumber) -> Member<()> {
        Member { session: (), id: SessionId::from(id), since }
    }

    proptest! {
        /// Random joins, leaves and refreshes against a plain set.
        #[test]
        fn agrees_with_a_plain_set(operations in proptest::collection::vec((0u8..3, 0u64..8), 0..200)) {
            let mut roster = Roster::new(1);
            let swap = SnapshotSwap::new(Arc::new(Vec::new()));
            let mut model = BTreeSet::new();
            for (number, (operation, id)) in operations.into_iter().enumerate() {
                let number = number as u64 + 1;
                match operation {
                    0 if model.insert(id) => roster.join(0, member(id, number)),
                    1 if model.remove(&id) => roster.leave(0, SessionId::from(id), number),
                    2 => {
                        roster.refresh(0, &swap);
                        let seen: Vec<u64> = swap.load_full().iter().map(|m| m.id.get()).collect();
                        let set: BTreeSet<u64> = seen.iter().copied().collect();
                        prop_assert_eq!(seen.len(), set.len(), "doubled: {:?}", seen);
                        prop_assert_eq!(&set, &model);
                    }
                    _ => {}
                }
                prop_assert_eq!(roster.count(), model.len());
            }
        }
    }

    #[test]
    fn leaving_and_joining_again_between_two_refreshes_keeps_the_new_entry_only() {
        let mut roster = Roster::new(1);
        let swap = SnapshotSwap::new(Arc::new(Vec::new()));
        roster.join(0, member(7, 1));
        assert!(roster.refresh(0, &swap));
        for turn in 0..5 {
            roster.leave(0, SessionId::from(7), 2 + 2 * turn);
            roster.join(0, member(7, 3 + 2 * turn));
        }
        assert!(roster.refresh(0, &swap));
        assert!(!roster.refresh(0, &swap));
        let seen = swap.load_full();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].since, 11);
    }
}
