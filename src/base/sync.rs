//! The shim between the real primitives and the model checker's.
//!
//! Under `--cfg fanfare_loom` the modules that import from here run on loom's atomics and locks.
//! loom cannot see inside crossbeam, arc-swap or parking_lot; there the shim puts the simplest
//! stand-in with the same contract, so that the protocol *around* those structures is what is
//! checked. The flag is our own because tokio drops its network module under the bare `loom` flag.

#[cfg(not(fanfare_loom))]
mod real {
    pub use crossbeam_queue::SegQueue as Queue;
    pub use parking_lot::Mutex;
    pub use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    /// A waker that one task registers and anybody wakes.
    #[derive(Debug, Default)]
    pub struct AtomicWaker(atomic_waker::AtomicWaker);

    impl AtomicWaker {
        /// With nobody registered.
        pub fn new() -> Self {
            Self(atomic_waker::AtomicWaker::new())
        }

        /// Registers in place of whoever was.
        pub fn register_by_ref(&self, waker: &std::task::Waker) {
            self.0.register(waker);
        }

        /// Whoever is registered, who is not any more.
        pub fn take_waker(&self) -> Option<std::task::Waker> {
            self.0.take()
        }

        /// Wakes whoever is registered.
        pub fn wake(&self) {
            self.0.wake();
        }
    }

    /// A place for a shared value that is replaced whole: arc-swap.
    pub type Swap<T> = arc_swap::ArcSwap<T>;
}
#[cfg(not(fanfare_loom))]
pub use real::*;

#[cfg(fanfare_loom)]
mod model {
    pub use loom::future::AtomicWaker;
    pub use loom::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    /// Runs `check` under every schedule with at most three preemptions. Nearly all bugs of this kind
    /// need two; without a bound the larger models run for hours.
    pub fn model(check: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(check);
    }

    /// Stand-in for `parking_lot::Mutex`: loom's lock without its poison.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A lock around `value`.
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }

        /// The lock if nobody has it.
        pub fn try_lock(&self) -> Option<loom::sync::MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// Stand-in for `arc_swap::ArcSwap`: an `Arc` under loom's lock.
    #[derive(Debug)]
    pub struct Swap<T>(Mutex<std::sync::Arc<T>>);

    impl<T> Swap<T> {
        /// Holding `value`.
        pub fn new(value: std::sync::Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        /// The value now.
        pub fn load_full(&self) -> std::sync::Arc<T> {
            self.0.lock().clone()
        }

        /// Replaces it.
        pub fn store(&self, value: std::sync::Arc<T>) {
            *self.0.lock() = value;
        }
    }

    /// Stand-in for crossbeam's `SegQueue`: a list under loom's lock.
    #[derive(Debug)]
    pub struct Queue<T>(Mutex<std::collections::VecDeque<T>>);

    impl<T> Queue<T> {
        /// An empty queue.
        pub fn new() -> Self {
            Self(Mutex::new(std::collections::VecDeque::new()))
        }

        /// Appends.
        pub fn push(&self, value: T) {
            self.0.lock().push_back(value);
        }

        /// Takes the oldest.
        pub fn pop(&self) -> Option<T> {
            self.0.lock().pop_front()
        }
    }
}
#[cfg(fanfare_loom)]
pub use model::*;
