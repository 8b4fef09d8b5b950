//! Sampled publications as OTLP has them in JSON: the bodies of `POST /v1/traces` (OpenTelemetry
//! protocol 1.5, sections "JSON Protobuf Encoding" and "OTLP/HTTP"): ids in hexadecimal, 64-bit numbers
//! as texts, enums as numbers.

use std::num::{NonZeroU64, NonZeroU128};
use std::time::Instant;

use serde_json::{Value, json};

use crate::base::trace::{LaneNotes, TraceNotes, TracedPublication};

/// Kinds of spans (opentelemetry/proto/trace/v1/trace.proto).
const INTERNAL: u8 = 1;
const PRODUCER: u8 = 4;

/// The status of a span that failed.
const ERROR: u8 = 2;

/// Flags of a span: that it is sampled; that it is known where its parent is; that that is elsewhere.
const SAMPLED: u32 = 0x1;
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;

/// What is said of the process.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) service_name: String,
    /// This run of this node.
    pub(super) instance_id: String,
    /// Whether the name of a channel is told.
    pub(super) channel_names: bool,
}

/// The body of a request with these publications.
pub(super) fn request(resource: &Resource, publications: &[TracedPublication]) -> Value {
    let mut spans = Vec::new();
    for publication in publications {
        Tree::new(publication, resource.channel_names).spans(&mut spans);
    }
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", &resource.service_name),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &resource.instance_id),
        ] },
        "scopeSpans": [{
            "scope": { "name": "fanfare", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }] })
}

/// Spans that a collector did not take, of its answer (section "Partial Success"), and why.
pub(super) fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let partial = answer.get("partialSuccess")?;
    let spans = match partial.get("rejectedSpans")? {
        Value::String(digits) => digits.parse().ok()?,
        number => number.as_u64()?,
    };
    let why = partial.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
    (spans > 0).then(|| (spans, why.to_owned()))
}

/// The spans of one publication.
struct Tree<'a> {
    publication: &'a TracedPublication,
    channel_names: bool,
    trace_id: String,
    root: String,
}

impl<'a> Tree<'a> {
    fn new(publication: &'a TracedPublication, channel_names: bool) -> Self {
        let trace_id = publication.parent.map_or_else(random_trace_id, |parent| parent.trace_id);
        let trace_id = format!("{trace_id:032x}");
        Self { publication, channel_names, trace_id, root: random_span_id() }
    }

    fn spans(&self, spans: &mut Vec<Value>) {
        let TracedPublication { began, ended, notes, .. } = self.publication;
        spans.push(self.publish(*began, *ended, notes));
        let mut step = |name, from: Option<Instant>, to: Option<Instant>| {
            if let Some((from, to)) = from.zip(to) {
                spans.push(self.child(&self.root, name, (from, to), &[]).1);
            }
        };
        step("ingress", Some(*began), notes.posted);
        step("mailbox", notes.posted, notes.taken);
        step("channel", notes.taken, notes.passed_on);
        let passed_on = notes.passed_on.unwrap_or(*began);
        for lane in &notes.lanes {
            self.lane(passed_on, lane, spans);
        }
    }

    fn publish(&self, began: Instant, ended: Instant, notes: &TraceNotes) -> Value {
        let mut attributes = vec![
            text("messaging.system", "fanfare"),
            text("messaging.operation.name", "publish"),
            number("messaging.message.body.size", notes.message_bytes as u64),
            text("fanfare.ingress", self.publication.ingress.name()),
            text("fanfare.outcome", notes.outcome.name()),
            number("fanfare.subscribers", notes.subscribers as u64),
        ];
        if let Some(channel) = notes.channel.as_ref().filter(|_| self.channel_names) {
            attributes.push(text("messaging.destination.name", channel.as_str()));
        }
        if let Some(offset) = notes.offset {
            attributes.push(number("fanfare.offset", offset));
        }
        let mut span = self.span(&self.root, "publish", PRODUCER, (began, ended), &attributes);
        let mut flags = SAMPLED | PARENT_KNOWN;
        if let Some(parent) = self.publication.parent {
            span["parentSpanId"] = format!("{:016x}", parent.span_id).into();
            flags |= PARENT_REMOTE;
        }
        span["flags"] = flags.into();
        if notes.outcome.is_error() {
            span["status"] = json!({ "code": ERROR, "message": notes.outcome.name() });
        }
        span
    }

    fn lane(&self, passed_on: Instant, lane: &LaneNotes, spans: &mut Vec<Value>) {
        // A lane may begin before whoever passed it on has looked at the clock.
        let from = passed_on.min(lane.began);
        let about = [
            number("fanfare.lane", lane.lane as u64),
            number("fanfare.batch", lane.batch as u64),
            number("fanfare.turns", u64::from(lane.turns)),
        ];
        let (id, span) = self.child(&self.root, "lane", (from, lane.ended), &about);
        spans.push(span);
        spans.push(self.child(&id, "queue", (from, lane.began), &[]).1);
        for encode in &lane.encodes {
            let about = [
                text("fanfare.form", encode.form),
                json!({ "key": "fanfare.deflate", "value": { "boolValue": encode.is_deflated } }),
                number("fanfare.bytes", encode.bytes as u64),
            ];
            spans.push(self.child(&id, "encode", (encode.began, encode.ended), &about).1);
        }
        let about = [
            number("fanfare.writes", lane.ways.writes),
            number("fanfare.direct", lane.ways.direct),
            number("fanfare.outbox", lane.ways.outbox),
            number("fanfare.gone", lane.ways.gone),
        ];
        spans.push(self.child(&id, "walk", (lane.first_write, lane.ended), &about).1);
    }

    fn child(
        &self,
        parent: &str,
        name: &str,
        times: (Instant, Instant),
        attributes: &[Value],
    ) -> (String, Value) {
        let id = random_span_id();
        let mut span = self.span(&id, name, INTERNAL, times, attributes);
        span["parentSpanId"] = parent.into();
        span["flags"] = (SAMPLED | PARENT_KNOWN).into();
        (id, span)
    }

    fn span(
        &self,
        id: &str,
        name: &str,
        kind: u8,
        (from, to): (Instant, Instant),
        attributes: &[Value],
    ) -> Value {
        let unix_nano = |at| self.publication.unix(at).as_nanos().to_string();
        json!({
            "traceId": self.trace_id,
            "spanId": id,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": unix_nano(from),
            "endTimeUnixNano": unix_nano(to),
            "attributes": attributes,
        })
    }
}

fn text(key: &str, is: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": is } })
}

fn number(key: &str, is: u64) -> Value {
    json!({ "key": key, "value": { "intValue": is.to_string() } })
}

fn random_trace_id() -> NonZeroU128 {
    NonZeroU128::new(rand::random()).unwrap_or(NonZeroU128::MIN)
}

fn random_span_id() -> String {
    let id = NonZeroU64::new(rand::random()).unwrap_or(NonZeroU64::MIN);
    format!("{id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_rejects_is_read_in_both_spellings() {
        let read = |text: &str| rejected(text.as_bytes());
        assert_eq!(read("{}"), None);
        assert_eq!(read("not JSON"), None);
        assert_eq!(read(r#"{"partialSuccess":{}}"#), None);
        assert_eq!(read(r#"{"partialSuccess":{"rejectedSpans":"0"}}"#), None);
        let text = r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#;
        assert_eq!(read(text), Some((3, "too old".into())));
        assert_eq!(read(r#"{"partialSuccess":{"rejectedSpans":4}}"#), Some((4, String::new())));
    }
}
