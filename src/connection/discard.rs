//! What is left to do for a connection whose close is on its way.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::reader::SCRATCH;
use crate::base::disconnect::Reason;
use crate::hub::Hub;
use crate::hub::session::Session;
use crate::outbox::state::State;

/// How often it is looked whether a close frame is written, once the peer has ended its side.
const CLOSE_LOOK: Duration = Duration::from_millis(10);

/// Reads and forgets until the peer ends and has our close, or the sweep ends it.
pub(super) async fn discard(session: &Session) {
    if poll_fn(|cx| poll_discard(session, cx)).await {
        close_written(session).await;
    }
}

/// Waits until our close frame is written. A peer that has ended its side may still read, and may
/// have been faster than our lane; the sweep ends what it does not take.
async fn close_written(session: &Session) {
    let is_written = || match session.outbox.state() {
        State::Closed => true,
        State::Closing => session.outbox.lag().is_none(),
        State::Idle | State::Parked => false,
    };
    loop {
        let was_written = is_written();
        // The state changes a moment before the write.
        tokio::time::sleep(CLOSE_LOOK).await;
        if was_written {
            return;
        }
    }
}

/// Whether the peer has ended its side in order.
pub(super) fn poll_discard(session: &Session, cx: &mut Context<'_>) -> Poll<bool> {
    session.reader.register(cx.waker());
    if session.outbox.state() == State::Closed {
        return Poll::Ready(false);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let Some(socket) = session.socket() else { return Poll::Ready(false) };
        loop {
            match socket.poll_read(cx, scratch) {
                Poll::Ready(Ok(0)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
}

/// What is left of a connection that panicked. It ends with whoever reads on, even if that panics too.
pub(super) struct Left {
    pub(super) hub: Hub,
    pub(super) session: Arc<Session>,
}

impl Drop for Left {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.session.note_end(Reason::InternalError);
        }
        self.hub.end(&self.session);
    }
}
