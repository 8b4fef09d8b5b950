//! `GET /openapi.json`: the description of this very HTTP side, for programs that make clients or
//! tests of it. Open to everybody who reaches the port: it says nothing of the node.
//!
//! `tests/openapi/run` holds a running gateway to it, and a test here the paths of the router.

use http::StatusCode;

use super::answer::{self, Answer};

const DOCUMENT: &str = include_str!("api/openapi.json");

/// Sends it.
pub(super) fn show() -> Answer {
    answer::with_body(StatusCode::OK, "application/json", DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::api::METHODS;
    use super::super::router::Route;
    use super::*;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// `GET /health` and so on, as the router has them.
    fn routed() -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        // What the admin page asks for is the page's own business.
        for route in Route::ALL.into_iter().filter(|route| !route.is_admin()) {
            let (path, allow) = (route.path(), route.allow());
            let names: &[&str] = if route == Route::Api { &METHODS } else { &[""] };
            for (method, name) in allow.split(", ").flat_map(|m| names.iter().map(move |n| (m, n)))
            {
                all.insert(format!("{method} {}", path.replace("{method}", name)));
            }
        }
        all
    }

    #[test]
    fn it_has_the_paths_of_the_router_and_no_others() {
        let mut described = BTreeSet::new();
        for (path, item) in document()["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        assert_eq!(described, routed());
    }

    #[test]
    fn it_is_of_this_version_and_its_references_lead_somewhere() {
        let document = document();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut used = BTreeSet::new();
        let mut rest = DOCUMENT;
        while let Some((_, behind)) = rest.split_once("\"$ref\": \"#") {
            let (pointer, behind) = behind.split_once('"').unwrap();
            assert!(document.pointer(pointer).is_some(), "nothing is at {pointer}");
            used.insert(pointer.to_owned());
            rest = behind;
        }
        for kind in ["schemas", "responses", "headers"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                let pointer = format!("/components/{kind}/{name}");
                assert!(used.contains(&pointer), "nothing refers to {pointer}");
            }
        }
    }
}
