//! What we deflate inflates to what it was: in our own inflater, and in another one that keeps no
//! more than the window that was agreed on.
//!
//! Input: a byte for the window and the level, a byte for the length, then what the message repeats.

use fanfare::frame::{
    DataKind, Decoder, DecoderLimits, Event, InflateError, Opcode, WindowBits, encode_deflated,
    inflate,
};

use super::inflater;

/// Longer than the window of twelve bits.
const REPEATED_BYTES: usize = 6 << 10;

/// Longer than the largest window; it takes a hundred times what a short message does.
const LONG_BYTES: usize = 40 << 10;

pub fn run(data: &[u8]) {
    let Some((&[how, len], data)) = data.split_first_chunk() else { return };
    let mut message = data.to_vec();
    if !data.is_empty() && len > 127 {
        let len = match len {
            // Only where the window matters to what is far apart.
            255 if data.len() > 512 => LONG_BYTES,
            len => usize::from(len - 127) * REPEATED_BYTES / 128,
        };
        message = data.iter().copied().cycle().take(len).collect();
    }
    let is_text = std::str::from_utf8(&message).is_ok();
    let (kind, opcode) = match is_text {
        true => (DataKind::Text, Opcode::Text),
        false => (DataKind::Binary, Opcode::Binary),
    };
    let windows = WindowBits::ALL;
    let window = windows[usize::from(how) % windows.len()];
    let level = how / windows.len() as u8;
    let frame = encode_deflated(opcode, &message, window, level);
    if message.len() <= data.len() {
        assert_eq!(encode_deflated(opcode, &message, window, level), frame, "the same once more");
    }
    let Some(frame) = frame else { return not_worth_it(&message, window) };
    let payload = payload(&frame, opcode);
    assert!(payload.len() < message.len());
    let inflated = inflater::inflate_with_window(payload, window as u8);
    assert!(inflated.as_ref() == Some(&message), "miniz_oxide: {window:?}, level {level}");
    let arrived = through_the_decoder(kind, payload, frame[0]);
    let inflated = inflate(kind, &arrived, message.len());
    assert!(inflated.as_ref() == Ok(&message), "ours: {window:?}, level {level}");
    let too_big = inflate(kind, &arrived, message.len() - 1);
    assert!(matches!(too_big, Err(InflateError::TooBig { .. })), "one byte above the limit");
}

/// That nothing came of it must be the message's doing.
fn not_worth_it(message: &[u8], window: WindowBits) {
    if window == WindowBits::Fifteen && message.len() > 64 {
        let theirs = miniz_oxide::deflate::compress_to_vec(message, 1);
        assert!(theirs.len() > message.len() / 4, "{} of {}", theirs.len(), message.len());
    }
}

/// The payload of a server's frame, by its own account.
fn payload(frame: &[u8], opcode: Opcode) -> &[u8] {
    assert_eq!(frame[0], 0x80 | 0x40 | opcode as u8);
    let (len, payload) = match frame[1] {
        126 => (u64::from(u16::from_be_bytes([frame[2], frame[3]])), &frame[4..]),
        127 => (u64::from_be_bytes(*frame[2..].first_chunk().unwrap()), &frame[10..]),
        len => (u64::from(len), &frame[2..]),
    };
    assert_eq!(len, payload.len() as u64);
    payload
}

/// The same payload from a client.
fn through_the_decoder(kind: DataKind, payload: &[u8], first: u8) -> Vec<u8> {
    let limits = DecoderLimits { message_bytes_max: payload.len(), fragments_max: 1 };
    let mut wire = masked(first, payload, [1, 2, 3, 4]);
    let mut decoder = Decoder::new(limits).with_compression();
    match decoder.decode(&mut wire).map(|decoded| decoded.event) {
        Ok(Some(Event::Message { kind: arrived, payload, compressed: true })) => {
            assert_eq!(arrived, kind);
            payload.to_vec()
        }
        other => panic!("{other:?}"),
    }
}

/// A client's frame.
pub fn masked(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut wire = vec![first];
    match payload.len() {
        len @ 0..=125 => wire.push(0x80 | len as u8),
        len => {
            wire.push(0x80 | 126);
            wire.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    wire.extend(key);
    wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    wire
}
