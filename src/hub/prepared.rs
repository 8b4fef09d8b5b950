//! A publication on its way through the lanes: what is written, for whom not, and what it counts
//! against the bounds until the last lane lets go of it. The history and the outboxes keep only the
//! [`Encoded`] part.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::encoded::Encoded;
use super::flow::Charge;
use super::shared::Shared;
use crate::base::ids::SessionId;
use crate::base::trace::Trace;
use crate::protocol::Form;

/// See the module.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) encoded: Arc<Encoded>,
    /// The publisher, if it does not want its own message back.
    pub(crate) not_to: Option<SessionId>,
    /// When it was accepted.
    pub(crate) published: Instant,
    /// What happens to it is noted here, if it was sampled. It is over when the last lane lets go.
    pub(crate) trace: Option<Arc<Trace>>,
    /// What it counts against the bounds of its channel and hub, for as long as a lane needs it.
    _charge: Charge,
}

impl Prepared {
    pub(crate) fn new(
        encoded: Encoded,
        not_to: Option<SessionId>,
        charge: Charge,
        trace: Option<Arc<Trace>>,
    ) -> Arc<Self> {
        let published = Instant::now();
        Arc::new(Self { encoded: Arc::new(encoded), not_to, published, trace, _charge: charge })
    }

    /// Bytes of its message, without any framing.
    pub(crate) fn message_len(&self) -> usize {
        self.encoded.message_len()
    }

    /// Its wire bytes in this form.
    pub(crate) fn frame(&self, form: Form, shared: &Shared) -> &Bytes {
        self.encoded.frame(form, shared)
    }
}
