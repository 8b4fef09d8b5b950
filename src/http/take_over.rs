//! Streams that leave hyper: what they need is the bare socket of the connection that asked.

use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;

use super::admin::View;
use super::answer::{self, Answer};
use crate::connection::{EventStream, Stream};

/// What takes a socket over.
#[derive(Debug)]
pub enum TakenOver {
    /// A session that only listens.
    Events(EventStream),
    /// A viewer of the admin page.
    Admin(View),
}

impl TakenOver {
    /// Has the socket until one side ends it.
    pub async fn run(self, stream: Stream) {
        match self {
            Self::Events(events) => events.run(stream).await,
            Self::Admin(view) => view.run(stream).await,
        }
    }
}

/// A stream that waits for its socket. It rides on an answer that is not to be written.
#[derive(Clone)]
pub struct TakeOver(Arc<Mutex<Option<TakenOver>>>);

impl TakeOver {
    /// The answer that it rides on.
    pub(super) fn answer(stream: TakenOver) -> Answer {
        let mut answer = answer::json(StatusCode::OK, &());
        answer.extensions_mut().insert(Self(Arc::new(Mutex::new(Some(stream)))));
        answer
    }

    /// The stream of an answer, once.
    pub fn of(answer: &Answer) -> Option<TakenOver> {
        answer.extensions().get::<Self>()?.0.lock().take()
    }
}
