//! The header fields of a request, wherever they are kept: in a map, as hyper makes it, or where they
//! came in. What looks at them is written once.

use http::{HeaderMap, HeaderName};

/// See the module.
pub trait Fields: Sync {
    /// The values of all lines of this name, in order.
    fn all<'f>(&'f self, name: &'f HeaderName) -> impl Iterator<Item = &'f [u8]>;

    /// All of it as a map.
    fn to_map(&self) -> HeaderMap;

    /// Whether there is a line of this name.
    fn has(&self, name: &HeaderName) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of a field that is there exactly once.
    fn single<'f>(&'f self, name: &'f HeaderName) -> Option<&'f [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Whether this is an element of the lists that its lines are (RFC 9110 section 5.6.1), in any case.
    fn lists(&self, name: &HeaderName, token: &[u8]) -> bool {
        let is_it = |element: &[u8]| element.eq_ignore_ascii_case(token);
        // Nearly always it is the only one.
        self.all(name).any(|line| {
            is_it(line)
                || line.split(|byte| *byte == b',').any(|element| is_it(element.trim_ascii()))
        })
    }
}

impl Fields for HeaderMap {
    fn all<'f>(&'f self, name: &'f HeaderName) -> impl Iterator<Item = &'f [u8]> {
        self.get_all(name).iter().map(|value| value.as_bytes())
    }

    fn to_map(&self) -> HeaderMap {
        self.clone()
    }
}
