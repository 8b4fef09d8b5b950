//! `GET /`: the page, with the headers that keep anything else from running in it.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_FRAME_OPTIONS,
};
use sha2::{Digest as _, Sha256};

use super::answer::{self, Answer};
use super::state::State;

/// As it is in the source: `__FANFARE_OPEN__` stands for whether the gateway is in open mode.
const SOURCE: &str = include_str!("page/index.html");

/// A page and what its policy says about its script and its style.
struct Page {
    text: Bytes,
    script: String,
    style: String,
}

static OPEN: LazyLock<Page> = LazyLock::new(|| Page::new("true"));
static KEYED: LazyLock<Page> = LazyLock::new(|| Page::new("false"));

impl Page {
    fn new(open: &str) -> Self {
        let text = SOURCE.replace("__FANFARE_OPEN__", open);
        Self {
            script: source_hash(&text, "script"),
            style: source_hash(&text, "style"),
            text: text.into(),
        }
    }

    /// CSP level 3. The script imports the client, which is `'self'`. That covers WebSockets of the same host by the text of the standard, but
    /// not in every browser; so the host is named as well, where it can be.
    fn policy(&self, host: Option<&str>) -> String {
        let sockets = match host.filter(|host| is_source(host)) {
            Some(host) => format!(" ws://{host} wss://{host}"),
            None => String::new(),
        };
        let Self { script, style, .. } = self;
        format!(
            "default-src 'none'; script-src 'self' {script}; style-src {style}; img-src data:; \
             connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        )
    }
}

/// Shows the page.
pub(super) fn show(state: &State, headers: &HeaderMap) -> Answer {
    let page: &Page = if state.options().open { &OPEN } else { &KEYED };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let mut answer =
        answer::with_body(StatusCode::OK, "text/html; charset=utf-8", page.text.clone());
    let headers = answer.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&page.policy(host)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The hash of the one element of this name, as a source in a policy. Empty where there is not
/// exactly one: then nothing runs, and a test fails.
fn source_hash(page: &str, element: &str) -> String {
    let inside = page
        .split_once(&format!("<{element}"))
        .and_then(|(_, rest)| rest.split_once('>'))
        .and_then(|(_, rest)| rest.split_once(&format!("</{element}>")));
    inside.map_or_else(String::new, |(text, _)| {
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
    })
}

/// Whether a `Host` can stand in a policy without saying anything else there.
fn is_source(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 300
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::state;
    use super::*;

    fn shown(state: &State, host: &str) -> (Answer, String) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        let answer = show(state, &headers);
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        (answer, policy)
    }

    #[test]
    fn a_hash_is_what_browsers_compute() {
        // The example of CSP level 2, section 7.17.1.
        let expected = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='";
        for tag in ["<script>", "<script type=\"module\">"] {
            let page = format!("<p>{tag}alert('Hello, world.');</script>");
            assert_eq!(source_hash(&page, "script"), expected);
        }
    }

    #[tokio::test]
    async fn the_policy_names_the_hashes_of_the_page_that_is_sent() {
        for open in [true, false] {
            let (answer, policy) = shown(&state(open), "localhost:8080");
            let (status, body) = answer::tests::read(answer);
            assert_eq!(status, 200);
            for element in ["script", "style"] {
                assert_eq!(body.matches(&format!("<{element}")).count(), 1, "{element}");
                let hash = source_hash(&body, element);
                assert!(hash.len() > 40);
                let sources = if element == "script" { "'self' " } else { "" };
                let part = format!("{element}-src {sources}{hash};");
                assert!(policy.contains(&part), "{policy}");
            }
            assert!(!body.contains("__FANFARE_OPEN__"));
            assert!(body.contains(&format!("data-open=\"{open}\"")));
        }
    }

    #[tokio::test]
    async fn the_page_needs_nothing_that_its_policy_forbids() {
        for forbidden in [" style=\"", " onclick=", " onload=", "src=\"http", "@import", "eval("] {
            assert!(!SOURCE.contains(forbidden), "{forbidden}");
        }
    }

    #[tokio::test]
    async fn a_host_cannot_widen_the_policy() {
        let state = state(true);
        let (_, policy) = shown(&state, "localhost:8080");
        assert!(policy.contains("connect-src 'self' ws://localhost:8080 wss://localhost:8080;"));
        for bad in ["a; script-src *", "a *", "", "a'b", "a,b", "*"] {
            let (_, policy) = shown(&state, bad);
            assert!(policy.contains("connect-src 'self'; base-uri"), "{policy}");
        }
    }
}
