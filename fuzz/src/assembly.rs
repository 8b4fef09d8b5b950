//! Messages as a client may send them, cut into fragments with control frames between them, masked,
//! and cut again on the way: what comes out is what went in. And what our encoder writes, our
//! decoder and the others read.

use arbitrary::{Arbitrary, Unstructured};
use fanfare::frame::{Opcode, encode, encode_close, encode_header, header_len};

use crate::ours::{self, End, LIMITS, Seen};
use crate::peers;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    pieces: [u8; 4],
    sent: Vec<Sent<'a>>,
    close: Option<(u16, &'a str)>,
}

#[derive(Arbitrary, Debug)]
enum Sent<'a> {
    Text {
        key: [u8; 4],
        text: &'a str,
        cuts: Vec<Cut>,
    },
    Binary {
        key: [u8; 4],
        bytes: &'a [u8],
        cuts: Vec<Cut>,
    },
    /// One byte over and over, for the longer forms of the length.
    Long {
        key: [u8; 4],
        byte: u8,
        len: u16,
    },
    /// From our own encoder, with a mask put in.
    Encoded {
        key: [u8; 4],
        kind: u8,
        bytes: &'a [u8],
    },
}

/// Where a fragment ends, as a share of what is left, and what comes between it and the next.
#[derive(Arbitrary, Debug)]
struct Cut {
    share: u8,
    control: Option<(bool, u8)>,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let (mut wire, mut expected) = (Vec::new(), Vec::new());
    for sent in &input.sent {
        match sent {
            Sent::Text { key, text, cuts } => {
                fragments(&mut wire, &mut expected, *key, Opcode::Text, text.as_bytes(), cuts);
            }
            Sent::Binary { key, bytes, cuts } => {
                fragments(&mut wire, &mut expected, *key, Opcode::Binary, bytes, cuts);
            }
            Sent::Long { key, byte, len } => {
                let bytes = vec![*byte; usize::from(*len) % (LIMITS.message_bytes_max + 1)];
                fragments(&mut wire, &mut expected, *key, Opcode::Binary, &bytes, &[]);
            }
            Sent::Encoded { key, kind, bytes } => {
                encoded(&mut wire, &mut expected, *key, *kind, bytes)
            }
        }
    }
    let mut end = End::Open;
    if let Some((code, text)) = input.close {
        let frame = encode_close(code, text);
        wire.extend(masked(&frame, [1, 2, 3, 4]));
        expected.push(close_seen(code, text));
        end = End::Closed;
    }
    let pieces = input.pieces.iter().cycle().map(|&len| usize::from(len).max(1));
    let outcome = ours::decode(&wire, pieces);
    assert_eq!((&outcome.events, outcome.end), (&expected, end));
    for peer in [peers::tungstenite, peers::fastwebsockets, peers::sockudo] {
        peer(&wire).compare(&outcome, None);
    }
}

/// What [`encode_close`] says it does, once more.
fn close_seen(code: u16, text: &str) -> Seen {
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Seen::Close(None);
    }
    let mut text = text.to_owned();
    while text.len() > 123 {
        text.pop();
    }
    Seen::Close(Some((code, text)))
}

fn message(opcode: Opcode, bytes: &[u8]) -> Seen {
    match opcode {
        Opcode::Text => Seen::Text(bytes.to_vec()),
        Opcode::Ping => Seen::Ping(bytes.to_vec()),
        Opcode::Pong => Seen::Pong(bytes.to_vec()),
        _ => Seen::Binary(bytes.to_vec()),
    }
}

fn fragments(
    wire: &mut Vec<u8>,
    expected: &mut Vec<Seen>,
    key: [u8; 4],
    opcode: Opcode,
    bytes: &[u8],
    cuts: &[Cut],
) {
    let mut whole = bytes;
    // Not within the limits is another target's affair.
    if whole.len() > LIMITS.message_bytes_max {
        whole = &whole[..0];
    }
    let mut left = whole;
    let cuts = &cuts[..cuts.len().min(LIMITS.fragments_max - 1)];
    for (nth, cut) in cuts.iter().enumerate() {
        let opcode = if nth == 0 { opcode } else { Opcode::Continuation };
        let (now, later) = left.split_at(left.len() * usize::from(cut.share) / 255);
        frame(wire, opcode as u8, key, now);
        left = later;
        if let Some((is_ping, len)) = cut.control {
            let opcode = if is_ping { Opcode::Ping } else { Opcode::Pong };
            let payload = vec![len; usize::from(len % 126)];
            frame(wire, 0x80 | opcode as u8, key, &payload);
            expected.push(message(opcode, &payload));
        }
    }
    let last = if cuts.is_empty() { opcode } else { Opcode::Continuation };
    frame(wire, 0x80 | last as u8, key, left);
    expected.push(message(opcode, whole));
}

fn encoded(wire: &mut Vec<u8>, expected: &mut Vec<Seen>, key: [u8; 4], kind: u8, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LIMITS.message_bytes_max)];
    let opcode = [Opcode::Binary, Opcode::Ping, Opcode::Pong][usize::from(kind % 3)];
    let frame = encode(opcode, bytes);
    let kept = if opcode == Opcode::Binary { bytes } else { &bytes[..bytes.len().min(125)] };
    let mut header = Vec::new();
    encode_header(&mut header, opcode, kept.len());
    assert_eq!(header.len(), header_len(kept.len()));
    assert_eq!(frame, [&header, kept].concat());
    wire.extend(masked(&frame, key));
    expected.push(message(opcode, kept));
}

/// A frame of the server's with a mask put in.
fn masked(frame: &[u8], key: [u8; 4]) -> Vec<u8> {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let (header, payload) = frame.split_at(header);
    let mut bytes = header.to_vec();
    bytes[1] |= 0x80;
    bytes.extend(key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn frame(wire: &mut Vec<u8>, first: u8, key: [u8; 4], payload: &[u8]) {
    wire.push(first);
    match payload.len() {
        len @ 0..=125 => wire.push(0x80 | len as u8),
        len => {
            wire.push(0x80 | 126);
            wire.extend((len as u16).to_be_bytes());
        }
    }
    wire.extend(key);
    wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}
