//! A channel: a mailbox, and behind it a state with one writer at a time.
//!
//! # State
//! Publications and memberships arrive as letters. Whoever holds the mailbox's duty takes them in
//! order, numbers them, keeps the [`Roster`] and passes what must be written on to the lanes.
//!
//! # Who may touch what
//! 1. Anybody posts, through the [`Directory`](super::directory::Directory) for publications and
//!    joins, by handle for leaves.
//! 2. `state` belongs to the holder of the duty. The lock around it says so to the compiler; it is
//!    never contended, because there is one duty.
//! 3. A lane loads its snapshot.
//! 4. `subscribers` is written by the holder of the duty, read by anybody (Relaxed: a figure).
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `mailbox` | anybody | holder of the duty | see [`Mailbox`] | |
//! | `snapshots` | holder of the duty | lanes | `ArcSwap` | stored before the publication is posted |
//! | `subscribers` | holder of the duty | anybody | Relaxed | nothing: a figure |
//!
//! # Races considered
//! - *A letter for a channel that is being removed*: posts through the directory happen under its
//!   shard's read lock, the removal under its write lock and only if the mailbox is drained. A
//!   leave posted by handle to a removed channel is never taken; nobody is in it.
//! - *A channel that goes and comes back at once*: it does not go while a lane has anything of it,
//!   see [`Channel::is_at_rest`]. So a publication or a reply of the old one never comes after one
//!   of the new.
//! - *A drainer that never gets out because others keep posting*: after [`LETTERS_PER_DRAIN`] the
//!   duty goes to a lane, which drains as much per turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::flow::ChannelFlow;
use super::lane::Item;
use super::mailbox::{Duty, Mailbox};
use super::prepared::Prepared;
use super::roster::{LetterNumber, Member, Roster, Snapshot, SnapshotSwap};
use super::session::Session;
use super::shared::Shared;
use crate::base::ids::ChannelName;

/// Letters that one drainer takes before it hands the duty to a lane. At about 0.2 µs a letter it
/// holds a publisher up for 50 µs at most.
const LETTERS_PER_DRAIN: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) mailbox: Mailbox<Letter>,
    pub(crate) flow: Arc<ChannelFlow>,
    state: Mutex<State>,
    snapshots: Box<[SnapshotSwap<Arc<Session>>]>,
    subscribers: AtomicUsize,
}

/// What a channel is told.
#[derive(Debug)]
pub(crate) enum Letter {
    Publish(Arc<Prepared>),
    Join(Box<Membership>),
    Leave(Box<Membership>),
    /// Let go of members that have left since the last publication.
    Tidy,
}

/// A session that comes or goes, and what it is told when that has happened.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) session: Arc<Session>,
    pub(crate) reply: Option<Bytes>,
}

#[derive(Debug)]
struct State {
    number: LetterNumber,
    roster: Roster<Arc<Session>>,
    /// Whether it stands in the hub's list of channels to tidy.
    is_stale: bool,
}

impl Channel {
    pub(crate) fn new(name: ChannelName, lanes: usize) -> Self {
        let nobody = Arc::new(Vec::new());
        Self {
            name,
            mailbox: Mailbox::new(),
            flow: Arc::default(),
            state: Mutex::new(State { number: 0, roster: Roster::new(lanes), is_stale: false }),
            snapshots: (0..lanes).map(|_| SnapshotSwap::new(nobody.clone())).collect(),
            subscribers: AtomicUsize::new(0),
        }
    }

    /// Members, as of the last letter taken.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// The lane's snapshot.
    pub(crate) fn snapshot(&self, lane: usize) -> Arc<Snapshot<Arc<Session>>> {
        self.snapshots[lane].load_full()
    }

    /// Posts by handle, and drains if that falls to the caller.
    pub(crate) fn post(self: &Arc<Self>, letter: Letter, shared: &Shared) {
        if let Some(duty) = self.mailbox.post(letter) {
            self.drain(duty, shared);
        }
    }

    /// Takes letters until there are none, or until it is somebody else's turn.
    pub(crate) fn drain(self: &Arc<Self>, mut duty: Duty, shared: &Shared) {
        let mut state = self.state.lock();
        for _ in 0..LETTERS_PER_DRAIN {
            if state.roster.count() == 0
                && self.mailbox.is_drained(&duty)
                && self.is_at_rest(&mut state, shared)
                && shared.directory.remove_drained(self, &duty)
            {
                // Nobody can post to it any more. The sessions that left must not be kept alive by
                // the last snapshot.
                self.refresh(&mut state, shared);
                shared.counters.channels.add(-1);
                return;
            }
            match self.mailbox.take(&mut duty) {
                Some(letter) => self.handle(letter, &mut state, shared),
                None => return,
            }
        }
        drop(state);
        let home = self.name.as_str().len() % shared.lanes.len();
        shared.lanes[home].post(Item::Drain(self.clone(), duty));
    }

    /// Whether no lane has anything of it any more. If one has, the next tick asks again: a channel
    /// that came back under the same name meanwhile would be served beside what is left of this one,
    /// and in no order with it.
    ///
    /// Every item and work of a lane holds a reference. Besides them there are the caller's, the
    /// directory's, and the list's of channels to tidy; whoever else holds one for a moment only
    /// makes it wait for the tick.
    fn is_at_rest(self: &Arc<Self>, state: &mut State, shared: &Shared) -> bool {
        if Arc::strong_count(self) <= 2 + usize::from(state.is_stale) {
            return true;
        }
        self.tidy_later(state, shared);
        false
    }

    fn tidy_later(self: &Arc<Self>, state: &mut State, shared: &Shared) {
        if !std::mem::replace(&mut state.is_stale, true) {
            shared.stale.push(self.clone());
        }
    }

    fn handle(self: &Arc<Self>, letter: Letter, state: &mut State, shared: &Shared) {
        state.number += 1;
        match letter {
            Letter::Publish(prepared) => {
                self.refresh(state, shared);
                for (at, lane) in shared.lanes.iter().enumerate() {
                    if !state.roster.is_empty(at) {
                        let (channel, prepared) = (self.clone(), prepared.clone());
                        lane.post(Item::Publication { channel, prepared, number: state.number });
                    }
                }
            }
            Letter::Join(membership) => {
                let Membership { session, reply } = *membership;
                let lane = usize::from(session.lane);
                let (id, since) = (session.id, state.number);
                state.roster.join(lane, Member { session: session.clone(), id, since });
                self.count(state, shared, 1);
                self.reply(session, reply, false, shared);
            }
            Letter::Leave(membership) => {
                let Membership { session, reply } = *membership;
                state.roster.leave(usize::from(session.lane), session.id, state.number);
                self.count(state, shared, -1);
                self.tidy_later(state, shared);
                self.reply(session, reply, true, shared);
            }
            Letter::Tidy => {
                state.is_stale = false;
                self.refresh(state, shared);
            }
        }
    }

    fn refresh(&self, state: &mut State, shared: &Shared) {
        for (lane, swap) in self.snapshots.iter().enumerate() {
            if state.roster.refresh(lane, swap) {
                shared.counters.snapshots_rebuilt.add(1);
            }
        }
    }

    fn count(&self, state: &State, shared: &Shared, change: i64) {
        self.subscribers.store(state.roster.count(), Ordering::Relaxed);
        shared.counters.subscriptions.add(change);
    }

    fn reply(
        self: &Arc<Self>,
        session: Arc<Session>,
        reply: Option<Bytes>,
        is_last: bool,
        shared: &Shared,
    ) {
        if let Some(frame) = reply {
            let lane = &shared.lanes[usize::from(session.lane)];
            lane.post(Item::Reply { channel: self.clone(), session, frame, is_last });
        }
    }
}
