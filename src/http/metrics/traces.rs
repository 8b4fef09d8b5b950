//! The metrics of traces; none of them if traces are off.

use super::{Kind, Metric, Source};
use crate::base::trace::{SpansLost, Tracer};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "fanfare_traces_sampled_total",
        help: "Publications that were sampled, by why: chance, or a sampled traceparent.",
        kind: Kind::Counter,
        read: |from, to| {
            let Some(counters) = tracer(from).map(Tracer::counters) else { return };
            to.with("by", "chance", counters.by_chance.get());
            to.with("by", "parent", counters.by_parent.get());
        },
    },
    Metric {
        name: "fanfare_traces_over_rate_total",
        help: "Publications that were to be sampled and were not: traces.sampled_per_s_max.",
        kind: Kind::Counter,
        read: |from, to| {
            let Some(counters) = tracer(from).map(Tracer::counters) else { return };
            to.one(counters.over_rate.get());
        },
    },
    Metric {
        name: "fanfare_trace_spans_exported_total",
        help: "Spans that the collector took.",
        kind: Kind::Counter,
        read: |from, to| {
            let Some(counters) = tracer(from).map(Tracer::counters) else { return };
            to.one(counters.exported.get());
        },
    },
    Metric {
        name: "fanfare_trace_spans_dropped_total",
        help: "Spans that were not exported, by reason.",
        kind: Kind::Counter,
        read: |from, to| {
            let Some(counters) = tracer(from).map(Tracer::counters) else { return };
            for why in SpansLost::ALL {
                to.with("reason", why.name(), counters.lost(why).get());
            }
        },
    },
    Metric {
        name: "fanfare_trace_spans_queued",
        help: "Spans that wait to be exported; at most traces.queue_spans_max.",
        kind: Kind::Gauge,
        read: |from, to| {
            if let Some(tracer) = tracer(from) {
                to.one(tracer.queued());
            }
        },
    },
    Metric {
        name: "fanfare_trace_exports_total",
        help: "Requests to the collector, by result: after retry the same is sent again, after failed \
               it is dropped.",
        kind: Kind::Counter,
        read: |from, to| {
            let Some(counters) = tracer(from).map(Tracer::counters) else { return };
            to.with("result", "ok", counters.requests_ok.get());
            to.with("result", "retry", counters.requests_retried.get());
            to.with("result", "failed", counters.requests_failed.get());
        },
    },
];

fn tracer<'a>(from: &Source<'a>) -> Option<&'a Tracer> {
    from.state.hub().tracer().map(|tracer| &**tracer)
}
