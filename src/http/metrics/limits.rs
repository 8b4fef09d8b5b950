//! The metrics of bounds: who was refused by which.

use super::{Kind, Metric};
use crate::base::refused::Bound;

pub(super) const METRICS: &[Metric] = &[Metric {
    name: "fanfare_limit_refusals_total",
    help: "Sessions, subscriptions, channels and publications that a bound refused or had wait, by \
           the configuration key of the bound.",
    kind: Kind::Counter,
    read: |from, to| {
        for bound in Bound::ALL {
            to.with("limit", bound.key(), from.state.hub.counters().refused.by(bound).get());
        }
    },
}];
