//! A channel: a mailbox, and behind it a state with one writer at a time.
//!
//! # State
//! Publications and memberships arrive as letters. Whoever holds the mailbox's duty takes them in
//! order, numbers them, keeps the [`Roster`] and the [`Stream`] (history, offsets, idempotency keys),
//! and passes what must be written on to the lanes. So what a session is told when it joins, what it
//! recovers and what comes live after it meet without a gap and without a merge.
//!
//! # Who may touch what
//! 1. Anybody posts, through the [`Directory`](super::directory::Directory) for publications and
//!    joins, by handle for leaves.
//! 2. `state` belongs to the holder of the duty. The lock around it says so to the compiler; it is
//!    never contended, because there is one duty.
//! 3. A lane loads its snapshot.
//! 4. `seats` is raised by whoever is about to post a join, lowered by the holder of the duty for a
//!    leave.
//! 5. `subscribers` is written by the holder of the duty, read by anybody (Relaxed: a figure).
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `mailbox` | anybody | holder of the duty | see [`Mailbox`] | |
//! | `snapshots` | holder of the duty | lanes | `ArcSwap` | stored before the publication is posted |
//! | `seats` | whoever joins +, holder of the duty − | whoever joins | Relaxed exchange | itself: a seat is taken before its join is posted and given back after its leave, so there are never more members than seats |
//! | `subscribers` | holder of the duty | anybody | Relaxed | nothing: a figure |
//! | `seats_max` | whoever changes the rules | whoever joins | Relaxed | nothing: a bound that was just changed counts for the next join |
//! | `options` | whoever changes the rules | anybody | `ArcSwap` | nothing: what is on its way goes by the old ones or the new ones, whole |
//!
//! # Races considered
//! - *A letter for a channel that is being removed*: posts through the directory happen under its
//!   shard's read lock, the removal under its write lock and only if the mailbox is drained. A
//!   leave posted by handle to a removed channel is never taken; nobody is in it.
//! - *A channel that goes and comes back at once*: it does not go while a lane has anything of it,
//!   see [`Channel::is_at_rest`]. So a publication or a reply of the old one never comes after one
//!   of the new.
//! - *A panic over a letter* is caught where the letter is handled: the duty, and whoever held it, go on.
//! - *A drainer that never gets out because others keep posting*: after [`LETTERS_PER_DRAIN`] the
//!   duty goes to a lane, which drains as much per turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::busy::Activity;
use super::drain::Farewell;
use super::encoded::{Encoded, Origin};
use super::flow::ChannelFlow;
use super::lane::Item;
use super::letters::{Join, JoinReply, Leave, Question, Terms};
use super::mailbox::{Duty, Mailbox};
use super::prepared::Prepared;
use super::presence::{Asked, Users, announce};
use super::roster::{LetterNumber, Member, Roster, Snapshot, SnapshotSwap};
use super::session::Session;
use super::shared::{Place, Shared};
use super::stream::Stream;
use super::traced;
use crate::base::application::HubEvent;
use crate::base::channels::ChannelOptions;
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::ids::ChannelName;
use crate::base::loss::Drops;
use crate::base::panics::Culprit;
use crate::base::position::Epoch;
use crate::base::sync::Swap;

/// Letters that one drainer takes before it hands the duty to a lane. At about 0.2 µs a letter it
/// holds a publisher up for 50 µs at most.
const LETTERS_PER_DRAIN: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    /// Which life of which channel: unlike its name this never comes back.
    stream: u64,
    pub(crate) epoch: Epoch,
    options: Swap<ChannelOptions>,
    pub(crate) drops: Arc<Drops>,
    pub(crate) mailbox: Mailbox<Letter>,
    pub(crate) flow: Arc<ChannelFlow>,
    pub(crate) activity: Activity,
    state: Mutex<State>,
    snapshots: Box<[SnapshotSwap<Arc<Session>>]>,
    subscribers: AtomicUsize,
    /// Members, and those whose join is on its way.
    seats: AtomicUsize,
    /// How many there may be: what `options` says, where a join finds it at once.
    seats_max: AtomicUsize,
    _place: Place,
}

/// What a channel is told.
#[derive(Debug)]
pub(crate) enum Letter {
    Publish(Arc<Prepared>, Option<Box<Terms>>),
    Join(Box<Join>),
    Leave(Box<Leave>),
    /// A session is about to be closed, behind what was posted before.
    Farewell(Arc<Farewell>),
    /// Who is in it?
    Presence(Asked),
    /// A question to what the channel keeps, in order with everything else.
    Ask(Question),
    /// Let go of members that have left since the last publication.
    Tidy,
    /// Let go of what was kept for long enough.
    Expire,
}

#[derive(Debug)]
struct State {
    number: LetterNumber,
    roster: Roster<Arc<Session>>,
    stream: Stream,
    /// Only where presence is on.
    users: Option<Users>,
    /// Events of who comes and goes that found no room.
    events_missed: u64,
    /// Whether it stands in the hub's list of channels to tidy.
    is_stale: bool,
    /// Whether it stands in the hub's list of channels that keep something.
    is_keeping: bool,
}

impl Channel {
    pub(crate) fn new(
        name: ChannelName,
        options: Arc<ChannelOptions>,
        place: Place,
        shared: &Shared,
    ) -> Self {
        let epoch = shared.epochs.next();
        let (lanes, nobody) = (shared.lanes.len(), Arc::new(Vec::new()));
        let state = State {
            number: 0,
            roster: Roster::new(lanes),
            stream: Stream::new(epoch),
            users: None,
            events_missed: 0,
            is_stale: false,
            is_keeping: false,
        };
        Self {
            name,
            stream: shared.next_stream(),
            epoch,
            seats_max: AtomicUsize::new(options.seats()),
            options: Swap::new(options),
            drops: Arc::default(),
            _place: place,
            mailbox: Mailbox::new(),
            flow: Arc::default(),
            activity: Activity::default(),
            state: Mutex::new(state),
            snapshots: (0..lanes).map(|_| SnapshotSwap::new(nobody.clone())).collect(),
            subscribers: AtomicUsize::new(0),
            seats: AtomicUsize::new(0),
        }
    }

    /// What a publication through it says of it.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            stream: self.stream,
            epoch: self.epoch,
            options: self.options.load_full(),
            drops: self.drops.clone(),
        }
    }

    /// What it keeps and does from now on.
    pub(crate) fn set_options(&self, options: Arc<ChannelOptions>) {
        self.seats_max.store(options.seats(), Ordering::Relaxed);
        self.options.store(options);
    }

    /// Members, as of the last letter taken.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// Takes a seat for a join that is about to be posted.
    ///
    /// # Errors
    /// How many there are, if all are taken.
    pub(crate) fn take_seat(&self) -> Result<(), usize> {
        let max = self.seats_max.load(Ordering::Relaxed);
        let take = |taken: usize| (taken < max).then_some(taken + 1);
        let taken = self.seats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| max)
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
                && state.stream.is_empty(&self.options.load_full(), shared)
                && self.mailbox.is_drained(&duty)
                && self.is_at_rest(&mut state, shared)
                && shared.directory.remove_drained(self, &duty)
            {
                // Nobody can post to it any more. The sessions that left must not be kept alive by
                // the last snapshot.
                self.refresh(&mut state, shared);
                return;
            }
            match self.mailbox.take(&mut duty) {
                Some(letter) => {
                    let handle = || self.handle(letter, &mut state, shared);
                    if shared.counters.panics.isolate(Culprit::Channel, handle).is_none() {
                        self.disconnect_all(&state, shared);
                    }
                }
                None => return,
            }
        }
        drop(state);
        let home = self.name.as_str().len() % shared.lanes.len();
        shared.lanes[home].post(Item::Drain(self.clone(), duty));
    }

    /// A letter is lost, and nobody is to miss something unknowingly.
    fn disconnect_all(&self, state: &State, shared: &Shared) {
        for session in state.roster.members() {
            let disconnect = Box::new(Disconnect::new(Reason::InternalError));
            let lane = &shared.lanes[usize::from(session.lane)];
            lane.post(Item::Close { session: session.clone(), disconnect, discard: true });
        }
    }

    /// Whether no lane has anything of it any more. If one has, the next tick asks again: a channel
    /// that came back under the same name meanwhile would be served beside what is left of this one,
    /// and in no order with it.
    ///
    /// Every item and work of a lane holds a reference. Besides them there are the caller's, the
    /// directory's, and those of the lists of channels to look after; whoever else holds one for a moment only
    /// makes it wait for the tick.
    fn is_at_rest(self: &Arc<Self>, state: &mut State, shared: &Shared) -> bool {
        let lists = usize::from(state.is_stale) + usize::from(state.is_keeping);
        if Arc::strong_count(self) <= 2 + lists {
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

    fn expire_later(self: &Arc<Self>, state: &mut State, shared: &Shared) {
        if !state.stream.is_empty(&self.options.load_full(), shared)
            && !std::mem::replace(&mut state.is_keeping, true)
        {
            shared.keeping.push(self.clone());
        }
    }

    fn handle(self: &Arc<Self>, letter: Letter, state: &mut State, shared: &Shared) {
        state.number += 1;
        match letter {
            Letter::Publish(prepared, terms) => self.publish(prepared, terms, state, shared),
            Letter::Join(join) => self.join(*join, state, shared),
            Letter::Leave(leave) => {
                let Leave { session, reply } = *leave;
                state.roster.leave(usize::from(session.lane), session.id, state.number);
                self.seats.fetch_sub(1, Ordering::Relaxed);
                self.count(state, shared, -1);
                self.note_presence(&session, false, &self.options.load_full(), state, shared);
                state.stream.note_use(shared);
                self.expire_later(state, shared);
                self.tidy_later(state, shared);
                if let Some(frame) = reply {
                    self.reply(session, frame, Vec::new(), true, shared);
                }
            }
            Letter::Farewell(farewell) => {
                let lane = &shared.lanes[usize::from(farewell.session.lane)];
                lane.post(Item::Farewell { channel: self.clone(), farewell });
            }
            Letter::Presence(asked) => {
                let (kept, count) = (self.options.load_full().presence, state.roster.count());
                asked.answer(|| state.roster.members(), count, kept, &mut state.users);
            }
            Letter::Ask(question) => {
                state.stream.expire(&self.options.load_full(), shared);
                (question.0)(&mut state.stream, shared);
            }
            Letter::Tidy => {
                state.is_stale = false;
                self.refresh(state, shared);
            }
            Letter::Expire => {
                state.is_keeping = false;
                state.stream.expire(&self.options.load_full(), shared);
                self.expire_later(state, shared);
            }
        }
    }

    fn publish(
        self: &Arc<Self>,
        prepared: Arc<Prepared>,
        terms: Option<Box<Terms>>,
        state: &mut State,
        shared: &Shared,
    ) {
        let terms = terms.map(|terms| *terms).unwrap_or_default();
        let receipt = terms.receipt;
        let (encoded, options) = (&prepared.encoded, self.options.load_full());
        let taken = state.stream.take(encoded, &terms.conditions, &options, shared);
        self.expire_later(state, shared);
        traced::taken(&prepared, taken.is_repeat, state.roster.count());
        if !taken.is_repeat {
            shared.busy.note(self);
            self.refresh(state, shared);
            traced::passed_on(&prepared);
            for (at, lane) in shared.lanes.iter().enumerate() {
                if !state.roster.is_empty(at) {
                    let (channel, prepared) = (self.clone(), prepared.clone());
                    lane.post(Item::Publication { channel, prepared, number: state.number });
                }
            }
        }
        if let Some(receipt) = receipt {
            receipt.give(taken);
        }
    }

    fn join(self: &Arc<Self>, join: Join, state: &mut State, shared: &Shared) {
        let Join { session, reply, recover } = join;
        let lane = usize::from(session.lane);
        let (id, since) = (session.id, state.number);
        state.roster.join(lane, Member { session: session.clone(), id, since });
        self.count(state, shared, 1);
        let options = self.options.load_full();
        self.note_presence(&session, true, &options, state, shared);
        let (joined, replay) = state.stream.recover(recover, session.form, &options, shared);
        let frame = reply.and_then(|JoinReply(make)| make(joined)).unwrap_or_default();
        if !frame.is_empty() || !replay.is_empty() {
            self.reply(session, frame, replay, false, shared);
        }
    }

    fn note_presence(
        &self,
        session: &Session,
        is_join: bool,
        options: &ChannelOptions,
        state: &mut State,
        shared: &Shared,
    ) {
        match (options.presence, &mut state.users, &session.user) {
            (false, users, _) => *users = None,
            // It may have been turned on while sessions were in already.
            (true, users @ None, _) => *users = Some(Users::of(state.roster.members())),
            (true, Some(users), Some(user)) if is_join => users.join(user),
            (true, Some(users), Some(user)) => users.leave(user),
            (true, Some(_), None) => {}
        }
        if options.join_leave {
            let told = announce(&self.name, session, is_join, state.events_missed, shared);
            state.events_missed = if told { 0 } else { state.events_missed + 1 };
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
        let count = state.roster.count();
        self.subscribers.store(count, Ordering::Relaxed);
        shared.counters.subscriptions.add(change);
        let event = match (count, change > 0) {
            (1, true) => HubEvent::Occupied(&self.name),
            (0, false) => HubEvent::Vacated(&self.name),
            _ => return,
        };
        if self.name.about().is_none() {
            shared.note(event);
        }
    }

    fn reply(
        self: &Arc<Self>,
        session: Arc<Session>,
        frame: Bytes,
        replay: Vec<Arc<Encoded>>,
        is_last: bool,
        shared: &Shared,
    ) {
        let lane = &shared.lanes[usize::from(session.lane)];
        lane.post(Item::Reply { channel: self.clone(), session, frame, replay, is_last });
    }
}
