//! The writer of a session that is behind: how one begins, and what is left to do when it is over.

use std::sync::Arc;

use super::deliver::{broken, gap_frame};
use super::endings;
use super::session::Session;
use super::shared::Shared;
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::loss::Dropped;
use crate::base::panics::Culprit;
use crate::outbox::queue::Loss;
use crate::outbox::writer::{self, End, Terms};

/// A writer that exists. However it ends, nothing of it stays; and a session whose writer panicked cannot be
/// written to any more, not even a close: it is in the middle of a frame.
struct Writing {
    session: Arc<Session>,
    shared: Arc<Shared>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let Self { session, shared } = self;
        if std::thread::panicking() {
            shared.counters.panics.of(Culprit::Writer).add(1);
            let disconnect = Disconnect::new(Reason::InternalError);
            endings::decided(session, &disconnect, None, shared);
            session.kill();
        }
        // Only now: what it could not write to a broken socket was still queued before.
        shared.behind.leave(session);
        shared.counters.writers.add(-1);
    }
}

/// Starts the writer of a session whose outbox has just got a queue.
pub(crate) fn start_writer(session: &Arc<Session>, shared: &Arc<Shared>) {
    let (session, shared) = (session.clone(), shared.clone());
    let age_max_ms = shared.limits.outbox_age_max_ms;
    let counters = &shared.counters;
    shared.behind.add(&session);
    counters.writers.add(1);
    counters.writers_started.add(1);
    let writing = Writing { session, shared };
    tokio::spawn(async move {
        let Writing { session, shared } = &writing;
        let counters = &shared.counters;
        if let Some(socket) = session.socket() {
            let terms = Terms {
                room: &shared.room,
                now_ms: || shared.clock.now_ms(),
                age_max_ms,
                tell: |loss: &Loss| gap_frame(session.form.format, loss),
                count: |dropped: &Dropped| {
                    counters.lanes()[usize::from(session.lane)].note_dropped(dropped);
                },
            };
            let end = writer::run(&session.outbox, socket, terms).await;
            match end {
                End::Idle | End::Closed => {}
                End::CloseWritten => session.close_written(),
                End::Broken => broken(session, shared),
            }
        }
    });
}
