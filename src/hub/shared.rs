//! What the parts of one hub share.
//!
//! # State
//! Everything here looks after its own state but `streams`, a count, `channels`, the rules, and
//! `entry_limits`.
//!
//! # Who may touch what
//! Whoever makes a channel adds to `streams`. Whoever changes the rules stores `channels`, and then
//! tells the channels there are. Whoever takes up other bounds stores `entry_limits`.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `streams` | whoever makes a channel | the same, by the addition itself | Relaxed | nothing: only that each gets another number matters |
//! | `entry_limits` | whoever takes up others | whoever lets in | `ArcSwap` | nothing: each bound stands by itself |
//! | `channels` | whoever changes the rules | anybody | `ArcSwap` | stored before the channels are told |
//!
//! # Races considered
//! - *A channel is made while the rules change*: it is made by the new ones, or it is in the directory
//!   by the time that the channels there are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;

use super::busy::Busy;
use super::channel::{Channel, Letter};
use super::directory::Directory;
use super::endings::Endings;
use super::flow::Flow;
use super::inbox::Inbox;
use super::lane::Item;
use super::session::Session;
use super::slow::Behind;
use crate::base::application::{Application, HubEvent};
use crate::base::channels::ChannelRules;
use crate::base::clock::Clock;
use crate::base::counters::Counters;
use crate::base::limits::{HubLimits, SlowConsumerPolicy};
use crate::base::memory::{Memory, Pressure};
use crate::base::position::Epochs;
use crate::base::refused::Bound;
use crate::base::trace::Tracer;
use crate::outbox::queue::{Bounds, Squeeze};
use crate::outbox::room::Room;

/// Ticks in which all channels that keep something are asked to let go of what is too old.
const EXPIRE_TICKS: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    /// As the hub was built: for whatever goes on.
    pub(crate) limits: HubLimits,
    /// As they are now: for who comes in. Not for the way of a delivery.
    pub(crate) entry_limits: ArcSwap<HubLimits>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) channels: ArcSwap<ChannelRules>,
    pub(crate) epochs: Epochs,
    pub(crate) streams: AtomicU64,
    pub(crate) lanes: Box<[Inbox<Item>]>,
    /// Sessions that their lane has not taken into its list yet, by lane: see [`Lane`](super::lane::Lane).
    pub(crate) arrivals: Box<[SegQueue<Arc<Session>>]>,
    pub(crate) directory: Directory,
    /// Channels that somebody left since they were last tidied; each at most once.
    pub(crate) stale: SegQueue<Arc<Channel>>,
    /// Sessions that have a writer.
    pub(crate) behind: Behind,
    /// Where their writers wait.
    pub(crate) room: Room,
    /// Channels that were published to, while somebody watches.
    pub(crate) busy: Busy,
    /// Channels that keep something of what was published; each at most once.
    pub(crate) keeping: SegQueue<Arc<Channel>>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) endings: Endings,
    pub(crate) application: Option<Arc<dyn Application>>,
    /// Where sampled publications are noted, if anywhere.
    pub(crate) tracer: Option<Arc<Tracer>>,
}

/// One of the channels that there may be.
#[derive(Debug)]
pub(crate) struct Place(Arc<Counters>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.channels.add(-1);
    }
}

impl Shared {
    /// Tells the application, if there is one.
    pub(crate) fn note(&self, event: HubEvent<'_>) {
        if let Some(application) = &self.application {
            application.note(event);
        }
    }

    /// What one outbox may hold at the moment.
    pub(crate) fn outbox_bounds(&self) -> Bounds {
        Bounds {
            bytes_max: self.limits.outbox_bytes_max,
            frames_max: self.limits.outbox_frames_max,
            squeeze: match self.memory.pressure() {
                Pressure::None => Squeeze::None,
                Pressure::Conflate => Squeeze::Eighth,
                Pressure::Drop | Pressure::Evict | Pressure::RefuseSessions => Squeeze::Droppable,
                Pressure::RefusePublications => Squeeze::All,
            },
        }
    }

    /// The policy of what no rule is for.
    pub(crate) fn policy(&self) -> SlowConsumerPolicy {
        self.entry_limits.load().slow_consumer_policy
    }

    /// Room for one more channel; given back when dropped.
    pub(crate) fn channel_place(&self) -> Option<Place> {
        let before = self.counters.channels.add(1);
        let place = Place(self.counters.clone());
        if before < self.entry_limits.load().channels_max as i64 {
            return Some(place);
        }
        self.counters.refused.by(Bound::Channels).add(1);
        None
    }

    /// A number for one life of a channel.
    pub(crate) fn next_stream(&self) -> u64 {
        // 0 is for what went through no channel.
        self.streams.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Lets channels go of what they kept for long enough: a 64th of them, so that each is asked
    /// every 16 s. What is too old is not given out in any case.
    pub(crate) fn expire(&self) {
        for _ in 0..self.keeping.len().div_ceil(EXPIRE_TICKS) {
            let Some(channel) = self.keeping.pop() else { return };
            channel.post(Letter::Expire, self);
        }
    }

    /// Lets channels go of the sessions that left them. At most as many as there are now: a channel
    /// that becomes stale meanwhile waits for the next tick.
    pub(crate) fn tidy(&self) {
        for _ in 0..self.stale.len() {
            let Some(channel) = self.stale.pop() else { return };
            channel.post(Letter::Tidy, self);
        }
    }
}
