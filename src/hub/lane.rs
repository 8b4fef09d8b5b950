//! A lane: a worker of the fan-out. Every session belongs to one.
//!
//! A lane takes what was posted to it, serves the channels that have something pending in turn, and
//! yields. It is the only one that writes to a session whose outbox is idle.
//!
//! # State
//! All of it is the lane's own; only its [`Inbox`](super::inbox::Inbox) is shared, and a queue of sessions that
//! are not in its list yet. At most those are in there that came since the last sweep.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::channel::Channel;
use super::deliver::Delivery;
use super::drain::Farewell;
use super::encoded::Encoded;
use super::mailbox::Duty;
use super::pass::Work;
use super::prepared::Prepared;
use super::roster::LetterNumber;
use super::session::Session;
use super::shared::Shared;
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::panics::Culprit;
use crate::outbox::state::State;

/// What a lane takes before it serves its channels, in the cost of an item that only has to be filed.
const INTAKE_COST_MAX: usize = 4_096;

/// The cost of an item that is written at once: as many of them as a turn has writes.
const WRITE_COST: usize = 16;

/// Sessions closed in one turn when all of them are.
const CLOSES_PER_TURN: usize = 256;

/// What a lane is told.
#[derive(Debug)]
pub(crate) enum Item {
    /// To all members that the lane has of the channel.
    Publication { channel: Arc<Channel>, prepared: Arc<Prepared>, number: LetterNumber },
    /// To one member, in order with the channel's publications: a frame, and behind it publications
    /// that it missed. With `is_last` none may follow.
    Reply {
        channel: Arc<Channel>,
        session: Arc<Session>,
        frame: Bytes,
        replay: Vec<Arc<Encoded>>,
        is_last: bool,
    },
    /// To one member, in order with the channel's publications: its end, if it is the last of these.
    Farewell { channel: Arc<Channel>, farewell: Arc<Farewell> },
    /// To one session, outside of any channel.
    Push { session: Arc<Session>, prepared: Arc<Prepared> },
    /// A control frame or a reply, ahead of queued data; its reader may wait for it to be taken.
    CountedReply { session: Arc<Session>, frame: Bytes },
    /// End a session; with `discard` what is queued for it is dropped.
    Close { session: Arc<Session>, disconnect: Box<Disconnect>, discard: bool },
    /// A session is gone.
    Detach(Arc<Session>),
    /// Go on draining a channel.
    Drain(Arc<Channel>, Duty),
    /// Look after the sessions.
    Sweep,
    /// Close all sessions.
    CloseAll(Reason),
    /// End all sessions at once.
    KillAll,
    /// A fault.
    #[cfg(test)]
    Fault,
    /// The hub is gone.
    Stop,
}

impl Item {
    fn cost(&self) -> usize {
        match self {
            Item::Push { .. } | Item::CountedReply { .. } | Item::Close { .. } => WRITE_COST,
            _ => 1,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    duty: Option<Duty>,
    /// What is pending, by channel; only while it is.
    pub(super) works: HashMap<usize, Work>,
    /// Channels that were in a turn and are not done, in the order of their next.
    pub(super) ring: VecDeque<usize>,
    /// Channels that had nothing pending before, and go ahead; empty after each turn.
    pub(super) fresh: VecDeque<usize>,
    pub(super) sessions: Vec<Arc<Session>>,
    /// Where the next sweep goes on.
    pub(super) sweep_at: usize,
    /// Sessions to close when this turn's publications are written. What a peer published before it
    /// broke a rule comes back to it that way before the close does.
    closing: Vec<(Arc<Session>, Box<Disconnect>, bool)>,
    closing_all: Option<(Reason, usize)>,
    pub(super) delivery: Delivery,
    is_stopped: bool,
}

impl Lane {
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        Self {
            index,
            delivery: Delivery::new(index, shared.clone()),
            shared,
            duty: None,
            works: HashMap::new(),
            ring: VecDeque::new(),
            fresh: VecDeque::new(),
            sessions: Vec::new(),
            sweep_at: 0,
            closing: Vec::new(),
            closing_all: None,
            is_stopped: false,
        }
    }

    /// Runs until the hub is gone.
    pub(crate) async fn run(mut self) {
        while !self.is_stopped {
            let shared = self.shared.clone();
            let step = shared.counters.panics.isolate(Culprit::Lane, || self.step());
            let may_have_more = step.unwrap_or_else(|| self.recover());
            drop(shared);
            if may_have_more || !self.ring.is_empty() || self.closing_all.is_some() {
                // The driver gets to poll, so that sockets become readable and writable again.
                tokio::task::yield_now().await;
            } else {
                self.shared.lanes[self.index].wait().await;
            }
        }
    }

    /// Takes what was posted, serves, closes. Returns whether there may be more.
    fn step(&mut self) -> bool {
        let may_have_more = self.intake();
        self.turn();
        self.close_some();
        self.delivery.publish_tally();
        may_have_more
    }

    /// After a panic: what was in hand is lost, so nobody of this lane can be sure to have missed nothing.
    /// They are closed, and come back; whoever is in another lane does not notice.
    fn recover(&mut self) -> bool {
        self.works.clear();
        self.ring.clear();
        self.fresh.clear();
        self.closing.clear();
        self.delivery = Delivery::new(self.index, self.shared.clone());
        self.closing_all.get_or_insert((Reason::InternalError, 0));
        true
    }

    /// Takes what was posted. Returns whether there may be more.
    fn intake(&mut self) -> bool {
        let shared = self.shared.clone();
        let inbox = &shared.lanes[self.index];
        if self.duty.is_none() {
            self.duty = inbox.claim();
        }
        let mut cost = 0;
        while cost < INTAKE_COST_MAX {
            // Never in hand while an item is handled: a panic there must not take it along.
            let Some(item) = self.duty.as_mut().and_then(|duty| inbox.take(duty)) else {
                self.duty = None;
                return false;
            };
            cost += item.cost();
            self.handle(item);
        }
        true
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::Publication { channel, prepared, number } => {
                self.work_of(channel).push_publication(prepared, number);
            }
            Item::Reply { channel, session, frame, replay, is_last } => {
                self.work_of(channel).push_reply(session, frame, replay, is_last);
            }
            Item::Farewell { channel, farewell } => self.work_of(channel).push_farewell(farewell),
            Item::Push { session, prepared } => self.delivery.push(&session, &prepared),
            Item::CountedReply { session, frame } => {
                self.delivery.control(&session, frame);
                session.reply_taken();
            }
            Item::Close { session, disconnect, discard } => {
                self.closing.push((session, disconnect, discard));
            }
            Item::Detach(session) => {
                self.take_arrivals();
                self.detach(&session);
            }
            Item::Drain(channel, duty) => channel.drain(duty, &self.shared),
            Item::Sweep => {
                self.take_arrivals();
                self.evict();
                self.sweep();
            }
            Item::CloseAll(reason) => self.closing_all = Some((reason, 0)),
            #[cfg(test)]
            Item::Fault => panic!("a fault in a lane"),
            Item::KillAll => {
                self.take_arrivals();
                self.sessions.iter().for_each(|session| session.kill());
            }
            Item::Stop => self.is_stopped = true,
        }
    }

    fn work_of(&mut self, channel: Arc<Channel>) -> &mut Work {
        let key = Arc::as_ptr(&channel) as usize;
        self.works.entry(key).or_insert_with(|| {
            self.fresh.push_back(key);
            Work::new(channel)
        })
    }

    /// Takes those into the list that came since. They do not wake the lane: nothing but what looks at
    /// all sessions needs the list, and each such calls this first. So does the end of a session,
    /// whose arrival is older.
    fn take_arrivals(&mut self) {
        while let Some(session) = self.shared.arrivals[self.index].pop() {
            session.set_slot(self.sessions.len());
            self.sessions.push(session);
        }
    }

    fn detach(&mut self, session: &Arc<Session>) {
        let slot = session.slot();
        debug_assert!(self.sessions.get(slot).is_some_and(|found| Arc::ptr_eq(found, session)));
        self.sessions.swap_remove(slot);
        if let Some(moved) = self.sessions.get(slot) {
            moved.set_slot(slot);
        }
    }

    fn close_some(&mut self) {
        for (session, disconnect, discard) in std::mem::take(&mut self.closing) {
            self.delivery.close(&session, &disconnect, discard);
        }
        let Some((reason, at)) = self.closing_all else { return };
        self.take_arrivals();
        let end = (at + CLOSES_PER_TURN).min(self.sessions.len());
        let disconnect = Disconnect::new(reason);
        for session in self.sessions.get(at..end).unwrap_or_default() {
            self.delivery.close(session, &disconnect, false);
        }
        // A session that goes meanwhile moves the last one into its place, behind the walk: start
        // over until nobody is left to close. `close` ignores who is closing already.
        let is_open =
            |session: &Arc<Session>| matches!(session.outbox.state(), State::Idle | State::Parked);
        self.closing_all = match end < self.sessions.len() {
            true => Some((reason, end)),
            false => self.sessions.iter().any(is_open).then_some((reason, 0)),
        };
    }
}
