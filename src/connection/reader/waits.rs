//! What a reader waits for before it reads on: room in the hub, its own rate, the application, replies
//! that pile up. Whatever it is, the end of the session ends the wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::{Connection, Step};
use crate::connection::asking::{Asking, or_publish};
use crate::connection::dispatch::{Flow, Wait, Waiting};
use crate::outbox::state::State;

impl Connection {
    pub(super) async fn waited(&mut self, wait: Box<Wait>) -> Step {
        match *wait {
            Wait::Room(waiting) => self.room(waiting).await,
            Wait::Later(waiting, wait_ms) => self.later(waiting, wait_ms).await,
            Wait::Answer(asking) => self.answer(asking).await,
        }
    }

    async fn room(&mut self, mut waiting: Waiting) -> Step {
        let flow = loop {
            self.hub.room().await;
            if self.session.outbox.state() == State::Closed {
                return Step::End;
            }
            waiting = match waiting.publish(&self.hub, &self.session) {
                Flow::Wait(wait) => match *wait {
                    Wait::Room(still) => still,
                    other => break Flow::Wait(Box::new(other)),
                },
                flow => break flow,
            };
        };
        self.go_on(flow)
    }

    /// A peer that publishes too fast is not read meanwhile, which slows it down without a loss.
    async fn later(&mut self, waiting: Waiting, wait_ms: u64) -> Step {
        let wait = tokio::time::sleep(Duration::from_millis(wait_ms));
        if self.unless_over(wait).await.is_none() {
            return Step::End;
        }
        let flow = or_publish(waiting, &self.hub, &self.session);
        self.go_on(flow)
    }

    async fn answer(&mut self, mut asking: Asking) -> Step {
        let Some(answer) = self.unless_over(&mut asking.answer).await else { return Step::End };
        let flow = asking.then.go_on(answer, &self.hub, &self.session);
        self.go_on(flow)
    }

    /// Waits for that, or for the end of the session: then there is nothing to wait for.
    async fn unless_over<F: Future>(&self, awaited: F) -> Option<F::Output> {
        let mut awaited = pin!(awaited);
        poll_fn(|cx| {
            self.session.reader.register(cx.waker());
            match self.session.outbox.state() {
                State::Closed => Poll::Ready(None),
                _ => awaited.as_mut().poll(cx).map(Some),
            }
        })
        .await
    }

    pub(super) async fn replies_gone(&self) {
        poll_fn(|cx| {
            self.session.reader.register(cx.waker());
            let is_over = self.session.outbox.state() == State::Closed;
            if is_over || self.session.replies() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
