//! What a request is a part of, as W3C Trace Context has it.

use http::header::HeaderMap;

use crate::base::trace::TraceParent;

/// What the `traceparent` of a request says. None, several and a bad one are the same: nothing.
pub(super) fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut all = headers.get_all("traceparent").iter();
    match (all.next(), all.next()) {
        (Some(only), None) => only.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.append("traceparent", text.parse().unwrap());
        assert!(parent(&headers).is_some_and(|parent| parent.is_sampled));
        headers.append("traceparent", text.parse().unwrap());
        assert_eq!(parent(&headers), None);
    }
}
