//! Our decoder, run over a stream that is cut somehow.

use fanfare::frame::{DataKind, Decoded, Decoder, DecoderLimits, Event, Violation};

/// Small, so that a short input reaches them.
pub const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 4_000, fragments_max: 8 };

/// An event as every implementation can say it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More bytes are awaited.
    Open,
    /// With a close frame.
    Closed,
    /// With a refusal.
    Refused,
}

/// What a stream came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub events: Vec<Seen>,
    pub end: End,
    pub violation: Option<Violation>,
    /// In which of the pieces it ended; their number if it is open.
    pub ended_in: usize,
}

/// Feeds `bytes` in pieces of these lengths (the rest as one more), and checks on the way that
/// memory stays within what arrived and what is allowed.
pub fn decode(bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> Outcome {
    let mut decoder = Decoder::new(LIMITS);
    let mut events = Vec::new();
    let mut left = bytes;
    let mut pieces = pieces.into_iter();
    let mut ended_in = 0;
    let mut scratch = Vec::with_capacity(bytes.len());
    while !left.is_empty() {
        let len = pieces.next().map_or(left.len(), |len| len.min(left.len()));
        let (piece, behind) = left.split_at(len);
        left = behind;
        scratch.clear();
        scratch.extend(piece);
        let (end, violation) = take(&mut decoder, &mut scratch, &mut events);
        if end != End::Open {
            assert_eq!(decoder.bytes_held(), 0, "an ended decoder holds nothing");
            assert_eq!(decoder.decode(&mut [1]).unwrap_err(), Violation::AfterEnd);
            return Outcome { events, end, violation, ended_in };
        }
        let arrived = bytes.len() - left.len();
        assert!(decoder.bytes_held() <= 2 * arrived.min(LIMITS.message_bytes_max) + 256);
        assert!(!decoder.is_idle() || decoder.bytes_held() == 0);
        ended_in += 1;
    }
    Outcome { events, end: End::Open, violation: None, ended_in }
}

fn take(
    decoder: &mut Decoder,
    mut rest: &mut [u8],
    events: &mut Vec<Seen>,
) -> (End, Option<Violation>) {
    loop {
        match decoder.decode(rest) {
            Err(violation) => return (End::Refused, Some(violation)),
            Ok(Decoded { event: None, rest }) => {
                assert!(rest.is_empty(), "without an event all of the input is taken");
                return (End::Open, None);
            }
            Ok(Decoded { event: Some(event), rest: behind }) => {
                events.push(seen(event));
                if let Some(Seen::Close(_)) = events.last() {
                    return (End::Closed, None);
                }
                rest = behind;
            }
        }
    }
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Message { kind: DataKind::Text, payload, compressed: false } => {
            assert!(std::str::from_utf8(&payload).is_ok(), "text that is not UTF-8");
            Seen::Text(payload.to_vec())
        }
        Event::Message { kind: DataKind::Binary, payload, compressed: false } => {
            Seen::Binary(payload.to_vec())
        }
        Event::Message { compressed: true, .. } => panic!("compression was not agreed on"),
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Close(close) => Seen::Close(close),
    }
}

/// The lengths of the frames in `bytes`, going by nothing but what each declares, and whether the
/// last one is all there.
pub fn frames(bytes: &[u8]) -> (Vec<usize>, bool) {
    let mut lengths = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some(len) = frame_len(&bytes[at..]).filter(|len| *len <= bytes.len() - at) else {
            lengths.push(bytes.len() - at);
            return (lengths, false);
        };
        lengths.push(len);
        at += len;
    }
    (lengths, true)
}

fn frame_len(bytes: &[u8]) -> Option<usize> {
    let second = *bytes.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (header, len) = match second & 0x7F {
        126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    usize::try_from(len).ok()?.checked_add(header + mask)
}

/// Whether the length of the frame is in its shortest form, as far as can be told.
pub fn is_minimal(frame: &[u8]) -> bool {
    match frame.get(1).map(|second| second & 0x7F) {
        Some(126) => frame.get(2..4).is_none_or(|len| len > &[0, 125][..]),
        Some(127) => frame.get(2..10).is_none_or(|len| len > &[0, 0, 0, 0, 0, 0, 0xFF, 0xFF][..]),
        _ => true,
    }
}
