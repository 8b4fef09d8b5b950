//! What the decoder hands on.

use std::{fmt, ops::Deref};

use bytes::Bytes;

use crate::base::disconnect::CloseCode;

/// What a client sent, once all of it is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message, put together if it came in fragments.
    Message {
        /// Text or binary.
        kind: DataKind,
        /// Its bytes; of a text message that is not `compressed` they are valid UTF-8.
        payload: Payload<'a>,
        /// Whether the payload is as permessage-deflate left it (RFC 7692 section 6): to be
        /// inflated, and if it is text to be checked for UTF-8, by whoever switched it on.
        compressed: bool,
    },
    /// A ping. The answer is a pong with the same payload (RFC 6455 section 5.5.3).
    Ping(Payload<'a>),
    /// A pong.
    Pong(Payload<'a>),
    /// The client closes, with a code and a text if it gave any. Nothing comes after it.
    Close(Option<(CloseCode, String)>),
}

/// The two kinds of data that RFC 6455 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// The bytes of a message: in the reader's buffer if the frame lay whole in it, else the
/// decoder's own.
#[derive(Clone)]
pub enum Payload<'a> {
    /// Where they arrived.
    Borrowed(&'a [u8]),
    /// Put together from several pieces.
    Owned(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes, to keep. One copy if they were borrowed, none if they were owned.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Payload::Owned(bytes) => Bytes::from(bytes),
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}

/// Only the length: payloads have no place in a log.
impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_payload_is_not_copied() {
        let bytes = b"assembled".to_vec();
        let at = bytes.as_ptr();
        assert_eq!(Payload::Owned(bytes).into_bytes().as_ptr(), at);
    }

    #[test]
    fn debug_shows_no_payload() {
        let event = Event::Message {
            kind: DataKind::Binary,
            payload: Payload::Borrowed(&[222, 173]),
            compressed: false,
        };
        assert!(!format!("{event:?}").contains("222"));
        assert!(!format!("{:?}", Event::Ping(Payload::Owned(vec![222, 173]))).contains("222"));
    }
}
