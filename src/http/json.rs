//! JSON from outside: checked for its depth before it is parsed.

use crate::base::message::Message;

/// Arrays and objects within each other. serde_json stops at 128 by itself, but not where it only
/// skips a value.
pub(super) const DEPTH_MAX: usize = 64;

/// A JSON message from a body.
///
/// # Errors
/// A text for the peer.
pub(super) fn message(body: &[u8]) -> Result<Message, String> {
    let text = text(body)?;
    Message::json_from_text(text).map_err(|error| invalid(&error))
}

/// The text of a body, if it is UTF-8 and not too deep.
///
/// # Errors
/// A text for the peer.
pub(super) fn text(body: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(body)
        .map_err(|error| format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))?;
    match is_too_deep(body) {
        true => Err(format!("the JSON is nested deeper than {DEPTH_MAX} levels")),
        false => Ok(text),
    }
}

/// What is wrong with it, by line and column.
pub(super) fn invalid(error: &serde_json::Error) -> String {
    // The parser's own text would repeat parts of the input.
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "a member has the wrong type",
        _ => "there is an error",
    };
    let (line, column) = (error.line(), error.column());
    format!("the body is not the JSON that is due: {what} at line {line}, column {column}")
}

/// Whether brackets are nested deeper than [`DEPTH_MAX`]. Of text that is not JSON the answer does
/// not matter.
fn is_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn depth_is_bounded() {
        assert!(message(nested(DEPTH_MAX).as_bytes()).is_ok());
        let error = message(nested(DEPTH_MAX + 1).as_bytes()).unwrap_err();
        assert!(error.contains("64 levels"), "{error}");
        // Brackets within a string are none, side by side they are not deep.
        let string = format!("\"\\\"{}\"", "[".repeat(100));
        assert!(message(string.as_bytes()).is_ok());
        let wide = format!("[{}1]", "[],".repeat(100));
        assert!(message(wide.as_bytes()).is_ok());
    }

    #[test]
    fn an_error_says_where_and_repeats_nothing() {
        let error = message(b"{\"a\":\n canary}").unwrap_err();
        assert!(error.contains("line 2") && !error.contains("canary"), "{error}");
        assert!(message(b"\"\xff\"").unwrap_err().contains("byte 1"));
    }
}
