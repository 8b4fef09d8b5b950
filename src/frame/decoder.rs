//! The frames of one client, put together to messages (RFC 6455 sections 5 and 6.2).
//!
//! **State.** Between two calls a decoder is at one of four places:
//!
//! | place | `header_len` | `partial` |
//! |---|---|---|
//! | idle | 0 | none |
//! | inside of a header | 1 to 13 | only if a message is started |
//! | inside of a payload | 0 | `arriving` is set |
//! | between two fragments | 0 | `message` is set, `arriving` is not |
//!
//! and after a close frame or a violation at a fifth, where `ended` is set and nothing is held.

use std::{fmt, mem};

use super::{
    close,
    event::{DataKind, Event, Payload},
    header::{HEADER_BYTES_MAX, Header, Opcode, Rules},
    mask::unmask,
    utf8::Utf8,
    violation::Violation,
};
use crate::base::limits::MessageLimits;

#[cfg(test)]
mod tests;

/// The bounds of what one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Bytes of one message, summed over its fragments, default 64 KiB. Memory: for a connection
    /// whose message is incomplete up to twice what has arrived of it, plus 192 bytes.
    pub message_bytes_max: usize,
    /// Fragments of one message, empty ones too, default 64; 0 is taken as 1.
    pub fragments_max: usize,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self::from(MessageLimits::default())
    }
}

impl From<MessageLimits> for DecoderLimits {
    fn from(limits: MessageLimits) -> Self {
        Self { message_bytes_max: limits.message_bytes_max, fragments_max: limits.fragments_max }
    }
}

/// What one call of [`Decoder::decode`] found.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The next event; `None` if all of the input was taken and more is needed.
    pub event: Option<Event<'a>>,
    /// The input behind the event, as it came. Empty if there is no event.
    pub rest: &'a mut [u8],
}

/// Turns the bytes of one client into [`Event`]s, however they are cut.
///
/// Inline it takes 48 bytes; it has a heap only while a frame or a message is incomplete.
pub struct Decoder {
    limits: DecoderLimits,
    partial: Option<Box<Partial>>,
    /// The start of a header whose end has not arrived.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    compression: bool,
    ended: bool,
}

/// What is kept of an incomplete frame or message.
#[derive(Default)]
struct Partial {
    /// The frame whose payload is arriving.
    arriving: Option<Arriving>,
    /// The message whose last fragment has not arrived in full.
    message: Option<Assembly>,
    /// The payload of a control frame that is arriving, maybe between two fragments.
    control: Vec<u8>,
}

struct Arriving {
    header: Header,
    arrived: usize,
}

impl Arriving {
    fn missing(&self) -> usize {
        self.header.payload_len - self.arrived
    }
}

struct Assembly {
    kind: DataKind,
    compressed: bool,
    fragments: usize,
    bytes: Vec<u8>,
    utf8: Utf8,
}

impl Decoder {
    /// An idle decoder, at the start of a connection.
    pub const fn new(limits: DecoderLimits) -> Self {
        Self {
            limits,
            partial: None,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            compression: false,
            ended: false,
        }
    }

    /// Accepts compressed messages from here on, because permessage-deflate was agreed on. They are
    /// handed on as they are, marked `compressed`; both limits then hold for the compressed form, and
    /// [`inflate`](super::inflate) holds the inflated one to the same.
    #[must_use]
    pub const fn with_compression(mut self) -> Self {
        self.compression = true;
        self
    }

    /// The most bytes of a message.
    pub const fn message_bytes_max(&self) -> usize {
        self.limits.message_bytes_max
    }

    /// Takes the bytes that came next and returns at most one event and what lies behind it.
    /// To be called with the rest until there is no event.
    ///
    /// Payloads are unmasked where they lie. A message in one frame that lies whole in `input` is
    /// handed on from there, with no copy and no allocation; everything else is kept aside.
    ///
    /// # Errors
    /// The rule that the client broke. From then on, and after [`Event::Close`], every call fails
    /// with [`Violation::AfterEnd`] and nothing is held any more.
    pub fn decode<'a>(&mut self, input: &'a mut [u8]) -> Result<Decoded<'a>, Violation> {
        let decoded = self.next_event(input);
        if matches!(decoded, Err(_) | Ok(Decoded { event: Some(Event::Close(_)), .. })) {
            self.ended = true;
            self.partial = None;
            self.header_len = 0;
        }
        decoded
    }

    /// Whether neither a frame nor a message is started.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.header_len == 0 && self.partial.is_none()
    }

    /// Whether some but not all bytes of a frame have arrived. A client that leaves it so is slow
    /// on purpose or gone; the time it gets is the caller's affair.
    #[inline]
    pub fn has_started_frame(&self) -> bool {
        self.header_len > 0
            || self.partial.as_ref().is_some_and(|partial| partial.arriving.is_some())
    }

    /// Bytes of heap held for an incomplete frame or message.
    #[inline]
    pub fn bytes_held(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let message = partial.message.as_ref();
            let assembled = message.map_or(0, |message| message.bytes.capacity());
            size_of::<Partial>() + partial.control.capacity() + assembled
        })
    }

    fn next_event<'a>(&mut self, mut input: &'a mut [u8]) -> Result<Decoded<'a>, Violation> {
        if self.ended {
            return Err(Violation::AfterEnd);
        }
        // Each turn takes a header or ends the call, so there are at most as many as bytes.
        loop {
            let arriving = self.partial.as_ref().is_some_and(|partial| partial.arriving.is_some());
            if !arriving {
                let Some(header) = self.take_header(&mut input)? else {
                    return Ok(Decoded { event: None, rest: input });
                };
                if input.len() >= header.payload_len && is_event_alone(&header) {
                    let payload = take(&mut input, header.payload_len);
                    let event = whole_frame(&header, payload)?;
                    return Ok(Decoded { event: Some(event), rest: input });
                }
                self.start_payload(header);
            }
            let event = self.take_payload(&mut input)?;
            if event.is_some() || self.has_started_frame() {
                return Ok(Decoded { event, rest: input });
            }
        }
    }

    /// The next header, if `input` has the end of it; otherwise what it has is kept.
    #[inline]
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, Violation> {
        let rules = self.rules();
        if self.header_len == 0
            && let Some((header, len)) = Header::parse(input, &rules)?
        {
            take(input, len);
            return Ok(Some(header));
        }
        // The input ends inside of the header, or did so before.
        let kept = usize::from(self.header_len);
        let more = input.len().min(HEADER_BYTES_MAX - kept);
        self.header[kept..kept + more].copy_from_slice(&input[..more]);
        let Some((header, len)) = Header::parse(&self.header[..kept + more], &rules)? else {
            take(input, more);
            self.header_len = (kept + more) as u8;
            return Ok(None);
        };
        // `len` is beyond `kept`: the kept bytes alone were parsed before, and were not enough.
        take(input, len - kept);
        self.header_len = 0;
        Ok(Some(header))
    }

    #[inline]
    fn rules(&self) -> Rules {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        Rules {
            compression: self.compression,
            fragments: message.map(|message| message.fragments),
            fragments_max: self.limits.fragments_max.max(1),
            message_bytes: message.map_or(0, |message| message.bytes.len()),
            message_bytes_max: self.limits.message_bytes_max,
        }
    }

    /// Makes room for a frame that cannot be handed on from where it lies.
    fn start_payload(&mut self, header: Header) {
        let partial = self.partial.get_or_insert_default();
        match header.opcode {
            Opcode::Text => partial.message = Some(Assembly::new(DataKind::Text, &header)),
            Opcode::Binary => partial.message = Some(Assembly::new(DataKind::Binary, &header)),
            Opcode::Continuation => {
                if let Some(message) = &mut partial.message {
                    message.fragments += 1;
                }
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => partial.control.clear(),
        }
        partial.arriving = Some(Arriving { header, arrived: 0 });
    }

    /// What `input` has of the payload that is arriving, and the event if that was the end of it.
    fn take_payload(&mut self, input: &mut &mut [u8]) -> Result<Option<Event<'static>>, Violation> {
        let Some(partial) = self.partial.as_deref_mut() else { return Ok(None) };
        let Some(arriving) = &mut partial.arriving else { return Ok(None) };
        let bytes = take(input, arriving.missing().min(input.len()));
        unmask(bytes, arriving.header.mask, arriving.arrived);
        arriving.arrived += bytes.len();
        let (header, missing) = (arriving.header, arriving.missing());

        if header.opcode.is_control() {
            partial.control.extend_from_slice(bytes);
        } else if let Some(message) = &mut partial.message {
            message.push(bytes, missing)?;
        }
        if missing > 0 {
            return Ok(None);
        }
        partial.arriving = None;

        let event = if header.opcode.is_control() {
            control_event(header.opcode, Payload::Owned(mem::take(&mut partial.control)))?
        } else if header.fin
            && let Some(message) = partial.message.take()
        {
            message.finish()?
        } else {
            return Ok(None);
        };
        if partial.message.is_none() {
            self.partial = None;
        }
        Ok(Some(event))
    }
}

/// Shows the state, and nothing of a payload.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("limits", &self.limits)
            .field("compression", &self.compression)
            .field("ended", &self.ended)
            .field("has_started_frame", &self.has_started_frame())
            .field("bytes_held", &self.bytes_held())
            .finish()
    }
}

impl Assembly {
    fn new(kind: DataKind, header: &Header) -> Self {
        Self {
            kind,
            compressed: header.compressed,
            fragments: 1,
            bytes: Vec::new(),
            utf8: Utf8::default(),
        }
    }

    fn is_checked_text(&self) -> bool {
        self.kind == DataKind::Text && !self.compressed
    }

    /// Keeps unmasked bytes; `missing` more are declared for the same frame.
    fn push(&mut self, bytes: &[u8], missing: usize) -> Result<(), Violation> {
        if self.is_checked_text() {
            self.utf8.feed(bytes).map_err(|_| Violation::TextNotUtf8)?;
        }
        let len = self.bytes.len() + bytes.len();
        if len > self.bytes.capacity() {
            // Doubling keeps the copying linear. It is doubled from what has arrived, and what is
            // declared only ever makes it less.
            let capacity = (2 * len).min(len.saturating_add(missing));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self) -> Result<Event<'static>, Violation> {
        if self.is_checked_text() && !self.utf8.is_complete() {
            return Err(Violation::TextNotUtf8);
        }
        let payload = Payload::Owned(self.bytes);
        Ok(Event::Message { kind: self.kind, payload, compressed: self.compressed })
    }
}

/// Whether the frame makes an event without any other: all but fragments.
#[inline]
fn is_event_alone(header: &Header) -> bool {
    header.fin && header.opcode != Opcode::Continuation
}

/// The event of a frame that lies whole in the input and needs no other.
#[inline]
fn whole_frame<'a>(header: &Header, payload: &'a mut [u8]) -> Result<Event<'a>, Violation> {
    unmask(payload, header.mask, 0);
    let payload: &'a [u8] = payload;
    let kind = match header.opcode {
        Opcode::Text => DataKind::Text,
        Opcode::Binary | Opcode::Continuation => DataKind::Binary,
        control => return control_event(control, Payload::Borrowed(payload)),
    };
    let compressed = header.compressed;
    if kind == DataKind::Text && !compressed && std::str::from_utf8(payload).is_err() {
        return Err(Violation::TextNotUtf8);
    }
    Ok(Event::Message { kind, payload: Payload::Borrowed(payload), compressed })
}

fn control_event(opcode: Opcode, payload: Payload<'_>) -> Result<Event<'_>, Violation> {
    Ok(match opcode {
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        _ => Event::Close(close::parse(&payload)?),
    })
}

/// Splits the first `len` bytes off.
#[inline]
fn take<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (taken, rest) = mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}
