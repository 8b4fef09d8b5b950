//! Frames however they are cut.

use super::*;

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// Feeds pieces as a connection would, through a shared buffer that others have written to.
fn read(pieces: &[&[u8]]) -> Result<Vec<String>, FrameFault> {
    let mut reader = FrameReader::default();
    let longest = pieces.iter().map(|piece| piece.len()).max().unwrap_or(0);
    let mut buffer = vec![0; CARRIED_BYTES_MAX + longest];
    let mut seen = Vec::new();
    for piece in pieces {
        buffer.fill(0xee);
        let start = reader.restore(&mut buffer);
        let end = start + piece.len();
        buffer[start..end].copy_from_slice(piece);
        reader.feed(&buffer[..end], |piece| {
            seen.push(match piece {
                Piece::Message(text) => {
                    format!(
                        "{}:{}",
                        text.len(),
                        String::from_utf8_lossy(&text[..text.len().min(3)])
                    )
                }
                other => format!("{other:?}"),
            });
        })?;
    }
    assert!(reader.carried.len() <= CARRIED_BYTES_MAX);
    Ok(seen)
}

fn stream() -> (Vec<u8>, Vec<String>) {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for length in [0, 1, 125, 126, 128, 255, 256, 257, 300, 65_535, 65_536, 70_000] {
        bytes.extend(frame(1 + (length % 2) as u8, &vec![b'm'; length]));
        expected.push(format!("{}:{}", length.min(256), "m".repeat(length.min(3))));
        bytes.extend(frame(9, b"hi"));
        expected.push(format!("{:?}", Piece::Ping(b"hi")));
        bytes.extend(frame(10, &[b'o'; 125]));
    }
    bytes.extend(frame(8, &[0x03, 0xe9, b'x']));
    expected.push(format!("{:?}", Piece::Close(1001)));
    (bytes, expected)
}

#[test]
fn any_cut_gives_the_same() {
    let (bytes, expected) = stream();
    assert_eq!(read(&[&bytes[..]; 1]).unwrap(), expected);
    for size in [1, 2, 3, 7, 127, 128, 129, 255, 256, 257, 4_096, 65_537] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(read(&pieces).unwrap(), expected, "in pieces of {size}");
    }
}

#[test]
fn one_cut_anywhere_gives_the_same() {
    let mut bytes = Vec::new();
    for length in [3, 126, 400] {
        bytes.extend(frame(2, &vec![b'x'; length]));
        bytes.extend(frame(9, b""));
    }
    let expected = read(&[&bytes]).unwrap();
    assert_eq!(expected.len(), 6);
    for cut in 0..=bytes.len() {
        assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]).unwrap(), expected, "cut at {cut}");
    }
}

#[test]
fn fragments_are_one_message() {
    let mut bytes = frame(1, b"abc");
    bytes[0] = 1;
    bytes.extend(frame(9, b""));
    bytes.extend(frame(0, b"def"));
    bytes.extend(frame(1, b"g"));
    assert_eq!(read(&[&bytes]).unwrap(), ["3:abc", "Ping([])", "1:g"]);
}

#[test]
fn what_a_server_must_not_send_is_a_fault() {
    assert_eq!(read(&[&[0x81, 0x80, 0, 0, 0, 0]]), Err(FrameFault::Masked));
    assert_eq!(read(&[&[0xc1, 0x00]]), Err(FrameFault::Reserved));
    assert_eq!(read(&[&[0x83, 0x00]]), Err(FrameFault::Opcode));
    assert_eq!(read(&[&[0x89, 126, 0, 126]]), Err(FrameFault::Control));
    assert_eq!(read(&[&[0x09, 0]]), Err(FrameFault::Control));
    assert_eq!(read(&[&frame(8, b"")]).unwrap(), ["Close(1005)"]);
}

#[test]
fn a_length_that_never_comes_reserves_nothing() {
    let mut bytes = vec![0x82, 127];
    bytes.extend_from_slice(&u64::MAX.to_be_bytes());
    bytes.extend_from_slice(&[b'x'; 300]);
    assert_eq!(read(&[&bytes, &[b'y'; 1000]]).unwrap(), ["256:xxx"]);
}

#[test]
fn a_masked_frame_is_what_a_server_can_read() {
    for length in [0, 5, 125, 126, 65_535, 65_536] {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut bytes = masked_frame(2, &payload, [1, 2, 3, 4]);
        assert_eq!(bytes[1] & 0x80, 0x80);
        bytes[1] &= 0x7f;
        let head = head(&bytes, false).unwrap().unwrap();
        assert_eq!((head.opcode, bytes[0] & 0x80, head.payload), (2, 0x80, length));
        let body = &bytes[head.bytes + 4..];
        let unmasked: Vec<u8> =
            body.iter().enumerate().map(|(at, byte)| byte ^ [1, 2, 3, 4][at % 4]).collect();
        assert_eq!(unmasked, payload);
    }
}

#[test]
fn a_compressed_message_is_one_only_where_it_was_agreed_on() {
    let mut compressed = frame(1, b"squeezed");
    compressed[0] |= 0x40;
    let mut seen = Vec::new();
    let mut on = |piece: Piece<'_>| seen.push(format!("{piece:?}"));
    FrameReader::new(true).feed(&compressed, &mut on).unwrap();
    assert_eq!(seen, [format!("{:?}", Piece::Deflated(b"squeezed"))]);
    assert_eq!(FrameReader::new(false).feed(&compressed, |_| ()), Err(FrameFault::Reserved));
    let mut ping = frame(9, b"");
    ping[0] |= 0x40;
    assert_eq!(FrameReader::new(true).feed(&ping, |_| ()), Err(FrameFault::Reserved));
}
