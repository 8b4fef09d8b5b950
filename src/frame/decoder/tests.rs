//! One test a rule, each under every single cut and byte by byte. What a decoder holds and when is
//! in `memory`, random streams are in `tests/frame_properties.rs`.

use super::*;

mod memory;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const FIRST_TEXT: u8 = 0x01;
const FIRST_BINARY: u8 = 0x02;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

const KEY: [u8; 4] = [0x9b, 0x00, 0xc3, 0x7e];

/// A masked frame whose header says what it is told to.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    bytes
}

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Compressed(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Message { payload, compressed: true, .. } => Seen::Compressed(payload.to_vec()),
        Event::Message { kind: DataKind::Text, payload, .. } => {
            Seen::Text(String::from_utf8(payload.to_vec()).expect("text is UTF-8"))
        }
        Event::Message { kind: DataKind::Binary, payload, .. } => Seen::Binary(payload.to_vec()),
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Close(body) => Seen::Close(body),
    }
}

/// Everything that a decoder makes of `pieces`, up to a close or a violation.
fn outcome<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Seen>, Option<Violation>) {
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        loop {
            match decoder.decode(rest) {
                Ok(Decoded { event: Some(event), rest: behind }) => {
                    events.push(seen(event));
                    if let Some(Seen::Close(_)) = events.last() {
                        return (events, None);
                    }
                    rest = behind;
                }
                Ok(Decoded { event: None, rest }) => {
                    assert!(rest.is_empty(), "input left without an event");
                    break;
                }
                Err(violation) => return (events, Some(violation)),
            }
        }
    }
    (events, None)
}

const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 1_000, fragments_max: 4 };

/// The outcome of the frames in one piece, after checking that no cut changes it.
fn every_way(decoder: fn() -> Decoder, frames: &[Vec<u8>]) -> (Vec<Seen>, Option<Violation>) {
    let bytes = frames.concat();
    let whole = outcome(&mut decoder(), [&bytes[..]]);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(outcome(&mut decoder(), [first, second]), whole, "cut at {cut}");
    }
    assert_eq!(outcome(&mut decoder(), bytes.chunks(1)), whole, "byte by byte");
    assert_eq!(outcome(&mut decoder(), bytes.chunks(3)), whole, "by three");
    whole
}

fn plain(frames: &[Vec<u8>]) -> (Vec<Seen>, Option<Violation>) {
    every_way(|| Decoder::new(LIMITS), frames)
}

#[track_caller]
fn refused(frames: &[Vec<u8>], violation: Violation, code: u16) {
    let (_, got) = plain(frames);
    assert_eq!(got, Some(violation));
    assert_eq!(violation.reason().code(), code);
}

#[test]
fn whole_frames() {
    let frames = [
        frame(TEXT, "Hällo".as_bytes()),
        frame(BINARY, &[0xFF; 300]),
        frame(TEXT, b""),
        frame(PING, b"are you there"),
        frame(PONG, b""),
        frame(PONG, &[7; 125]),
        frame(CLOSE, b"\x03\xe8bye"),
    ];
    let expected = [
        text("Hällo"),
        Seen::Binary(vec![0xFF; 300]),
        text(""),
        Seen::Ping(b"are you there".to_vec()),
        Seen::Pong(Vec::new()),
        Seen::Pong(vec![7; 125]),
        Seen::Close(Some((1000, "bye".to_owned()))),
    ];
    assert_eq!(plain(&frames), (expected.to_vec(), None));
}

#[test]
fn the_examples_of_the_rfc() {
    let single = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    assert_eq!(plain(&[single, pong]).0, [text("Hello"), Seen::Pong(b"Hello".to_vec())]);
}

#[test]
fn fragments_with_control_frames_between_them() {
    let frames = [
        frame(FIRST_TEXT, b"Hel"),
        frame(PING, b"1"),
        frame(MIDDLE, b""),
        frame(PONG, b"2"),
        frame(LAST, b"lo"),
        frame(FIRST_BINARY, b""),
        frame(LAST, b""),
    ];
    let expected = [
        Seen::Ping(b"1".to_vec()),
        Seen::Pong(b"2".to_vec()),
        text("Hello"),
        Seen::Binary(Vec::new()),
    ];
    assert_eq!(plain(&frames), (expected.to_vec(), None));
}

#[test]
fn what_comes_before_a_violation_is_delivered() {
    let (events, violation) = plain(&[frame(TEXT, b"fine"), frame(PING, b""), frame(0x83, b"")]);
    assert_eq!(events, [text("fine"), Seen::Ping(Vec::new())]);
    assert_eq!(violation, Some(Violation::ReservedOpcode(3)));
}

#[test]
fn frames_must_be_masked() {
    refused(&[b"\x81\x05Hello".to_vec()], Violation::Unmasked, 1002);
    refused(&[b"\x89\x00".to_vec()], Violation::Unmasked, 1002);
}

#[test]
fn reserved_bits_and_opcodes() {
    for bits in 1..8u8 {
        refused(&[frame(TEXT | bits << 4, b"x")], Violation::ReservedBits(bits), 1002);
        refused(&[frame(PING | bits << 4, b"x")], Violation::ReservedBits(bits), 1002);
    }
    for opcode in (3..8u8).chain(11..16) {
        refused(&[frame(0x80 | opcode, b"x")], Violation::ReservedOpcode(opcode), 1002);
        refused(&[frame(opcode, b"x")], Violation::ReservedOpcode(opcode), 1002);
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    for first in [CLOSE, PING, PONG] {
        refused(&[frame(first & 0x7F, b"")], Violation::FragmentedControl, 1002);
        refused(&[frame(first, &[b'a'; 126])], Violation::ControlTooLong, 1002);
        refused(&[frame(first, &[b'a'; 65_536])], Violation::ControlTooLong, 1002);
    }
}

#[test]
fn lengths_take_their_shortest_form() {
    let wide = |len: u16| [&[BINARY, 0xFE][..], &len.to_be_bytes(), &KEY].concat();
    let widest = |len: u64| [&[BINARY, 0xFF][..], &len.to_be_bytes(), &KEY].concat();
    for len in [0, 1, 125] {
        refused(&[wide(len)], Violation::LengthNotMinimal(len.into()), 1002);
    }
    for len in [0, 126, 65_535] {
        refused(&[widest(len)], Violation::LengthNotMinimal(len), 1002);
    }
    for len in [1 << 63, u64::MAX] {
        refused(&[widest(len)], Violation::LengthTopBit, 1002);
    }
}

#[test]
fn continuations_continue_something_and_nothing_else_does() {
    refused(&[frame(LAST, b"x")], Violation::UnexpectedContinuation, 1002);
    refused(&[frame(MIDDLE, b"x")], Violation::UnexpectedContinuation, 1002);
    let twice = [frame(FIRST_TEXT, b"x"), frame(LAST, b"y"), frame(LAST, b"z")];
    refused(&twice, Violation::UnexpectedContinuation, 1002);
    for second in [TEXT, BINARY, FIRST_TEXT, FIRST_BINARY] {
        let frames = [frame(FIRST_TEXT, b"x"), frame(second, b"y")];
        refused(&frames, Violation::MessageInsideMessage, 1002);
    }
}

#[test]
fn a_message_is_bounded_over_its_fragments() {
    let too_big = Violation::MessageTooBig { message_bytes_max: 1_000 };
    assert_eq!(plain(&[frame(BINARY, &[1; 1_000])]).0.len(), 1);
    refused(&[frame(BINARY, &[1; 1_001])], too_big, 1009);
    let most = frame(FIRST_BINARY, &[1; 999]);
    assert_eq!(plain(&[most.clone(), frame(LAST, b"1")]).0.len(), 1);
    refused(&[most.clone(), frame(LAST, b"12")], too_big, 1009);
    // A length near 2^63 must not wrap when it is added to what is there.
    let huge = [&[LAST, 0xFF][..], &(u64::MAX >> 1).to_be_bytes()].concat();
    refused(&[most.clone(), huge.clone()], too_big, 1009);
    // The length alone shows it: no byte of mask or payload is needed.
    let mut decoder = Decoder::new(LIMITS);
    assert_eq!(outcome(&mut decoder, [&most[..], &huge[..]]).1, Some(too_big));
    // A control frame does not count.
    let between = [most, frame(PING, &[1; 100]), frame(LAST, b"1")];
    assert_eq!(plain(&between).0.len(), 2);
}

#[test]
fn fragments_are_bounded_empty_ones_too() {
    let too_many = Violation::TooManyFragments { fragments_max: 4 };
    let mut frames = vec![frame(FIRST_TEXT, b""), frame(MIDDLE, b""), frame(MIDDLE, b"")];
    frames.push(frame(LAST, b"x"));
    assert_eq!(plain(&frames).0, [text("x")]);
    frames[3] = frame(MIDDLE, b"");
    frames.push(frame(LAST, b"x"));
    refused(&frames, too_many, 1008);
    // The count starts anew with the next message.
    let three = [frame(FIRST_TEXT, b""), frame(MIDDLE, b""), frame(LAST, b"")];
    assert_eq!(plain(&[three.clone(), three].concat()).0.len(), 2);

    let single = || Decoder::new(DecoderLimits { fragments_max: 0, ..LIMITS });
    assert_eq!(every_way(single, &[frame(TEXT, b"x")]).0, [text("x")]);
    let (_, violation) = every_way(single, &[frame(FIRST_TEXT, b"x"), frame(LAST, b"y")]);
    assert_eq!(violation, Some(Violation::TooManyFragments { fragments_max: 1 }));
}

#[test]
fn text_is_utf8_wherever_it_is_cut() {
    let face = "😀".as_bytes();
    let frames = [frame(FIRST_TEXT, &face[..1]), frame(PING, b"\xff"), frame(LAST, &face[1..])];
    assert_eq!(plain(&frames).0, [Seen::Ping(vec![0xFF]), text("😀")]);
    for bad in [&b"\xff"[..], b"ok\xc3", b"\xed\xa0\x80", b"a\xc0\x80b", &face[..3]] {
        refused(&[frame(TEXT, bad)], Violation::TextNotUtf8, 1007);
        refused(&[frame(FIRST_TEXT, bad), frame(LAST, b"")], Violation::TextNotUtf8, 1007);
        assert_eq!(plain(&[frame(BINARY, bad)]).0, [Seen::Binary(bad.to_vec())]);
    }
}

#[test]
fn bad_text_is_refused_before_its_frame_is_there() {
    let whole = frame(TEXT, b"\xe2\x82x and much more that never arrives");
    let mut decoder = Decoder::new(LIMITS);
    let at = 6 + 2;
    assert!(decoder.decode(&mut whole[..at].to_vec()).unwrap().event.is_none());
    let mut bad = whole[at..=at].to_vec();
    assert_eq!(decoder.decode(&mut bad).unwrap_err(), Violation::TextNotUtf8);
    assert_eq!(decoder.bytes_held(), 0);
}

#[test]
fn close_bodies() {
    let close = |body: &[u8]| [frame(CLOSE, body)];
    assert_eq!(plain(&close(b"")).0, [Seen::Close(None)]);
    assert_eq!(plain(&close(b"\x0b\xb8")).0, [Seen::Close(Some((3000, String::new())))]);
    let full = [b"\x03\xe8".to_vec(), vec![b'a'; 123]].concat();
    assert_eq!(plain(&close(&full)).0, [Seen::Close(Some((1000, "a".repeat(123))))]);
    refused(&close(b"\x03"), Violation::CloseTooShort, 1002);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let body = [&u16::to_be_bytes(code)[..], b"why"].concat();
        refused(&close(&body), Violation::CloseCodeInvalid(code), 1002);
    }
    refused(&close(b"\x03\xe8\xc3"), Violation::CloseTextNotUtf8, 1007);
    // In the middle of a message.
    let (events, violation) = plain(&[frame(FIRST_TEXT, b"half"), frame(CLOSE, b"\x03\xe9")]);
    assert_eq!(
        (events.as_slice(), violation),
        (&[Seen::Close(Some((1001, String::new())))][..], None)
    );
}

#[test]
fn compressed_messages_are_handed_on_as_they_are() {
    let on = || Decoder::new(LIMITS).with_compression();
    let frames = [
        frame(TEXT | 0x40, b"\xff\x00"),
        frame(FIRST_TEXT | 0x40, b"\xfe"),
        frame(LAST, b"\xfd"),
        frame(TEXT, b"plain"),
    ];
    let expected = [
        Seen::Compressed(b"\xff\x00".to_vec()),
        Seen::Compressed(b"\xfe\xfd".to_vec()),
        text("plain"),
    ];
    assert_eq!(every_way(on, &frames), (expected.to_vec(), None));
    let (_, violation) = every_way(on, &[frame(FIRST_TEXT | 0x40, b"x"), frame(0xC0, b"y")]);
    assert_eq!(violation, Some(Violation::ReservedBits(0b100)));
    let (_, violation) = every_way(on, &[frame(TEXT, b"\xff")]);
    assert_eq!(violation, Some(Violation::TextNotUtf8));
}
