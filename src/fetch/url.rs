//! Where requests go: an address that somebody configured, checked once.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// An address of `http` or `https`. `Display` leaves out what stands behind a `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    /// For a request.
    pub fn uri(&self) -> Uri {
        self.0.clone()
    }

    /// Whether what is sent can be read on its way, and an answer forged: no TLS, and another
    /// machine.
    pub fn is_exposed(&self) -> bool {
        let host = self.0.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost"
            || host.parse().is_ok_and(|address: core::net::IpAddr| address.is_loopback());
        self.0.scheme_str() == Some("http") && !is_loopback
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // Asked of the text: `Uri` cuts a fragment off.
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(UrlError::Scheme),
        }
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        if authority.host().is_empty() {
            return Err(UrlError::Malformed);
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

/// Why a text is no [`Url`]. Shows nothing of it: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// No address at all.
    Malformed,
    /// Neither `http` nor `https`.
    Scheme,
    /// A name or password before an `@`: it would end up in logs.
    Credentials,
    /// Something behind a `#`, which is never sent.
    Fragment,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is no address; write one like https://app.example.com/path",
            Self::Scheme => {
                "is neither http:// nor https://; write one like https://app.example.com/path"
            }
            Self::Credentials => "has a name or password before an @; take it out",
            Self::Fragment => "has something behind a #, which is never sent; take it out",
        })
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_query() {
        let url: Url = "https://a.example:8443/x/y?key=canary".parse().unwrap();
        assert_eq!(url.to_string(), "https://a.example:8443/x/y");
        assert_eq!(url.uri().query(), Some("key=canary"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (bad, error) in [
            ("", UrlError::Malformed),
            ("app.example.com", UrlError::Scheme),
            ("/path", UrlError::Scheme),
            ("ftp://a/", UrlError::Scheme),
            ("https://user:canary@a/", UrlError::Credentials),
            ("https://a/#x", UrlError::Fragment),
            ("https:///x", UrlError::Malformed),
            ("https://a b/", UrlError::Malformed),
        ] {
            assert_eq!(bad.parse::<Url>().unwrap_err(), error, "{bad}");
        }
    }

    #[test]
    fn http_to_another_machine_is_exposed() {
        for (text, exposed) in [
            ("http://app.example/", true),
            ("http://10.0.0.1/", true),
            ("http://localhost:1/", false),
            ("http://127.0.0.2/", false),
            ("http://[::1]:1/", false),
            ("https://app.example/", false),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().is_exposed(), exposed, "{text}");
        }
    }
}
