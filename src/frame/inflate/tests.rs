//! Both directions, against each other and against the bytes of RFC 7692.

use proptest::prelude::*;

use super::*;
use crate::base::limits::MessageLimits;
use crate::frame::{Decoded, Decoder, Event, Opcode, WindowBits, encode_deflated};

const MAX: usize = 1 << 20;

fn binary(payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    inflate(DataKind::Binary, payload, MAX)
}

/// The payload of a server's frame that has RSV1.
fn payload_of(frame: &[u8]) -> &[u8] {
    assert_eq!(frame[0] & 0b1111_0000, 0b1100_0000, "FIN and RSV1 and nothing else");
    let header_len = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    assert_eq!(frame[1] & 0x80, 0, "a server does not mask");
    &frame[header_len..]
}

#[test]
fn the_examples_of_rfc_7692() {
    for (section, payload, message) in [
        ("7.2.3.1", &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], &b"Hello"[..]),
        ("7.2.3.3", b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
        ("7.2.3.4", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
        ("7.2.3.5", b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
        ("7.2.3.6", b"\x00", b""),
    ] {
        assert_eq!(binary(payload).as_deref(), Ok(message), "{section}");
    }
    // Section 7.2.3.2: the second message of one that takes its window over, which was excluded.
    assert_eq!(binary(b"\xf2\x00\x11\x00\x00"), Err(InflateError::Invalid));
}

#[test]
fn the_frame_of_the_rfc_comes_out_again() {
    // Deflated "Hello" is longer than "Hello"; thrice it is shorter.
    assert_eq!(encode_deflated(Opcode::Text, b"Hello", WindowBits::Fifteen, 9), None);
    let frame = encode_deflated(Opcode::Text, b"HelloHelloHello", WindowBits::Fifteen, 9).unwrap();
    assert_eq!(frame[0], 0xC1);
    assert_eq!(inflate(DataKind::Text, payload_of(&frame), 15).unwrap(), b"HelloHelloHello");
}

#[test]
fn a_payload_that_is_cut_short_or_too_long_is_no_message() {
    let message = b"the quick brown fox jumps over the lazy dog, the quick brown fox".repeat(4);
    let frame = encode_deflated(Opcode::Binary, &message, WindowBits::Fifteen, 6).unwrap();
    let payload = payload_of(&frame);
    assert_eq!(binary(payload), Ok(message));
    for cut in 0..payload.len() {
        assert_eq!(binary(&payload[..cut]), Err(InflateError::Invalid), "cut at {cut}");
    }
    for more in [&b"\x01"[..], b"\xff\xff", &FLUSH, b"\x07"] {
        assert!(binary(&[payload, more].concat()).is_err(), "{more:?} behind it");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = encode_deflated(Opcode::Binary, &vec![0; 8 << 20], WindowBits::Fifteen, 9).unwrap();
    let payload = payload_of(&bomb);
    assert!(payload.len() < 16 << 10);
    let too_big = InflateError::TooBig { message_bytes_max: 64 << 10 };
    assert_eq!(inflate(DataKind::Binary, payload, 64 << 10), Err(too_big));
    // The limit is exact, at and around the size of a chunk.
    for len in [1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let frame = encode_deflated(Opcode::Binary, &vec![7; len], WindowBits::Nine, 1).unwrap();
        assert_eq!(inflate(DataKind::Binary, payload_of(&frame), len), Ok(vec![7; len]));
        let refused = inflate(DataKind::Binary, payload_of(&frame), len - 1);
        assert_eq!(refused, Err(InflateError::TooBig { message_bytes_max: len - 1 }));
    }
}

#[test]
fn a_text_must_be_utf8_once_it_is_inflated() {
    let mut bytes = "ä".repeat(100).into_bytes();
    let good = encode_deflated(Opcode::Text, &bytes, WindowBits::Fifteen, 6).unwrap();
    assert!(inflate(DataKind::Text, payload_of(&good), MAX).is_ok());
    bytes.pop();
    let bad = encode_deflated(Opcode::Text, &bytes, WindowBits::Fifteen, 6).unwrap();
    assert_eq!(inflate(DataKind::Text, payload_of(&bad), MAX), Err(InflateError::NotUtf8));
    assert!(inflate(DataKind::Binary, payload_of(&bad), MAX).is_ok());
}

#[test]
fn every_error_has_a_code_for_the_wire_and_names_its_section() {
    for (error, code, reason) in [
        (InflateError::TooBig { message_bytes_max: 9 }, 1009, Reason::MessageTooBig),
        (InflateError::Invalid, 1007, Reason::ProtocolError),
        (InflateError::NotUtf8, 1007, Reason::InvalidUtf8),
    ] {
        let disconnect = error.disconnect();
        assert_eq!((disconnect.code(), disconnect.reason()), (code, reason));
        assert!(disconnect.text().contains("RFC"), "{}", disconnect.text());
    }
}

#[test]
fn nothing_of_one_message_is_left_for_the_next() {
    let long = b"something that a window would keep for the next message".repeat(20);
    let alone = encode_deflated(Opcode::Binary, &long, WindowBits::Fifteen, 1).unwrap();
    for level in 1..=9 {
        // Other levels, an aborted one between them: the same bytes again.
        let _ = encode_deflated(Opcode::Binary, &long, WindowBits::Fifteen, level);
        assert_eq!(encode_deflated(Opcode::Binary, b"x", WindowBits::Fifteen, level), None);
        let _ = binary(&[0xFF; 9]);
        let again = encode_deflated(Opcode::Binary, &long, WindowBits::Fifteen, 1).unwrap();
        assert_eq!(again, alone);
        assert_eq!(binary(payload_of(&again)).as_deref(), Ok(&long[..]));
    }
}

/// The story: noise does not get shorter. Where the output was given only as much room as would be
/// worth it, the compressor was left with bytes nobody took, each reset lost their place in its
/// buffer, and after some hundred messages it panicked and took a lane along.
#[test]
fn noise_again_and_again_leaves_a_compressor_as_it_was() {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    for (bits, level) in [(WindowBits::Fifteen, 1), (WindowBits::Nine, 1), (WindowBits::Twelve, 6)]
    {
        for _ in 0..3_000 {
            let message: Vec<u8> = std::iter::repeat_with(&mut noise).take(256).collect();
            assert_eq!(encode_deflated(Opcode::Binary, &message, bits, level), None);
        }
        let message = b"and then something that does".repeat(20);
        let frame = encode_deflated(Opcode::Binary, &message, bits, level).unwrap();
        assert_eq!(binary(payload_of(&frame)), Ok(message));
    }
}

/// A client's frames of one compressed message, cut into fragments.
fn fragments(payload: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
    bounds.extend([0, payload.len()]);
    bounds.sort_unstable();
    let mask = [1, 2, 3, 4];
    let mut bytes = Vec::new();
    for (at, bound) in bounds.windows(2).enumerate() {
        let fragment = &payload[bound[0]..bound[1]];
        let opcode = if at == 0 { 0xC2 - 0x80 } else { 0x00 };
        let fin = if at + 2 == bounds.len() { 0x80 } else { 0x00 };
        bytes.push(fin | opcode);
        match fragment.len() {
            len @ 0..=125 => bytes.push(0x80 | len as u8),
            len => {
                bytes.push(0x80 | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(fragment.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    bytes
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3_000),
        prop::collection::vec(0u8..4, 0..40_000),
        "[a-c ]{0,2000}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_deflated_inflates_to_the_same(
        message in messages(),
        bits in prop::sample::select(&WindowBits::ALL[..]),
        level in 1u8..=9,
    ) {
        if let Some(frame) = encode_deflated(Opcode::Binary, &message, bits, level) {
            let payload = payload_of(&frame);
            prop_assert!(payload.len() < message.len());
            // With an inflater that has no more than the window agreed on.
            let mut small = Inflate::new(false, bits as u8);
            let mut out = vec![0; message.len()];
            small.decompress(payload, &mut out, InflateFlush::SyncFlush).unwrap();
            prop_assert_eq!(&out, &message);
            prop_assert_eq!(binary(payload), Ok(message));
        }
    }

    #[test]
    fn fragments_and_cuts_make_no_difference(
        message in messages(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        piece in 1usize..700,
    ) {
        let Some(frame) = encode_deflated(Opcode::Binary, &message, WindowBits::Fifteen, 1) else {
            return Ok(());
        };
        let mut bytes = fragments(payload_of(&frame), &cuts);
        let mut decoder = Decoder::new(MessageLimits::default().into()).with_compression();
        let mut got = None;
        for piece in bytes.chunks_mut(piece) {
            let Decoded { event, rest } = decoder.decode(piece).unwrap();
            prop_assert!(rest.is_empty());
            if let Some(Event::Message { kind, payload, compressed }) = event {
                prop_assert!(compressed);
                got = Some(inflate(kind, &payload, MAX).unwrap());
            }
        }
        prop_assert_eq!(got, Some(message));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = inflate(DataKind::Text, &payload, 4_096) {
            prop_assert!(message.len() <= 4_096 && std::str::from_utf8(&message).is_ok());
        }
    }

    #[test]
    fn a_changed_byte_is_a_message_or_an_error(at in any::<usize>(), to in any::<u8>()) {
        let message = b"{\"a\":1,\"b\":[1,2,3,1,2,3,1,2,3]}".repeat(30);
        let frame = encode_deflated(Opcode::Binary, &message, WindowBits::Fifteen, 6).unwrap();
        let mut payload = payload_of(&frame).to_vec();
        let at = at % payload.len();
        payload[at] = to;
        let _ = inflate(DataKind::Binary, &payload, 4_096);
    }
}
