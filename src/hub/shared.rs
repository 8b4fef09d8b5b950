//! What the parts of one hub share.

use std::sync::Arc;

use crossbeam_queue::SegQueue;

use super::channel::{Channel, Letter};
use super::directory::Directory;
use super::flow::Flow;
use super::inbox::Inbox;
use super::lane::Item;
use crate::base::clock::Clock;
use crate::base::counters::Counters;
use crate::base::limits::HubLimits;
use crate::outbox::queue::Bounds;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: HubLimits,
    pub(crate) lanes: Box<[Inbox<Item>]>,
    pub(crate) directory: Directory,
    /// Channels that somebody left since they were last tidied; each at most once.
    pub(crate) stale: SegQueue<Arc<Channel>>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Arc<Clock>,
}

impl Shared {
    /// What one outbox may hold.
    pub(crate) fn outbox_bounds(&self) -> Bounds {
        Bounds {
            bytes_max: self.limits.outbox_bytes_max,
            frames_max: self.limits.outbox_frames_max,
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
