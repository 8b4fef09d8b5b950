//! The form of the JSON is a promise; the page shows what is in it.

use serde_json::{Value, json};

use super::*;

/// Every field, and what kind of value it has.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
        }
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Null => json!("null"),
    }
}

fn report() -> Report {
    let summary =
        Summary { count: 2, p50: 3.0, percentiles: vec![(50.0, 3.0)], ..Summary::default() };
    Report {
        schema: SCHEMA.to_owned(),
        scenario: "storm".to_owned(),
        label: "<ours>".to_owned(),
        ok: false,
        outcome: "complete".to_owned(),
        faults: vec!["1 lost".to_owned()],
        notes: vec!["a note".to_owned()],
        started_unix_ms: 1,
        tool: "fanfare".to_owned(),
        machine: Machine::default(),
        options: Told { rate_per_s: Some(10.0), ..Told::default() },
        measured_ms: 1.5,
        connect: Connect {
            errors: vec![Counted::default()],
            tls: vec![Tls { version: "TLS 1.3".to_owned(), full: 7, ..Tls::default() }],
            ..Connect::default()
        },
        messages: Messages::default(),
        deliveries: Deliveries { lost: 1, ..Deliveries::default() },
        latency_us: summary.clone(),
        last_subscriber_us: summary.clone(),
        pass_us: summary,
        schedule: Schedule::default(),
        server: Some(Server { pids: vec![1], ..Server::default() }),
        generator: Generator::default(),
        stalled: Some(Stalled::default()),
        storm: Some(Storm::default()),
        beside: None,
        series: vec![Point { t_ms: 250.0, span_ms: 250.0, ..Point::default() }],
    }
}

fn times() -> Value {
    let mut times = json!({ "percentiles": [["number"]] });
    for name in ["count", "min", "mean", "p50", "p90", "p99", "p999", "p9999", "max"] {
        times[name] = json!("number");
    }
    times
}

#[test]
fn the_json_keeps_its_form() {
    let value: Value = serde_json::from_str(&report().to_json()).unwrap();
    let found = shape(&value);
    let empty = shape(&serde_json::to_value(Summary::default()).unwrap());
    assert_eq!(found["latency_us"], times());
    assert_eq!(found["schema"], "string");
    assert_eq!(value["schema"], "fanfare-bench/1");
    let names = |path: &str| -> String {
        let fields = found.pointer(path).and_then(Value::as_object).unwrap();
        fields.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        names(""),
        "beside connect deliveries faults generator label last_subscriber_us latency_us machine \
         measured_ms messages notes ok options outcome pass_us scenario schedule schema series server \
         stalled started_unix_ms storm tool"
    );
    assert_eq!(
        names("/deliveries"),
        "disconnected doubled exact expected lost per_s received reordered sessions_affected unstamped"
    );
    assert_eq!(names("/messages"), "acknowledged completed late_at_end per_s refused sent");
    assert_eq!(
        names("/server"),
        "cpu_cores cpu_ms cpu_system_ms cpu_us_per_delivery cpu_user_ms pids rss_after_bytes \
         rss_before_bytes rss_connected_bytes rss_per_connection_bytes waiting_cores"
    );
    assert_eq!(
        names("/series/0"),
        "generator_cpu_cores max_us p50_us p99_us received sent server_cpu_cores span_ms t_ms"
    );
    assert_eq!(empty["percentiles"], json!([]));
}

#[test]
fn what_was_written_is_read_again() {
    let report = report();
    let text = report.to_json();
    assert_eq!(Report::from_json(&text), Ok(vec![report.clone()]));
    assert_eq!(Report::from_json(&format!("[{text},{text}]")).unwrap().len(), 2);
    for wrong in ["", "{}", "[1]", &text.replace("bench/1", "bench/9")] {
        assert!(Report::from_json(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_page_is_whole_and_needs_nothing() {
    let page = html::render(&[report(), report()]);
    for part in
        ["TLS 1.3", "&lt;ours&gt;", "not ok", "1 lost", "a note", "<svg", "@media print", "dark"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<ours>"));
    for outside in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(html::render(&[]).ends_with("</html>\n"));
    let table = table::render(&report());
    assert!(table.contains("TLS 1.3") && table.contains("7 full handshakes"), "{table}");
    assert!(table.contains("FAULT: 1 lost") && table.contains("NOT OK"), "{table}");
}
