//! Lanes that are woken together, for what one thread posts in one go.
//!
//! A reader takes many messages with one read and posts them one by one. A lane on another core that was
//! woken by the first began its pass with that one, and the others waited for the next pass: more writes, each
//! with less in it. With two lanes and 32 messages in flight 28 went out with a write; corked it is 32.
//!
//! # State
//! For each thread whether it is corked, and the wakers that it holds.
//!
//! # Who may touch what
//! The thread alone. A waker that it holds is in no [`Inbox`](super::inbox::Inbox) any more: nobody else wakes that
//! lane until it is uncorked, or until the lane runs and registers again.
//!
//! # Orderings
//! The inbox's: what was posted is counted before its waker is taken.
//!
//! # Races considered
//! - *Somebody else posts to the lane meanwhile*: the lane has something already, so they leave it to whoever was
//!   first to wake it, as without a cork; their item waits for this thread to uncork. So whoever corks waits for
//!   nothing and does not take long before it uncorks, and a panic uncorks too.
//! - *The lane runs meanwhile*, woken before: it takes what is there; being woken once more costs it one look.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::task::Waker;

use crate::base::sync::AtomicWaker;

thread_local! {
    static IS_CORKED: Cell<bool> = const { Cell::new(false) };
    /// At most one for each lane: a waker that was taken is not there to be taken again.
    static HELD: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, lanes that this thread has something for are not woken; then they are. One within another
/// does nothing.
#[derive(Debug)]
#[must_use = "it holds only while it lives"]
pub(crate) struct Cork {
    is_outer: bool,
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

impl Cork {
    pub(crate) fn new() -> Self {
        Self { is_outer: !IS_CORKED.replace(true), _here: PhantomData }
    }

    /// Ends it early, if it is the outer one.
    pub(crate) fn uncork(&mut self) {
        if std::mem::take(&mut self.is_outer) {
            IS_CORKED.set(false);
            HELD.with_borrow_mut(|held| held.drain(..).for_each(Waker::wake));
        }
    }
}

impl Drop for Cork {
    fn drop(&mut self) {
        self.uncork();
    }
}

/// Wakes whoever is registered, now or at the end of the cork.
pub(super) fn wake(waker: &AtomicWaker) {
    match IS_CORKED.get() {
        true => HELD.with_borrow_mut(|held| held.extend(waker.take_waker())),
        false => waker.wake(),
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_is_registered_is_woken_once_and_when_the_outer_cork_is_gone() {
        let count = Arc::new(Count::default());
        let woken = || count.0.load(Ordering::Relaxed);
        let waker = AtomicWaker::new();
        waker.register_by_ref(&count.clone().into());
        let mut outer = Cork::new();
        wake(&waker);
        let inner = Cork::new();
        wake(&waker);
        drop(inner);
        assert_eq!(woken(), 0);
        outer.uncork();
        assert_eq!(woken(), 1);
        waker.register_by_ref(&count.clone().into());
        wake(&waker);
        assert_eq!(woken(), 2, "at once where nothing is corked");
        let _again = Cork::new();
        drop(outer);
        assert!(IS_CORKED.get(), "what was uncorked early is nothing to others");
    }

    #[test]
    fn a_panic_uncorks() {
        let count = Arc::new(Count::default());
        let waker = AtomicWaker::new();
        waker.register_by_ref(&count.clone().into());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _cork = Cork::new();
            wake(&waker);
            panic!("in the middle");
        }));
        assert!(panicked.is_err() && !IS_CORKED.get());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
