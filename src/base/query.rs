//! The query of a request: `a=1&b=2`, percent-decoded, plus signs are spaces.

use std::borrow::Cow;
use std::iter;

/// The names and the values, in order. Only what is encoded is decoded: that was a tenth of the work of a
/// handshake.
pub(crate) fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let mut rest = query.unwrap_or_default();
    let pieces = iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (mut end, mut name_end, mut is_encoded) = (rest.len(), None, false);
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                b'&' => {
                    end = at;
                    break;
                }
                b'=' if name_end.is_none() => name_end = Some(at),
                b'%' | b'+' => is_encoded = true,
                _ => {}
            }
        }
        let (pair, behind) = rest.split_at(end);
        rest = behind.strip_prefix('&').unwrap_or_default();
        Some((pair, name_end.unwrap_or(end), is_encoded))
    });
    pieces.filter_map(|(pair, name_end, is_encoded)| {
        if is_encoded {
            return form_urlencoded::parse(pair.as_bytes()).next();
        }
        let (name, value) = pair.split_at(name_end);
        (!pair.is_empty())
            .then(|| (name.into(), value.strip_prefix('=').unwrap_or_default().into()))
    })
}

/// Whether this key may be there, at a glance: a "no" is one.
#[inline]
pub(crate) fn may_have(query: Option<&str>, key: &'static str) -> bool {
    let query = query.unwrap_or_default().as_bytes();
    query.contains(&b'%') || query.windows(key.len()).any(|part| part == key.as_bytes())
}

/// The values of a key, in order.
pub(crate) fn values<'a>(query: Option<&'a str>, key: &str) -> impl Iterator<Item = Cow<'a, str>> {
    pairs(query).filter(move |(name, _)| name == key).map(|(_, value)| value)
}

/// The value of a key that may be there once.
///
/// # Errors
/// A text for the peer, if it is there more than once.
pub(crate) fn single<'a>(
    query: Option<&'a str>,
    key: &'static str,
) -> Result<Option<Cow<'a, str>>, String> {
    let mut found = Once::new(key);
    values(query, key).for_each(|value| found.note(value));
    found.value()
}

/// What there is of a key that may be there once.
#[derive(Debug)]
pub(crate) struct Once<'a> {
    key: &'static str,
    first: Option<Cow<'a, str>>,
    has_more: bool,
}

impl<'a> Once<'a> {
    /// Nothing yet.
    pub(crate) fn new(key: &'static str) -> Self {
        Self { key, first: None, has_more: false }
    }

    /// There is this.
    pub(crate) fn note(&mut self, value: Cow<'a, str>) {
        match self.first {
            Some(_) => self.has_more = true,
            None => self.first = Some(value),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// A text for the peer, if it was there more than once.
    pub(crate) fn value(self) -> Result<Option<Cow<'a, str>>, String> {
        match self.has_more {
            true => Err(format!("the query has {}= more than once", self.key)),
            false => Ok(self.first),
        }
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

    #[test]
    fn a_key_that_is_there_may_be_there() {
        for with in ["token=1", "token", "a=b&token=", "%74oken=1", "a&t%6fken"] {
            assert!(may_have(Some(with), "token"), "{with}");
        }
        for without in ["", "toke", "channel=to+ken&echo=1"] {
            assert!(!may_have(Some(without), "token"), "{without}");
        }
        assert!(!may_have(None, "token"));
    }
}
