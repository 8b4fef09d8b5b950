//! A queue whose readers relieve each other: whoever finds it idle drains it, everybody else has
//! already returned.
//!
//! A channel's mailbox is drained by its publishers, a lane's inbox by the lane.
//!
//! # State
//! `letters` holds what was posted. `pending` counts letters whose post is complete and whose
//! drainer has not settled for them. The **duty** to drain exists exactly while `pending > 0`,
//! and exactly one [`Duty`] exists then.
//!
//! # Who may touch what
//! - Anybody posts: first the letter, then the count. The post that raises the count from 0
//!   creates the duty and returns it.
//! - Only the holder of the duty takes letters. It takes only as many as it has seen counted, so
//!   `pop` always finds one. When it has taken all it knew of it settles: it subtracts what it
//!   took, and what remains is what was posted meanwhile. At zero the duty is over.
//! - A duty is a value: it may be handed to another thread together with its mailbox.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `pending` (post) | anybody | – | AcqRel add | settle: the drainer sees the letters it is told of (Release); a new drainer sees all that the last one did (Acquire) |
//! | `pending` (settle) | duty holder | – | AcqRel sub | post: see above |
//!
//! # Races considered
//! - *A post between the last take and settle*: settle returns 1, the duty goes on.
//! - *A post right after settle reached 0*: it raises the count from 0, so the poster gets a duty
//!   of its own. The old holder touches nothing after settle, so there are never two.
//! - *A letter pushed but not yet counted* may be taken early in place of a counted one: letters
//!   are taken in the queue's order, and there are at least as many as counted. The late count
//!   then stands for the letter that was left.
//! - *Lost duty*: a holder that panics would leave `pending > 0` and nobody to drain. So holders catch what
//!   panics over a letter, and keep the duty out of its reach.

use crate::base::sync::{AtomicUsize, Ordering, Queue};

/// See the module.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    letters: Queue<T>,
    pending: AtomicUsize,
}

/// The duty to drain one mailbox. Not to be dropped before [`Mailbox::take`] has said `None`,
/// except to retire the mailbox for good.
#[derive(Debug)]
#[must_use = "somebody has to drain the mailbox"]
pub(crate) struct Duty {
    /// Letters known to be there and not yet taken.
    known: usize,
    /// Letters taken and not yet settled for.
    taken: usize,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self { letters: Queue::new(), pending: AtomicUsize::new(0) }
    }

    /// Posts a letter. With a [`Duty`] the caller has become the one who drains.
    pub(crate) fn post(&self, letter: T) -> Option<Duty> {
        self.letters.push(letter);
        match self.pending.fetch_add(1, Ordering::AcqRel) {
            0 => Some(Duty { known: 1, taken: 0 }),
            _ => None,
        }
    }

    /// The next letter; `None` when all are taken and the duty is over.
    pub(crate) fn take(&self, duty: &mut Duty) -> Option<T> {
        if duty.known == 0 {
            let before = self.pending.fetch_sub(duty.taken, Ordering::AcqRel);
            duty.known = before - duty.taken;
            duty.taken = 0;
            if duty.known == 0 {
                return None;
            }
        }
        let letter = self.letters.pop();
        debug_assert!(letter.is_some(), "a counted letter was not there");
        duty.known -= 1;
        duty.taken += 1;
        letter
    }

    /// The duty of a mailbox that has one fixed drainer: whoever gets a duty from
    /// [`post`](Self::post) drops it and wakes the drainer, which claims it here when it holds none.
    pub(crate) fn claim(&self) -> Option<Duty> {
        (self.len() > 0).then_some(Duty { known: 1, taken: 0 })
    }

    /// Whether the next [`take`](Self::take) would end the duty, if nobody posts until then.
    pub(crate) fn is_drained(&self, duty: &Duty) -> bool {
        // Acquire: pairs with a post, so that "nothing more was posted" is no stale value for
        // whoever excludes posters in another way (the directory's shard lock).
        duty.known == 0 && self.pending.load(Ordering::Acquire) == duty.taken
    }

    /// Letters posted and not settled for.
    pub(crate) fn len(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn the_first_post_gets_the_duty_and_the_duty_ends_once() {
        let mailbox = Mailbox::new();
        let mut duty = mailbox.post(1).unwrap();
        assert!(mailbox.post(2).is_none());
        assert_eq!(mailbox.take(&mut duty), Some(1));
        assert_eq!(mailbox.take(&mut duty), Some(2));
        assert!(mailbox.is_drained(&duty));
        assert_eq!(mailbox.take(&mut duty), None);
        assert!(mailbox.post(3).is_some());
    }

    proptest! {
        /// Random posts and takes against a plain queue; the duty is there exactly while letters are
        /// posted and not settled for.
        #[test]
        fn agrees_with_a_plain_queue(operations in proptest::collection::vec(any::<bool>(), 0..200)) {
            let mailbox = Mailbox::new();
            let mut model = VecDeque::new();
            let mut duty: Option<Duty> = None;
            for (number, is_post) in operations.into_iter().enumerate() {
                if is_post {
                    let new = mailbox.post(number);
                    model.push_back(number);
                    prop_assert_eq!(new.is_some(), duty.is_none());
                    duty = duty.or(new);
                } else if let Some(held) = &mut duty {
                    prop_assert_eq!(mailbox.is_drained(held), model.is_empty());
                    let letter = mailbox.take(held);
                    prop_assert_eq!(letter, model.pop_front());
                    if letter.is_none() {
                        duty = None;
                        prop_assert_eq!(mailbox.len(), 0);
                    }
                } else {
                    prop_assert!(model.is_empty() && mailbox.claim().is_none());
                }
            }
        }
    }

    #[test]
    fn threads_lose_and_double_nothing_and_keep_each_ones_order() {
        const THREADS: u64 = 4;
        const LETTERS: u64 = 20_000;
        let mailbox = Arc::new(Mailbox::new());
        let seen = Arc::new([const { AtomicU64::new(0) }; THREADS as usize]);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (mailbox, seen) = (mailbox.clone(), seen.clone());
                scope.spawn(move || {
                    for letter in 0..LETTERS {
                        let Some(mut duty) = mailbox.post((thread, letter)) else { continue };
                        while let Some((from, number)) = mailbox.take(&mut duty) {
                            let before = seen[from as usize].fetch_add(1, Ordering::Relaxed);
                            assert_eq!(before, number, "order of thread {from}");
                        }
                    }
                });
            }
        });
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == LETTERS));
        assert_eq!(mailbox.len(), 0);
    }
}
