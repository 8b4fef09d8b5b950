//! A publication with its encoded forms: each is made once, when a lane first needs it, and shared
//! by all lanes and outboxes.
//!
//! A form that is deflated is made of the plain one. One that is not worth it shares its bytes.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::flow::Charge;
use super::shared::Shared;
use crate::base::ids::SessionId;
use crate::base::label::Label;
use crate::frame::{self, WindowBits};
use crate::protocol::{Form, Publication, Target, WireFormat};

/// The deflated forms, aside: most publications have none.
type Deflated = [OnceLock<Bytes>; Form::DEFLATED_COUNT];

/// See the module.
#[derive(Debug)]
pub(crate) struct Prepared {
    publication: Publication,
    plain: [OnceLock<Bytes>; WireFormat::COUNT],
    deflated: OnceLock<Box<Deflated>>,
    /// For the outboxes of sessions that are behind; most publications need none.
    label: OnceLock<Option<Arc<Label>>>,
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
        let (plain, deflated, label) = Default::default();
        Arc::new(Self { publication, plain, deflated, label, not_to, _charge: charge })
    }

    /// Whom it is for.
    pub(crate) fn target(&self) -> &Target {
        &self.publication.target
    }

    /// Its label, made by whoever needs it first.
    pub(crate) fn label(&self, make: impl FnOnce() -> Option<Arc<Label>>) -> &Option<Arc<Label>> {
        self.label.get_or_init(make)
    }

    /// Bytes of its message, without any framing.
    pub(crate) fn message_len(&self) -> usize {
        self.publication.message.data().len()
    }

    /// Its wire bytes in this form.
    pub(crate) fn frame(&self, form: Form, shared: &Shared) -> &Bytes {
        let (Some(window), Some(at)) = (form.deflate, form.deflated_index()) else {
            return self.plain_frame(form.format);
        };
        let deflated = self.deflated.get_or_init(Default::default);
        deflated[at].get_or_init(|| deflate(self.plain_frame(form.format), window, shared))
    }

    fn plain_frame(&self, format: WireFormat) -> &Bytes {
        self.plain[format as usize].get_or_init(|| format.encode(&self.publication))
    }
}

/// The frame deflated, or as it is if that is not worth it.
fn deflate(plain: &Bytes, window: WindowBits, shared: &Shared) -> Bytes {
    let settings = &shared.limits.deflate;
    let Some((opcode, payload)) = frame::split_data(plain) else { return plain.clone() };
    if payload.len() < settings.min_bytes {
        return plain.clone();
    }
    let began = Instant::now();
    let deflated = frame::encode_deflated(opcode, payload, window, settings.level)
        .unwrap_or_else(|| plain.clone());
    shared.counters.deflate.note(plain.len(), deflated.len(), began.elapsed());
    deflated
}
