//! The query of a request: `a=1&b=2`, percent-decoded, plus signs are spaces.

use std::borrow::Cow;

use http::Request;

/// The pairs of a request's query.
pub(super) fn pairs<B>(request: &Request<B>) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
}

/// The value of a key that may be there once.
///
/// # Errors
/// A text for the peer, if it is there more than once.
pub(super) fn single<'a, B>(
    request: &'a Request<B>,
    key: &str,
) -> Result<Option<Cow<'a, str>>, String> {
    let mut found = pairs(request).filter(|(name, _)| name == key).map(|(_, value)| value);
    let first = found.next();
    match found.next() {
        Some(_) => Err(format!("the query has {key}= more than once")),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request<()> {
        Request::builder().uri(uri).body(()).unwrap()
    }

    #[test]
    fn a_key_is_there_once_or_not_at_all() {
        let asked = request("/publish?channel=a%2Fb+c&x&channels=d");
        assert_eq!(single(&asked, "channel").unwrap().unwrap(), "a/b c");
        assert_eq!(single(&asked, "x").unwrap().unwrap(), "");
        assert_eq!(single(&asked, "y").unwrap(), None);
        assert_eq!(single(&request("/publish"), "channel").unwrap(), None);
        assert!(single(&request("/publish?a=1&a=1"), "a").is_err());
    }
}
