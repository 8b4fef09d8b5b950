//! The query of a request: `a=1&b=2`, percent-decoded, plus signs are spaces.

use std::borrow::Cow;

use http::Request;

/// The values of a key, in order.
pub(super) fn values<'a, B>(
    request: &'a Request<B>,
    key: &str,
) -> impl Iterator<Item = Cow<'a, str>> {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    query.split(|byte| *byte == b'&').filter_map(move |pair| value_of(pair, key))
}

/// The value of a pair, if its name is this key. Only what is encoded is decoded: a handshake asks for
/// half a dozen keys, and decoding was a tenth of its work.
fn value_of<'a>(pair: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    if pair.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        let (name, value) = form_urlencoded::parse(pair).next()?;
        return (name == key).then_some(value);
    }
    let value = match pair.strip_prefix(key.as_bytes())? {
        [b'=', value @ ..] => value,
        [] => &[],
        _ => return None,
    };
    std::str::from_utf8(value).ok().map(Cow::Borrowed)
}

/// The value of a key that may be there once.
///
/// # Errors
/// A text for the peer, if it is there more than once.
pub(super) fn single<'a, B>(
    request: &'a Request<B>,
    key: &str,
) -> Result<Option<Cow<'a, str>>, String> {
    let mut found = values(request, key);
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
        assert_eq!(single(&request("/publish?%61%2B=1&b=%61"), "a+").unwrap().unwrap(), "1");
        assert!(single(&request("/publish?&a=1&%61=2"), "a").is_err());
    }
}
