//! `GET /fanfare.js`: the client, an ES module.
//!
//! It is the same for everybody and holds no secret, so a page of any origin may import it
//! (`Access-Control-Allow-Origin: *`; browsers fetch modules with CORS only). Whether that page may
//! connect is decided where it connects.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH,
};
use http::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::answer::{self, Answer};

const SOURCE: &str = include_str!("page/fanfare.js");

/// What is in quotes in the `ETag`.
static TAG: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(SOURCE)));

/// Sends it, unless the peer has it.
pub(super) fn show(headers: &HeaderMap) -> Answer {
    let mut answer = match has_it(headers) {
        true => {
            let mut answer = Response::new(Default::default());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        }
        false => {
            let text = Bytes::from_static(SOURCE.as_bytes());
            answer::with_body(StatusCode::OK, "text/javascript; charset=utf-8", text)
        }
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        // Asked for each time, as it fits the gateway that it came with.
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", *TAG)) {
        headers.insert(ETAG, tag);
    }
    answer
}

/// RFC 9110 section 13.1.2: a list of tags, compared weakly, or `*`.
fn has_it(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == TAG.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tag: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(tag) = tag {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
        }
        show(&headers)
    }

    #[test]
    fn any_page_may_import_it() {
        let answer = shown(None);
        for (name, value) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.headers()[name], value, "{name}");
        }
        assert_eq!(answer::tests::read(answer), (200, SOURCE.to_owned()));
    }

    #[test]
    fn who_has_it_gets_no_second_copy() {
        let tag = shown(None).headers()[ETAG].to_str().unwrap().to_owned();
        for list in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let answer = shown(Some(&list));
            assert_eq!(answer.headers()[ETAG], tag, "{list}");
            assert_eq!(answer.headers()[CACHE_CONTROL], "no-cache");
            assert_eq!(answer::tests::read(answer), (304, String::new()), "{list}");
        }
        for list in ["\"other\"", "", "\"\""] {
            assert_eq!(shown(Some(list)).status(), 200, "{list}");
        }
    }

    #[test]
    fn it_is_one_file_that_needs_no_other() {
        let has = |words| SOURCE.lines().any(|line| line.trim_start().starts_with(words));
        assert!(has("export class Fanfare "));
        assert!(!has("import "), "a page that imports it makes one request");
    }
}
