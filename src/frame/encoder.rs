//! The frames a server sends: whole messages, never masked (RFC 6455 section 5.1).

use bytes::{BufMut, Bytes};

use super::{
    close,
    header::{self, CONTROL_BYTES_MAX, Opcode},
};
use crate::base::disconnect::CloseCode;

/// An empty ping.
pub const PING: &[u8] = &[0x89, 0x00];

/// The bytes that [`encode_header`] writes for a payload of `payload_len` bytes: 2, 4 or 10.
#[inline]
pub const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// A whole message or control frame: header and payload side by side, in one allocation.
///
/// The payload of a text frame has to be UTF-8, which is not checked here; that of a control frame
/// is cut at 125 bytes (RFC 6455 section 5.5).
#[inline]
pub fn encode(opcode: Opcode, payload: &[u8]) -> Bytes {
    let payload = match opcode.is_control() {
        true => &payload[..payload.len().min(CONTROL_BYTES_MAX)],
        false => payload,
    };
    let mut frame = Vec::with_capacity(header_len(payload.len()) + payload.len());
    encode_header(&mut frame, opcode, payload.len());
    frame.extend_from_slice(payload);
    Bytes::from(frame)
}

/// Only the header of such a frame, for those who join several frames in one buffer and put
/// `payload_len` bytes of payload behind it themselves.
///
/// # Panics
/// When the buffer is one that cannot grow and has no room for [`header_len`] more bytes.
#[inline]
pub fn encode_header(buf: &mut impl BufMut, opcode: Opcode, payload_len: usize) {
    header::put_server_header(buf, header::server_first(opcode), payload_len);
}

/// A server's whole data message, taken apart into its opcode and payload; `None` if it is anything
/// else.
pub(crate) fn split_data(frame: &[u8]) -> Option<(Opcode, &[u8])> {
    let (opcode, header_len) = header::data_header(frame)?;
    Some((opcode, frame.get(header_len..)?))
}

/// A close frame. The text is cut at 123 bytes, between characters (RFC 6455 section 5.5).
///
/// A code that must not stand in a frame (RFC 6455 section 7.4) leaves the body empty, which the
/// peer reads as 1005, "no code given".
pub fn encode_close(code: CloseCode, text: &str) -> Bytes {
    if !close::code_may_be_sent(code) {
        return encode(Opcode::Close, b"");
    }
    let text = close::cut(text);
    let mut frame = Vec::with_capacity(4 + text.len());
    encode_header(&mut frame, Opcode::Close, 2 + text.len());
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    Bytes::from(frame)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(&encode(Opcode::Text, b"Hello")[..], b"\x81\x05Hello");
        assert_eq!(&encode(Opcode::Ping, b"Hello")[..], b"\x89\x05Hello");
        assert_eq!(&encode(Opcode::Pong, b"Hello")[..], b"\x8a\x05Hello");
        assert_eq!(&encode(Opcode::Binary, &[7; 256])[..5], b"\x82\x7e\x01\x00\x07");
        let long = encode(Opcode::Binary, &[7; 65_536]);
        assert_eq!(&long[..11], b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00\x07");
        assert_eq!(&encode(Opcode::Ping, b"")[..], PING);
    }

    #[test]
    fn the_length_takes_its_shortest_form_and_header_len_knows_it() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(header_len(len), header);
            assert_eq!(encode(Opcode::Text, &vec![b'x'; len]).len(), header + len);
            let frame = encode(Opcode::Binary, &vec![b'x'; len]);
            assert_eq!(split_data(&frame), Some((Opcode::Binary, &vec![b'x'; len][..])));
            let mut joined = BytesMut::from(&b"before"[..]);
            encode_header(&mut joined, Opcode::Text, len);
            assert_eq!(joined.len(), 6 + header);
        }
    }

    #[test]
    fn a_control_frame_stays_within_its_bounds() {
        assert_eq!(encode(Opcode::Pong, &[1; 200]).len(), 2 + 125);
        assert_eq!(&encode_close(1000, "")[..], b"\x88\x02\x03\xe8");
        assert_eq!(&encode_close(4408, "slow")[..], b"\x88\x06\x11\x38slow");
        // 61 characters of two bytes fit, half of one more would.
        assert_eq!(encode_close(1000, &"ä".repeat(100)).len(), 2 + 2 + 122);
        assert_eq!(encode_close(1000, &"a".repeat(200)).len(), 2 + 2 + 123);
    }

    #[test]
    fn only_whole_plain_data_is_split() {
        for frame in [&b""[..], b"\x81", b"\x01\x00", b"\xc1\x00", b"\x89\x00", b"\x80\x00"] {
            assert_eq!(split_data(frame), None, "{frame:?}");
        }
    }

    #[test]
    fn a_code_that_must_not_be_sent_is_left_out() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(&encode_close(code, "why")[..], b"\x88\x00", "{code}");
        }
    }
}
