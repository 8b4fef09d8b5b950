//! The page and what it loads, with the headers that keep anything else from running in it.

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};

use super::super::answer::{self, Answer};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type, text.
const FILES: [(&str, &str, &str); 8] = [
    ("/admin", HTML, include_str!("page/admin.html")),
    ("/admin/admin.css", CSS, include_str!("page/admin.css")),
    ("/admin/parts.css", CSS, include_str!("page/parts.css")),
    ("/admin/admin.js", SCRIPT, include_str!("page/admin.js")),
    ("/admin/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/admin/format.js", SCRIPT, include_str!("page/format.js")),
    ("/admin/look.js", SCRIPT, include_str!("page/look.js")),
    ("/admin/panels.js", SCRIPT, include_str!("page/panels.js")),
];

/// Nothing from elsewhere, nothing inline; and no text can become markup (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The file at this path.
pub(in crate::http) fn show(path: &str) -> Answer {
    let Some((_, kind, text)) = FILES.iter().find(|(at, ..)| *at == path) else {
        return answer::nothing();
    };
    let mut answer = answer::with_body(StatusCode::OK, kind, *text);
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids_and_makes_no_markup_of_data() {
        for (path, _, text) in FILES {
            for forbidden in [
                " style=",
                " onclick=",
                " onload=",
                "http://",
                "https://",
                "@import",
                "eval(",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "<style",
                "srcdoc",
            ] {
                let found = text.replace("http://www.w3.org", "").contains(forbidden);
                assert!(!found, "{path}: {forbidden}");
            }
            assert!(text.lines().count() < 420, "{path} is too long to read");
        }
        assert_eq!(FILES[0].2.matches("<script").count(), 1);
        assert!(FILES[0].2.contains("<script type=\"module\" src=\"/admin/admin.js\"></script>"));
    }

    #[test]
    fn each_file_is_served_and_nothing_else() {
        for (path, kind, text) in FILES {
            let answer = show(path);
            assert_eq!(answer.headers()["content-type"], kind);
            assert!(answer.headers().contains_key("content-security-policy"));
            assert_eq!(answer::tests::read(answer), (200, text.to_owned()), "{path}");
        }
        for path in ["/admin/", "/admin/admin.html", "/admin/../admin", "/admin/admin.css/"] {
            assert_eq!(answer::tests::read(show(path)).0, 404, "{path}");
        }
    }
}
