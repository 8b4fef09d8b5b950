//! What an outbox knows of a publication that waits in it.
//!
//! A label is made when its publication is first queued for a session that is behind, and then shared
//! by all outboxes that hold it. A delivery that goes straight to a socket makes none.

use std::sync::Arc;

use super::ids::ChannelName;
use super::limits::SlowConsumerPolicy;
use super::loss::Drops;
use super::memory::Held;

/// See the module.
#[derive(Debug)]
pub(crate) struct Label {
    /// The channel; `None` for a message to a user.
    pub(crate) channel: Option<ChannelName>,
    /// Which instance of the channel: one that came back under the same name is another stream. 0 for
    /// what belongs to no channel; the policy then applies among those.
    pub(crate) stream: u64,
    /// Its place in the stream: grows from one publication to the next.
    pub(crate) offset: u64,
    /// What it is the newest value of, for [`SlowConsumerPolicy::Conflate`].
    pub(crate) key: Option<Box<str>>,
    /// From when on nobody wants it any more, on the hub's coarse clock.
    pub(crate) expires_ms: Option<u64>,
    /// What happens when it does not fit.
    pub(crate) policy: SlowConsumerPolicy,
    /// The bytes of the publication, shared by everybody who holds any of it.
    pub(crate) _held: Arc<Held>,
    /// Where its channel counts what was dropped.
    pub(crate) drops: Option<Arc<Drops>>,
}

impl Label {
    /// Whether nobody wants it any more.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }

    /// A hash of the key (FNV-1a): what differs here need not be compared. Keys made to collide cost
    /// their sender's subscribers a comparison of text, so it needs no secret.
    pub(crate) fn key_hash(&self) -> u32 {
        let key = self.key.as_deref().unwrap_or_default();
        key.bytes().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193))
    }
}
