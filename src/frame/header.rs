//! The header of a frame (RFC 6455 section 5.2): reading a client's, writing a server's.

use bytes::BufMut;

use super::violation::Violation;

/// The most bytes that a header takes: two, eight of length, four of mask.
pub(crate) const HEADER_BYTES_MAX: usize = 14;

/// The most bytes that a control frame carries (RFC 6455 section 5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0b1000_0000;
const RSV: u8 = 0b0111_0000;
/// The bit of a compressed message (RFC 7692 section 6).
pub(crate) const RSV1: u8 = 0b0100_0000;
const OPCODE: u8 = 0b0000_1111;
const MASKED: u8 = 0b1000_0000;
const LENGTH: u8 = 0b0111_1111;

/// What a frame is (RFC 6455 section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the started message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The sender closes.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping, or just says that the sender is there.
    Pong = 0xA,
}

impl Opcode {
    /// Whether it is a close, a ping or a pong (RFC 6455 section 5.5).
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    #[inline]
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }
}

/// A client's header, found to be in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// RSV1 as permessage-deflate uses it: the message is compressed (RFC 7692 section 6).
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: [u8; 4],
    /// Bytes of the payload: at most the rules' room, or 125.
    pub(crate) payload_len: usize,
}

/// What a header is held against besides the RFC's fixed rules: where its connection stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether permessage-deflate was agreed on.
    pub(crate) compression: bool,
    /// Fragments of the started message so far; `None` if none is started.
    pub(crate) fragments: Option<usize>,
    /// The most fragments of a message.
    pub(crate) fragments_max: usize,
    /// Bytes of the started message so far.
    pub(crate) message_bytes: usize,
    /// The most bytes of a message.
    pub(crate) message_bytes_max: usize,
}

impl Header {
    /// Reads a header from the start of `bytes`: itself and how many bytes it took, or `None` if it
    /// is in order so far but not all there.
    ///
    /// Checks run in the order of the bytes and each as soon as its bytes are there. So it makes
    /// no difference how often it is asked with how much, and a refusal does not wait for bytes
    /// that cannot change it.
    #[inline]
    pub(crate) fn parse(bytes: &[u8], rules: &Rules) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let opcode = check_first(first, rules)?;
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & LENGTH;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Violation::ControlTooLong);
        }
        if opcode == Opcode::Close && short == 1 {
            return Err(Violation::CloseTooShort);
        }
        let Some((len, at)) = read_len(short, bytes)? else { return Ok(None) };
        let room = rules.message_bytes_max.saturating_sub(rules.message_bytes);
        // A length that does not fit into `usize` is above any room.
        let payload_len = usize::try_from(len).unwrap_or(usize::MAX);
        if !opcode.is_control() && payload_len > room {
            return Err(Violation::MessageTooBig { message_bytes_max: rules.message_bytes_max });
        }
        let Some(&mask) = bytes[at..].first_chunk::<4>() else { return Ok(None) };
        let fin = first & FIN != 0;
        let compressed = first & RSV1 != 0;
        Ok(Some((Self { fin, compressed, opcode, mask, payload_len }, at + 4)))
    }
}

/// Everything that the first byte can break.
#[inline]
fn check_first(first: u8, rules: &Rules) -> Result<Opcode, Violation> {
    let opcode = Opcode::from_bits(first & OPCODE);
    // RFC 7692 section 6: the bit belongs to the first frame of a data message and to no other.
    let rsv_allowed = match opcode {
        Some(Opcode::Text | Opcode::Binary) if rules.compression => RSV1,
        _ => 0,
    };
    if first & RSV & !rsv_allowed != 0 {
        return Err(Violation::ReservedBits((first & RSV) >> 4));
    }
    let Some(opcode) = opcode else {
        return Err(Violation::ReservedOpcode(first & OPCODE));
    };
    match (opcode, rules.fragments) {
        (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
            if first & FIN == 0 {
                return Err(Violation::FragmentedControl);
            }
        }
        (Opcode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
        (Opcode::Continuation, Some(fragments)) => {
            if fragments >= rules.fragments_max {
                return Err(Violation::TooManyFragments { fragments_max: rules.fragments_max });
            }
        }
        (Opcode::Text | Opcode::Binary, None) => {}
        (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::MessageInsideMessage),
    }
    Ok(opcode)
}

/// The payload length, which `short` either is or announces, and where it ends in `bytes`.
#[inline]
fn read_len(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (len, minimum, at) = match short {
        126 => {
            let Some(wide) = bytes[2..].first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*wide)), 126, 4)
        }
        127 => {
            let Some(wide) = bytes[2..].first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*wide), 1 << 16, 10)
        }
        _ => (u64::from(short), 0, 2),
    };
    if len >> 63 != 0 {
        return Err(Violation::LengthTopBit);
    }
    if len < minimum {
        return Err(Violation::LengthNotMinimal(len));
    }
    Ok(Some((len, at)))
}

/// The first byte of a server's whole message.
#[inline]
pub(crate) const fn server_first(opcode: Opcode) -> u8 {
    FIN | opcode as u8
}

/// Writes the header of a server's frame (no mask) with this first byte. Each form is of a fixed
/// length, so that none is written through a call of `memcpy`: that was a fifth of a small frame.
#[inline]
pub(crate) fn put_server_header(buf: &mut impl BufMut, first: u8, payload_len: usize) {
    match payload_len {
        0..=125 => buf.put_slice(&[first, payload_len as u8]),
        126..=0xFFFF => {
            let [a, b] = (payload_len as u16).to_be_bytes();
            buf.put_slice(&[first, 126, a, b]);
        }
        _ => {
            let [a, b, c, d, e, f, g, h] = (payload_len as u64).to_be_bytes();
            buf.put_slice(&[first, 127, a, b, c, d, e, f, g, h]);
        }
    }
}

/// What such a header says about a plain text or binary message, and how long it is itself.
pub(crate) fn data_header(frame: &[u8]) -> Option<(Opcode, usize)> {
    let (&first, &second) = (frame.first()?, frame.get(1)?);
    let opcode = Opcode::from_bits(first ^ FIN)?;
    let header_len = match second {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    matches!(opcode, Opcode::Text | Opcode::Binary).then_some((opcode, header_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        compression: false,
        fragments: None,
        fragments_max: 64,
        message_bytes: 0,
        message_bytes_max: usize::MAX,
    };

    fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        Header::parse(bytes, &RULES)
    }

    #[test]
    fn all_opcodes_are_either_known_or_reserved() {
        for bits in 0..16u8 {
            let known = matches!(bits, 0..=2 | 8..=10);
            assert_eq!(Opcode::from_bits(bits).is_some(), known);
            if let Some(opcode) = Opcode::from_bits(bits) {
                assert_eq!(opcode as u8, bits);
                assert_eq!(opcode.is_control(), bits >= 8);
            }
        }
    }

    #[test]
    fn lengths_round_trip_through_all_three_forms() {
        for len in [0usize, 1, 125, 126, 127, 0xFFFF, 0x1_0000, 0x12_3456_789A] {
            let mut bytes = Vec::new();
            put_server_header(&mut bytes, server_first(Opcode::Binary), len);
            bytes[1] |= MASKED;
            bytes.extend([1, 2, 3, 4]);
            let (parsed, at) = parse(&bytes).unwrap().unwrap();
            assert_eq!((parsed.payload_len, parsed.mask, at), (len, [1, 2, 3, 4], bytes.len()));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "length {len} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_refusal_waits_for_no_byte_that_cannot_change_it() {
        assert_eq!(parse(&[0x83]), Err(Violation::ReservedOpcode(3)));
        assert_eq!(parse(&[0x82, 0x05]), Err(Violation::Unmasked));
        assert_eq!(parse(&[0x89, 0xFE]), Err(Violation::ControlTooLong));
        assert_eq!(parse(&[0x88, 0x81]), Err(Violation::CloseTooShort));
        assert_eq!(parse(&[0x82, 0xFE, 0, 125]), Err(Violation::LengthNotMinimal(125)));
        let rules = Rules { message_bytes: 10, message_bytes_max: 300, ..RULES };
        assert_eq!(
            Header::parse(&[0x82, 0xFE, 1, 35], &rules),
            Err(Violation::MessageTooBig { message_bytes_max: 300 })
        );
        assert_eq!(Header::parse(&[0x82, 0xFE, 1, 34], &rules), Ok(None));
    }

    #[test]
    fn rsv1_belongs_to_the_first_frame_of_a_message_and_only_when_agreed_on() {
        let on = Rules { compression: true, ..RULES };
        let started = Rules { fragments: Some(1), ..on };
        let header = |first: u8| [first, 0x80, 0, 0, 0, 0];
        let (parsed, _) = Header::parse(&header(0xC1), &on).unwrap().unwrap();
        assert!(parsed.compressed);
        let (parsed, _) = Header::parse(&header(0x81), &on).unwrap().unwrap();
        assert!(!parsed.compressed);
        assert_eq!(parse(&header(0xC1)), Err(Violation::ReservedBits(0b100)));
        for (first, rules) in [(0xC9, on), (0xC0, started), (0xE1, on), (0xD1, on), (0xC3, on)] {
            assert!(matches!(
                Header::parse(&header(first), &rules),
                Err(Violation::ReservedBits(_))
            ));
        }
    }
}
