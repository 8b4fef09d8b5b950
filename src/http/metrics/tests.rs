mod docs;

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::super::router;
use super::super::state::tests::state_of;
use super::*;
use crate::base::trace::{TraceOptions, Tracer};
use crate::hub::Hub;

/// A sample: name, labels as written, value.
type Sample = (String, String, f64);

/// Parses one line of samples by the grammar of the format.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').expect(line)),
    };
    assert!(is_name(name), "{line}");
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (label, is) = pair.split_once('=').expect(line);
        assert!(is_name(label), "{line}");
        let is = is.strip_prefix('"').and_then(|is| is.strip_suffix('"')).expect(line);
        assert!(!is.is_empty() && !is.contains(['"', '\\', '\n']), "{line}");
    }
    (name.into(), labels.into(), value.parse().expect(line))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

async fn shown() -> String {
    let (sample_per_million, sampled_per_s_max, queue_spans_max) = (1_000_000, 1, 64);
    let options = TraceOptions { sample_per_million, sampled_per_s_max, queue_spans_max };
    let hub = Hub::builder().lanes(1).tracer(Some(Tracer::new(options))).build();
    let state = state_of(hub, true);
    let found = router::find(&Method::GET, "/api/x");
    state.tally().answered(&found, StatusCode::METHOD_NOT_ALLOWED);
    let pass = &state.hub.counters().lanes()[0].pass_us;
    [5, 5, 300, 20_000_000].into_iter().for_each(|us| pass.note(us));
    let channel = "a".try_into().unwrap();
    state.hub.publish(&channel, crate::base::message::Message::text("12345")).unwrap();
    let (status, text) = answer::tests::read(show(&state));
    assert_eq!(status, 200);
    text
}

#[tokio::test]
async fn every_line_is_of_the_format() {
    let text = shown().await;
    assert!(text.ends_with('\n'));
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            current = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(name, current, "HELP and TYPE stand together");
            assert_eq!(kinds.insert(name, kind), None, "{name} is there once");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        } else {
            let (name, labels, value) = sample(line);
            let of_histogram = kinds[current] == "histogram"
                && ["_bucket", "_sum", "_count"].iter().any(|s| name == format!("{current}{s}"));
            assert!(name == current || of_histogram, "{line} stands under {current}");
            assert!(value >= 0.0 && value.is_finite(), "{line}");
            assert!(seen.insert((name, labels)), "{line} is there once");
        }
    }
    // Without a certificate there is no date when it expires, without keys that were fetched no age of
    // theirs, and without an application nothing of that.
    let is_hook = |metric: &&Metric| metric.name.starts_with("fanfare_hook_");
    let unseen = 2 + outgoing::METRICS.iter().filter(is_hook).count();
    assert_eq!(kinds.len(), metrics().count() - unseen);
}

#[tokio::test]
async fn numbers_are_those_of_the_hub() {
    let text = shown().await;
    for line in [
        "fanfare_publications_total 1",
        "fanfare_publication_bytes_total 5",
        "fanfare_http_requests_total{route=\"/api/{method}\",status=\"4xx\"} 1",
        "fanfare_deliveries_total{lane=\"0\"} 0",
        "fanfare_disconnects_total{reason=\"slow_consumer\"} 0",
        "fanfare_upgrades_refused_total{reason=\"origin\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn the_histogram_is_cumulative_and_in_seconds() {
    let text = shown().await;
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("fanfare_pass")).collect();
    let buckets: Vec<_> =
        lines.iter().filter(|l| l.contains("_bucket")).map(|l| sample(l)).collect();
    assert!(buckets.is_sorted_by(|a, b| a.2 <= b.2));
    assert_eq!(
        buckets[0],
        ("fanfare_pass_duration_seconds_bucket".into(), "le=\"0.00001\"".into(), 2.0)
    );
    assert_eq!(buckets.last().unwrap().1, "le=\"+Inf\"");
    assert_eq!(buckets.last().unwrap().2, 4.0);
    assert!(lines.contains(&"fanfare_pass_duration_seconds_sum 20.00031"), "{lines:?}");
    assert!(lines.contains(&"fanfare_pass_duration_seconds_count 4"));
}
