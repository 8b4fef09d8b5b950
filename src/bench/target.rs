//! Where connections go: `ws://host:port/path?query` or `wss://`, with `{channel}` in it.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::BenchError;
use super::tls::{self, TlsOptions};

/// Keys of a query whose values are nobody else's business.
const SECRETS: [&str; 7] =
    ["token", "access_token", "key", "api_key", "apikey", "secret", "password"];

/// A URL, taken apart and resolved.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As it was typed: what `Host` is.
    pub(crate) host: String,
    pub(crate) addr: SocketAddr,
    /// How TLS is spoken, and whom the certificate has to be for.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// With the query.
    path: String,
}

impl Target {
    /// # Errors
    /// What is not a URL of this scheme, with or without TLS, or cannot be resolved, or the file of
    /// authorities is no good. Without the URL, which may hold secrets.
    pub(crate) fn new(
        url: &str,
        option: &str,
        scheme: &str,
        tls: &TlsOptions,
    ) -> Result<Self, BenchError> {
        let wrong = |text: &str| BenchError::Options(format!("{option}: {text}"));
        let is_tls = tls::is_wanted(url);
        let rest = url
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix(if is_tls { "s://" } else { "://" }))
            .ok_or_else(|| wrong(&format!("must begin with {scheme}:// or {scheme}s://")))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if host.is_empty() || host.contains(['@', '{']) || !is_line(host) || !is_line(&path) {
            return Err(wrong(&format!("write {scheme}://host:port/path?query, without spaces")));
        }
        let port = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let name = port.map_or(host, |(name, _)| name);
        let default = if is_tls { 443 } else { 80 };
        let with_port = if port.is_some() { host.to_owned() } else { format!("{host}:{default}") };
        let tls = match is_tls {
            true => {
                let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(bare);
                let name =
                    name.map_err(|_| wrong("the host is no name that a certificate can be for"))?;
                Some((tls.client()?, name))
            }
            false => None,
        };
        let found = with_port.to_socket_addrs().map(|mut addrs| addrs.next());
        match found {
            Ok(Some(addr)) => Ok(Self { host: host.to_owned(), addr, tls, path }),
            Ok(None) => Err(wrong("the host has no address")),
            Err(error) => Err(wrong(&format!("cannot resolve the host: {error}"))),
        }
    }

    pub(crate) fn has_channel(&self) -> bool {
        self.path.contains("{channel}")
    }

    /// The path for a connection to these channels: the parameter of the query that names one is
    /// repeated for the others.
    pub(crate) fn path(&self, channels: &[String]) -> String {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let first = channels.first().map_or("", String::as_str);
        let mut out = path.replace("{channel}", first);
        let mut separator = '?';
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let times = if parameter.contains("{channel}") { channels } else { &channels[..1] };
            for channel in times {
                out.push(separator);
                out.push_str(&parameter.replace("{channel}", channel));
                separator = '&';
            }
        }
        out
    }
}

fn is_line(text: &str) -> bool {
    text.bytes().all(|byte| byte > b' ' && byte < 127)
}

/// The URL for reports, without the values of what looks like a secret.
pub(crate) fn redacted(url: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let hide = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if SECRETS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("{name}=***")
        }
        _ => parameter.to_owned(),
    };
    let (scheme, rest) = path.split_once("://").unwrap_or(("", path));
    let path = match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => path.to_owned(),
    };
    let query: Vec<String> = query.split('&').filter(|p| !p.is_empty()).map(hide).collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, scheme: &str) -> Result<Target, BenchError> {
        Target::new(url, "--url", scheme, &TlsOptions::default())
    }

    fn path(url: &str, channels: &[&str]) -> String {
        let channels: Vec<String> = channels.iter().map(|name| (*name).to_owned()).collect();
        target(url, "ws").unwrap().path(&channels)
    }

    #[test]
    fn the_parameter_of_the_channel_is_repeated() {
        assert_eq!(path("ws://127.0.0.1:1", &["a"]), "/");
        assert_eq!(path("ws://127.0.0.1:1/ws?x=1", &["a"]), "/ws?x=1");
        let url = "ws://127.0.0.1:1/ws?format=json&channel={channel}&y=2";
        assert_eq!(path(url, &["a", "b"]), "/ws?format=json&channel=a&channel=b&y=2");
        assert_eq!(path("ws://127.0.0.1:1/sub/{channel}", &["a", "b"]), "/sub/a");
    }

    #[test]
    fn hosts_and_ports() {
        for (url, scheme, host, addr, name) in [
            ("ws://127.0.0.1?x", "ws", "127.0.0.1", "127.0.0.1:80", None),
            ("http://[::1]:9/p", "http", "[::1]:9", "[::1]:9", None),
            ("wss://127.0.0.1/", "ws", "127.0.0.1", "127.0.0.1:443", Some("127.0.0.1")),
            ("wss://[::1]/", "ws", "[::1]", "[::1]:443", Some("::1")),
            ("https://[::1]:9/p", "http", "[::1]:9", "[::1]:9", Some("::1")),
        ] {
            let target = target(url, scheme).unwrap();
            let found = target.tls.as_ref().map(|(_, name)| name.to_str().into_owned());
            assert_eq!((target.host.as_str(), found.as_deref()), (host, name), "{url}");
            assert_eq!(target.addr.to_string(), addr, "{url}");
        }
        let named = target("wss://localhost:9/", "ws").unwrap();
        assert_eq!(named.tls.unwrap().1.to_str(), "localhost");
    }

    #[test]
    fn what_is_no_url_is_refused_without_showing_it() {
        for url in [
            "",
            "ws://",
            "http://x/",
            "https://x/",
            "wss://",
            "wss:///x",
            "ws://a b/",
            "ws://u:canary@127.0.0.1/",
            "wss://u:canary@127.0.0.1/",
        ] {
            let text = target(url, "ws").unwrap_err().to_string();
            assert!(text.starts_with("--url: ") && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_report_shows_no_secret() {
        let shown = redacted("ws://u:canary@h:1/ws?channel=a&token=canary&API_KEY=canary");
        assert_eq!(shown, "ws://***@h:1/ws?channel=a&token=***&API_KEY=***");
        assert_eq!(redacted("ws://h/"), "ws://h/");
    }
}
