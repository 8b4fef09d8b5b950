//! The metrics of the gateway: connections, requests, TLS, the process.

use super::super::tally::{ConnectionRefused, EntryRefused, HeadRefused, UpgradeRefused};
use super::{Kind, Metric};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "fanfare_upgrades_refused_total",
        help: "WebSocket upgrades refused, by reason.",
        kind: Kind::Counter,
        read: |from, to| {
            for why in UpgradeRefused::ALL {
                to.with("reason", why.name(), from.state.tally().upgrades_refused(why).get());
            }
        },
    },
    Metric {
        name: "fanfare_http_heads_refused_total",
        help: "Requests refused before they were read as such, by reason.",
        kind: Kind::Counter,
        read: |from, to| {
            for why in HeadRefused::ALL {
                to.with("reason", why.name(), from.state.tally().heads_refused(why).get());
            }
        },
    },
    Metric {
        name: "fanfare_http_requests_total",
        help: "HTTP requests answered, by route and class of the status.",
        kind: Kind::Counter,
        read: |from, to| {
            for (route, class, count) in from.state.tally().answers() {
                to.write("", &[("route", &route), ("status", &class)], count);
            }
        },
    },
    Metric {
        name: "fanfare_http_connections",
        help: "HTTP connections now, sessions not counted.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.tally().connections.get()),
    },
    Metric {
        name: "fanfare_connections_accepted_total",
        help: "Connections accepted.",
        kind: Kind::Counter,
        read: |from, to| to.one(from.state.tally().connections_accepted.get()),
    },
    Metric {
        name: "fanfare_connections_refused_total",
        help: "Connections refused, by reason: as many as there may be in all, of the address or in \
               their handshake; opened too fast by the address, or by all for the node.",
        kind: Kind::Counter,
        read: |from, to| {
            for why in ConnectionRefused::ALL {
                let count = from.state.tally().connections_refused(why).get();
                to.with("reason", why.name(), count);
            }
        },
    },
    Metric {
        name: "fanfare_accept_errors_total",
        help: "Times that accepting a connection failed, most often for want of file descriptors.",
        kind: Kind::Counter,
        read: |from, to| to.one(from.state.tally().accept_errors.get()),
    },
    Metric {
        name: "fanfare_connections_failed_total",
        help: "Connections that ended before they were HTTP, by reason: no proper header of the \
               PROXY protocol or TLS handshake, or not in time.",
        kind: Kind::Counter,
        read: |from, to| {
            for why in EntryRefused::ALL {
                to.with("reason", why.name(), from.state.tally().entries_refused(why).get());
            }
        },
    },
    Metric {
        name: "fanfare_tls_handshakes_total",
        help: "TLS handshakes done, by version.",
        kind: Kind::Counter,
        read: |from, to| {
            for (version, count) in ["1.2", "1.3"].iter().zip(&from.state.tally().tls_handshakes) {
                to.with("version", version, count.get());
            }
        },
    },
    Metric {
        name: "fanfare_config_reloads_total",
        help: "Configurations that SIGHUP had read again: taken up, or refused, so that the old one stays.",
        kind: Kind::Counter,
        read: |from, to| {
            let reloads = &from.state.tally().config_reloads;
            for (result, count) in ["ok", "refused"].iter().zip(reloads) {
                to.with("result", result, count.get());
            }
        },
    },
    Metric {
        name: "fanfare_tls_reloads_total",
        help: "Times that a listener's certificate was read again, by result: after a failure the \
               old one stays.",
        kind: Kind::Counter,
        read: |from, to| {
            for (result, count) in ["ok", "failed"].iter().zip(&from.state.tally().tls_reloads) {
                to.with("result", result, count.get());
            }
        },
    },
    Metric {
        name: "fanfare_tls_certificate_not_after_timestamp_seconds",
        help: "When the certificate of a listener is over. Listeners count from 0 as the log names \
               them.",
        kind: Kind::Gauge,
        read: |from, to| {
            for (at, time) in from.state.tally().certificates_not_after.iter().enumerate() {
                if time.get() != 0 {
                    to.with("listener", at, time.get());
                }
            }
        },
    },
    Metric {
        name: "fanfare_tasks",
        help: "Tasks of the runtime: one per connection, none for a WebSocket that has only listened, one per session that is behind, a few more.",
        kind: Kind::Gauge,
        read: |_, to| to.one(tokio::runtime::Handle::current().metrics().num_alive_tasks()),
    },
    Metric {
        name: "fanfare_process_resident_memory_bytes",
        help: "Resident memory of the process.",
        kind: Kind::Gauge,
        read: |from, to| from.process.resident_bytes.into_iter().for_each(|bytes| to.one(bytes)),
    },
    Metric {
        name: "fanfare_process_open_fds",
        help: "Open file descriptors.",
        kind: Kind::Gauge,
        read: |from, to| from.process.open_fds.into_iter().for_each(|fds| to.one(fds)),
    },
    Metric {
        name: "fanfare_process_max_fds",
        help: "File descriptors there may be.",
        kind: Kind::Gauge,
        read: |from, to| from.process.max_fds.into_iter().for_each(|fds| to.one(fds)),
    },
];
