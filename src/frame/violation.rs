//! Every way a client can break the rules of its frames, with the close code it gets.

use std::fmt;

use crate::base::disconnect::Reason;

/// What was wrong with the bytes of a client. [`Violation::reason`] gives the row of the disconnect
/// table, and with it the close code; `Display` says which rule was broken.
///
/// It never holds bytes of a payload, so it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A frame was not masked (1002).
    Unmasked,
    /// Reserved bits were set that no extension gave a meaning to (1002). Holds the three bits.
    ReservedBits(u8),
    /// An opcode that RFC 6455 reserves (1002). Holds it.
    ReservedOpcode(u8),
    /// A control frame without FIN (1002).
    FragmentedControl,
    /// A control frame with more than 125 bytes (1002).
    ControlTooLong,
    /// A payload length in more bytes than it needs (1002). Holds the length.
    LengthNotMinimal(u64),
    /// A 64-bit payload length with its highest bit set (1002).
    LengthTopBit,
    /// A continuation frame while no message was started (1002).
    UnexpectedContinuation,
    /// A new message before the last fragment of the started one (1002).
    MessageInsideMessage,
    /// More bytes in one message than allowed, summed over its fragments (1009).
    MessageTooBig {
        /// The limit, in bytes.
        message_bytes_max: usize,
    },
    /// More fragments in one message than allowed (1008).
    TooManyFragments {
        /// The limit.
        fragments_max: usize,
    },
    /// A text message was not UTF-8 (1007).
    TextNotUtf8,
    /// The body of a close frame was a single byte (1002).
    CloseTooShort,
    /// A close code that must not appear in a frame (1002). Holds it.
    CloseCodeInvalid(u16),
    /// The text of a close frame was not UTF-8 (1007).
    CloseTextNotUtf8,
    /// Bytes after the close frame, or after an earlier violation (1002).
    AfterEnd,
}

impl Violation {
    /// The row of the disconnect table; its code is the close code for the client.
    pub const fn reason(&self) -> Reason {
        match self {
            Violation::Unmasked
            | Violation::ReservedBits(_)
            | Violation::ReservedOpcode(_)
            | Violation::FragmentedControl
            | Violation::ControlTooLong
            | Violation::LengthNotMinimal(_)
            | Violation::LengthTopBit
            | Violation::UnexpectedContinuation
            | Violation::MessageInsideMessage
            | Violation::CloseTooShort
            | Violation::CloseCodeInvalid(_)
            | Violation::AfterEnd => Reason::ProtocolError,
            Violation::TextNotUtf8 | Violation::CloseTextNotUtf8 => Reason::InvalidUtf8,
            Violation::TooManyFragments { .. } => Reason::PolicyViolation,
            Violation::MessageTooBig { .. } => Reason::MessageTooBig,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Unmasked => f.write_str("a client's frame must be masked (RFC 6455 5.1)"),
            Violation::ReservedBits(bits) => write!(
                f,
                "reserved bits {bits:03b} are set without an extension that uses them there \
                 (RFC 6455 5.2)"
            ),
            Violation::ReservedOpcode(bits) => {
                write!(f, "opcode {bits:#x} is reserved (RFC 6455 5.2)")
            }
            Violation::FragmentedControl => {
                f.write_str("a control frame must not be fragmented (RFC 6455 5.5)")
            }
            Violation::ControlTooLong => {
                f.write_str("a control frame holds at most 125 bytes (RFC 6455 5.5)")
            }
            Violation::LengthNotMinimal(len) => {
                write!(f, "payload length {len} is not in its shortest form (RFC 6455 5.2)")
            }
            Violation::LengthTopBit => {
                f.write_str("the highest bit of a 64-bit payload length must be 0 (RFC 6455 5.2)")
            }
            Violation::UnexpectedContinuation => {
                f.write_str("a continuation frame without a started message (RFC 6455 5.4)")
            }
            Violation::MessageInsideMessage => f.write_str(
                "a new message before the last fragment of the started one (RFC 6455 5.4)",
            ),
            Violation::MessageTooBig { message_bytes_max } => write!(
                f,
                "the message is longer than the limit of {message_bytes_max} bytes \
                 (RFC 6455 10.4)"
            ),
            Violation::TooManyFragments { fragments_max } => write!(
                f,
                "the message has more fragments than the limit of {fragments_max} (RFC 6455 10.4)"
            ),
            Violation::TextNotUtf8 => {
                f.write_str("a text message must be valid UTF-8 (RFC 6455 8.1)")
            }
            Violation::CloseTooShort => f.write_str(
                "the body of a close frame starts with a two-byte code (RFC 6455 5.5.1)",
            ),
            Violation::CloseCodeInvalid(code) => {
                write!(f, "close code {code} must not appear in a frame (RFC 6455 7.4)")
            }
            Violation::CloseTextNotUtf8 => {
                f.write_str("the text of a close frame must be valid UTF-8 (RFC 6455 5.5.1)")
            }
            Violation::AfterEnd => f.write_str(
                "bytes after the close frame or after an earlier violation (RFC 6455 5.5.1, 7.1.7)",
            ),
        }
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_names_its_section_and_has_a_code_for_the_wire() {
        let all = [
            (Violation::Unmasked, 1002),
            (Violation::ReservedBits(0b101), 1002),
            (Violation::ReservedOpcode(0xb), 1002),
            (Violation::FragmentedControl, 1002),
            (Violation::ControlTooLong, 1002),
            (Violation::LengthNotMinimal(7), 1002),
            (Violation::LengthTopBit, 1002),
            (Violation::UnexpectedContinuation, 1002),
            (Violation::MessageInsideMessage, 1002),
            (Violation::MessageTooBig { message_bytes_max: 9 }, 1009),
            (Violation::TooManyFragments { fragments_max: 9 }, 1008),
            (Violation::TextNotUtf8, 1007),
            (Violation::CloseTooShort, 1002),
            (Violation::CloseCodeInvalid(1005), 1002),
            (Violation::CloseTextNotUtf8, 1007),
            (Violation::AfterEnd, 1002),
        ];
        for (violation, code) in all {
            assert_eq!(violation.reason().code(), code, "{violation:?}");
            assert!(violation.to_string().contains("RFC 6455"), "{violation}");
        }
        assert!(Violation::ReservedBits(0b101).to_string().contains("101"));
        assert!(Violation::ReservedOpcode(0xb).to_string().contains("0xb"));
    }
}
