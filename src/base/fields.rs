//! The header fields of a request, wherever they are kept: in a map, as hyper makes it, or where they
//! came in. What looks at them is written once.

use http::header::{self, HeaderMap, HeaderName};

/// A field that somebody looks at. Lines that are not in a map are filed by it once, when the head is read:
/// names were compared fifteen times for each handshake before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the fields")]
#[repr(u8)]
pub enum Field {
    Authorization,
    Connection,
    ContentLength,
    Cookie,
    Expect,
    Host,
    Origin,
    SecWebSocketExtensions,
    SecWebSocketKey,
    SecWebSocketProtocol,
    SecWebSocketVersion,
    TransferEncoding,
    Upgrade,
    XForwardedFor,
}

/// By [`Field`].
static NAMES: [HeaderName; Field::ALL.len()] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::ORIGIN,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("x-forwarded-for"),
];

impl Field {
    /// Every one, in order.
    pub const ALL: [Self; 14] = [
        Self::Authorization,
        Self::Connection,
        Self::ContentLength,
        Self::Cookie,
        Self::Expect,
        Self::Host,
        Self::Origin,
        Self::SecWebSocketExtensions,
        Self::SecWebSocketKey,
        Self::SecWebSocketProtocol,
        Self::SecWebSocketVersion,
        Self::TransferEncoding,
        Self::Upgrade,
        Self::XForwardedFor,
    ];

    /// Its name.
    pub fn name(self) -> &'static HeaderName {
        &NAMES[self as usize]
    }

    /// The one of this name, in any case.
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        let is_it =
            |field: Self, text: &str| name.eq_ignore_ascii_case(text.as_bytes()).then_some(field);
        // By length, so that a name is compared once or twice.
        match name.len() {
            4 => is_it(Self::Host, "host"),
            6 => is_it(Self::Origin, "origin")
                .or_else(|| is_it(Self::Cookie, "cookie"))
                .or_else(|| is_it(Self::Expect, "expect")),
            7 => is_it(Self::Upgrade, "upgrade"),
            10 => is_it(Self::Connection, "connection"),
            13 => is_it(Self::Authorization, "authorization"),
            14 => is_it(Self::ContentLength, "content-length"),
            15 => is_it(Self::XForwardedFor, "x-forwarded-for"),
            17 => is_it(Self::SecWebSocketKey, "sec-websocket-key")
                .or_else(|| is_it(Self::TransferEncoding, "transfer-encoding")),
            21 => is_it(Self::SecWebSocketVersion, "sec-websocket-version"),
            22 => is_it(Self::SecWebSocketProtocol, "sec-websocket-protocol"),
            24 => is_it(Self::SecWebSocketExtensions, "sec-websocket-extensions"),
            _ => None,
        }
    }
}

/// See the module.
pub trait Fields: Sync {
    /// The values of all lines of this field, in order.
    fn all(&self, field: Field) -> impl Iterator<Item = &[u8]>;

    /// All of it as a map.
    fn to_map(&self) -> HeaderMap;

    /// Whether there is a line of this field.
    fn has(&self, field: Field) -> bool {
        self.all(field).next().is_some()
    }

    /// The value of a field that is there exactly once.
    fn single(&self, field: Field) -> Option<&[u8]> {
        let mut values = self.all(field);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Whether this is an element of the lists that its lines are (RFC 9110 section 5.6.1), in any case.
    fn lists(&self, field: Field, token: &[u8]) -> bool {
        let is_it = |element: &[u8]| element.eq_ignore_ascii_case(token);
        // Nearly always it is the only one.
        self.all(field).any(|line| {
            is_it(line)
                || line.split(|byte| *byte == b',').any(|element| is_it(element.trim_ascii()))
        })
    }
}

impl Fields for HeaderMap {
    fn all(&self, field: Field) -> impl Iterator<Item = &[u8]> {
        self.get_all(field.name()).iter().map(|value| value.as_bytes())
    }

    fn to_map(&self) -> HeaderMap {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_in_any_case() {
        for (at, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, at);
            let name = field.name().as_str();
            let found = [Field::of(name.as_bytes()), Field::of(name.to_uppercase().as_bytes())];
            assert_eq!(found, [Some(field); 2], "{name}");
            let other = format!("{}!", &name[..name.len() - 1]);
            assert_eq!(Field::of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Field::of(b""), None);
    }
}
