//! The metrics of what holds the node together: bounds, and who was refused by which; panics.

use super::{Kind, Metric};
use crate::base::panics::Culprit;
use crate::base::refused::Bound;

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "fanfare_panics_total",
        help: "Panics, by what panicked; each is a fault of the program, and the log has its message.",
        kind: Kind::Counter,
        read: |from, to| {
            for culprit in Culprit::ALL {
                let count = from.state.hub().counters().panics.of(culprit).get();
                to.with("task", culprit.name(), count);
            }
        },
    },
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
