//! What an HTTP request must be to become a WebSocket (RFC 6455 section 4.2.1), and the key that
//! proves the answer meant it (section 4.2.2).
//!
//! Strict on purpose: a request that two parsers on its way could read in two ways is refused
//! before any byte behind it is taken for a frame.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode, Version, request::Parts};
use sha1::{Digest, Sha1};

use super::extensions::{self, Deflate};
use crate::base::fields::{Field, Fields};

/// RFC 6455 section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Sixteen bytes in base64.
const KEY_LEN: usize = 24;

/// Twenty bytes in base64.
pub(crate) const ACCEPT_LEN: usize = 28;

/// What an upgrade request said, once it was found to be in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// The value of the answer's `Sec-WebSocket-Accept`: twenty bytes in base64.
    pub accept: [u8; ACCEPT_LEN],
    /// The subprotocols it offered, in its order of preference; they may hold secrets of the
    /// client. The answer names at most one of them.
    pub protocols: Vec<String>,
    /// What permessage-deflate comes to, if it offered it in a way that can be kept to. It holds
    /// from the moment that the answer says so.
    pub deflate: Option<Deflate>,
}

/// Why a request is not an upgrade that is allowed. None of its own bytes are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Not a GET.
    Method,
    /// Not HTTP/1.1.
    HttpVersion,
    /// No `Host`, an empty one, or several.
    Host,
    /// It has a body, or says so in two ways.
    Body,
    /// `Upgrade` does not list `websocket`.
    Upgrade,
    /// `Connection` does not list `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Version` is not a single 13. The answer has to name the right one.
    Version,
    /// No `Sec-WebSocket-Key`, several, or one that is not 16 bytes in base64.
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of tokens.
    Protocol,
    /// `Sec-WebSocket-Extensions` is not a list of extensions.
    Extensions,
}

impl HandshakeError {
    /// The status of the answer. 426 must come with `Sec-WebSocket-Version: 13` (RFC 6455 section
    /// 4.2.2). The connection is to be closed after either: what follows is not a request.
    pub const fn status(&self) -> StatusCode {
        match self {
            HandshakeError::Version => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandshakeError::Method => "a WebSocket upgrade must be a GET (RFC 6455 4.2.1)",
            HandshakeError::HttpVersion => "a WebSocket upgrade needs HTTP/1.1 (RFC 6455 4.2.1)",
            HandshakeError::Host => {
                "a WebSocket upgrade needs exactly one Host that is not empty (RFC 6455 4.2.1)"
            }
            HandshakeError::Body => {
                "a WebSocket upgrade must not have a body: no Transfer-Encoding, and no \
                 Content-Length but 0"
            }
            HandshakeError::Upgrade => "the Upgrade header must list websocket (RFC 6455 4.2.1)",
            HandshakeError::Connection => {
                "the Connection header must list Upgrade (RFC 6455 4.2.1)"
            }
            HandshakeError::Version => {
                "there must be exactly one Sec-WebSocket-Version, and it must be 13 (RFC 6455 4.2.1)"
            }
            HandshakeError::Key => {
                "there must be exactly one Sec-WebSocket-Key, and it must be 16 bytes in base64 \
                 (RFC 6455 4.2.1)"
            }
            HandshakeError::Protocol => {
                "Sec-WebSocket-Protocol must be a list of tokens (RFC 6455 4.1)"
            }
            HandshakeError::Extensions => {
                "Sec-WebSocket-Extensions must be a list of extensions with parameters \
                 (RFC 6455 9.1)"
            }
        })
    }
}

impl std::error::Error for HandshakeError {}

/// Checks an upgrade request, and works out the answer's key.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(parts: &Parts) -> Result<Handshake, HandshakeError> {
    if parts.version != Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion);
    }
    if parts.method != Method::GET {
        return Err(HandshakeError::Method);
    }
    check_fields(&parts.headers)
}

/// The same of a request that is known to be a GET over HTTP/1.1.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check_fields(fields: &impl Fields) -> Result<Handshake, HandshakeError> {
    if fields.single(Field::Host).is_none_or(<[u8]>::is_empty) {
        return Err(HandshakeError::Host);
    }
    if has_body(fields) {
        return Err(HandshakeError::Body);
    }
    if !fields.lists(Field::Upgrade, b"websocket") {
        return Err(HandshakeError::Upgrade);
    }
    if !fields.lists(Field::Connection, b"upgrade") {
        return Err(HandshakeError::Connection);
    }
    if fields.single(Field::SecWebSocketVersion) != Some(b"13") {
        return Err(HandshakeError::Version);
    }
    let key = fields.single(Field::SecWebSocketKey);
    let key = key.filter(|key| is_key(key)).ok_or(HandshakeError::Key)?;
    let protocols = match fields.has(Field::SecWebSocketProtocol) {
        true => protocols(fields)?,
        false => Vec::new(),
    };
    let deflate = extensions::negotiate(fields).map_err(|_| HandshakeError::Extensions)?;
    Ok(Handshake { accept: accept(key), protocols, deflate })
}

/// Whether there is a body, or doubt about it: RFC 9112 section 6.3 has three ways to say how long
/// it is, and a request smuggler needs two parsers that prefer different ones.
fn has_body(fields: &impl Fields) -> bool {
    fields.has(Field::TransferEncoding)
        || (fields.has(Field::ContentLength) && fields.single(Field::ContentLength) != Some(b"0"))
}

/// The elements of a list header over all of its lines, without those that are empty (RFC 9110
/// section 5.6.1).
fn elements(fields: &impl Fields, field: Field) -> impl Iterator<Item = &[u8]> {
    fields
        .all(field)
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether it is base64 of exactly 16 bytes, padded, with no bits left over (RFC 4648 sections 3.5 and 4):
/// of the last character only the upper two of its six bits count.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key {
        [digits @ .., last, b'=', b'='] if key.len() == KEY_LEN => {
            digits.iter().all(is_digit) && b"AQgw".contains(last)
        }
        _ => false,
    }
}

fn accept(key: &[u8]) -> [u8; ACCEPT_LEN] {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    let mut accept = [0; ACCEPT_LEN];
    let encoded = STANDARD.encode_slice(digest, &mut accept);
    debug_assert_eq!(encoded, Ok(ACCEPT_LEN));
    accept
}

fn protocols(fields: &impl Fields) -> Result<Vec<String>, HandshakeError> {
    elements(fields, Field::SecWebSocketProtocol)
        .map(|element| match std::str::from_utf8(element) {
            Ok(token) if element.iter().all(|&byte| is_token_char(byte)) => Ok(token.to_owned()),
            _ => Err(HandshakeError::Protocol),
        })
        .collect()
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// The request of RFC 6455 section 1.3, changed by `change`.
    fn request(change: impl FnOnce(&mut Parts)) -> Parts {
        let request = http::Request::builder()
            .uri("/chat")
            .header("Host", "server.example.com")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Origin", "http://example.com")
            .header("Sec-WebSocket-Protocol", "chat, superchat")
            .header("Sec-WebSocket-Version", "13");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        change(&mut parts);
        parts
    }

    /// The same with one header's lines replaced by `lines`.
    fn with(name: &'static str, lines: &[&str]) -> Result<Handshake, HandshakeError> {
        check(&request(|parts| {
            parts.headers.remove(name);
            for line in lines {
                parts.headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
        }))
    }

    #[test]
    fn the_example_of_the_rfc() {
        let handshake = check(&request(|_| {})).unwrap();
        assert_eq!(&handshake.accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(handshake.protocols, ["chat", "superchat"]);
    }

    #[test]
    fn only_get_over_http_1_1() {
        for method in [Method::POST, Method::HEAD, Method::CONNECT, Method::OPTIONS] {
            let refused = check(&request(|parts| parts.method = method));
            assert_eq!(refused, Err(HandshakeError::Method));
        }
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
            let refused = check(&request(|parts| parts.version = version));
            assert_eq!(refused, Err(HandshakeError::HttpVersion));
        }
    }

    #[test]
    fn exactly_one_host() {
        assert!(with("host", &["other.example"]).is_ok());
        for lines in [&[][..], &[""], &["a", "a"], &["a", "b"]] {
            assert_eq!(with("host", lines), Err(HandshakeError::Host), "{lines:?}");
        }
    }

    #[test]
    fn upgrade_and_connection_are_lists_in_any_case_over_any_lines() {
        for good in [&["WebSocket"][..], &["h2c, websocket"], &["h2c", " ,,\twebSOCKET ,"]] {
            assert!(with("upgrade", good).is_ok(), "{good:?}");
        }
        for bad in [&[][..], &[""], &["websockets"], &["websocket/13"], &["web socket"], &["h2c"]] {
            assert_eq!(with("upgrade", bad), Err(HandshakeError::Upgrade), "{bad:?}");
        }
        for good in [&["keep-alive, Upgrade"][..], &["keep-alive", "UPGRADE"]] {
            assert!(with("connection", good).is_ok(), "{good:?}");
        }
        for bad in [&[][..], &["keep-alive"], &["close"], &["upgraded"], &["\u{e4}"]] {
            assert_eq!(with("connection", bad), Err(HandshakeError::Connection), "{bad:?}");
        }
    }

    #[test]
    fn exactly_one_version_and_it_is_13() {
        for bad in [&[][..], &["12"], &["8"], &["013"], &["13, 8"], &["13", "13"], &[""]] {
            let error = with("sec-websocket-version", bad).unwrap_err();
            assert_eq!(error, HandshakeError::Version, "{bad:?}");
            assert_eq!(error.status(), StatusCode::UPGRADE_REQUIRED);
        }
    }

    #[test]
    fn exactly_one_key_of_sixteen_bytes() {
        assert!(with("sec-websocket-key", &["AAAAAAAAAAAAAAAAAAAAAA=="]).is_ok());
        let bad = [
            &[][..],
            &[""],
            // Fifteen, seventeen and eighteen bytes.
            &["AAAAAAAAAAAAAAAAAAAA"],
            &["AAAAAAAAAAAAAAAAAAAAAAA="],
            &["AAAAAAAAAAAAAAAAAAAAAAAA"],
            // Not padded, left-over bits, another alphabet, a space, not ASCII.
            &["AAAAAAAAAAAAAAAAAAAAAA"],
            &["AAAAAAAAAAAAAAAAAAAAAB=="],
            &["A-_AAAAAAAAAAAAAAAAAAA=="],
            &["AAAAAAAAAA AAAAAAAAAAA=="],
            &["\u{e4}AAAAAAAAAAAAAAAAAAAA=="],
            &["AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA=="],
            &["AAAAAAAAAAAAAAAAAAAAAA==, AAAAAAAAAAAAAAAAAAAAAA=="],
        ];
        for lines in bad {
            assert_eq!(with("sec-websocket-key", lines), Err(HandshakeError::Key), "{lines:?}");
        }
    }

    #[test]
    fn no_body_and_no_doubt_about_it() {
        assert!(with("content-length", &["0"]).is_ok());
        for bad in [&["5"][..], &["0", "0"], &["0, 0"], &["00"], &["+0"], &["-1"], &[""]] {
            assert_eq!(with("content-length", bad), Err(HandshakeError::Body), "{bad:?}");
        }
        for coding in ["chunked", "identity", ""] {
            let refused = with("transfer-encoding", &[coding]);
            assert_eq!(refused, Err(HandshakeError::Body), "{coding}");
        }
        let both = check(&request(|parts| {
            parts.headers.insert("content-length", HeaderValue::from_static("0"));
            parts.headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
        }));
        assert_eq!(both, Err(HandshakeError::Body));
    }

    #[test]
    fn protocols_are_tokens_in_their_order() {
        let name = "sec-websocket-protocol";
        assert!(with(name, &[]).unwrap().protocols.is_empty());
        let several = with(name, &["b, a", "centrifuge-json,,"]).unwrap();
        assert_eq!(several.protocols, ["b", "a", "centrifuge-json"]);
        for bad in ["a b", "a/b", "\"a\"", "a;q=1", "\u{e4}", "(a)"] {
            assert_eq!(with(name, &[bad]), Err(HandshakeError::Protocol), "{bad}");
        }
    }

    #[test]
    fn extensions_are_negotiated_and_must_be_in_order() {
        let name = "sec-websocket-extensions";
        assert_eq!(with(name, &[]).unwrap().deflate, None);
        assert_eq!(with(name, &["foo"]).unwrap().deflate, None);
        assert!(with(name, &["foo", "permessage-deflate"]).unwrap().deflate.is_some());
        assert_eq!(with(name, &["permessage-deflate;"]), Err(HandshakeError::Extensions));
    }

    #[test]
    fn every_error_but_the_version_is_a_400_and_says_why() {
        use HandshakeError::*;
        let all = [Method, HttpVersion, Host, Body, Upgrade, Connection, Key, Protocol, Extensions];
        for error in all {
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
            assert!(error.to_string().len() > 20);
        }
    }

    proptest! {
        #[test]
        fn no_header_bytes_make_it_panic(
            which in prop::sample::select(vec![
                "host", "upgrade", "connection", "content-length", "transfer-encoding",
                "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
            ]),
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let checked = check(&request(|parts| {
                    parts.headers.insert(which, value);
                }));
                if let Ok(handshake) = checked {
                    prop_assert!(handshake.protocols.iter().all(|token| token.is_ascii()));
                }
            }
        }
    }
}
