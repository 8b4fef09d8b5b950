//! Frames, as far as a load generator needs them, and the mark that every message carries.
//!
//! The mark is `@`, four hex digits of the channel and eight of the message's number in it. It is
//! looked for near the beginning of a payload, so a server may wrap the message in an envelope.

use super::inflate::Inflater;

/// How far into a payload the mark is looked for.
const LOOK_BYTES: usize = 256;

/// Length of the mark.
pub const MARK_BYTES: usize = 13;

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Message {
        channel: u16,
        number: u32,
    },
    /// A data frame without a mark: a greeting or a reply.
    Other,
    Ping,
    Close,
}

/// The first frame, and its length; `None` if it is not there as a whole.
#[inline]
pub fn frame(bytes: &[u8], inflater: &mut Inflater) -> Option<(Event, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (head, length): (usize, usize) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => {
            let length = bytes.get(2..10)?.try_into().map(u64::from_be_bytes).ok()?;
            (10, length as usize)
        }
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(head..head.checked_add(length)?)?;
    // The first reserved bit: the message is compressed.
    let payload =
        if first & 0x40 != 0 { inflater.inflate(payload).unwrap_or(&[]) } else { payload };
    let event = match first & 0x0f {
        0x8 => Event::Close,
        0x9 => Event::Ping,
        0xa => Event::Other,
        _ => mark(payload)
            .map_or(Event::Other, |(channel, number)| Event::Message { channel, number }),
    };
    Some((event, head + length))
}

#[inline]
fn mark(payload: &[u8]) -> Option<(u16, u32)> {
    let at = payload.iter().take(LOOK_BYTES).position(|byte| *byte == b'@')?;
    let digits = payload.get(at + 1..at + MARK_BYTES)?;
    let mut value = 0u64;
    for digit in digits {
        value = value << 4 | u64::from((*digit as char).to_digit(16)?);
    }
    Some(((value >> 32) as u16, value as u32))
}

/// Appends a text message as a client sends it. The mask is zero: it costs the server what any
/// other costs, and the generator nothing.
pub fn put_message(out: &mut Vec<u8>, channel: u16, number: u32, filler: &Filler) {
    let length = MARK_BYTES + filler.before.len() + filler.after.len();
    out.push(0x81);
    match length {
        0..126 => out.push(0x80 | length as u8),
        126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&filler.before);
    out.extend_from_slice(format!("@{channel:04x}{number:08x}").as_bytes());
    out.extend_from_slice(&filler.after);
}

/// What a message holds beside its mark.
#[derive(Clone, Debug, Default)]
pub struct Filler {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Filler {
    /// Text for messages of so many bytes, without anything that JSON would escape.
    pub fn text(bytes: usize) -> Self {
        let words = "price 17.25, symbol ACME, volume 420917, venue XETR; ";
        let after = words.bytes().cycle().take(bytes.saturating_sub(MARK_BYTES)).collect();
        Self { before: Vec::new(), after }
    }

    /// JSON: quotes with figures that differ, which deflate to about half.
    pub fn json(bytes: usize) -> Self {
        let before = br#"{"id":""#.to_vec();
        let mut after = br#"","quotes":["#.to_vec();
        let mut seed = 0x2545_f491_u32;
        loop {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (high, low) = (seed >> 16, seed & 0xffff);
            let quote = format!(
                r#"{{"symbol":"S{:03}","price":{}.{:02},"volume":{low},"up":{}}},"#,
                high % 997,
                high % 311,
                low % 100,
                low % 2 == 0
            );
            if before.len() + MARK_BYTES + after.len() + quote.len() + 2 > bytes {
                break;
            }
            after.extend_from_slice(quote.as_bytes());
        }
        after.pop();
        after.extend_from_slice(b"]}");
        // White space is allowed behind it.
        let length = bytes.saturating_sub(before.len() + MARK_BYTES).max(after.len());
        after.resize(length, b' ');
        Self { before, after }
    }
}

/// An empty pong.
pub const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_went() {
        for (length, filler) in [13, 125, 126, 70_000].map(|bytes| (bytes, Filler::text(bytes))) {
            let mut sent = Vec::new();
            put_message(&mut sent, 7, 0x1234_5678, &filler);
            // A server's frame has no mask.
            let head = match length {
                0..126 => 2,
                126..0x1_0000 => 4,
                _ => 10,
            };
            let mut frame_bytes = sent[..head].to_vec();
            frame_bytes[1] &= 0x7f;
            frame_bytes.extend_from_slice(&sent[head + 4..]);
            let got = frame(&frame_bytes, &mut Inflater::new());
            let message = Event::Message { channel: 7, number: 0x1234_5678 };
            assert_eq!(got, Some((message, frame_bytes.len())));
            let cut = &frame_bytes[..frame_bytes.len() - 1];
            assert_eq!(frame(cut, &mut Inflater::new()), None);
        }
    }

    #[test]
    fn json_is_json_of_its_length() {
        let mut sent = Vec::new();
        put_message(&mut sent, 1, 2, &Filler::json(1_024));
        assert_eq!(sent.len(), 8 + 1_024);
        let value: serde_json::Value = serde_json::from_slice(&sent[8..]).unwrap();
        assert_eq!(value["id"], "@000100000002");
        assert_eq!(mark(&sent[8..]), Some((1, 2)));
    }

    #[test]
    fn an_envelope_is_looked_through() {
        let payload = br#"{"type":"message","channel":"c1","text":"@000100000002xx"}"#;
        assert_eq!(mark(payload), Some((1, 2)));
        assert_eq!(mark(b"hello"), None);
        assert_eq!(mark(b"@00"), None);
    }
}
