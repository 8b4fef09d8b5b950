//! A publication with its encoded forms: each is made once, when somebody first needs it, and shared
//! by all lanes, outboxes and the history.
//!
//! A form that is deflated is made of the plain one. One that is not worth it shares its bytes.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::shared::Shared;
use crate::base::channels::ChannelOptions;
use crate::base::ids::ChannelName;
use crate::base::label::Label;
use crate::base::limits::{PUBLISH_KEY_BYTES_MAX, SlowConsumerPolicy};
use crate::base::loss::Drops;
use crate::base::memory::{Held, Memory};
use crate::base::position::{Epoch, StreamPosition};
use crate::frame::{self, WindowBits};
use crate::protocol::{Form, Publication, Target, WireFormat};

/// The deflated forms, aside: most publications have none.
type Deflated = [OnceLock<Bytes>; Form::DEFLATED_COUNT];

/// What a publication costs besides its message, in bytes.
const OVERHEAD_BYTES: usize = 512;

/// See the module.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) publication: Publication,
    /// Of the channel it goes to; `None` for one user's.
    pub(crate) channel: Option<Origin>,
    /// Its number in the channel, once that has taken it.
    offset: OnceLock<u64>,
    /// When it is of no use any more, in coarse milliseconds.
    pub(crate) expires_ms: Option<u64>,
    /// What it is the newest value of, for a channel that conflates.
    pub(crate) key: Option<Box<str>>,
    plain: [OnceLock<Bytes>; WireFormat::COUNT],
    deflated: OnceLock<Box<Deflated>>,
    /// For the outboxes of sessions that are behind; most publications need none.
    label: OnceLock<Arc<Label>>,
    /// What the message and its forms count, for as long as anybody holds any of them.
    held: Arc<Held>,
}

/// The channel that a publication went through.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Which life of which channel: unlike its name this never comes back.
    pub(crate) stream: u64,
    pub(crate) epoch: Epoch,
    pub(crate) options: Arc<ChannelOptions>,
    pub(crate) drops: Arc<Drops>,
}

impl Encoded {
    pub(crate) fn new(
        publication: Publication,
        channel: Option<Origin>,
        memory: &Arc<Memory>,
    ) -> Self {
        let bytes = OVERHEAD_BYTES + publication.message.data().len();
        let held = Arc::new(Held::new(memory, bytes));
        let (offset, plain, deflated, label) = Default::default();
        let (expires_ms, key) = (None, None);
        Self { publication, channel, offset, expires_ms, key, plain, deflated, label, held }
    }

    /// Bytes of its message, without any framing.
    pub(crate) fn message_len(&self) -> usize {
        self.publication.message.data().len()
    }

    /// The key that stands in the message itself, where the channel says; a text without its quotes.
    /// What is longer than a publisher's key may be is none.
    pub(crate) fn key_in_message(&self) -> Option<Box<str>> {
        let pointer = self.channel.as_ref()?.options.key_pointer.as_deref()?;
        let text = self.publication.message.as_text()?;
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let key = match value.pointer(pointer)? {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (key.len() <= PUBLISH_KEY_BYTES_MAX).then(|| key.into())
    }

    /// For the holder of the channel's duty, before anybody can ask for a form.
    pub(crate) fn set_offset(&self, offset: u64) {
        let again = self.offset.set(offset).is_err();
        debug_assert!(!again, "a publication is numbered once");
    }

    /// Its number in the channel.
    pub(crate) fn offset(&self) -> Option<u64> {
        self.offset.get().copied()
    }

    /// Whether it is of no use any more.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms)
    }

    /// What an outbox has to know of it. `otherwise` is the policy of what goes to no channel.
    pub(crate) fn label(&self, otherwise: impl FnOnce() -> SlowConsumerPolicy) -> &Arc<Label> {
        self.label.get_or_init(|| Arc::new(self.make_label(otherwise)))
    }

    /// The channel as a session is told of it that lost this.
    fn told_as(&self) -> Option<ChannelName> {
        match &self.publication.target {
            Target::Channel(channel) => Some(channel.clone()),
            Target::Presence(event) => Some(event.channel.beside()),
            Target::User(_) => None,
        }
    }

    fn make_label(&self, otherwise: impl FnOnce() -> SlowConsumerPolicy) -> Label {
        let (key, expires_ms) = (self.key.clone(), self.expires_ms);
        let held = self.held.clone();
        match &self.channel {
            Some(Origin { stream, options, drops, .. }) => Label {
                drops: Some(drops.clone()),
                channel: self.told_as(),
                stream: *stream,
                offset: self.offset().unwrap_or_default(),
                key,
                expires_ms,
                policy: options.policy.unwrap_or_else(otherwise),
                _held: held,
            },
            // Messages to a user are not values of one thing: none stands for another.
            None => {
                let policy = match otherwise() {
                    kept @ (SlowConsumerPolicy::Disconnect | SlowConsumerPolicy::DropNewest) => {
                        kept
                    }
                    _ => SlowConsumerPolicy::DropOldest,
                };
                Label {
                    channel: None,
                    stream: 0,
                    offset: 0,
                    key,
                    expires_ms,
                    policy,
                    _held: held,
                    drops: None,
                }
            }
        }
    }

    /// Its wire bytes in this form.
    pub(crate) fn frame(&self, form: Form, shared: &Shared) -> &Bytes {
        let (Some(window), Some(at)) = (form.deflate, form.deflated_index()) else {
            return self.plain_frame(form.format);
        };
        let deflated = self.deflated.get_or_init(Default::default);
        deflated[at].get_or_init(|| {
            let frame = deflate(self.plain_frame(form.format), window, shared);
            self.held.add(frame.len());
            frame
        })
    }

    fn plain_frame(&self, format: WireFormat) -> &Bytes {
        self.plain[format as usize].get_or_init(|| {
            let told = self.channel.as_ref().filter(|channel| channel.options.shows_offsets());
            let position = told
                .zip(self.offset())
                .map(|(channel, offset)| StreamPosition { epoch: channel.epoch, offset });
            let frame = format.encode(&self.publication, position);
            self.held.add(frame.len());
            frame
        })
    }
}

/// The frame deflated, or as it is if that is not worth it.
fn deflate(plain: &Bytes, window: WindowBits, shared: &Shared) -> Bytes {
    let settings = &shared.limits.deflate;
    let Some((opcode, payload)) = frame::split_data(plain) else { return plain.clone() };
    if !(settings.min_bytes..=settings.max_bytes).contains(&payload.len()) {
        return plain.clone();
    }
    let began = Instant::now();
    let deflated = frame::encode_deflated(opcode, payload, window, settings.level)
        .unwrap_or_else(|| plain.clone());
    shared.counters.deflate.note(plain.len(), deflated.len(), began.elapsed());
    deflated
}
