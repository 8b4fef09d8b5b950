//! A message: what a publisher hands in and a subscriber gets, byte for byte.

use bytes::Bytes;

/// How the bytes of a [`Message`] are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text: a WebSocket text message.
    Text,
    /// Any bytes: a WebSocket binary message.
    Binary,
    /// One JSON value without raw line breaks. A plain WebSocket gets it as text; an envelope
    /// carries it as a value instead of as a string.
    Json,
}

/// A message and its kind. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    kind: Kind,
    data: Bytes,
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: Kind::Text, data: Bytes::from(text.into()) }
    }

    /// A text message from bytes already known to be UTF-8; `None` if they are not.
    pub fn text_from_utf8(data: Bytes) -> Option<Self> {
        std::str::from_utf8(&data).is_ok().then_some(Self { kind: Kind::Text, data })
    }

    /// A text message whose bytes the frame decoder has validated while they came in.
    pub(crate) fn text_validated(data: Bytes) -> Self {
        debug_assert!(std::str::from_utf8(&data).is_ok());
        Self { kind: Kind::Text, data }
    }

    /// A binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Binary, data: data.into() }
    }

    /// A JSON message: `value` in its compact form.
    pub fn json(value: &serde_json::Value) -> Self {
        Self { kind: Kind::Json, data: Bytes::from(value.to_string()) }
    }

    /// A JSON message from JSON text, kept as written except that raw line breaks between its
    /// tokens become spaces (inside of strings JSON forbids them).
    ///
    /// # Errors
    /// The parser's, when `text` is not exactly one JSON value.
    pub fn json_from_text(text: &str) -> Result<Self, serde_json::Error> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(text)?;
        let text = raw.get();
        let data = if text.contains(['\n', '\r']) {
            Bytes::from(text.replace(['\n', '\r'], " "))
        } else {
            Bytes::copy_from_slice(text.as_bytes())
        };
        Ok(Self { kind: Kind::Json, data })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Its bytes as text; `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            Kind::Binary => None,
            Kind::Text | Kind::Json => std::str::from_utf8(&self.data).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_keeps_its_spelling_and_loses_line_breaks() {
        let message = Message::json_from_text(" {\"a\":\n 1.0,\r\n\"b\":\"x\\ny\"} ").unwrap();
        assert_eq!(message.as_text(), Some("{\"a\":  1.0,  \"b\":\"x\\ny\"}"));
        assert!(Message::json_from_text("{} {}").is_err());
        assert!(Message::json_from_text("").is_err());
    }

    #[test]
    fn text_must_be_utf8() {
        assert!(Message::text_from_utf8(Bytes::from_static(b"\xff")).is_none());
        assert_eq!(Message::text_from_utf8(Bytes::from_static(b"x")), Some(Message::text("x")));
    }
}
