//! Where sampled publications go.

use std::time::Duration;

use super::*;
use crate::config::TraceSettings;

#[test]
fn where_traces_go_is_taken_whole() {
    let text = "[traces]\notlp_url = 'https://collector.example/v1/traces?key=canary'\n\
                headers = ['Authorization:  Bearer canary', 'x-scope: a:b']\nca_file = 'ca.pem'\n\
                timeout_ms = 700\n";
    let traces = World::new().config(text).load().unwrap().traces;
    assert_eq!(traces.url.as_ref().unwrap().to_string(), "https://collector.example/v1/traces");
    assert_eq!(traces.limits.ca_file, Some("conf/ca.pem".into()));
    assert_eq!(traces.limits.timeout, Duration::from_millis(700));
    let headers: Vec<_> =
        traces.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(headers[0], ("authorization", &"Bearer canary".parse().unwrap()));
    assert_eq!(headers[1], ("x-scope", &"a:b".parse().unwrap()));
    assert!(!format!("{:?}", traces.headers).contains("canary"));
    let off = World::new().load().unwrap().traces;
    assert!(off.url.is_none() && off.options == TraceSettings::default().options);
}

#[test]
fn what_is_no_place_for_traces_is_refused() {
    for (line, text) in [
        ("otlp_url = 'http://127.0.0.1:4318'", "http://127.0.0.1:4318/v1/traces"),
        ("otlp_url = '127.0.0.1:4318'", "traces.otlp_url is neither http"),
        ("headers = ['a: b', 'canary']", "traces.headers[1] is no header"),
        ("headers = ['a b: canary']", "traces.headers[0] is no header"),
        ("headers = [\"a: canary\\u0007\"]", "traces.headers[0] is no header"),
        ("queue_spans_max = 1", "from 64"),
    ] {
        let told = World::new().config(&format!("[traces]\n{line}\n")).refused();
        assert!(told.contains(text) && !told.contains("canary"), "{text:?} is not in {told}");
    }
}
