//! A publication with its encoded forms: each is made once, when a lane first needs it, and shared
//! by all lanes and outboxes.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::flow::Charge;
use crate::base::ids::SessionId;
use crate::protocol::{Publication, WireFormat};

/// See the module.
#[derive(Debug)]
pub(crate) struct Prepared {
    publication: Publication,
    frames: [OnceLock<Bytes>; WireFormat::COUNT],
    /// The publisher, if it does not want its own message back.
    pub(crate) not_to: Option<SessionId>,
    /// What it counts against the bounds of its channel and hub, for as long as a lane needs it.
    _charge: Charge,
}

impl Prepared {
    pub(crate) fn new(
        publication: Publication,
        not_to: Option<SessionId>,
        charge: Charge,
    ) -> Arc<Self> {
        let frames = Default::default();
        Arc::new(Self { publication, frames, not_to, _charge: charge })
    }

    /// Bytes of its message, without any framing.
    pub(crate) fn message_len(&self) -> usize {
        self.publication.message.data().len()
    }

    /// Its wire bytes in this format.
    pub(crate) fn frame(&self, format: WireFormat) -> &Bytes {
        self.frames[format as usize].get_or_init(|| format.encode(&self.publication))
    }
}
