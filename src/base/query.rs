//! The query of a request: `a=1&b=2`, percent-decoded, plus signs are spaces.

use std::borrow::Cow;

/// The values of a key, in order.
pub(crate) fn values<'a>(query: Option<&'a str>, key: &str) -> impl Iterator<Item = Cow<'a, str>> {
    query
        .unwrap_or_default()
        .as_bytes()
        .split(|byte| *byte == b'&')
        .filter_map(move |pair| value_of(pair, key))
}

/// The value of a pair, if its name is this key. Only what is encoded is decoded: a handshake asks for
/// half a dozen keys, and decoding was a tenth of its work.
fn value_of<'a>(pair: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    let is_encoded = |part: &[u8]| part.iter().any(|byte| matches!(byte, b'%' | b'+'));
    let name_end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
    let (name, value) = pair.split_at(name_end);
    let is_name_encoded = is_encoded(name);
    if !is_name_encoded && name != key.as_bytes() {
        return None;
    }
    if is_name_encoded || is_encoded(value) {
        let (name, value) = form_urlencoded::parse(pair).next()?;
        return (name == key).then_some(value);
    }
    std::str::from_utf8(value.strip_prefix(b"=").unwrap_or(value)).ok().map(Cow::Borrowed)
}

/// The value of a key that may be there once.
///
/// # Errors
/// A text for the peer, if it is there more than once.
pub(crate) fn single<'a>(
    query: Option<&'a str>,
    key: &str,
) -> Result<Option<Cow<'a, str>>, String> {
    let mut found = values(query, key);
    let first = found.next();
    match found.next() {
        Some(_) => Err(format!("the query has {key}= more than once")),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_once_or_not_at_all() {
        let asked = Some("channel=a%2Fb+c&x&channels=d&z==e");
        assert_eq!(single(asked, "channel").unwrap().unwrap(), "a/b c");
        assert_eq!(single(asked, "x").unwrap().unwrap(), "");
        assert_eq!(single(asked, "y").unwrap(), None);
        assert_eq!(single(asked, "z").unwrap().unwrap(), "=e");
        assert_eq!(single(asked, "").unwrap(), None);
        assert_eq!(single(None, "channel").unwrap(), None);
        assert!(single(Some("a=1&a=1"), "a").is_err());
        assert_eq!(single(Some("%61%2B=1&b=%61"), "a+").unwrap().unwrap(), "1");
        assert!(single(Some("&a=1&%61=2"), "a").is_err());
    }
}
