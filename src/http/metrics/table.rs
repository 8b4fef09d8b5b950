//! The metrics of the hub, each with its name, its help and how it is read; those of the gateway around
//! it are in [`gateway`](super::gateway).
//!
//! Counters end in `_total`; units are base units and stand in the name.

use super::{Kind, Metric, Samples, Source};
use crate::base::counters::{
    Count, Counters, DeflateCounters, LaneCounters, PASS_US_BOUNDS, PassHistogram,
};
use crate::base::disconnect::Reason;
use crate::base::loss::DropCause;

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "fanfare_build_info",
        help: "Always 1; the label has the version.",
        kind: Kind::Gauge,
        read: |_, to| to.with("version", env!("CARGO_PKG_VERSION"), 1),
    },
    Metric {
        name: "fanfare_uptime_seconds",
        help: "Time since the gateway was started.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.started.elapsed().as_secs_f64()),
    },
    Metric {
        name: "fanfare_sessions",
        help: "Sessions now.",
        kind: Kind::Gauge,
        read: |from, to| to.one(hub(from).sessions.get()),
    },
    Metric {
        name: "fanfare_sessions_opened_total",
        help: "Sessions ever opened.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).sessions_opened.get()),
    },
    Metric {
        name: "fanfare_disconnects_total",
        help: "Sessions ended, by reason.",
        kind: Kind::Counter,
        read: |from, to| {
            for reason in Reason::ALL {
                to.with("reason", reason.name(), hub(from).disconnects(reason).get());
            }
        },
    },
    Metric {
        name: "fanfare_channels",
        help: "Channels now.",
        kind: Kind::Gauge,
        read: |from, to| to.one(hub(from).channels.get()),
    },
    Metric {
        name: "fanfare_subscriptions",
        help: "Subscriptions now, over all sessions and channels.",
        kind: Kind::Gauge,
        read: |from, to| to.one(hub(from).subscriptions.get()),
    },
    Metric {
        name: "fanfare_publications_total",
        help: "Publications accepted.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).publications.get()),
    },
    Metric {
        name: "fanfare_publication_bytes_total",
        help: "Bytes of the messages of accepted publications.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).publication_bytes.get()),
    },
    Metric {
        name: "fanfare_publications_refused_total",
        help: "Publications refused because the hub was overloaded.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).publications_refused.get()),
    },
    Metric {
        name: "fanfare_publications_repeated_total",
        help: "Publications that did not go out because their idempotency key or version had.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).publications_repeated.get()),
    },
    Metric {
        name: "fanfare_presence_events_dropped_total",
        help: "Events of who comes and goes that found no room; the next one says how many.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).presence_events_dropped.get()),
    },
    Metric {
        name: "fanfare_memory_bytes",
        help: "Bytes that peers make the node hold, as counted against the budget.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.hub.memory().used() as i64),
    },
    Metric {
        name: "fanfare_memory_max_bytes",
        help: "The budget for them.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.hub.memory().max() as i64),
    },
    Metric {
        name: "fanfare_memory_pressure",
        help: "What is done to stay within it: 0 nothing, 1 outboxes hold less of what may be dropped, \
               2 nothing of it, 3 the worst are ended, 4 nobody new gets in, 5 nothing is published.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.hub.memory().pressure() as u8),
    },
    Metric {
        name: "fanfare_history_bytes",
        help: "Bytes that the histories of all channels hold: messages and bookkeeping.",
        kind: Kind::Gauge,
        read: |from, to| to.one(hub(from).history_bytes.get()),
    },
    Metric {
        name: "fanfare_recoveries_total",
        help: "Subscriptions that asked for what was missed, by whether all of it was there.",
        kind: Kind::Counter,
        read: |from, to| {
            to.with("recovered", "true", hub(from).recovered.get());
            to.with("recovered", "false", hub(from).unrecovered.get());
        },
    },
    Metric {
        name: "fanfare_publication_bytes_pending",
        help: "Bytes of publications accepted and not yet written by every lane.",
        kind: Kind::Gauge,
        read: |from, to| to.one(hub(from).publication_bytes_pending.get()),
    },
    Metric {
        name: "fanfare_deliveries_total",
        help: "Messages handed to a socket or to an outbox, by lane.",
        kind: Kind::Counter,
        read: |from, to| by_lane(from, to, |lane| &lane.deliveries),
    },
    Metric {
        name: "fanfare_delivery_bytes_total",
        help: "Bytes of those messages with their framing, by lane.",
        kind: Kind::Counter,
        read: |from, to| by_lane(from, to, |lane| &lane.delivery_bytes),
    },
    Metric {
        name: "fanfare_dropped_total",
        help: "Messages dropped because a session did not keep up, by reason. All but drop_newest \
               had been counted as deliveries.",
        kind: Kind::Counter,
        read: |from, to| {
            for cause in DropCause::ALL {
                to.with("reason", cause.name(), hub(from).over_lanes(|lane| lane.dropped(cause)));
            }
            to.with("reason", "session_ended", hub(from).over_lanes(|lane| &lane.discarded));
        },
    },
    Metric {
        name: "fanfare_writes_total",
        help: "Writes to sockets by lanes.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).over_lanes(|lane| &lane.writes)),
    },
    Metric {
        name: "fanfare_writes_blocked_total",
        help: "Of those, writes that the socket did not take whole; over TLS all of them.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).over_lanes(|lane| &lane.writes_blocked)),
    },
    Metric {
        name: "fanfare_delivery_wait_seconds",
        help: "How long a message took from being published to being written, or queued for a \
               session that is behind.",
        kind: Kind::Histogram,
        read: |from, to| histogram(from, to, |lane| &lane.delivery_us),
    },
    Metric {
        name: "fanfare_pass_duration_seconds",
        help: "How long a walk over the members of a channel took.",
        kind: Kind::Histogram,
        read: |from, to| histogram(from, to, |lane| &lane.pass_us),
    },
    Metric {
        name: "fanfare_snapshots_rebuilt_total",
        help: "Member lists rebuilt.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).snapshots_rebuilt.get()),
    },
    Metric {
        name: "fanfare_writers",
        help: "Writer tasks now: sessions that are behind.",
        kind: Kind::Gauge,
        read: |from, to| to.one(hub(from).writers.get()),
    },
    Metric {
        name: "fanfare_writers_started_total",
        help: "Writer tasks ever started.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).writers_started.get()),
    },
    Metric {
        name: "fanfare_messages_received_total",
        help: "Messages from peers.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).messages_received.get()),
    },
    Metric {
        name: "fanfare_bytes_received_total",
        help: "Bytes from peers.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).bytes_received.get()),
    },
    Metric {
        name: "fanfare_commands_refused_total",
        help: "Commands of peers that were answered with an error.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).commands_refused.get()),
    },
    Metric {
        name: "fanfare_deflate_messages_total",
        help: "Publications deflated, once for every wire format and window needed.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).deflate.messages.get()),
    },
    Metric {
        name: "fanfare_deflate_input_bytes_total",
        help: "Bytes of those publications before, with their framing.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).deflate.input_bytes.get()),
    },
    Metric {
        name: "fanfare_deflate_output_bytes_total",
        help: "Bytes of those publications after; one that gets no shorter stays as it is.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).deflate.output_bytes.get()),
    },
    Metric {
        name: "fanfare_deflate_seconds_total",
        help: "Time that deflating took.",
        kind: Kind::Counter,
        read: |from, to| to.one(seconds(&hub(from).deflate)),
    },
    Metric {
        name: "fanfare_inflate_messages_total",
        help: "Compressed messages from peers.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).inflate.messages.get()),
    },
    Metric {
        name: "fanfare_inflate_input_bytes_total",
        help: "Bytes of those messages as they came.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).inflate.input_bytes.get()),
    },
    Metric {
        name: "fanfare_inflate_output_bytes_total",
        help: "Bytes of those messages inflated; none of one that was refused.",
        kind: Kind::Counter,
        read: |from, to| to.one(hub(from).inflate.output_bytes.get()),
    },
    Metric {
        name: "fanfare_inflate_seconds_total",
        help: "Time that inflating took.",
        kind: Kind::Counter,
        read: |from, to| to.one(seconds(&hub(from).inflate)),
    },
];

fn hub<'a>(from: &Source<'a>) -> &'a Counters {
    from.state.hub.counters()
}

fn seconds(counters: &DeflateCounters) -> f64 {
    counters.ns.get() as f64 / 1e9
}

fn by_lane(from: &Source<'_>, to: &mut Samples<'_>, pick: fn(&LaneCounters) -> &Count) {
    for (at, lane) in hub(from).lanes().iter().enumerate() {
        to.with("lane", at, pick(lane).get());
    }
}

/// The histograms of all lanes as one.
fn histogram(
    from: &Source<'_>,
    to: &mut Samples<'_>,
    of: impl Fn(&LaneCounters) -> &PassHistogram,
) {
    let mut buckets = [0; PASS_US_BOUNDS.len() + 1];
    let mut sum_us = 0;
    for lane in hub(from).lanes() {
        let (of_lane, us) = of(lane).get();
        buckets.iter_mut().zip(of_lane).for_each(|(sum, count)| *sum += count);
        sum_us += us;
    }
    let mut count = 0;
    for (us, bucket) in PASS_US_BOUNDS.into_iter().zip(buckets) {
        count += bucket;
        to.write("_bucket", &[("le", &(us as f64 / 1e6))], count);
    }
    count += buckets[PASS_US_BOUNDS.len()];
    to.write("_bucket", &[("le", &"+Inf")], count);
    to.write("_sum", &[], sum_us as f64 / 1e6);
    to.write("_count", &[], count);
}
