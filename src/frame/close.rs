//! The body of a close frame (RFC 6455 section 5.5.1) and the codes it may hold (section 7.4).

use super::violation::Violation;
use crate::base::disconnect::CloseCode;

/// The most bytes of text that fit behind the code: 125 for a control frame, less two.
pub(crate) const TEXT_BYTES_MAX: usize = 123;

/// Whether a code may stand in a frame: those the RFC or its IANA registry define for the wire
/// (1004, 1005, 1006 and 1015 are not), and those of libraries and applications.
pub(crate) const fn code_may_be_sent(code: CloseCode) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The code and text of a client's close frame; `None` when its body was empty.
pub(crate) fn parse(body: &[u8]) -> Result<Option<(CloseCode, String)>, Violation> {
    let (code, text) = match body {
        [] => return Ok(None),
        [_] => return Err(Violation::CloseTooShort),
        [high, low, text @ ..] => (u16::from_be_bytes([*high, *low]), text),
    };
    if !code_may_be_sent(code) {
        return Err(Violation::CloseCodeInvalid(code));
    }
    let text = std::str::from_utf8(text).map_err(|_| Violation::CloseTextNotUtf8)?;
    Ok(Some((code, text.to_owned())))
}

/// The start of `text` that fits into a close frame, cut between characters.
pub(crate) fn cut(text: &str) -> &str {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_codes_for_the_wire() {
        let allowed = (0..=u16::MAX).filter(|&code| code_may_be_sent(code));
        let expected = (1000..=1003).chain(1007..=1014).chain(3000..=4999);
        assert!(allowed.eq(expected));
    }

    #[test]
    fn bodies() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(Violation::CloseTooShort));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some((1000, String::new()))));
        assert_eq!(parse(b"\x03\xe9bye"), Ok(Some((1001, "bye".to_owned()))));
        assert_eq!(parse(b"\x03\xed"), Err(Violation::CloseCodeInvalid(1005)));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::CloseTextNotUtf8));
        assert_eq!(parse(b"\x03\xe8\xc3"), Err(Violation::CloseTextNotUtf8));
    }
}
