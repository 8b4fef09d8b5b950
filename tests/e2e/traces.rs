//! Traces, as a collector gets them: a real HTTP server, and the tree of spans that comes in.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Gateway, PATIENCE};

const MEMBERS: usize = 100;
const SLOW: usize = 10;

/// A few of them are more than the kernel keeps for a slow subscriber.
const MESSAGE_BYTES: usize = 60_000;

/// As many as are surely more than that.
const FILLERS: usize = 5;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// A collector, with what it was sent.
struct Collector {
    url: String,
    requests: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

impl Collector {
    /// Answers the first requests with these statuses, and all others with 200.
    async fn start(statuses: &'static [u16]) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let take = move |headers: HeaderMap, body: String| async move {
            let mut seen = seen.lock().unwrap();
            seen.push((headers, body));
            let status = statuses.get(seen.len() - 1).copied().unwrap_or(200);
            (StatusCode::from_u16(status).unwrap(), "{}")
        };
        let app = Router::new().route("/v1/traces", post(take));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, requests }
    }

    fn bodies(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// The spans of all requests so far.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.bodies() {
            let body: Value = serde_json::from_str(&body).unwrap();
            for scope in body["resourceSpans"][0]["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().map(Span::new));
            }
        }
        spans
    }

    /// Waits for a publication that this is true of, and returns all of its spans.
    async fn publication(&self, is_it: impl Fn(&Span) -> bool) -> Tree {
        let began = Instant::now();
        loop {
            let spans = self.spans();
            if let Some(root) = spans.iter().find(|span| span.name == "publish" && is_it(span)) {
                let of_it = spans.iter().filter(|span| span.trace == root.trace);
                return Tree { spans: of_it.cloned().collect(), root: root.id.clone() };
            }
            assert!(began.elapsed() < PATIENCE, "no such publication in {spans:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
    from: u64,
    to: u64,
    about: HashMap<String, Value>,
    json: Value,
}

impl Span {
    fn new(json: &Value) -> Self {
        let text =
            |member: &str| json[member].as_str().unwrap_or_else(|| panic!("{member}: {json}"));
        let mut about = HashMap::new();
        for attribute in json["attributes"].as_array().unwrap() {
            let (_, value) = attribute["value"].as_object().unwrap().iter().next().unwrap();
            about.insert(attribute["key"].as_str().unwrap().to_owned(), value.clone());
        }
        Self {
            trace: text("traceId").into(),
            id: text("spanId").into(),
            parent: json.get("parentSpanId").map(|id| id.as_str().unwrap().into()),
            name: text("name").into(),
            from: text("startTimeUnixNano").parse().unwrap(),
            to: text("endTimeUnixNano").parse().unwrap(),
            about,
            json: json.clone(),
        }
    }

    fn number(&self, key: &str) -> u64 {
        let is = self.about.get(key).unwrap_or_else(|| panic!("no {key} in {self:?}"));
        is.as_str().unwrap().parse().unwrap()
    }
}

/// The spans of one publication.
#[derive(Debug)]
struct Tree {
    spans: Vec<Span>,
    root: String,
}

impl Tree {
    fn root(&self) -> &Span {
        self.spans.iter().find(|span| span.id == self.root).unwrap()
    }

    fn under(&self, parent: &str, name: &str) -> Vec<&Span> {
        let mut found: Vec<_> = self.spans.iter().collect();
        found.retain(|span| span.parent.as_deref() == Some(parent) && span.name == name);
        found
    }

    fn one(&self, parent: &str, name: &str) -> &Span {
        let found = self.under(parent, name);
        assert_eq!(found.len(), 1, "{name} in {self:#?}");
        found[0]
    }

    /// Every span has its parent here, and its times are inside of that one's.
    fn check_shape(&self) {
        for span in &self.spans {
            assert!(span.from <= span.to && span.from > 1 << 60, "{span:?}");
            if span.id == self.root {
                continue;
            }
            let parent = self.spans.iter().find(|other| Some(&other.id) == span.parent.as_ref());
            let parent = parent.unwrap_or_else(|| panic!("without a parent: {span:?}"));
            assert!(parent.from <= span.from && span.to <= parent.to, "{span:?} in {parent:?}");
        }
    }

    /// The whole way, over two lanes; returns how often it went which way.
    fn check_way(&self) -> [u64; 4] {
        self.check_shape();
        let root = self.root();
        let ingress = self.one(&root.id, "ingress");
        let mailbox = self.one(&root.id, "mailbox");
        let channel = self.one(&root.id, "channel");
        assert_eq!((root.from, ingress.to, mailbox.to), (ingress.from, mailbox.from, channel.from));
        let lanes = self.under(&root.id, "lane");
        let mut numbers: Vec<_> = lanes.iter().map(|lane| lane.number("fanfare.lane")).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1]);
        let mut ways = [0; 4];
        for lane in lanes {
            let queue = self.one(&lane.id, "queue");
            let encode = self.one(&lane.id, "encode");
            let walk = self.one(&lane.id, "walk");
            assert_eq!((lane.from, lane.to), (queue.from, walk.to));
            assert!(queue.to <= encode.from && encode.to <= walk.from, "{self:#?}");
            assert_eq!(encode.about["fanfare.form"], "raw");
            assert!(encode.number("fanfare.bytes") > 0 && lane.number("fanfare.turns") > 0);
            for (sum, key) in ways.iter_mut().zip(["writes", "direct", "outbox", "gone"]) {
                *sum += walk.number(&format!("fanfare.{key}"));
            }
        }
        assert_eq!(self.spans.len(), 4 + 2 * 4, "{self:#?}");
        ways
    }
}

fn settings(collector: &Collector, more: &str) -> String {
    format!(
        "[hub]\nlanes = 2\noutbox_bytes_max = 4194304\noutbox_age_max_ms = 60000\n\
         [http]\nsend_buffer_bytes = 65536\n\
         [log]\nfilter = 'debug'\n\
         [traces]\notlp_url = '{}'\n{more}\n",
        collector.url
    )
}

async fn slow(gateway: &Gateway, path: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(gateway.addr).await.unwrap();
    gateway.connect_over(stream, path, &[]).await.unwrap()
}

async fn publish(gateway: &Gateway, channel: &str, data: &str, parent: Option<&str>) -> u16 {
    let body = json!({ "channel": channel, "data": data }).to_string();
    let headers: Vec<_> = parent.map(|parent| ("traceparent", parent)).into_iter().collect();
    gateway.request("POST", "/api/publish", &headers, body.as_bytes()).await.status
}

/// One publication by HTTP and one by WebSocket to 100 members on two lanes, some of whom do not read.
async fn two_ways() -> (Collector, Gateway) {
    let collector = Collector::start(&[]).await;
    let text = settings(&collector, "sample_per_million = 1000000\nservice_name = 'fan'");
    let gateway = Gateway::configured(&text).await;
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        members.push(match number < SLOW {
            true => slow(&gateway, "/ws?channel=stage").await,
            false => gateway.connect("/ws?channel=stage").await,
        });
    }
    let message = "canary".repeat(MESSAGE_BYTES / 6);
    for _ in 0..FILLERS {
        assert_eq!(publish(&gateway, "stage", &message, Some(UNSAMPLED)).await, 200);
        read(&mut members).await;
    }
    let parent = format!("00-{TRACE}-{SPAN}-01");
    assert_eq!(publish(&gateway, "stage", &message, Some(&parent)).await, 200);
    let by_http = collector.publication(|span| span.trace == TRACE).await;

    let root = by_http.root();
    assert_eq!(root.parent.as_deref(), Some(SPAN));
    assert_eq!((&root.json["kind"], &root.json["flags"]), (&json!(4), &json!(0x301)));
    assert_eq!(root.about["messaging.destination.name"], "stage");
    assert_eq!(root.about["fanfare.ingress"], "http");
    assert_eq!(root.about["fanfare.outcome"], "accepted");
    assert_eq!(root.number("fanfare.subscribers"), MEMBERS as u64);
    // As it is in JSON, with its quotes.
    assert_eq!(root.number("messaging.message.body.size"), message.len() as u64 + 2);
    let (all, behind) = (MEMBERS as u64, SLOW as u64);
    // Nothing is written to who is behind already.
    assert_eq!(by_http.check_way(), [all - behind, all - behind, behind, 0]);
    read(&mut members).await;

    members.last_mut().unwrap().send(Message::text(message)).await;
    let by_websocket =
        collector.publication(|span| span.about["fanfare.ingress"] == "websocket").await;
    assert_eq!(by_websocket.root().parent, None);
    assert_ne!(by_websocket.root().trace, TRACE);
    assert_eq!(by_websocket.check_way(), [all - behind, all - behind, behind, 0]);
    for (_, body) in collector.requests.lock().unwrap().iter() {
        assert!(!body.contains("canary"), "a message in a span");
    }
    (collector, gateway)
}

/// One message for each of those that read.
async fn read(members: &mut [Client]) {
    for member in &mut members[SLOW..] {
        member.next_text().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_of_a_publication_is_told_span_by_span() {
    let (collector, gateway) = two_ways().await;
    let resource = serde_json::from_str::<Value>(&collector.bodies()[0]).unwrap();
    let resource = &resource["resourceSpans"][0]["resource"]["attributes"];
    assert_eq!(resource[0], json!({ "key": "service.name", "value": { "stringValue": "fan" } }));
    gateway.until_metric("fanfare_trace_spans_exported_total", |spans| spans == 24.0).await;
    assert_eq!(gateway.metric("fanfare_traces_sampled_total{by=\"parent\"}").await, 1.0);
    assert_eq!(gateway.metric("fanfare_traces_sampled_total{by=\"chance\"}").await, 1.0);
    assert_eq!(gateway.metric("fanfare_trace_spans_dropped_total").await, 0.0);
}

/// Needs Python with opentelemetry-proto in target/otlp: see .ci/run.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn the_schema_itself_reads_every_request() {
    let (collector, _gateway) = two_ways().await;
    let root = env!("CARGO_MANIFEST_DIR");
    let mut check = Command::new(format!("{root}/target/otlp/bin/python"))
        .arg(format!("{root}/tests/otlp/check.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python with opentelemetry-proto is in target/otlp");
    let lines = collector.bodies().join("\n");
    check.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "24");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_decides_up_to_a_bound_and_channels_need_not_be_named() {
    let collector = Collector::start(&[]).await;
    let more = "sample_per_million = 1000000\nsampled_per_s_max = 3\nchannel_names = false\n\
                headers = ['X-Key: canary-of-the-collector']";
    let gateway = Gateway::configured(&settings(&collector, more)).await;
    for _ in 0..20 {
        assert_eq!(publish(&gateway, "stage", "x", Some(UNSAMPLED)).await, 200);
    }
    assert_eq!(gateway.metric("fanfare_traces_sampled_total").await, 0.0);
    let began = Instant::now();
    for number in 1..=60 {
        let parent = format!("00-{number:032x}-{SPAN}-01");
        assert_eq!(publish(&gateway, "stage", "x", Some(&parent)).await, 200);
    }
    let seconds = began.elapsed().as_secs() + 2;
    let sampled = gateway.metric("fanfare_traces_sampled_total{by=\"parent\"}").await;
    let over = gateway.metric("fanfare_traces_over_rate_total").await;
    assert!(sampled >= 3.0 && sampled <= 3.0 * seconds as f64, "{sampled} in {seconds} s");
    assert_eq!(sampled + over, 60.0);
    // Nobody is there: the publication is a span, and nothing follows.
    let tree = collector.publication(|_| true).await;
    assert_eq!(tree.root().about["fanfare.outcome"], "nobody");
    assert!(!tree.root().about.contains_key("messaging.destination.name"));
    assert_eq!(tree.spans.len(), 1);
    let headers = collector.requests.lock().unwrap()[0].0.clone();
    assert_eq!(headers["x-key"], "canary-of-the-collector");
    assert!(!gateway.log().contains("canary"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_busy_gets_it_again_and_one_that_refuses_does_not() {
    let collector = Collector::start(&[503, 200, 400]).await;
    let text = settings(&collector, "sample_per_million = 1000000");
    let gateway = Gateway::configured(&text).await;
    publish(&gateway, "stage", "x", None).await;
    gateway.until_metric("fanfare_trace_exports_total{result=\"ok\"}", |ok| ok == 1.0).await;
    let bodies = collector.bodies();
    assert_eq!((bodies.len(), &bodies[0]), (2, &bodies[1]));
    publish(&gateway, "stage", "x", None).await;
    gateway.until_metric("fanfare_trace_exports_total{result=\"failed\"}", |no| no == 1.0).await;
    let lost = "fanfare_trace_spans_dropped_total{reason=\"failed\"}";
    assert_eq!(gateway.metric(lost).await, 1.0);
    assert_eq!(gateway.metric("fanfare_trace_exports_total{result=\"retry\"}").await, 1.0);
    assert_eq!(collector.bodies().len(), 3);
}

/// It accepts and never answers: publications go on, the queue drops and counts, and the end comes in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_slows_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let collector = Collector { url, requests: Arc::default() };
    let more = "sample_per_million = 1000000\nsampled_per_s_max = 1000000\n\
                queue_spans_max = 64\ntimeout_ms = 500";
    let mut gateway = Gateway::configured(&settings(&collector, more)).await;
    let mut client = gateway.connect("/ws?channel=stage").await;
    for number in 0..200 {
        client.send_text(&format!("{number}")).await;
        assert_eq!(client.next_text().await, format!("{number}"));
    }
    let full = "fanfare_trace_spans_dropped_total{reason=\"queue_full\"}";
    gateway.until_metric(full, |dropped| dropped > 0.0).await;
    assert!(gateway.metric("fanfare_trace_spans_queued").await <= 64.0);
    let began = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code().await, 0);
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_at_the_end_is_sent() {
    let collector = Collector::start(&[]).await;
    let text = settings(&collector, "sample_per_million = 1000000");
    let mut gateway = Gateway::configured(&text).await;
    for _ in 0..50 {
        assert_eq!(publish(&gateway, "stage", "x", None).await, 200);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code().await, 0);
    assert_eq!(collector.spans().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_there_are_none() {
    let gateway = Gateway::open().await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    assert_eq!(publish(&gateway, "stage", "x", Some(&parent)).await, 200);
    assert!(!gateway.get("/metrics").await.text().contains("fanfare_trace"));
}
