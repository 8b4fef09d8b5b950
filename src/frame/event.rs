//! What the decoder hands on.

use std::{fmt, ops::Deref};

use bytes::Bytes;

use super::header::CONTROL_BYTES_MAX;
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
    Ping(ControlPayload),
    /// A pong.
    Pong(ControlPayload),
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

/// The payload of a ping or a pong: at most 125 bytes, kept in place.
#[derive(Clone, Copy)]
pub struct ControlPayload {
    len: u8,
    bytes: [u8; CONTROL_BYTES_MAX],
}

impl ControlPayload {
    /// Without any bytes.
    pub(crate) const EMPTY: Self = Self { len: 0, bytes: [0; CONTROL_BYTES_MAX] };

    /// Adds bytes; those beyond 125 are left out (the header's check let none through).
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let len = usize::from(self.len);
        let more = bytes.len().min(CONTROL_BYTES_MAX - len);
        debug_assert_eq!(more, bytes.len(), "a header let a long control frame through");
        self.bytes[len..len + more].copy_from_slice(&bytes[..more]);
        self.len += more as u8;
    }
}

impl Default for ControlPayload {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<&[u8]> for ControlPayload {
    /// The first 125 bytes.
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        let mut payload = Self::EMPTY;
        payload.push(&bytes[..bytes.len().min(CONTROL_BYTES_MAX)]);
        payload
    }
}

impl Deref for ControlPayload {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for ControlPayload {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for ControlPayload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ControlPayload {}

/// Only the length: payloads have no place in a log.
impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlPayload({} bytes)", self.len)
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
        assert!(!format!("{:?}", ControlPayload::from(&[222u8, 173][..])).contains("222"));
    }

    #[test]
    fn a_control_payload_holds_125_bytes() {
        let long = [7u8; 130];
        assert_eq!(&*ControlPayload::from(&long[..]), &long[..125]);
    }
}
