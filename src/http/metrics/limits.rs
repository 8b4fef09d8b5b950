//! The metrics of bounds: who was refused by which.

use super::{Kind, Metric};
use crate::base::refused::Bound;

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "fanfare_handshakes",
        help: "Connections now that have not asked for anything yet, those in line included.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.tally().handshakes.get()),
    },
    Metric {
        name: "fanfare_handshakes_waiting",
        help: "Connections now in line for their handshake, as more come than the node takes at once.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.tally().handshakes_waiting.get()),
    },
    Metric {
        name: "fanfare_limit_refusals_total",
        help: "Sessions, subscriptions, channels and publications that a bound refused or had wait, by \
           the configuration key of the bound.",
        kind: Kind::Counter,
        read: |from, to| {
            for bound in Bound::ALL {
                to.with("limit", bound.key(), from.state.hub.counters().refused.by(bound).get());
            }
        },
    },
];
