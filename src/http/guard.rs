//! Who may ask: where a browser's page is from, which host it thinks it talks to, which key it has.
//!
//! The cheap checks come first, and none of them reads a body.

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};

use super::answer::{Challenge, Refusal};
use super::state::{State, StateOptions};
use crate::auth::origin::{OriginList, host_is_loopback, origin_allowed};
use crate::base::fields::{Field, Fields};
use crate::base::query;

/// Refuses pages of other sites, and where only loopback names count those that came by another
/// (DNS rebinding).
pub(super) fn check_origin(options: &StateOptions, headers: &impl Fields) -> Result<(), Refusal> {
    check_host_and_origin(options, headers, &options.origins)
}

/// The same where no origin but our own counts.
pub(super) fn check_own_origin(state: &State, headers: &impl Fields) -> Result<(), Refusal> {
    check_host_and_origin(&state.options(), headers, &OriginList::default())
}

fn check_host_and_origin(
    options: &StateOptions,
    headers: &impl Fields,
    others: &OriginList,
) -> Result<(), Refusal> {
    // RFC 9112 section 3.2 wants 400 for none and for several, whoever asks.
    if headers.single(Field::Host).is_none() {
        let text = "a request needs exactly one Host (RFC 9112 3.2)";
        return Err(Refusal::bad_request(text));
    }
    let host = text(headers, Field::Host);
    if options.loopback_only && !host.is_some_and(host_is_loopback) {
        let text = "without keys this gateway answers only to localhost, 127.0.0.1 and [::1] by \
                    name; to be reached from elsewhere it needs keys for tokens and for the API";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    }
    if origin_allowed(origin(headers), host, others) {
        return Ok(());
    }
    let text = "this gateway does not answer pages of other origins; if it is to answer this one, \
                add it to the configured origins";
    Err(Refusal::new(StatusCode::FORBIDDEN, text))
}

/// Whether a token that the browser sent by itself counts. It does for pages of this gateway and of
/// the origins listed by name; `*` lets any page in, but not in the name of its visitor.
pub(super) fn trusts_cookies(options: &StateOptions, headers: &impl Fields) -> bool {
    let host = text(headers, Field::Host);
    origin_allowed(origin(headers), host, &options.origins.named())
}

/// The origin of the page that asks; `None` if no browser does.
fn origin<F: Fields>(headers: &F) -> Option<&[u8]> {
    let mut origins = headers.all(Field::Origin);
    match (origins.next(), origins.next()) {
        (first, None) => first,
        // Two origins are none; see `origin_allowed`.
        (Some(_), Some(_)) => Some(&b","[..]),
        (None, Some(_)) => None,
    }
}

/// [`check_origin`], then a key of the API unless none is needed.
pub(super) fn check_key<B>(state: &State, request: &Request<B>) -> Result<(), Refusal> {
    let options = state.options();
    check_origin(&options, request.headers())?;
    if options.open {
        return Ok(());
    }
    if options.api_keys.is_empty() {
        let text = "the HTTP API is off because no API key is configured";
        return Err(Refusal::challenge(Challenge::ApiKey, text));
    }
    let text = match presented(request) {
        Some(key) if options.api_keys.accept(&key) => return Ok(()),
        Some(_) => "the API key is not right",
        None => "an API key is required; send it as X-API-Key: KEY",
    };
    Err(Refusal::challenge(Challenge::ApiKey, text))
}

/// The key that a request has: the first of `X-API-Key`, `Authorization: apikey` and `?api_key=`
/// that is there.
fn presented<B>(request: &Request<B>) -> Option<Vec<u8>> {
    let headers = request.headers();
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes().to_vec());
    }
    let authorization = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    if let Some((scheme, key)) = authorization.and_then(|value| value.split_at_checked(7))
        && scheme.eq_ignore_ascii_case(b"apikey ")
    {
        return Some(key.trim_ascii().to_vec());
    }
    query::values(request.uri().query(), "api_key").next().map(|key| key.into_owned().into_bytes())
}

/// The text of a header that is there exactly once.
fn text(headers: &impl Fields, field: Field) -> Option<&str> {
    std::str::from_utf8(headers.single(field)?).ok().filter(|text| text.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::state;
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn refused(state: &State, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
        match check_key(state, &request(uri, headers)) {
            Ok(()) => 0,
            Err(refusal) => refusal.status.as_u16(),
        }
    }

    #[tokio::test]
    async fn a_key_is_found_in_three_places() {
        let state = state(false);
        let host = ("host", "fanfare.example");
        for (uri, name, value) in [
            ("/", "x-api-key", "key-canary"),
            ("/", "authorization", "apikey key-canary"),
            ("/", "authorization", "APIKEY  key-canary"),
            ("/?x=1&api_key=key-canary", "x", "x"),
        ] {
            assert_eq!(refused(&state, uri, &[host, (name, value)]), 0, "{name}: {value}");
        }
        for (uri, name, value) in [
            ("/", "x", "x"),
            ("/", "x-api-key", ""),
            ("/", "x-api-key", "key-canary2"),
            ("/?api_key=key-canary", "x-api-key", "wrong"),
            ("/", "authorization", "Bearer key-canary"),
            ("/", "authorization", "apikey"),
            ("/?api_key=", "x", "x"),
        ] {
            assert_eq!(refused(&state, uri, &[host, (name, value)]), 401, "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_send_and_never_what_was_sent() {
        let state = state(false);
        let asked = request("/?api_key=sent-canary", &[("host", "a")]);
        let refusal = check_key(&state, &asked).unwrap_err().answer();
        assert_eq!(refusal.headers()["www-authenticate"], "apikey realm=\"fanfare\"");
        let (_, body) = super::super::answer::tests::read(refusal);
        assert!(!body.contains("canary"), "{body}");
    }

    #[tokio::test]
    async fn pages_of_other_origins_are_refused_before_the_key_is_looked_at() {
        let state = state(false);
        let host = ("host", "fanfare.example");
        let key = ("x-api-key", "key-canary");
        for good in ["https://fanfare.example", "https://listed.example"] {
            assert_eq!(refused(&state, "/", &[host, key, ("origin", good)]), 0, "{good}");
        }
        for bad in ["https://evil.example", "null", "", "http://listed.example"] {
            assert_eq!(refused(&state, "/", &[host, key, ("origin", bad)]), 403, "{bad}");
        }
        let both = [("origin", "https://listed.example"), ("origin", "https://evil.example")];
        assert_eq!(refused(&state, "/", &[host, key, both[0], both[1]]), 403);
    }

    #[tokio::test]
    async fn where_only_loopback_counts_the_host_must_be_a_loopback_name() {
        let state = state(true);
        for good in ["localhost:8080", "127.0.0.1", "[::1]:1"] {
            assert_eq!(refused(&state, "/", &[("host", good)]), 0, "{good}");
        }
        for bad in ["rebound.example", "192.168.0.1", ""] {
            assert_eq!(refused(&state, "/", &[("host", bad)]), 403, "{bad}");
        }
        assert_eq!(refused(&state, "/", &[]), 400);
        assert_eq!(refused(&state, "/", &[("host", "localhost"), ("host", "localhost")]), 400);
    }

    #[tokio::test]
    async fn without_keys_the_api_is_off() {
        let state = state(false);
        state.change(|options| options.api_keys = Default::default());
        assert_eq!(refused(&state, "/", &[("host", "a"), ("x-api-key", "x")]), 401);
    }
}
