//! Where a lane is told something: a mailbox with one fixed drainer that sleeps while it is empty.
//!
//! # State
//! Items, and the waker of the lane while it sleeps.
//!
//! # Who may touch what
//! Anybody posts. Only the lane claims, takes and waits.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `mailbox` | anybody | lane | see [`Mailbox`] | |
//! | `waker` | anybody wakes, or takes it to wake it soon | lane registers | `AtomicWaker` | register, then look again |
//!
//! # Races considered
//! - *A post between the lane's last look and its sleep*: the lane registers its waker and then
//!   looks again; the poster counts its letter and then wakes. One of them sees the other.

use std::future::poll_fn;
use std::task::Poll;

use super::cork;
use super::mailbox::{Duty, Mailbox};
use crate::base::sync::AtomicWaker;

/// See the module.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    mailbox: Mailbox<T>,
    waker: AtomicWaker,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self { mailbox: Mailbox::new(), waker: AtomicWaker::new() }
    }

    /// Tells the lane, and wakes it if it had nothing to do: now, or with its [`Cork`](super::cork::Cork).
    pub(crate) fn post(&self, item: T) {
        if self.mailbox.post(item).is_some() {
            cork::wake(&self.waker);
        }
    }

    /// For the lane, when it holds no duty: the duty, if anything was posted.
    pub(crate) fn claim(&self) -> Option<Duty> {
        self.mailbox.claim()
    }

    /// For the lane: the next item; `None` when the duty is over.
    pub(crate) fn take(&self, duty: &mut Duty) -> Option<T> {
        self.mailbox.take(duty)
    }

    /// For the lane, when it holds no duty: waits until there is something to claim.
    ///
    /// Cancel safe.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            if self.mailbox.len() > 0 {
                return Poll::Ready(());
            }
            self.waker.register_by_ref(cx.waker());
            if self.mailbox.len() > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
