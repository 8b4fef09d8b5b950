//! A graceful end, in phases with bounds.
//!
//! [`Hub::close_sessions_over`], for those who want to spread it:
//! 1. **Refuse sessions**: no new ones from now on. Publications go on.
//! 2. **Close over a window**: each session gets its close at a moment of its own, behind everything
//!    that was accepted for it before.
//!
//! [`Hub::drain`]:
//! 3. **Refuse**: new sessions and new publications are refused from now on.
//! 4. **Deliver**: what was accepted goes out to sockets and outboxes.
//! 5. **Close**: every session that is left gets a close frame behind its data.
//! 6. **Wait** for the peers' answers.
//! 7. **Kill** what is left at the deadline.
//!
//! Phases 4 and 6 share the bound [`DrainOptions::timeout`]; 4 may use half of it.
//!
//! # State
//! [`Draining`]: how far it is, which only grows.
//!
//! # Who may touch what
//! [`Hub::close_sessions_over`] and [`Hub::drain`] raise it; whoever opens a session or publishes
//! reads it.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | the stage | whoever drains | anybody | Release / Acquire | who sees it set sees that the drain began |
//!
//! # Races considered
//! - *A publication accepted just before the stage was seen*: it is delivered; phase 4 waits for it
//!   if it was counted by then, and the close of phase 5 goes out behind it in any case, because
//!   both pass through the same lanes.
//! - *A publication accepted just before a session's close of phase 2*: a [`Farewell`] goes through the
//!   mailbox of each of the session's channels, and the one that comes out last closes. So whatever was
//!   in a mailbox before it is written before the close.
//! - *A session's own publication, accepted just behind its farewell*: it would not come back to it.
//!   The session has ended by then, as far as [`Session::ended_by`] says, and does not get an
//!   acknowledgement.
//! - *A session opened just before*: phase 5 closes it with the others, or its reader ends it when
//!   the process goes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::Hub;
use super::channel::Letter;
use super::endings;
use super::lane::Item;
use super::session::Session;
use crate::base::disconnect::{Disconnect, Reason};

/// How often the phases look whether they are done.
const LOOK: Duration = Duration::from_millis(5);

/// How long killed sessions may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// Everything is accepted.
const SERVES: u8 = 0;
/// No sessions are.
const REFUSES_SESSIONS: u8 = 1;
/// Nothing is.
const REFUSES_ALL: u8 = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Draining(AtomicU8);

impl Draining {
    fn raise(&self, stage: u8) {
        self.0.fetch_max(stage, Ordering::AcqRel);
    }

    /// Whether publications are refused.
    pub(super) fn refuses_publications(&self) -> bool {
        self.0.load(Ordering::Acquire) >= REFUSES_ALL
    }
}

/// How to drain.
#[derive(Clone, Copy, Debug)]
pub struct DrainOptions {
    /// Most time in all, default 10 s.
    pub timeout: Duration,
    /// Why, as the sessions are told; default [`Reason::Shutdown`].
    pub reason: Reason,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), reason: Reason::Shutdown }
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Sessions that were there.
    pub sessions: usize,
    /// Of those, sessions that did not answer the close in time.
    pub killed: usize,
    /// Bytes of publications that could not be handed to sockets or outboxes in time.
    pub undelivered_bytes: usize,
}

/// The end of a session, on its way through the mailboxes of its channels: whoever has the last of its
/// references closes.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) session: Arc<Session>,
    pub(crate) disconnect: Disconnect,
}

impl Hub {
    /// Closes the sessions there are, spread evenly over `window` and in no order that peers know, so
    /// that they do not come back as one; a session gets everything that was accepted for it before its
    /// close. New sessions are refused from the beginning. Publications are not, and go to those who
    /// are still there. Returns when all were told, or are gone; that they are gone [`drain`](Self::drain)
    /// sees to.
    ///
    /// Cancel safe: dropped in between, those told are told.
    pub async fn close_sessions_over(&self, window: Duration, reason: Reason) {
        let began = Instant::now();
        self.inner.draining.raise(REFUSES_SESSIONS);
        let mut waiting = self.in_a_new_order();
        let count = waiting.len();
        while !waiting.is_empty() && self.session_count() > 0 {
            let passed = began.elapsed();
            let is_due = |at: usize, (_, jitter): &(Arc<Session>, f64)| {
                window.mul_f64((at as f64 + jitter) / count as f64) <= passed
            };
            while let Some(next) = waiting.front()
                && is_due(count - waiting.len(), next)
                && let Some((session, _)) = waiting.pop_front()
            {
                self.say_farewell(session, reason);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// All sessions, each with a number from 0 to 1. Both are made of their ids, which begin anywhere.
    fn in_a_new_order(&self) -> VecDeque<(Arc<Session>, f64)> {
        // Fibonacci hashing: neighbours come to stand far from each other.
        let scatter = |id: u64| id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut sessions = self.inner.registry.all();
        sessions.sort_unstable_by_key(|session| scatter(session.id.get()));
        let jitter = |session: &Arc<Session>| {
            scatter(scatter(session.id.get()).rotate_left(32)) as f64 / u64::MAX as f64
        };
        sessions.into_iter().map(|session| (session.clone(), jitter(&session))).collect()
    }

    fn say_farewell(&self, session: Arc<Session>, reason: Reason) {
        let shared = &self.inner.shared;
        // Before the letters: see the races.
        let disconnect = Disconnect::new(reason);
        if !endings::decided(&session, &disconnect, None, shared) {
            return;
        }
        let channels = session.subscriptions.lock().channels().to_vec();
        if channels.is_empty() {
            let lane = &shared.lanes[usize::from(session.lane)];
            return lane.post(Item::Close {
                session,
                disconnect: Box::new(disconnect),
                discard: false,
            });
        }
        let farewell = Arc::new(Farewell { session, disconnect });
        for channel in channels {
            channel.post(Letter::Farewell(farewell.clone()), shared);
        }
        self.close_if_last(farewell);
    }

    /// The lane was faster than the one who posted.
    fn close_if_last(&self, farewell: Arc<Farewell>) {
        if let Some(Farewell { session, disconnect }) = Arc::into_inner(farewell) {
            let lane = &self.inner.shared.lanes[usize::from(session.lane)];
            lane.post(Item::Close { session, disconnect: Box::new(disconnect), discard: false });
        }
    }

    /// Ends the hub gracefully; see the phases in the source. The hub refuses everything afterwards.
    ///
    /// Cancel safe: dropped in between, the phases begun go on, the later ones do not happen.
    pub async fn drain(&self, options: DrainOptions) -> DrainReport {
        let began = Instant::now();
        let shared = &self.inner.shared;
        self.inner.draining.raise(REFUSES_ALL);
        let sessions = self.session_count();
        let pending = || shared.counters.publication_bytes_pending.get();
        wait_until(|| pending() == 0, options.timeout / 2).await;
        let undelivered_bytes = pending().max(0) as usize;
        for lane in &shared.lanes {
            lane.post(Item::CloseAll(options.reason));
        }
        let rest = options.timeout.saturating_sub(began.elapsed());
        wait_until(|| self.session_count() == 0, rest).await;
        let killed = self.session_count();
        if killed > 0 {
            for lane in &shared.lanes {
                lane.post(Item::KillAll);
            }
            wait_until(|| self.session_count() == 0, AFTER_KILL).await;
        }
        DrainReport { sessions, killed, undelivered_bytes }
    }

    /// Whether new sessions are refused because [`drain`](Self::drain) or
    /// [`close_sessions_over`](Self::close_sessions_over) has begun.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.0.load(Ordering::Acquire) > SERVES
    }
}

async fn wait_until(is_done: impl Fn() -> bool, most: Duration) {
    let began = Instant::now();
    while !is_done() && began.elapsed() < most {
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(all(test, not(fanfare_loom)))]
mod tests {
    use super::*;
    use crate::base::ids::ChannelName;
    use crate::base::message::Message;
    use crate::hub::{PublishError, SessionOptions};
    use crate::outbox::state::State;

    fn channel(name: &str) -> ChannelName {
        name.try_into().unwrap()
    }

    /// Without sockets: what is delivered waits in outboxes, and each delivery is counted.
    fn hub_of(sessions: usize, channels: &[&str]) -> (Hub, Vec<Arc<Session>>) {
        let hub = Hub::builder().lanes(1).writes_per_turn(8).build();
        let mut all = Vec::new();
        for _ in 0..sessions {
            let session = hub.open(SessionOptions::default()).unwrap();
            for name in channels {
                hub.join(&session, &channel(name), None, None).unwrap();
            }
            all.push(session);
        }
        (hub, all)
    }

    fn closing(sessions: &[Arc<Session>]) -> usize {
        sessions.iter().filter(|session| session.outbox.state() == State::Closing).count()
    }

    async fn until(is_so: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if is_so() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it never came to that");
    }

    #[tokio::test]
    async fn a_close_comes_behind_what_was_accepted_in_every_channel() {
        let (hub, sessions) = hub_of(100, &["a", "b"]);
        for name in ["a", "b", "a"] {
            hub.publish(&channel(name), Message::text("x")).unwrap();
        }
        // The lane has not begun, and needs tens of turns.
        for session in &sessions {
            hub.say_farewell(session.clone(), Reason::Shutdown);
        }
        until(|| closing(&sessions) == 100).await;
        assert_eq!(hub.counters().over_lanes(|lane| &lane.deliveries), 300);
        hub.publish(&channel("a"), Message::text("too late")).unwrap();
        hub.drain(DrainOptions { timeout: Duration::from_millis(20), ..Default::default() }).await;
        assert_eq!(hub.counters().over_lanes(|lane| &lane.deliveries), 300);
        sessions.iter().for_each(|session| hub.end(session));
    }

    #[tokio::test]
    async fn closes_are_spread_over_the_window_and_publications_go_on() {
        let (hub, sessions) = hub_of(50, &["a"]);
        let window = Duration::from_millis(400);
        let over = hub.close_sessions_over(window, Reason::Shutdown);
        let looking = async {
            let began = Instant::now();
            let mut seen = vec![0];
            while closing(&sessions) < 50 {
                let now = closing(&sessions);
                seen.extend((now > seen[seen.len() - 1]).then_some(now));
                tokio::task::yield_now().await;
            }
            (began.elapsed(), seen)
        };
        let (_, (took, seen)) = tokio::join!(over, looking);
        assert!(took >= window.mul_f64(0.9), "{took:?}");
        assert!(seen.len() > 5, "a few at a time: {seen:?}");
        assert!(hub.is_draining() && hub.open(SessionOptions::default()).is_err());
        assert_eq!(hub.publish(&channel("a"), Message::text("x")).unwrap().subscribers, 50);
        sessions.iter().for_each(|session| hub.end(session));
        hub.drain(DrainOptions::default()).await;
        let refused = hub.publish(&channel("a"), Message::text("x")).unwrap_err();
        assert_eq!(refused, PublishError::Draining);
    }

    #[tokio::test]
    async fn a_session_in_no_channel_is_closed_too_and_nobody_twice() {
        let (hub, sessions) = hub_of(3, &[]);
        hub.close_sessions_over(Duration::ZERO, Reason::Shutdown).await;
        until(|| closing(&sessions) == 3).await;
        for session in &sessions {
            assert_eq!(session.ended_by(), Some(Reason::Shutdown));
            hub.say_farewell(session.clone(), Reason::Kicked);
            hub.end(session);
        }
        assert_eq!(hub.counters().disconnects(Reason::Shutdown).get(), 3);
    }
}
