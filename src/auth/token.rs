//! Where in a request the token is.
//!
//! | place | for | beware |
//! |---|---|---|
//! | `Authorization: Bearer TOKEN` | programs | browsers cannot set it on a WebSocket |
//! | `Sec-WebSocket-Protocol: bearer, TOKEN` | browsers | the answer selects `bearer` and never repeats the token |
//! | `?token=TOKEN` | browsers, `EventSource` | addresses end up in the logs of proxies |
//! | a cookie | browsers, same site | sent by itself whichever page asks, so the origin has to be checked ([`origin`](super::origin)) |
//!
//! The first place in this order that has a token counts, and the others are not looked at. Two
//! different tokens in one place are refused: a proxy in between may have read the other one.

use std::fmt;

use crate::base::fields::{Field, Fields};
use crate::base::query;

/// The cookie that is looked at unless another is configured.
pub const COOKIE_NAME: &str = "fanfare_token";

/// The query parameter.
pub const QUERY_NAME: &str = "token";

/// The subprotocol that is offered just before the token, and selected in the answer.
pub const SUBPROTOCOL: &str = "bearer";

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// `Authorization: Bearer`.
    Header,
    /// Behind [`SUBPROTOCOL`] in `Sec-WebSocket-Protocol`. The answer must select `bearer`, and
    /// must not repeat the token.
    Subprotocol,
    /// The query parameter [`QUERY_NAME`].
    Query,
    /// A cookie.
    Cookie,
}

impl Place {
    /// Whether a browser sends it by itself, whichever page made the request.
    pub const fn rides_along(self) -> bool {
        matches!(self, Self::Cookie)
    }
}

/// A token as a request had it, not checked yet. `Debug` shows where it was.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    token: String,
    place: Place,
}

impl Credential {
    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where it was.
    pub fn place(&self) -> Place {
        self.place
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?})", self.place)
    }
}

/// Why a request's token cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialError {
    /// There are two different tokens in this place.
    Ambiguous(Place),
    /// This place announces a token that is not there, or is not one.
    Malformed(Place),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, form) = match self {
            Self::Ambiguous(place) | Self::Malformed(place) => match place {
                Place::Header => ("the Authorization header", "Authorization: Bearer TOKEN"),
                Place::Subprotocol => {
                    ("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: bearer, TOKEN")
                }
                Place::Query => ("the query", "?token=TOKEN"),
                Place::Cookie => ("the cookies", "NAME=TOKEN"),
            },
        };
        match self {
            Self::Ambiguous(_) => {
                write!(f, "{place} has two different tokens; send one, as {form}")
            }
            Self::Malformed(_) => write!(f, "{place} has no token where one is due; send {form}"),
        }
    }
}

impl std::error::Error for CredentialError {}

/// Finds the token of a request. `query` is what stands behind the `?`, `cookie_name` is compared
/// exactly.
///
/// # Errors
/// [`CredentialError`]: to be answered with 400 or 401, not by going on without a token.
pub fn find(
    headers: &impl Fields,
    query: Option<&str>,
    cookie_name: &str,
) -> Result<Option<Credential>, CredentialError> {
    // What is not there at all is not taken apart: most have nothing of it, and each part of this is code that
    // is not in the cache then.
    if headers.has(Field::Authorization)
        && let Some(found) = from_authorization(headers)?
    {
        return Ok(Some(found));
    }
    if headers.has(Field::SecWebSocketProtocol)
        && let Some(found) = from_subprotocol(headers)?
    {
        return Ok(Some(found));
    }
    if query::may_have(query, QUERY_NAME) {
        let tokens = query::values(query, QUERY_NAME).map(Some);
        if let Some(found) = only(Place::Query, tokens)? {
            return Ok(Some(found));
        }
    }
    match headers.has(Field::Cookie) {
        true => from_cookies(headers, cookie_name),
        false => Ok(None),
    }
}

fn from_cookies(
    headers: &impl Fields,
    cookie_name: &str,
) -> Result<Option<Credential>, CredentialError> {
    let cookies = headers.all(Field::Cookie).flat_map(|line| line.split(|byte| *byte == b';'));
    let tokens = cookies.filter_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(cookie_name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(std::str::from_utf8(quoted.unwrap_or(value)).ok())
    });
    only(Place::Cookie, tokens)
}

/// Other schemes than `Bearer` belong to somebody else, such as a proxy in front.
fn from_authorization(headers: &impl Fields) -> Result<Option<Credential>, CredentialError> {
    let mut values = headers.all(Field::Authorization);
    if let (Some(first), Some(second)) = (values.next(), values.next())
        && (first != second || values.any(|other| other != first))
    {
        return Err(CredentialError::Ambiguous(Place::Header));
    }
    let tokens = headers.all(Field::Authorization).filter_map(|value| {
        let (scheme, token) = value.split_at(value.len().min("Bearer".len()));
        // RFC 7235 section 2.1: the scheme in any case, then spaces.
        let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer")
            && token.first().is_none_or(u8::is_ascii_whitespace);
        is_bearer.then(|| std::str::from_utf8(token.trim_ascii()).ok())
    });
    only(Place::Header, tokens)
}

fn from_subprotocol(headers: &impl Fields) -> Result<Option<Credential>, CredentialError> {
    let mut offers = headers
        .all(Field::SecWebSocketProtocol)
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let tokens = std::iter::from_fn(|| {
        offers.find(|offer| *offer == SUBPROTOCOL.as_bytes())?;
        Some(offers.next().and_then(|token| std::str::from_utf8(token).ok()))
    });
    only(Place::Subprotocol, tokens)
}

/// The one token among those of a place; `None` stands for one that should be there and is not.
fn only<T: AsRef<str>>(
    place: Place,
    tokens: impl Iterator<Item = Option<T>>,
) -> Result<Option<Credential>, CredentialError> {
    let mut found: Option<Credential> = None;
    for token in tokens {
        let token = token.as_ref().map_or("", AsRef::as_ref);
        if token.is_empty() || token.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(CredentialError::Malformed(place));
        }
        match &found {
            Some(first) if first.token != token => return Err(CredentialError::Ambiguous(place)),
            _ => found = Some(Credential { token: token.to_owned(), place }),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    type Found = Result<Option<(String, Place)>, CredentialError>;

    fn found(headers: &[(&'static str, &[u8])], query: Option<&str>) -> Found {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        find(&map, query, COOKIE_NAME).map(|found| found.map(|found| (found.token, found.place)))
    }

    fn at(token: &str, place: Place) -> Found {
        Ok(Some((token.into(), place)))
    }

    #[test]
    fn each_place_is_read() {
        for value in ["Bearer T", "bearer  T", "BEARER T "] {
            assert_eq!(found(&[("authorization", value.as_bytes())], None), at("T", Place::Header));
        }
        for value in ["bearer, T", "bearer,T", "chat, bearer, T, x"] {
            let header = ("sec-websocket-protocol", value.as_bytes());
            assert_eq!(found(&[header], None), at("T", Place::Subprotocol), "{value}");
        }
        assert_eq!(found(&[], Some("a=b&token=T%2e&c")), at("T.", Place::Query));
        for value in ["fanfare_token=T", "a=b; fanfare_token=T;c=d", "fanfare_token=\"T\""] {
            assert_eq!(found(&[("cookie", value.as_bytes())], None), at("T", Place::Cookie));
        }
    }

    #[test]
    fn two_lines_of_subprotocols_are_one_list() {
        let lines = [("sec-websocket-protocol", &b"bearer"[..]), ("sec-websocket-protocol", b"T")];
        assert_eq!(found(&lines, None), at("T", Place::Subprotocol));
    }

    #[test]
    fn the_order_is_fixed() {
        let mut all: Vec<(&str, &[u8])> = vec![
            ("cookie", b"fanfare_token=C"),
            ("sec-websocket-protocol", b"bearer, S"),
            ("authorization", b"Bearer A"),
        ];
        assert_eq!(found(&all, Some("token=Q")), at("A", Place::Header));
        all.pop();
        assert_eq!(found(&all, Some("token=Q")), at("S", Place::Subprotocol));
        all.pop();
        assert_eq!(found(&all, Some("token=Q")), at("Q", Place::Query));
        assert_eq!(found(&all, None), at("C", Place::Cookie));
        assert!(Place::Cookie.rides_along() && !Place::Query.rides_along());
    }

    #[test]
    fn what_is_no_token_is_passed_over() {
        for headers in [
            &[("authorization", &b"Basic dTpw"[..])][..],
            &[("authorization", b"Bearers T")],
            &[("sec-websocket-protocol", b"chat, T")],
            &[("cookie", b"xfanfare_token=T; FANFARE_TOKEN=T; fanfare_token2=T; x")],
            &[],
        ] {
            assert_eq!(found(headers, Some("tokens=T&TOKEN=T")), Ok(None), "{headers:?}");
        }
    }

    #[test]
    fn two_tokens_in_a_place_are_refused_unless_they_are_one() {
        type Case<'a> = (&'static str, &'a [u8], &'a [u8], Place);
        let cases: [Case<'_>; 4] = [
            ("authorization", b"Bearer A", b"Bearer B", Place::Header),
            ("authorization", b"Basic A", b"Bearer B", Place::Header),
            ("sec-websocket-protocol", b"bearer, A", b"bearer, B", Place::Subprotocol),
            ("cookie", b"fanfare_token=A", b"fanfare_token=B", Place::Cookie),
        ];
        for (name, one, two, place) in cases {
            let ambiguous = Err(CredentialError::Ambiguous(place));
            assert_eq!(found(&[(name, one), (name, two)], None), ambiguous, "{name}");
            assert_eq!(found(&[(name, two), (name, one)], None), ambiguous, "{name}");
            assert_eq!(found(&[(name, two), (name, two)], None), at("B", place), "{name}");
        }
        for third in ["Bearer B", "Basic B"] {
            let three = ["Bearer A", "Bearer A", third].map(|v| ("authorization", v.as_bytes()));
            assert_eq!(found(&three, None), Err(CredentialError::Ambiguous(Place::Header)));
        }
        let query = Some("token=A&token=B");
        assert_eq!(found(&[], query), Err(CredentialError::Ambiguous(Place::Query)));
    }

    #[test]
    fn a_place_without_its_token_is_refused() {
        for (name, value, place) in [
            ("authorization", &b"Bearer"[..], Place::Header),
            ("authorization", b"Bearer ", Place::Header),
            ("authorization", b"Bearer a b", Place::Header),
            ("authorization", b"Bearer \xff", Place::Header),
            ("sec-websocket-protocol", b"bearer", Place::Subprotocol),
            ("sec-websocket-protocol", b"bearer,", Place::Subprotocol),
            ("sec-websocket-protocol", b"bearer, \xe4\xff", Place::Subprotocol),
            ("cookie", b"fanfare_token=", Place::Cookie),
        ] {
            assert_eq!(found(&[(name, value)], None), Err(CredentialError::Malformed(place)));
        }
        assert_eq!(found(&[], Some("token=")), Err(CredentialError::Malformed(Place::Query)));
        let error = CredentialError::Malformed(Place::Query).to_string();
        assert!(error.contains("?token=TOKEN"), "{error}");
    }

    #[test]
    fn a_credential_does_not_show_its_token() {
        let found = find(&HeaderMap::new(), Some("token=canary"), COOKIE_NAME).unwrap().unwrap();
        assert_eq!((found.token(), format!("{found:?}")), ("canary", "Credential(Query)".into()));
    }

    proptest! {
        #[test]
        fn nothing_panics(value: Vec<u8>, query: String, at in 0_usize..3) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.append([Field::Authorization, Field::SecWebSocketProtocol, Field::Cookie][at].name(), value);
                let _ = find(&headers, Some(&query), COOKIE_NAME);
            }
        }
    }
}
