//! Whether a page that a browser shows may connect.
//!
//! A WebSocket handshake is not held back by the browser's same-origin policy, and cookies ride
//! along with it: without this check any page that a user visits could connect as that user. The
//! browser adds an `Origin` header (RFC 6454 section 7) that the page cannot forge. A client that
//! sends none is no browser, and could send any.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;

/// The longest origin or host that is looked at, in bytes: a DNS name has 253 at most.
const BYTES_MAX: usize = 300;

/// Origins that may connect besides the gateway's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginList {
    any: bool,
    exact: Vec<Origin>,
}

/// An origin in one spelling: lower case, a port only where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl OriginList {
    /// From a configuration: `https://app.example.com` is exactly that, `*` every origin.
    ///
    /// # Errors
    /// [`OriginError`] names the entry.
    pub fn new<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, OriginError> {
        let mut list = Self::default();
        for (index, entry) in entries.into_iter().enumerate() {
            match entry.as_ref() {
                "*" => list.any = true,
                entry => list.exact.push(Origin::parse(entry).ok_or(OriginError { index })?),
            }
        }
        Ok(list)
    }

    /// Those listed by name, without `*`.
    pub fn named(&self) -> Self {
        Self { any: false, exact: self.exact.clone() }
    }
}

/// An entry of an [`OriginList`] is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginError {
    /// Its place, from 0.
    pub index: usize,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "origin {} is not one: write scheme, host and port as in https://app.example.com or \
             http://localhost:3000, without a path or an asterisk in it; or \"*\" for every origin",
            self.index
        )
    }
}

impl std::error::Error for OriginError {}

/// Whether a request with these headers may go on.
///
/// - No `origin`: yes; it is no browser.
/// - The gateway's own, which is the one named by `host`: yes. The scheme does not count, because
///   TLS may end before the gateway; ports 80 and 443 count as none.
/// - One that is `listed`: yes, with the scheme.
/// - Anything else, `null` and what is malformed: no. Of two `Origin` headers the caller passes
///   something malformed, such as both joined by a comma. Under `*`, `null` is an origin like
///   others: any page can make its own `null` by a sandbox.
pub fn origin_allowed(origin: Option<&[u8]>, host: Option<&str>, listed: &OriginList) -> bool {
    let Some(origin) = origin else { return true };
    if listed.any && origin == b"null" {
        return true;
    }
    let Some(origin) = std::str::from_utf8(origin).ok().and_then(Origin::parse) else {
        return false;
    };
    if listed.any || listed.exact.contains(&origin) {
        return true;
    }
    let is_web = matches!(&*origin.scheme, "http" | "https");
    let own = host.and_then(host_and_port);
    is_web
        && own.is_some_and(|(host, port)| {
            host.eq_ignore_ascii_case(&origin.host) && not_default(port) == not_default(origin.port)
        })
}

/// Whether a `Host` header names this machine by a loopback name: `localhost`, a name under it,
/// 127.0.0.0/8 or `[::1]`, with or without a port.
///
/// A gateway that lets anybody in because it listens on loopback has to demand this. A page of
/// evil.example can have its own name resolve to 127.0.0.1 (DNS rebinding), and is then of the
/// same origin as the `Host` it sends.
pub fn host_is_loopback(host: &str) -> bool {
    if host.len() > BYTES_MAX {
        return false;
    }
    // As nearly everybody spells it, without taking it apart.
    let usual = host.strip_prefix("127.0.0.1").or_else(|| host.strip_prefix("localhost"));
    if usual.and_then(port).is_some() {
        return true;
    }
    let Some((host, _)) = host_and_port(host) else { return false };
    if let Some(v6) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    if let Ok(v4) = host.parse::<Ipv4Addr>() {
        return v4.is_loopback();
    }
    let label = host.rsplit_once('.').map_or(host, |(name, label)| match name.is_empty() {
        true => host,
        false => label,
    });
    label.eq_ignore_ascii_case("localhost")
}

impl Origin {
    /// RFC 6454 section 6.2, and nothing behind it.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !is_scheme || text.len() > BYTES_MAX {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(rest)?;
        let own_port = match &*scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let host = host.to_ascii_lowercase();
        Some(Self { port: port.filter(|port| Some(*port) != own_port), scheme, host })
    }
}

/// Takes `host` or `host:port` apart, an IPv6 address with its brackets.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let find = |wanted| text.bytes().position(|byte| byte == wanted);
    let host_end = match find(b']') {
        Some(bracket) => bracket + 1,
        None => find(b':').unwrap_or(text.len()),
    };
    let (host, behind) = text.split_at(host_end);
    let is_host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    is_host.then_some((host, port(behind)?))
}

/// What stands behind a host: nothing, or `:port`. `None` if it is neither.
fn port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None if text.is_empty() => Some(None),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().map(Some)
        }
        _ => None,
    }
}

fn not_default(port: Option<u16>) -> Option<u16> {
    port.filter(|port| !matches!(port, 80 | 443))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(origin: &str, host: &str, listed: &[&str]) -> bool {
        let listed = OriginList::new(listed).unwrap();
        origin_allowed(Some(origin.as_bytes()), Some(host), &listed)
    }

    #[test]
    fn no_origin_is_no_browser() {
        assert!(origin_allowed(None, Some("a.example"), &OriginList::default()));
        assert!(origin_allowed(None, None, &OriginList::default()));
    }

    #[test]
    fn the_same_host_and_port_are_allowed() {
        for (origin, host) in [
            ("https://a.example", "a.example"),
            ("http://a.example", "a.example"),
            ("HTTPS://A.Example", "a.exAMPLE"),
            ("https://a.example:443", "a.example"),
            ("https://a.example", "a.example:443"),
            ("http://a.example", "a.example:80"),
            ("http://localhost:8000", "localhost:8000"),
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
        ] {
            assert!(allowed(origin, host, &[]), "{origin} to {host}");
        }
    }

    #[test]
    fn others_are_refused() {
        for (origin, host) in [
            ("https://evil.example", "a.example"),
            ("https://a.example.evil.example", "a.example"),
            ("https://evila.example", "a.example"),
            ("https://sub.a.example", "a.example"),
            ("https://a.example:8443", "a.example"),
            ("https://a.example", "a.example:8443"),
            ("ftp://a.example", "a.example"),
            ("chrome-extension://abc", "abc"),
            ("null", "a.example"),
            ("null", "null"),
            ("", "a.example"),
            ("", ""),
            ("https://", ""),
            ("a.example", "a.example"),
            ("//a.example", "a.example"),
            ("https://a.example/", "a.example"),
            ("https://a.example/x", "a.example"),
            ("https://a.example?x", "a.example"),
            ("https://a.example@evil.example", "a.example"),
            ("https://evil.example@a.example", "a.example"),
            ("https://a.example:", "a.example"),
            ("https://a.example:+443", "a.example"),
            ("https://a.example:99999", "a.example"),
            ("https://a.example, https://a.example", "a.example"),
            ("https://a.example https://a.example", "a.example"),
            ("https://a.example", "a.example, evil.example"),
            ("https://[::1", "[::1"),
            ("https://[a.example]", "[a.example]"),
        ] {
            assert!(!allowed(origin, host, &[]), "{origin:?} to {host:?}");
        }
        assert!(!origin_allowed(Some(b"https://a.example"), None, &OriginList::default()));
        assert!(!origin_allowed(Some(b"https://\xff"), Some("\u{fffd}"), &OriginList::default()));
    }

    #[test]
    fn listed_origins_are_exact() {
        let listed = &["https://app.example", "http://localhost:3000", "app://main", "http://b:80"];
        for good in [
            "https://app.example",
            "https://APP.example:443",
            "http://localhost:3000",
            "app://main",
        ] {
            assert!(allowed(good, "a.example", listed), "{good}");
        }
        assert!(allowed("http://b", "a.example", listed));
        for bad in [
            "http://app.example",
            "https://app.example:80",
            "https://x.app.example",
            "http://localhost",
            "http://localhost:3001",
            "null",
        ] {
            assert!(!allowed(bad, "a.example", listed), "{bad}");
        }
    }

    #[test]
    fn an_asterisk_is_every_origin_that_is_one() {
        assert!(allowed("https://evil.example", "a.example", &["*"]));
        assert!(allowed("null", "a.example", &["*"]));
        assert!(!allowed("https://a, https://b", "a.example", &["*"]));
    }

    #[test]
    fn a_list_takes_origins_only() {
        for bad in
            ["https://*.example", "app.example", "https://a.example/x", "null", "", "https://"]
        {
            let error = OriginList::new(["*", bad]).unwrap_err();
            assert_eq!(error, OriginError { index: 1 }, "{bad}");
            assert!(error.to_string().starts_with("origin 1 is not one: write scheme"));
        }
    }

    #[test]
    fn loopback_is_named_by_loopback_names_only() {
        for good in [
            "localhost",
            "LOCALHOST:8000",
            "app.localhost",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]",
            "[0:0::1]:8000",
        ] {
            assert!(host_is_loopback(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "evillocalhost",
            ".localhost",
            "127.0.0.1.evil.example",
            "128.0.0.1",
            "0.0.0.0",
            "127.1",
            "2130706433",
            "[::2]",
            "::1",
            "",
            ":80",
            "localhost:",
            "localhost:x",
            "localhost:65536",
            "127.0.0.1:80:80",
            "127.0.0.12a",
            "localhost@evil.example",
        ] {
            assert!(!host_is_loopback(bad), "{bad}");
        }
        let long = |host| format!("{host}:{}80", "0".repeat(BYTES_MAX));
        assert!(!host_is_loopback(&long("localhost")) && !host_is_loopback(&long("127.0.0.1")));
    }

    proptest! {
        #[test]
        fn nothing_panics(origin in any::<Vec<u8>>(), host in any::<String>()) {
            origin_allowed(Some(&origin), Some(&host), &OriginList::default());
            host_is_loopback(&host);
        }

        #[test]
        fn a_host_is_of_its_own_origin(host in "[a-z][a-z0-9.-]{0,60}(:[1-9][0-9]{0,3})?") {
            let origin = format!("https://{host}");
            prop_assert!(allowed(&origin, &host, &[]));
            let other = format!("x{host}");
            prop_assert!(!allowed(&origin, &other, &[]));
        }
    }
}
