//! Floor 3: the hub: sessions, channels, and the way of a publication between them.
//!
//! Read in this order to follow a publication: [`Hub::publish`] here, [`mailbox`], [`channel`],
//! [`stream`], [`roster`], [`lane`], [`turn`], [`pass`], [`deliver`], then [`crate::outbox`].
//!
//! Invariants: no protocol but through [`WireFormat`](crate::protocol::WireFormat); no clock but the
//! coarse one that the ticker sets; no queue without a bound; no lock held across a delivery.

mod builder;
mod busy;
pub(crate) mod channel;
pub(crate) mod cork;
mod deliver;
mod directory;
mod drain;
mod encoded;
mod endings;
mod errors;
mod evict;
mod flow;
mod history;
mod inbox;
mod lane;
pub(crate) mod letters;
#[cfg(feature = "gateway")]
pub(crate) mod look;
mod mailbox;
mod members;
mod pass;
mod past;
mod prepared;
pub(crate) mod presence;
mod publish;
mod registry;
mod repeats;
mod roster;
pub(crate) mod session;
mod shared;
mod slow;
mod stream;
mod sweep;
mod times;
pub(crate) mod traced;
mod turn;
mod writing;

#[cfg(all(test, fanfare_loom))]
mod loom_tests;
#[cfg(all(test, not(fanfare_loom)))]
mod tests;

use std::ops::Deref;
use std::sync::Arc;

pub use builder::HubBuilder;
pub use busy::BusyChannel;
pub use drain::{DrainOptions, DrainReport};
pub use errors::{OpenError, PublishError, SubscribeError};
pub use history::Version;
pub use members::{ChannelInfo, SessionInfo};
pub use past::{HistoryError, HistoryPage, HistoryQuery};
pub use presence::{Presence, Present};
pub use publish::{PublishOptions, Published};
pub use session::SessionOptions;
pub use slow::SlowSession;

use crate::base::counters::Counters;
use crate::base::ids::SessionIds;
use crate::base::limits::HubLimits;
use crate::base::memory::Memory;
use registry::Registry;
use shared::Shared;

/// The state of one node: sessions, channels, and the fan-out between them.
///
/// Cheap to clone; all clones are the same hub. When the last one and the last session are gone its
/// tasks end.
#[derive(Clone, Debug)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    registry: Registry,
    ids: SessionIds,
    draining: drain::Draining,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for lane in &self.shared.lanes {
            lane.post(lane::Item::Stop);
        }
    }
}

impl Hub {
    /// A builder with the default bounds.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    /// What the hub counts.
    pub fn counters(&self) -> &Counters {
        &self.inner.shared.counters
    }

    /// What peers make it hold, against its budget.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.inner.shared.memory
    }

    /// The bounds that hold now.
    pub fn limits(&self) -> Arc<HubLimits> {
        self.inner.shared.entry_limits.load_full()
    }

    /// The same for a moment: no reference is counted, and so it is not to be held across an await.
    pub(crate) fn limits_now(&self) -> impl Deref<Target = Arc<HubLimits>> {
        self.inner.shared.entry_limits.load()
    }

    /// Changes the bounds that hold for new work: see [`HubLimits::taking_up`]. Nobody who is in has
    /// to go. A new policy reaches the channels with [`set_channels`](Self::set_channels).
    pub fn set_limits(&self, limits: &HubLimits) {
        let shared = &self.inner.shared;
        shared.entry_limits.store(Arc::new(shared.limits.taking_up(limits)));
    }
}
